/* See dry_run.h. */
#include "job-runner/dry_run.h"

#include "job-runner/kind.h"
#include "job-runner/ready.h"
#include "job-runner/runner.h"
#include "job-runner/store.h"
#include "job-runner/store_kinds.h"
#include "proto/job.h"
#include "runtime/base/buffer.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_ROWS = 2000, GIVE_UP_MS = 10000, AGAIN_MS = 20, TAKE_MAX = 1000, EXIT_NOTHING = 3 };

struct dry_run {
    struct job_runner *runner; /* borrowed */
    struct event *timer;
    int64_t begun_ms;
    int64_t after;
    int64_t ids[TAKE_MAX]; /* what would be claimed, in its order */
    size_t count;
};

static void end(struct dry_run *dry_run, int exit_code)
{
    dry_run->runner->actor->exit_code = exit_code;
    actor_drained(dry_run->runner->actor);
}

static bool is_answer(struct dry_run *dry_run, enum db_status status,
                      const struct db_result *result)
{
    if (status != DB_OK) {
        LOG_WARN(
            "the tables cannot be read",
            LOG_TEXT("reason", status == DB_LOST ? "the database is away" : db_message(result)));
        end(dry_run, EXIT_CODE_FAILED);
    }
    return status == DB_OK;
}

/* Room for the texts of one row. */
static char *text_at(const struct db_result *result, int row, int column)
{
    size_t length = 0;
    const char *bytes =
        db_is_null(result, row, column) ? "" : db_bytes(result, row, column, &length);
    char *text = memory_new(length + 1);
    memcpy(text, bytes, length);
    return text;
}

/* ---- what comes out ---- */

static void append_uuid(struct buffer *out, const char *name, const struct db_result *result,
                        int row, int column)
{
    struct uuid uuid;
    char text[UUID_TEXT_SIZE];
    db_uuid(result, row, column, &uuid);
    uuid_format(&uuid, text);
    buffer_printf(out, "\"%s\":\"%s\",", name, text);
}

static void append_text(struct buffer *out, const char *name, const struct db_result *result,
                        int row, int column)
{
    size_t length;
    const char *text = db_bytes(result, row, column, &length);
    buffer_printf(out, "\"%s\":", name);
    buffer_append_json(out, text, length);
    buffer_append_byte(out, ',');
}

/* In the order in which they would be claimed, which is not the table's. */
static void print_job(const struct db_result *result, int64_t id)
{
    struct buffer line = {0};
    for (int row = 0; row < db_rows(result); row++) {
        if (db_int8(result, row, 0) == id) {
            buffer_append_byte(&line, '{');
            append_uuid(&line, "id", result, row, 1);
            append_uuid(&line, "run_id", result, row, 2);
            append_text(&line, "job_key", result, row, 3);
            append_text(&line, "job_type", result, row, 4);
            append_text(&line, "queue", result, row, 5);
            buffer_printf(&line, "\"priority\":%d,\"attempt\":%d,\"max_attempts\":%d}",
                          db_int4(result, row, 6), db_int4(result, row, 7),
                          db_int4(result, row, 8));
            puts(buffer_text(&line));
        }
    }
    buffer_deinit(&line);
}

static void on_named(void *arg, enum db_status status, const struct db_result *result)
{
    struct dry_run *dry_run = arg;
    if (!is_answer(dry_run, status, result)) {
        return;
    }
    for (size_t i = 0; i < dry_run->count; i++) {
        print_job(result, dry_run->ids[i]);
    }
    fflush(stdout);
    end(dry_run, dry_run->count == 0 ? EXIT_NOTHING : EXIT_CODE_DONE);
}

static void choose(struct dry_run *dry_run)
{
    const struct settings *settings = dry_run->runner->actor->settings;
    const char *types[KINDS_MAX];
    struct db_params params = {0};
    struct ready_filter filter = {.types = types};
    size_t room = (size_t)settings_int(settings, SETTING_JOBS_EXECUTORS);
    filter.types_count = kinds_enabled(settings_text(settings, SETTING_JOBS_KINDS), types);
    if (filter.types_count > 0) {
        dry_run->count = ready_peek(dry_run->runner->ready, clock_real_us(), &filter, dry_run->ids,
                                    room > TAKE_MAX ? TAKE_MAX : room);
    }
    db_array_begin(&params, DB_ARRAY_INT8, dry_run->count);
    for (size_t i = 0; i < dry_run->count; i++) {
        db_array_int8(&params, dry_run->ids[i]);
    }
    db_array_end(&params);
    db_query(dry_run->runner->links.db, &store_kinds_waiting, &params, on_named, dry_run);
    db_params_deinit(&params);
}

