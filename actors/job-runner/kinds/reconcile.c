/*
 * reconcile: checks that what the database holds fits together (runtime/store_invariants.h): heads
 * and events, status and log, counters, jobs and their events, usage. It never repairs.
 *
 *   {"all": false, "runs_max": 100000, "pause_ms": 5}
 *
 * Goes through the runs of its tenant from the newest, or through all runs by their ids, a page at a
 * time on a connection of its own; what it has reached is its progress, from which a later attempt
 * goes on. Result: {"checked": runs, "violations": […], "violations_total", "complete", "skipped":
 * […]}. What it finds is also logged and counted. Of `all`, which may be other tenants', the result
 * has only the names of the checks.
 */
#include "job-runner/kinds/kinds.h"
#include "job-runner/kinds/reconcile_internal.h"
#include "job-runner/payload.h"
#include "job-runner/store_kinds.h"
#include "runtime/base/buffer.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/store_invariants.h"

#include <assert.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE_RUNS = 200,       /* of all */
    PAGE_TENANT_RUNS = 50, /* each is looked at alone */
    RUNS_MAX = 100000,
    PAUSE_MS = 5
};

/* A read-only look that must not hold anything for long; plans depend on the range. */
static const char session[] = "-c default_transaction_read_only=on -c plan_cache_mode="
                              "force_custom_plan -c statement_timeout=20s";

static struct attempt *destroy(struct reconcile *reconcile)
{
    struct attempt *attempt = reconcile->attempt;
    attempt_set_state(attempt, NULL);
    reconcile->failed = true; /* what is under way is dropped */
    db_close(&reconcile->db);
    /* The gauge is of the process: this connection was not the one that it is about. */
    metric_set(METRIC_DATABASE_CONNECTED, db_is_connected(attempt_db(attempt)));
    event_free(reconcile->go);
    buffer_deinit(&reconcile->shown);
    buffer_deinit(&reconcile->skipped);
    free(reconcile);
    return attempt;
}

static void go_in(struct reconcile *reconcile, int64_t ms)
{
    event_add(reconcile->go, &(struct timeval){ms / 1000, ms % 1000 * 1000});
}

void reconcile_fail(struct reconcile *reconcile, const struct db_result *result)
{
    if (!reconcile->failed) {
        reconcile->failed = true;
        error_set(&reconcile->why, "%s",
                  result == NULL ? "the database is away" : db_message(result));
        go_in(reconcile, 0);
    }
}

static void finish(struct reconcile *reconcile)
{
    struct buffer result = {0};
    buffer_printf(&result,
                  "{\"checked\":%lld,\"violations\":[%s],\"violations_total\":%lld,"
                  "\"complete\":%s,\"skipped\":[%s]}",
                  (long long)reconcile->runs, buffer_text(&reconcile->shown),
                  (long long)reconcile->violations, reconcile->more ? "false" : "true",
                  buffer_text(&reconcile->skipped));
    attempt_complete(destroy(reconcile), buffer_text(&result), result.length);
    buffer_deinit(&result);
}

/* ---- pages ---- */

/* What a later attempt begins with; see take_progress(). */
static void say_progress(const struct reconcile *reconcile)
{
    char after[UUID_TEXT_SIZE];
    char note[256];
    uuid_format(&reconcile->after, after);
    snprintf(note, sizeof note, "{\"after\":\"%s\",\"at\":%lld,\"runs\":%lld,\"violations\":%lld}",
             after, (long long)reconcile->after_us, (long long)reconcile->runs,
             (long long)reconcile->violations);
    attempt_progress(reconcile->attempt, -1, note);
}

