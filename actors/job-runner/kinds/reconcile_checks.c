/* The checks of reconcile.c: asked, and what they find shown, logged and counted. */
#include "job-runner/kinds/reconcile_internal.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/store_invariants.h"

#include <stdlib.h>
#include <string.h>

enum { SHOWN_MAX = 50, LOGGED_MAX = 20, DETAIL_BYTES_MAX = 400 };

/* One check under way. */
struct asked {
    struct reconcile *reconcile;
    const struct invariant *invariant;
};

/* ---- what was found ---- */

static void append_cell(struct buffer *out, const char *name, const struct db_result *result,
                        int row, int column)
{
    size_t length = 0;
    const char *text =
        db_is_null(result, row, column) ? "" : db_bytes(result, row, column, &length);
    buffer_printf(out, ",\"%s\":", name);
    if (length == 0) {
        buffer_append_text(out, "null");
    } else {
        buffer_append_json(out, text, length > DETAIL_BYTES_MAX ? DETAIL_BYTES_MAX : length);
    }
}

static void log_violation(const struct invariant *invariant, const struct db_result *result,
                          int row)
{
    struct buffer line = {0};
    append_cell(&line, "run_id", result, row, 0);
    append_cell(&line, "seq", result, row, 1);
    append_cell(&line, "detail", result, row, 2);
    LOG_ERROR("an invariant of the database is broken", LOG_TEXT("check", invariant->name),
              LOG_TEXT("violation", buffer_text(&line) + 1));
    buffer_deinit(&line);
}

static void take_violation(struct reconcile *reconcile, const struct invariant *invariant,
                           const struct db_result *result, int row)
{
    if (reconcile->violations++ < LOGGED_MAX) {
        log_violation(invariant, result, row);
    }
    metric_add(METRIC_RECONCILE_VIOLATIONS, 1);
    if (reconcile->violations > SHOWN_MAX) {
        return;
    }
    buffer_printf(&reconcile->shown, "%s{\"check\":\"%s\"", reconcile->shown.length == 0 ? "" : ",",
                  invariant->name);
    if (!reconcile->all) {
        append_cell(&reconcile->shown, "run_id", result, row, 0);
        append_cell(&reconcile->shown, "seq", result, row, 1);
        append_cell(&reconcile->shown, "detail", result, row, 2);
    }
    buffer_append_byte(&reconcile->shown, '}');
}

/* ---- checks ---- */

static void on_checked(void *arg, enum db_status status, const struct db_result *result)
{
    struct asked *asked = arg;
    struct reconcile *reconcile = asked->reconcile;
    const struct invariant *invariant = asked->invariant;
    free(asked);
    reconcile->waiting--;
    if (status == DB_OK) {
        for (int row = 0; row < db_rows(result); row++) {
            take_violation(reconcile, invariant, result, row);
        }
    } else if (status == DB_REFUSED && reconcile->phase == PHASE_WHOLE) {
        /* Most likely it took too long: the log is large. */
        LOG_WARN("a check was given up", LOG_TEXT("check", invariant->name),
                 LOG_TEXT("error", db_message(result)));
        buffer_printf(&reconcile->skipped, "%s\"%s\"", reconcile->skipped.length == 0 ? "" : ",",
                      invariant->name);
    } else {
        reconcile_fail(reconcile, result);
    }
    if (reconcile->waiting == 0 && !reconcile->failed) {
        reconcile_page_done(reconcile);
    }
}

static void check(struct reconcile *reconcile, size_t index, const struct uuid *from,
                  const struct uuid *to)
{
    struct db_params params = {0};
    struct asked *asked = memory_new(sizeof *asked);
    *asked = (struct asked){reconcile, &invariants[index]};
    db_param_uuid(&params, from);
    db_param_uuid(&params, to);
    reconcile->waiting++;
    db_query(reconcile->db, &reconcile->statements[index], &params, on_checked, asked);
    db_params_deinit(&params);
}

void reconcile_check_range(struct reconcile *reconcile, const struct uuid *from,
                           const struct uuid *to)
{
    for (size_t i = 0; i < invariants_count; i++) {
        if (invariants[i].scope == INVARIANT_RUNS) {
            check(reconcile, i, from, to);
        }
    }
}

bool reconcile_check_whole(struct reconcile *reconcile)
{
    static const struct uuid first;
    struct uuid last;
    memset(last.bytes, 0xff, sizeof last.bytes);
    while (reconcile->check < invariants_count) {
        size_t index = reconcile->check++;
        if (invariants[index].scope != INVARIANT_RUNS) {
            check(reconcile, index, &first, &last);
            return true;
        }
    }
    return false;
}
