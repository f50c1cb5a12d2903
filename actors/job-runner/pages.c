/* See pages.h. */
#include "job-runner/pages.h"

#include "job-runner/jobs.h"
#include "job-runner/pages_internal.h"
#include "job-runner/rules.h"
#include "job-runner/shards.h"
#include "job-runner/store.h"
#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    PAGE_ROWS = 1000,
    SMALL_ROWS = 5000, /* so few are read at every poll while the bus is silent */
    LOST_PAUSE_MS = 1000,
    WHOLE_MS = 60000,
    SILENCE_MS = 1000
};

void pages_go_in(struct pages *pages, int64_t ms)
{
    const struct timeval when = {ms / 1000, ms % 1000 * 1000};
    if (ms == 0) {
        event_active(pages->go_event, EV_TIMEOUT, 0);
    } else if (!event_pending(pages->go_event, EV_TIMEOUT, NULL)) {
        event_add(pages->go_event, &when);
    }
}

/* ---- rows ---- */

static struct message_span span_at(const struct db_result *result, int row, int column)
{
    struct message_span span = {NULL, 0};
    if (!db_is_null(result, row, column)) {
        span.data = (const uint8_t *)db_bytes(result, row, column, &span.length);
    }
    return span;
}

/* Columns as STORE_OPEN_COLUMNS of store.c names them. */
static void take_row(struct pages *pages, const struct db_result *result, int row, uint64_t since)
{
    struct job_news news = {
        .id = db_int8(result, row, 0),
        .queue = span_at(result, row, 4),
        .type = span_at(result, row, 5),
        .shard = (unsigned)db_int4(result, row, 6),
        .priority = db_int4(result, row, 7),
        .concurrency_key = span_at(result, row, 8),
        .run_at_us = db_timestamptz(result, row, 9),
        .attempts = (unsigned)db_int4(result, row, 10),
        .worker = span_at(result, row, 12),
        .lease_ms = (uint64_t)db_int4(result, row, 13),
        .cancel = db_bool(result, row, 16),
        .since = since,
    };
    db_uuid(result, row, 1, &news.job);
    db_uuid(result, row, 2, &news.tenant);
    db_uuid(result, row, 3, &news.run);
    if (!db_is_null(result, row, 11)) {
        db_uuid(result, row, 11, &news.token);
        news.state = JOB_STATE_RUNNING;
    } else if (db_bool(result, row, 15)) {
        news.state = JOB_STATE_SKIPPED;
    } else {
        news.state = db_int4(result, row, 14) > 0 ? JOB_STATE_BLOCKED : JOB_STATE_WAITING;
    }
    jobs_take(pages->runner->jobs, &news);
}

void pages_take_rows(struct pages *pages, const struct db_result *result, uint64_t since)
{
    for (int row = 0; row < db_rows(result); row++) {
        take_row(pages, result, row, since);
    }
}

/* ---- a reading ---- */

static void query_page(struct pages *pages, int64_t after, uint32_t shards, db_done_fn *done)
{
    struct db_params params = {0};
    size_t count = (size_t)__builtin_popcount(shards);
    db_param_int8(&params, after);
    db_array_begin(&params, DB_ARRAY_INT4, count);
    for (int32_t shard = 0; shard < JOB_SHARDS; shard++) {
        if ((shards & 1U << shard) != 0) {
            db_array_int4(&params, shard);
        }
    }
    db_array_end(&params);
    db_param_int8(&params, PAGE_ROWS);
    db_query(pages->db, &store_open_page, &params, done, pages);
    db_params_deinit(&params);
}

static void end_reading(struct pages *pages)
{
    jobs_end_reading(pages->runner->jobs, pages->reading, pages->since);
    pages->last_rows = pages->rows;
    pages->reading = 0;
    LOG_DEBUG("jobs read", LOG_INT("rows", pages->rows));
}

static void on_page(void *arg, enum db_status status, const struct db_result *result)
{
    struct pages *pages = arg;
    pages->page_under_way = false;
    if (status != DB_OK) {
        if (status == DB_REFUSED) {
            LOG_ERROR("jobs cannot be read", LOG_TEXT("error", db_message(result)));
        }
        pages_go_in(pages, AGAIN_MS);
        return;
    }
    pages_take_rows(pages, result, pages->page_since);
    pages->rows += (size_t)db_rows(result);
    if (db_rows(result) < PAGE_ROWS) {
        end_reading(pages);
    } else {
        pages->after = db_int8(result, db_rows(result) - 1, 0);
    }
    pages_go_in(pages, 0);
}

static void begin_reading(struct pages *pages)
{
    if (pages->reading == 0 && pages->wanted != 0 && !pages->page_under_way) {
        pages->reading = pages->wanted;
        pages->wanted = 0;
        pages->since = jobs_stamp(pages->runner->jobs);
        pages->after = 0;
        pages->rows = 0;
    }
}

/* ---- what is to be read ---- */

static uint32_t our_shards(const struct pages *pages)
{
    uint32_t ours = 0;
    for (unsigned shard = 0; shard < JOB_SHARDS; shard++) {
        if (shards_is_ours(pages->runner->shards, shard)) {
            ours |= 1U << shard;
        }
    }
    return ours;
}