void reconcile_page_done(struct reconcile *reconcile)
{
    if (reconcile->phase == PHASE_WHOLE) {
        go_in(reconcile, 0);
        return;
    }
    reconcile->after = reconcile->reached;
    reconcile->after_us = reconcile->reached_us;
    reconcile->runs += reconcile->page;
    metric_add(METRIC_RECONCILE_RUNS, reconcile->page);
    say_progress(reconcile);
    if (!reconcile->more || reconcile->runs >= reconcile->runs_max) {
        bool whole = reconcile->all && !reconcile->more;
        reconcile->phase = whole ? PHASE_WHOLE : PHASE_OVER;
    }
    go_in(reconcile, reconcile->pause_ms);
}

/* The smallest id behind it. */
static struct uuid next_uuid(struct uuid uuid)
{
    for (size_t i = sizeof uuid.bytes; i-- > 0 && ++uuid.bytes[i] == 0;) {
    }
    return uuid;
}

/* All runs: the ranges meet, so that what belongs to no run lies in one of them too. */
static void take_page_of_all(struct reconcile *reconcile, const struct db_result *result)
{
    struct uuid from = reconcile->begun ? next_uuid(reconcile->after) : reconcile->after;
    if (reconcile->more) {
        db_uuid(result, db_rows(result) - 1, 0, &reconcile->reached);
    } else {
        memset(reconcile->reached.bytes, 0xff, sizeof reconcile->reached.bytes);
    }
    reconcile_check_range(reconcile, &from, &reconcile->reached);
}

static void take_page_of_tenant(struct reconcile *reconcile, const struct db_result *result)
{
    for (int row = 0; row < db_rows(result); row++) {
        db_uuid(result, row, 0, &reconcile->reached);
        reconcile->reached_us = db_timestamptz(result, row, 1);
        reconcile_check_range(reconcile, &reconcile->reached, &reconcile->reached);
    }
}

static int64_t page_limit(const struct reconcile *reconcile)
{
    int64_t limit = reconcile->all ? PAGE_RUNS : PAGE_TENANT_RUNS;
    int64_t left = reconcile->runs_max - reconcile->runs;
    return left < 1 ? 1 : left < limit ? left : limit;
}

static void on_page(void *arg, enum db_status status, const struct db_result *result)
{
    struct reconcile *reconcile = arg;
    if (status != DB_OK || reconcile->failed) {
        reconcile_fail(reconcile, result);
        return;
    }
    reconcile->page = db_rows(result);
    reconcile->more = reconcile->page == page_limit(reconcile);
    if (reconcile->all) {
        take_page_of_all(reconcile, result);
    } else {
        take_page_of_tenant(reconcile, result);
    }
    reconcile->begun = true;
    if (reconcile->waiting == 0) {
        reconcile_page_done(reconcile); /* the tenant has no run more */
    }
}

static void ask_page(struct reconcile *reconcile)
{
    struct db_params params = {0};
    struct uuid tenant = attempt_tenant(reconcile->attempt);
    if (reconcile->all) {
        db_param_uuid(&params, &reconcile->after);
        db_param_int8(&params, page_limit(reconcile));
    } else {
        db_param_uuid(&params, &tenant);
        if (reconcile->begun) {
            db_param_timestamptz(&params, reconcile->after_us);
        } else {
            db_param_null(&params);
        }
        db_param_uuid(&params, &reconcile->after);
        db_param_int8(&params, page_limit(reconcile));
    }
    db_query(reconcile->db, reconcile->all ? &store_kinds_runs_of_all : &store_kinds_runs_of_tenant,
             &params, on_page, reconcile);
    db_params_deinit(&params);
}

static void on_go(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct reconcile *reconcile = arg;
    struct error why = reconcile->why;
    if (reconcile->failed) {
        attempt_fail(destroy(reconcile), JOB_CLASS_RETRYABLE, why.text, 0);
    } else if (attempt_is_cancelled(reconcile->attempt)) {
        attempt_release(destroy(reconcile));
    } else if (reconcile->phase == PHASE_RUNS) {
        ask_page(reconcile);
    } else if (reconcile->phase == PHASE_OVER || !reconcile_check_whole(reconcile)) {
        finish(reconcile);
    }
}

/* ---- the start ---- */

