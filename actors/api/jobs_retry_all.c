/*
 * POST /jobs/retry: dead jobs by a filter, counted first. Nothing is done but counting until the count
 * is confirmed or waived; then the oldest thousand are asked to be tried again. A cursor leads past
 * those that were asked, so that one that is refused does not come again.
 */
#include "api/command.h"
#include "api/cursor.h"
#include "api/fields.h"
#include "api/jobs.h"
#include "api/names.h"
#include "api/store_queues.h"
#include "proto/job.h"
#include "proto/outcome.h"
#include "runtime/base/fault.h"
#include "runtime/base/memory.h"
#include "runtime/commands.h"

#include <stdlib.h>
#include <string.h>

enum { RETRY_MAX = 1000, CHANGES_MAX = 250 };

struct sweep {
    struct exchange *exchange;
    json_t *body; /* owned; the texts of `filter` are in it */
    struct store_dead_filter filter;
    int64_t after;    /* from the cursor */
    int64_t expected; /* -1: waived */
    bool only_count;
    int64_t count;
    int64_t edge; /* 0: all dead jobs were looked at */
    /* Those to try again, owned: their ids, and their numbers in the tables. */
    struct uuid *jobs;
    int64_t *numbers;
    size_t job_count;
    size_t next; /* of jobs: not sent yet */
    size_t retried;
    size_t refused;
    bool unknown; /* an outcome is not known */
};

static void sweep_destroy(struct sweep *sweep)
{
    json_decref(sweep->body);
    free(sweep->jobs);
    free(sweep->numbers);
    free(sweep);
}

static const char cursor_scope[] = "retry"; /* any filter: it is only a place */

/* ---- trying again ---- */

static void write_cursor(struct sweep *sweep, struct buffer *body, int64_t number)
{
    struct exchange *exchange = sweep->exchange;
    uint8_t scope[sizeof cursor_scope + 16];
    char text[CURSOR_TEXT_SIZE];
    memcpy(scope, cursor_scope, sizeof cursor_scope);
    memcpy(scope + sizeof cursor_scope, sweep->filter.tenant.bytes, 16);
    cursor_encode(exchange->api->cursor_key, &(struct cursor){.time_us = number}, scope,
                  sizeof scope, text);
    buffer_printf(body, "\"%s\"", text);
}

static void write_answer(struct sweep *sweep, struct buffer *body)
{
    int64_t remaining = sweep->count - (int64_t)sweep->next;
    buffer_clear(body);
    buffer_printf(body, "{\"retried\":%zu,\"refused\":%zu,\"remaining\":%lld,\"next_cursor\":",
                  sweep->retried, sweep->refused, (long long)remaining);
    if (remaining > 0) {
        write_cursor(sweep, body, sweep->numbers[sweep->next - 1]);
    } else if (sweep->edge > 0) {
        write_cursor(sweep, body, sweep->edge);
    } else {
        buffer_append_text(body, "null");
    }
    buffer_append_byte(body, '}');
}

/* What could not be sent for a full window remains, and can be gone on with. */
static void finish(struct sweep *sweep)
{
    struct exchange *exchange = sweep->exchange;
    if (exchange_resume(exchange)) {
        if (sweep->unknown) {
            command_unknown(exchange);
        } else if (sweep->next == 0 && sweep->count > 0) {
            command_busy(exchange);
        } else {
            write_answer(sweep, &exchange->api->text);
            exchange_json(exchange, 200, &exchange->api->text);
        }
    }
    sweep_destroy(sweep);
}

static void send_more(struct sweep *sweep);

static void changed(void *arg, enum command_state state, const struct message_jobs_result *result)
{
    struct sweep *sweep = arg;
    if (state == COMMAND_UNKNOWN || result->outcome != OUTCOME_OK) {
        sweep->unknown = true;
    } else {
        struct message_list cursor = result->jobs;
        struct message_jobs_result_job one;
        while (message_jobs_result_job_next(&cursor, &one)) {
            /* One that waits or runs by now was tried again by somebody else. */
            *(one.outcome == JOB_OUTCOME_OK ? &sweep->retried : &sweep->refused) += 1;
        }
    }
    send_more(sweep);
}

