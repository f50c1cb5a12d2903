/* Jobs in doubt, see pages.h: their rows are asked for by number, the first that came first. */
#include "job-runner/jobs.h"
#include "job-runner/pages_internal.h"
#include "job-runner/store.h"
#include "runtime/base/memory.h"

#include <string.h>

static bool was_shown(const struct db_result *result, int64_t id)
{
    for (int row = 0; row < db_rows(result); row++) {
        if (db_int8(result, row, 0) == id) {
            return true;
        }
    }
    return false;
}

static void on_asked(void *arg, enum db_status status, const struct db_result *result)
{
    struct pages *pages = arg;
    size_t count = pages->asking_count;
    pages->asking_count = 0;
    if (status != DB_OK) {
        for (size_t i = 0; i < count; i++) {
            pages_ask(pages, pages->asking[i]);
        }
        pages_go_in(pages, AGAIN_MS);
        return;
    }
    pages_take_rows(pages, result, pages->asking_since);
    for (size_t i = 0; i < count; i++) {
        if (!was_shown(result, pages->asking[i])) {
            jobs_gone(pages->runner->jobs, pages->asking[i], pages->asking_since);
        }
    }
    pages_go_in(pages, 0);
}

static void ask(struct pages *pages)
{
    struct db_params params = {0};
    size_t count = pages->asked_count < ASK_MAX ? pages->asked_count : ASK_MAX;
    memcpy(pages->asking, pages->asked, count * sizeof(int64_t));
    pages->asked_count -= count;
    memmove(pages->asked, pages->asked + count, pages->asked_count * sizeof(int64_t));
    pages->asking_count = count;
    pages->asking_since = jobs_stamp(pages->runner->jobs);
    db_array_begin(&params, DB_ARRAY_INT8, count);
    for (size_t i = 0; i < count; i++) {
        db_array_int8(&params, pages->asking[i]);
    }
    db_array_end(&params);
    db_query(pages->db, &store_open_rows, &params, on_asked, pages);
    db_params_deinit(&params);
}

void pages_settle_doubts(struct pages *pages)
{
    if (pages->asking_count == 0 && pages->asked_count > 0) {
        ask(pages);
    }
}

void pages_ask(struct pages *pages, int64_t id)
{
    if (pages->asked_count == pages->asked_capacity) {
        pages->asked_capacity = pages->asked_capacity * 2 + 16;
        pages->asked = memory_grow(pages->asked, pages->asked_capacity, sizeof(int64_t));
    }
    pages->asked[pages->asked_count++] = id;
    pages_go_in(pages, 0);
}
