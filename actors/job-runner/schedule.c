/* See schedule.h. A round has ended when every row of its look has been moved or given up; a tick whose
 * outcome is not known stays due, and is queued again under the same key. */
#include "job-runner/schedule.h"

#include "job-runner/runner.h"
#include "job-runner/shards.h"
#include "job-runner/store.h"
#include "job-runner/ticks.h"
#include "proto/job.h"
#include "proto/outcome.h"
#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/list.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/commands.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_ROWS = 100, AGAIN_MS = 1000, KEY_SIZE = 320, ACTOR_SIZE = 300 };

struct schedule {
    struct job_runner *runner; /* borrowed */
    struct event *look_event;
    struct list moves; /* under way */
    bool looking;
    bool again;      /* not all went well, or there are more: the next look is soon */
    int64_t next_us; /* the first tick behind this round, as far as is known */
};

/* A row whose ticks are being queued. */
struct move {
    struct list node;
    struct schedule *schedule;
    struct uuid tenant;
    int64_t due_us;
    int64_t last_us; /* the latest tick to be queued; INT64_MIN: none */
    int64_t next_us;
    bool moving; /* queued: the row is being moved */
    char name[];
};

/* ---- rounds ---- */

static void look_in(struct schedule *schedule, int64_t us)
{
    const struct timeval when = {us / 1000000, us % 1000000};
    if (!schedule->runner->actor->draining) {
        event_add(schedule->look_event, &when);
    }
}

static int64_t poll_us(const struct schedule *schedule)
{
    return settings_int(schedule->runner->actor->settings, SETTING_JOBS_POLL_MS) * 1000;
}

static void end_round(struct schedule *schedule)
{
    int64_t most_us = poll_us(schedule);
    int64_t pause_us = schedule->next_us - clock_real_us();
    if (schedule->looking || !list_is_empty(&schedule->moves)) {
        return;
    }
    pause_us = pause_us > most_us ? most_us : pause_us;
    pause_us = pause_us < 0 ? 0 : pause_us;
    look_in(schedule, schedule->again && pause_us < AGAIN_MS * 1000 ? AGAIN_MS * 1000 : pause_us);
}

static void end_move(struct move *move, bool done)
{
    struct schedule *schedule = move->schedule;
    if (done) {
        schedule->next_us = move->next_us < schedule->next_us ? move->next_us : schedule->next_us;
    }
    schedule->again = schedule->again || !done;
    list_remove(&move->node);
    free(move);
    end_round(schedule);
}

/* ---- the row moves on ---- */

static void on_moved(void *arg, enum db_status status, const struct db_result *result)
{
    if (status == DB_REFUSED) {
        LOG_ERROR("a schedule cannot be moved", LOG_TEXT("error", db_message(result)));
    }
    end_move(arg, status == DB_OK);
}

static void param_time(struct db_params *params, int64_t us, int64_t none)
{
    if (us == none) {
        db_param_null(params);
    } else {
        db_param_timestamptz(params, us);
    }
}

/* `error` NULL: what was due is queued. */
static void move_on(struct move *move, const char *error)
{
    struct db_params params = {0};
    db_param_uuid(&params, &move->tenant);
    db_param_text(&params, move->name, strlen(move->name));
    db_param_timestamptz(&params, move->due_us);
    param_time(&params, move->next_us, INT64_MAX);
    param_time(&params, error == NULL ? move->last_us : INT64_MIN, INT64_MIN);
    if (error == NULL) {
        db_param_null(&params);
    } else {
        LOG_WARN("a tick of a schedule is not queued", LOG_TEXT("schedule", move->name),
                 LOG_UUID("tenant_id", &move->tenant), LOG_TEXT("reason", error));
        db_param_text(&params, error, strlen(error));
    }
    move->moving = true;
    SB_FAULT("jobs_before_schedule_moves");
    db_query(move->schedule->runner->links.db, &store_move_schedule, &params, on_moved, move);
    db_params_deinit(&params);
}

/* ---- the ticks are queued ---- */