static void take_progress(struct reconcile *reconcile, const char *text, size_t length)
{
    static const struct json_limits limits = {4, 16};
    struct json_span note = {text, length};
    struct uuid after;
    char *id = NULL;
    int64_t at = 0;
    if (json_check(text, length, &limits, NULL, NULL) == JSON_OK &&
        payload_text(note, "after", UUID_TEXT_SIZE, &id, NULL) == 0 && id != NULL &&
        payload_int(note, "at", 0, INT64_MAX, &at, NULL) == 0 &&
        payload_int(note, "runs", 0, INT64_MAX, &reconcile->runs, NULL) == 0 &&
        payload_int(note, "violations", 0, INT64_MAX, &reconcile->violations, NULL) == 0 &&
        uuid_parse(id, strlen(id), &after) == 0) {
        reconcile->after = after;
        reconcile->after_us = at;
        reconcile->begun = true;
    }
    free(id);
}

static void on_progress(void *arg, enum db_status status, const struct db_result *result)
{
    struct reconcile *reconcile = arg;
    size_t length;
    if (status != DB_OK || reconcile->failed) {
        reconcile_fail(reconcile, result);
        return;
    }
    if (db_rows(result) == 1 && !db_is_null(result, 0, 0)) {
        const char *note = db_bytes(result, 0, 0, &length);
        take_progress(reconcile, note, length);
    }
    ask_page(reconcile);
}

static void on_connected(void *arg, bool up)
{
    struct reconcile *reconcile = arg;
    struct uuid job = attempt_job(reconcile->attempt);
    struct db_params params = {0};
    if (!up) {
        reconcile_fail(reconcile, NULL);
        return;
    }
    db_param_uuid(&params, &job);
    db_query(reconcile->db, &store_kinds_progress, &params, on_progress, reconcile);
    db_params_deinit(&params);
}

static int read_payload(struct reconcile *reconcile, struct error *err)
{
    struct json_span payload;
    reconcile->runs_max = RUNS_MAX;
    reconcile->pause_ms = PAUSE_MS;
    if (payload_read(reconcile->attempt, &payload, err) != 0 ||
        payload_bool(payload, "all", &reconcile->all, err) != 0 ||
        payload_int(payload, "runs_max", 1, INT64_MAX, &reconcile->runs_max, err) != 0 ||
        payload_int(payload, "pause_ms", 0, 60000, &reconcile->pause_ms, err) != 0) {
        return -1;
    }
    return 0;
}

static void open_connection(struct reconcile *reconcile)
{
    const struct actor *actor = attempt_actor(reconcile->attempt);
    struct db_options options = {.settings = actor->settings,
                                 .role = actor->description->database_role,
                                 .application_name = actor->instance,
                                 .session_settings = session,
                                 .connected = on_connected,
                                 .arg = reconcile};
    assert(invariants_count <= CHECKS_MAX);
    for (size_t i = 0; i < invariants_count; i++) {
        reconcile->statements[i] = (struct db_statement){invariants[i].name, invariants[i].sql};
    }
    reconcile->db = db_open(actor->base, &options);
}

static void begin(struct attempt *attempt)
{
    struct reconcile *reconcile = memory_new(sizeof *reconcile);
    struct error err;
    reconcile->attempt = attempt;
    reconcile->go = event_new(attempt_actor(attempt)->base, -1, 0, on_go, reconcile);
    attempt_set_state(attempt, reconcile);
    if (read_payload(reconcile, &err) != 0) {
        attempt_fail(destroy(reconcile), JOB_CLASS_FATAL, err.text, 0);
        return;
    }
    open_connection(reconcile);
}

static void cancel(struct attempt *attempt)
{
    attempt_release(destroy(attempt_state(attempt)));
}

const struct kind kind_reconcile = {
    .type = "reconcile",
    .does = "checks that runs, events, jobs and usage in the database fit together",
    .idempotency = "it only reads: a second time goes on where the first stopped, or looks again",
    .begin = begin,
    .cancel = cancel,
};