/* ---- what goes in ---- */

/* Columns as OPEN_ROWS of store.c names them. */
static void take_job(struct dry_run *dry_run, const struct db_result *result, int row)
{
    struct ready *ready = dry_run->runner->ready;
    char *queue = text_at(result, row, 4);
    char *type = text_at(result, row, 5);
    char *key = text_at(result, row, 8);
    struct ready_job job = {.id = db_int8(result, row, 0),
                            .queue = queue,
                            .type = type,
                            .concurrency_key = key,
                            .priority = db_int4(result, row, 7),
                            .run_at_us = db_timestamptz(result, row, 9)};
    bool blocked = db_int4(result, row, 14) > 0 || db_bool(result, row, 15);
    db_uuid(result, row, 2, &job.tenant);
    if (!db_is_null(result, row, 11)) {
        ready_put_running(ready, &job);
    } else if (!blocked) {
        ready_put(ready, &job);
    }
    dry_run->after = job.id;
    free(queue);
    free(type);
    free(key);
}

static void ask_jobs(struct dry_run *dry_run);

static void on_jobs(void *arg, enum db_status status, const struct db_result *result)
{
    struct dry_run *dry_run = arg;
    if (!is_answer(dry_run, status, result)) {
        return;
    }
    for (int row = 0; row < db_rows(result); row++) {
        take_job(dry_run, result, row);
    }
    if (db_rows(result) == PAGE_ROWS) {
        ask_jobs(dry_run);
    } else {
        choose(dry_run);
    }
}

static void ask_jobs(struct dry_run *dry_run)
{
    struct db_params params = {0};
    db_param_int8(&params, dry_run->after);
    db_array_begin(&params, DB_ARRAY_INT4, JOB_SHARDS);
    for (int shard = 0; shard < JOB_SHARDS; shard++) {
        db_array_int4(&params, shard);
    }
    db_array_end(&params);
    db_param_int8(&params, PAGE_ROWS);
    db_query(dry_run->runner->links.db, &store_open_page, &params, on_jobs, dry_run);
    db_params_deinit(&params);
}

/* Columns as store_rules names them. */
static void on_rules(void *arg, enum db_status status, const struct db_result *result)
{
    struct dry_run *dry_run = arg;
    if (!is_answer(dry_run, status, result)) {
        return;
    }
    for (int row = 0; row < db_rows(result); row++) {
        struct uuid tenant;
        char *name = text_at(result, row, 2);
        db_uuid(result, row, 1, &tenant);
        if (db_int4(result, row, 0) == 0) {
            ready_set_rules(dry_run->runner->ready, &tenant, name,
                            &(struct ready_rules){db_bool(result, row, 3),
                                                  (unsigned)db_int4(result, row, 4),
                                                  (unsigned)db_int4(result, row, 5),
                                                  (unsigned)db_int4(result, row, 6),
                                                  (unsigned)db_int4(result, row, 7)});
        } else {
            ready_pause_type(dry_run->runner->ready, &tenant, name, true);
        }
        free(name);
    }
    ask_jobs(dry_run);
}

static void on_timer(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct dry_run *dry_run = arg;
    struct db *db = dry_run->runner->links.db;
    if (db_is_connected(db)) {
        db_query(db, &store_rules, NULL, on_rules, dry_run);
    } else if (clock_monotonic_ms() - dry_run->begun_ms > GIVE_UP_MS) {
        (void)is_answer(dry_run, DB_LOST, NULL);
    } else {
        event_add(dry_run->timer, &(struct timeval){0, AGAIN_MS * 1000});
    }
}

struct dry_run *dry_run_create(struct job_runner *runner)
{
    struct dry_run *dry_run = memory_new(sizeof *dry_run);
    dry_run->runner = runner;
    dry_run->begun_ms = clock_monotonic_ms();
    dry_run->timer = event_new(runner->actor->base, -1, 0, on_timer, dry_run);
    event_active(dry_run->timer, EV_TIMEOUT, 0);
    return dry_run;
}

void dry_run_destroy(struct dry_run **dry_run)
{
    if (*dry_run == NULL) {
        return;
    }
    event_free((*dry_run)->timer);
    free(*dry_run);
    *dry_run = NULL;
}