static const char *refusal(const struct message_jobs_result *result)
{
    struct message_list cursor = result->jobs;
    struct message_jobs_result_job job;
    if (result->outcome == OUTCOME_QUOTA) {
        return "a quota of the tenant is used up";
    }
    if (result->outcome != OUTCOME_OK) {
        return "the job was refused";
    }
    while (message_jobs_result_job_next(&cursor, &job)) {
        if (job.outcome != JOB_OUTCOME_OK && job.outcome != JOB_OUTCOME_EXISTS) {
            return "the job was refused";
        }
        metric_add(METRIC_JOB_TICKS_QUEUED, job.outcome == JOB_OUTCOME_OK ? 1 : 0);
    }
    return NULL;
}

static void on_queued(void *arg, enum command_state state, const struct message_jobs_result *result)
{
    struct move *move = arg;
    if (state == COMMAND_UNKNOWN) {
        end_move(move, false);
        return;
    }
    move_on(move, refusal(result));
}

static struct message_span span(const char *text, size_t length)
{
    return (struct message_span){(const uint8_t *)text, length};
}

static struct message_span span_at(const struct db_result *result, int row, int column)
{
    struct message_span text = {NULL, 0};
    if (!db_is_null(result, row, column)) {
        text.data = (const uint8_t *)db_bytes(result, row, column, &text.length);
    }
    return text;
}

/* Columns as store_due_schedules names them. */
static void encode_tick(const struct db_result *result, int row, const struct move *move,
                        int64_t tick_us, struct msgpack_sbuffer *jobs)
{
    char key[KEY_SIZE];
    char tick[TICKS_NAME_SIZE];
    struct uuid job = uuid_new();
    struct uuid child = uuid_new();
    ticks_name(tick_us, tick);
    int length = snprintf(key, sizeof key, "cron:%s:%s", move->name, tick);
    assert(length > 0 && (size_t)length < sizeof key);
    struct message_enqueue_jobs_job wire = {
        .key = span(key, (size_t)length),
        .queue = span_at(result, row, 4),
        .type = span_at(result, row, 5),
        .payload = span_at(result, row, 6),
        .priority = db_int4(result, row, 7),
        .max_attempts = (uint64_t)db_int4(result, row, 8),
        .concurrency_key = span_at(result, row, 9),
    };
    memcpy(wire.job, job.bytes, sizeof wire.job);
    memcpy(wire.child, child.bytes, sizeof wire.child);
    message_enqueue_jobs_job_encode(jobs, &wire);
}

static void queue_ticks(const struct db_result *result, int row, struct move *move,
                        const struct ticks *ticks)
{
    struct msgpack_sbuffer jobs;
    char actor[ACTOR_SIZE];
    int length = snprintf(actor, sizeof actor, "schedule/%s", move->name);
    assert(length > 0 && (size_t)length < sizeof actor);
    msgpack_sbuffer_init(&jobs);
    for (size_t i = 0; i < ticks->count; i++) {
        encode_tick(result, row, move, ticks->due_us[i], &jobs);
    }
    struct message_enqueue_jobs message = {
        .actor = span(actor, (size_t)length),
        .jobs = {(const uint8_t *)jobs.data, jobs.size, (uint32_t)ticks->count},
    };
    memcpy(message.tenant, move->tenant.bytes, sizeof message.tenant);
    int sent =
        commands_enqueue_jobs(move->schedule->runner->links.commands, &message, on_queued, move);
    msgpack_sbuffer_destroy(&jobs);
    if (sent != 0) {
        end_move(move, false);
    }
}

/* ---- what is due ---- */

static int read_spec(const struct db_result *result, int row, struct cron *cron,
                     struct zone **zone_out, struct error *err)
{
    size_t spec_length;
    size_t tz_length;
    const char *spec = db_bytes(result, row, 2, &spec_length);
    const char *tz = db_bytes(result, row, 3, &tz_length);
    *zone_out = NULL;
    if (cron_parse(spec, spec_length, cron, err) != 0) {
        return error_prefix(err, "spec");
    }
    bool is_utc = tz_length == 3 && memcmp(tz, "UTC", 3) == 0;
    return is_utc ? 0 : zone_load(tz, tz_length, zone_out, err);
}