static void read_what_was_lost(struct pages *pages)
{
    int64_t now_ms = clock_monotonic_ms();
    if (pages->lost && now_ms >= pages->lost_pause_until_ms) {
        pages->lost = false;
        pages->lost_pause_until_ms = now_ms + LOST_PAUSE_MS;
        pages->wanted |= our_shards(pages);
    } else if (pages->lost) {
        pages_go_in(pages, pages->lost_pause_until_ms - now_ms);
    }
}

static void on_go(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct pages *pages = arg;
    if (!db_is_connected(pages->db)) {
        pages_go_in(pages, AGAIN_MS);
        return;
    }
    pages_settle_doubts(pages);
    read_what_was_lost(pages);
    begin_reading(pages);
    if (pages->reading != 0 && !pages->page_under_way) {
        pages->page_under_way = true;
        pages->page_since = jobs_stamp(pages->runner->jobs);
        SB_FAULT("jobs_before_page");
        query_page(pages, pages->after, pages->reading, on_page);
    }
}

/* ---- the poll ---- */

static void on_polled(void *arg, enum db_status status, const struct db_result *result)
{
    struct pages *pages = arg;
    pages->poll_under_way = false;
    if (status != DB_OK) {
        return; /* the next poll */
    }
    if (db_rows(result) > 0) {
        metric_add(METRIC_JOBS_POLLED, db_rows(result));
    }
    pages_take_rows(pages, result, pages->poll_since);
    if (db_rows(result) == PAGE_ROWS) {
        pages_read(pages, our_shards(pages));
    }
}

/* +-20 %, so that several runners do not ask together for ever. */
static void poll_again(struct pages *pages)
{
    int64_t ms = settings_int(pages->runner->actor->settings, SETTING_JOBS_POLL_MS);
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, 0) == (ssize_t)sizeof random) {
        ms = ms * 8 / 10 + (int64_t)(random % 1024) * ms * 4 / 10 / 1024;
    }
    event_add(pages->poll_event, &(struct timeval){ms / 1000, ms % 1000 * 1000});
}

static void on_poll(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct pages *pages = arg;
    int64_t now_ms = clock_monotonic_ms();
    uint32_t ours = our_shards(pages);
    poll_again(pages);
    rules_read(pages->runner->rules);
    if (ours == 0 || pages->reading != 0 || pages->poll_under_way || !db_is_connected(pages->db)) {
        return;
    }
    if (now_ms >= pages->whole_due_ms ||
        (!pages_hints_live(pages) && pages->last_rows < SMALL_ROWS)) {
        pages->whole_due_ms = now_ms + WHOLE_MS;
        pages_read(pages, ours);
        return;
    }
    pages->poll_under_way = true;
    pages->poll_since = jobs_stamp(pages->runner->jobs);
    query_page(pages, jobs_newest(pages->runner->jobs), ours, on_polled);
}

/* ---- what others call ---- */

void pages_read(struct pages *pages, uint32_t shards)
{
    pages->wanted |= shards;
    pages_go_in(pages, 0);
}

void pages_lose_shard(struct pages *pages, unsigned shard)
{
    pages->wanted &= ~(1U << shard);
    pages->reading &= ~(1U << shard);
}

void pages_lost(struct pages *pages)
{
    metric_add(METRIC_JOB_FRAMES_LOST, 1);
    pages->lost = true;
    pages_go_in(pages, 0);
}

bool pages_hints_live(const struct pages *pages)
{
    return clock_monotonic_ms() - pages->heard_ms < SILENCE_MS;
}

void pages_heard(struct pages *pages)
{
    pages->heard_ms = clock_monotonic_ms();
}

struct db *pages_db(const struct pages *pages)
{
    return pages->db;
}

/* ---- life ---- */

static void on_database(void *arg, bool up)
{
    struct pages *pages = arg;
    if (up) {
        pages_go_in(pages, 0);
    }
}

/* Plans by number, made once, for a table of any size (docs/decisions/0010). */
#define SESSION                                                    \
    "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off " \
    "-c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"

struct pages *pages_create(struct job_runner *runner)
{
    struct pages *pages = memory_new(sizeof *pages);
    struct actor *actor = runner->actor;
    struct db_options options = {.settings = actor->settings,
                                 .role = actor->description->database_role,
                                 .application_name = actor->instance,
                                 .session_settings = SESSION,
                                 .connected = on_database,
                                 .arg = pages};
    pages->runner = runner;
    pages->poll_event = event_new(actor->base, -1, 0, on_poll, pages);
    pages->go_event = event_new(actor->base, -1, 0, on_go, pages);
    pages->whole_due_ms = clock_monotonic_ms() + WHOLE_MS;
    pages->db = db_open(actor->base, &options);
    poll_again(pages);
    return pages;
}

void pages_destroy(struct pages **pages)
{
    if (*pages == NULL) {
        return;
    }
    db_close(&(*pages)->db);
    event_free((*pages)->poll_event);
    event_free((*pages)->go_event);
    free((*pages)->asked);
    free(*pages);
    *pages = NULL;
}