static int send_some(struct sweep *sweep, size_t count)
{
    struct exchange *exchange = sweep->exchange;
    char actor[COMMAND_ACTOR_SIZE];
    struct msgpack_sbuffer changes;
    msgpack_sbuffer_init(&changes);
    for (size_t i = 0; i < count; i++) {
        struct message_change_jobs_change one = {.what = JOB_RETRY, .percent = -1};
        struct uuid token = uuid_new(); /* asked again after a death, it is known by this */
        memcpy(one.job, sweep->jobs[sweep->next + i].bytes, sizeof one.job);
        memcpy(one.token, token.bytes, sizeof one.token);
        message_change_jobs_change_encode(&changes, &one);
    }
    struct message_change_jobs message = {
        .actor = command_actor(exchange, actor),
        .changes = {(const uint8_t *)changes.data, changes.size, (uint32_t)count},
    };
    memcpy(message.tenant, exchange->who.tenant.bytes, sizeof message.tenant);
    command_trace(exchange, message.trace, &message.span, &message.trace_flags);
    int sent = commands_change_jobs(exchange->api->commands, &message, changed, sweep);
    msgpack_sbuffer_destroy(&changes);
    return sent;
}

/* One command at a time: a thousand changes at once would be in the way of everybody else. */
static void send_more(struct sweep *sweep)
{
    size_t left = sweep->job_count - sweep->next;
    size_t count = left < CHANGES_MAX ? left : CHANGES_MAX;
    bool wanted = sweep->exchange->request != NULL && !sweep->unknown;
    if (wanted && count > 0 && send_some(sweep, count) == 0) {
        SB_FAULT("api_after_command");
        sweep->next += count;
        return;
    }
    finish(sweep);
}

static void noted(void *arg, enum db_status status, const struct db_result *result SB_UNUSED)
{
    struct sweep *sweep = arg;
    struct exchange *exchange = sweep->exchange;
    if (!exchange_resume(exchange)) {
        sweep_destroy(sweep);
    } else if (status != DB_OK) {
        sweep_destroy(sweep);
        exchange_unavailable(exchange);
    } else {
        exchange_hold(exchange);
        send_more(sweep);
    }
}

/* ---- counting ---- */

static void answer_count(struct sweep *sweep)
{
    struct buffer *body = &sweep->exchange->api->text;
    bool exact = sweep->edge == 0 && sweep->count < STORE_QUEUES_DEAD_COUNTED;
    buffer_clear(body);
    buffer_printf(body, "{\"count\":%lld,\"exact\":%s}", (long long)sweep->count,
                  exact ? "true" : "false");
    exchange_json(sweep->exchange, 200, body);
    sweep_destroy(sweep);
}

static void answer_changed(struct sweep *sweep)
{
    exchange_problem(sweep->exchange, PROBLEM_COUNT_CHANGED,
                     "The filter does not match confirm_count jobs any more. Nothing was done.",
                     &(struct problem_extra){.number_name = "count", .number = sweep->count});
    sweep_destroy(sweep);
}

static void take_rows(struct sweep *sweep, const struct db_result *result)
{
    int rows = store_dead_rows(result);
    sweep->count = rows;
    sweep->edge = store_read_dead_edge(result);
    sweep->job_count = (size_t)(rows < RETRY_MAX ? rows : RETRY_MAX);
    sweep->jobs = memory_array(sweep->job_count + 1, sizeof *sweep->jobs);
    sweep->numbers = memory_array(sweep->job_count + 1, sizeof *sweep->numbers);
    for (size_t i = 0; i < sweep->job_count; i++) {
        store_read_dead(result, (int)i, &sweep->jobs[i], &sweep->numbers[i]);
    }
}

static void selected(void *arg, enum db_status status, const struct db_result *result)
{
    struct sweep *sweep = arg;
    struct exchange *exchange = sweep->exchange;
    if (!exchange_resume(exchange)) {
        sweep_destroy(sweep);
        return;
    }
    if (status != DB_OK) {
        sweep_destroy(sweep);
        exchange_unavailable(exchange);
        return;
    }
    take_rows(sweep, result);
    if (sweep->only_count) {
        answer_count(sweep);
    } else if (sweep->expected >= 0 && sweep->expected != sweep->count) {
        answer_changed(sweep);
    } else {
        exchange_hold(exchange);
        store_note_retries(exchange->api->store, &sweep->filter, (int64_t)sweep->job_count,
                           exchange->who.actor, noted, sweep);
    }
}