static struct move *begin_move(struct schedule *schedule, const struct db_result *result, int row)
{
    size_t length;
    const char *name = db_bytes(result, row, 1, &length);
    struct move *move = memory_new(sizeof *move + length + 1);
    move->schedule = schedule;
    move->due_us = db_timestamptz(result, row, 11);
    move->last_us = INT64_MIN;
    move->next_us = INT64_MAX;
    memcpy(move->name, name, length);
    db_uuid(result, row, 0, &move->tenant);
    list_append(&schedule->moves, &move->node);
    return move;
}

static void take_row(struct schedule *schedule, const struct db_result *result, int row,
                     int64_t now_us)
{
    struct move *move = begin_move(schedule, result, row);
    struct error err;
    struct cron cron;
    struct zone *zone;
    struct ticks ticks;
    size_t length;
    const char *missed = db_bytes(result, row, 10, &length);
    if (read_spec(result, row, &cron, &zone, &err) != 0) {
        move_on(move, err.text); /* it rests until it is written anew */
        return;
    }
    ticks_plan(&cron, zone, ticks_missed(missed, length), move->due_us, now_us, &ticks);
    zone_destroy(&zone);
    move->next_us = ticks.next_us;
    if (ticks.count == 0) {
        move_on(move, NULL);
        return;
    }
    move->last_us = ticks.due_us[ticks.count - 1];
    queue_ticks(result, row, move, &ticks);
}

/* Rows come in the order of their times; the first that is not due says when to look again. */
static void on_rows(void *arg, enum db_status status, const struct db_result *result)
{
    struct schedule *schedule = arg;
    int64_t now_us = clock_real_us();
    int rows = status == DB_OK ? db_rows(result) : 0;
    schedule->again = status != DB_OK;
    schedule->next_us = INT64_MAX;
    for (int row = 0; row < rows; row++) {
        int64_t due_us = db_timestamptz(result, row, 11);
        if (due_us > now_us || schedule->runner->actor->draining) {
            schedule->next_us = due_us;
            break;
        }
        schedule->next_us = row == LOOK_ROWS - 1 ? now_us : schedule->next_us;
        take_row(schedule, result, row, now_us);
    }
    schedule->looking = false;
    end_round(schedule);
}

static void on_look(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct schedule *schedule = arg;
    struct job_runner *runner = schedule->runner;
    struct db_params params = {0};
    if (schedule->looking || !list_is_empty(&schedule->moves)) {
        return; /* the end of the round looks again */
    }
    if (!db_is_connected(runner->links.db) || shards_count(runner->shards) == 0 ||
        shards_are_visited(runner->shards)) {
        look_in(schedule, AGAIN_MS * 1000);
        return;
    }
    schedule->looking = true;
    db_array_begin(&params, DB_ARRAY_INT4, shards_count(runner->shards));
    for (int32_t shard = 0; shard < JOB_SHARDS; shard++) {
        if (shards_is_ours(runner->shards, (unsigned)shard)) {
            db_array_int4(&params, shard);
        }
    }
    db_array_end(&params);
    db_param_int8(&params, LOOK_ROWS);
    db_param_timestamptz(&params, clock_real_us() + poll_us(schedule));
    db_query(runner->links.db, &store_due_schedules, &params, on_rows, schedule);
    db_params_deinit(&params);
}

void schedule_wake(struct schedule *schedule)
{
    look_in(schedule, 0);
}

struct schedule *schedule_create(struct job_runner *runner)
{
    struct schedule *schedule = memory_new(sizeof *schedule);
    schedule->runner = runner;
    list_init(&schedule->moves);
    schedule->look_event = event_new(runner->actor->base, -1, 0, on_look, schedule);
    look_in(schedule, 0);
    return schedule;
}

void schedule_destroy(struct schedule **schedule)
{
    if (*schedule == NULL) {
        return;
    }
    event_free((*schedule)->look_event);
    LIST_FOR_EACH(node, &(*schedule)->moves)
    {
        struct move *move = LIST_ENTRY(node, struct move, node);
        assert(!move->moving); /* those ended with the database */
        commands_forget((*schedule)->runner->links.commands, move);
        free(move);
    }
    free(*schedule);
    *schedule = NULL;
}