/* ---- the request ---- */

static int read_name(struct sweep *sweep, const char *name, const char **text_out)
{
    return json_object_get(sweep->body, name) == NULL
               ? 0
               : fields_text(sweep->exchange, sweep->body, name, NULL, text_out);
}

static int read_run(struct sweep *sweep)
{
    const json_t *value = json_object_get(sweep->body, "run_id");
    if (value != NULL &&
        (!json_is_string(value) || uuid_parse(json_string_value(value), json_string_length(value),
                                              &sweep->filter.run) != 0)) {
        return fields_wrong(sweep->exchange, "/run_id", "run_id must be a lower-case UUID.");
    }
    return 0;
}

static int read_confirmation(struct sweep *sweep)
{
    const json_t *count = json_object_get(sweep->body, "confirm_count");
    const json_t *dry = json_object_get(sweep->body, "dry_run");
    if (count != NULL && (!json_is_integer(count) || json_integer_value(count) < 0)) {
        return fields_wrong(sweep->exchange, "/confirm_count",
                            "confirm_count must be a whole number from 0 up.");
    }
    if (dry != NULL && !json_is_boolean(dry)) {
        return fields_wrong(sweep->exchange, "/dry_run", "dry_run must be true or false.");
    }
    sweep->expected = count == NULL ? -1 : json_integer_value(count);
    sweep->only_count = dry == NULL ? count == NULL : json_is_true(dry);
    return 0;
}

static int read_cursor(struct sweep *sweep)
{
    struct exchange *exchange = sweep->exchange;
    const json_t *value = json_object_get(sweep->body, "cursor");
    uint8_t scope[sizeof cursor_scope + 16];
    struct cursor cursor;
    if (value == NULL || json_is_null(value)) {
        return 0;
    }
    if (!json_is_string(value)) {
        return fields_wrong(exchange, "/cursor", "cursor must be a text.");
    }
    memcpy(scope, cursor_scope, sizeof cursor_scope);
    memcpy(scope + sizeof cursor_scope, sweep->filter.tenant.bytes, 16);
    if (cursor_decode(exchange->api->cursor_key, json_string_value(value),
                      json_string_length(value), scope, sizeof scope, &cursor) != 0) {
        exchange_problem(exchange, PROBLEM_INVALID_CURSOR,
                         "The cursor was not given out by this route.", NULL);
        return -1;
    }
    sweep->after = cursor.time_us;
    return 0;
}

static int read_sweep(struct sweep *sweep)
{
    static const char *const known[] = {"status",        "queue",   "job_type", "run_id",
                                        "confirm_count", "dry_run", "cursor",   NULL};
    struct exchange *exchange = sweep->exchange;
    sweep->body = fields_read(exchange, known);
    if (sweep->body == NULL) {
        return -1;
    }
    const json_t *status = json_object_get(sweep->body, "status");
    if (status == NULL || !json_is_string(status) ||
        strcmp(json_string_value(status), "error") != 0) {
        return fields_wrong(exchange, "/status", "status must be error: those can be retried.");
    }
    sweep->filter.tenant = exchange->who.tenant;
    return read_name(sweep, "queue", &sweep->filter.queue) != 0 ||
                   read_name(sweep, "job_type", &sweep->filter.type) != 0 || read_run(sweep) != 0 ||
                   read_confirmation(sweep) != 0 || read_cursor(sweep) != 0
               ? -1
               : 0;
}

void jobs_retry_all(struct exchange *exchange)
{
    struct sweep *sweep = memory_new(sizeof *sweep);
    sweep->exchange = exchange;
    if (read_sweep(sweep) != 0) {
        sweep_destroy(sweep);
        return;
    }
    exchange_hold(exchange);
    store_select_dead(exchange->api->store, &sweep->filter, sweep->after, selected, sweep);
}
