/*
 * POST /runs/cancel: many runs by a filter, counted first. Without expected_count nothing is done
 * but counting; with it the runs are asked to end when the count is still that, oldest first, at
 * most CANCEL_MAX in one call. What was cancelled does not match any more, so the caller goes on
 * with the number that remained.
 */
#include "runtime/body.h"
#include "api/command.h"
#include "api/request.h"
#include "api/runs.h"
#include "api/runs_filter.h"
#include "proto/outcome.h"
#include "runtime/base/fault.h"
#include "runtime/base/memory.h"
#include "runtime/commands.h"

#include <stdlib.h>
#include <string.h>

enum { CANCEL_MAX = 1000, UNDER_WAY_MAX = 16 };

/* What can be asked to end. */
#define CANCELLABLE (1U << RUN_PENDING | 1U << RUN_RUNNING | 1U << RUN_INTERRUPTED)

struct sweep {
    struct exchange *exchange;
    struct store_runs_filter filter;
    struct buffer payload;
    int64_t expected; /* -1: only count */
    int64_t count;
    struct uuid *runs; /* owned */
    int run_count;
    int next;      /* of runs: not sent yet */
    int under_way; /* sent, no outcome yet */
    int settled;
    int cancelled;
    bool stopped; /* an outcome is not known, or the window is full: no more are sent */
    bool unknown;
};

static void sweep_destroy(struct sweep *sweep)
{
    runs_filter_deinit(&sweep->filter);
    buffer_deinit(&sweep->payload);
    free(sweep->runs);
    free(sweep);
}

/* ---- cancelling ---- */

static void finish(struct sweep *sweep)
{
    struct exchange *exchange = sweep->exchange;
    if (exchange_resume(exchange)) {
        struct buffer *body = &exchange->api->text;
        buffer_clear(body);
        buffer_printf(body, "{\"cancelled\":%d,\"remaining\":%lld}", sweep->cancelled,
                      (long long)sweep->count - sweep->settled);
        if (sweep->unknown) {
            command_unknown(exchange);
        } else if (sweep->stopped && sweep->settled == 0) {
            command_busy(exchange);
        } else {
            exchange_json(exchange, 200, body);
        }
    }
    sweep_destroy(sweep);
}

static void send_more(struct sweep *sweep);

static void cancelled(void *arg, enum command_state state, const struct message_result *result)
{
    struct sweep *sweep = arg;
    sweep->under_way--;
    if (state == COMMAND_UNKNOWN) {
        sweep->stopped = true;
        sweep->unknown = true;
    } else {
        sweep->settled++; /* one that has ended meanwhile does not match any more either */
        sweep->cancelled += result->outcome == OUTCOME_OK ? 1 : 0;
    }
    send_more(sweep);
}

static int send_one(struct sweep *sweep, const struct uuid *run)
{
    struct exchange *exchange = sweep->exchange;
    char actor[COMMAND_ACTOR_SIZE];
    struct message_cancel_run message = {
        .actor = command_actor(exchange, actor),
        .payload = command_span(sweep->payload.data, sweep->payload.length),
    };
    memcpy(message.tenant, exchange->who.tenant.bytes, sizeof message.tenant);
    memcpy(message.run, run->bytes, sizeof message.run);
    command_trace(exchange, message.trace, &message.span, &message.trace_flags);
    return commands_cancel_run(exchange->api->commands, &message, cancelled, sweep);
}

static void send_more(struct sweep *sweep)
{
    bool wanted = sweep->exchange->request != NULL;
    while (wanted && !sweep->stopped && sweep->next < sweep->run_count &&
           sweep->under_way < UNDER_WAY_MAX) {
        if (send_one(sweep, &sweep->runs[sweep->next]) != 0) {
            sweep->stopped = true;
            break;
        }
        SB_FAULT("api_after_command");
        sweep->next++;
        sweep->under_way++;
    }
    if (sweep->under_way == 0) {
        finish(sweep);
    }
}

/* ---- counting ---- */

static void answer_count(struct sweep *sweep)
{
    struct exchange *exchange = sweep->exchange;
    struct buffer *body = &exchange->api->text;
    buffer_clear(body);
    buffer_printf(body, "{\"count\":%lld}", (long long)sweep->count);
    exchange_json(exchange, 200, body);
    sweep_destroy(sweep);
}

static void answer_changed(struct sweep *sweep)
{
    exchange_problem(sweep->exchange, PROBLEM_COUNT_CHANGED,
                     "The filter does not match expected_count runs any more. Nothing was done.",
                     &(struct problem_extra){.number_name = "count", .number = sweep->count});
    sweep_destroy(sweep);
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
    sweep->count = store_read_selected_count(result);
    if (sweep->expected < 0) {
        answer_count(sweep);
        return;
    }
    if (sweep->expected != sweep->count) {
        answer_changed(sweep);
        return;
    }
    sweep->run_count = db_rows(result);
    sweep->runs = memory_array((size_t)sweep->run_count + 1, sizeof *sweep->runs);
    for (int row = 0; row < sweep->run_count; row++) {
        sweep->runs[row] = store_read_selected(result, row);
    }
    exchange_hold(exchange);
    send_more(sweep);
}

/* ---- the request ---- */

static int wrong(struct exchange *exchange, const char *pointer, const char *detail)
{
    exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD, detail,
                     &(struct problem_extra){.pointer = pointer});
    return -1;
}

static int read_filter(struct sweep *sweep, struct json_span filter)
{
    struct exchange *exchange = sweep->exchange;
    if (filter.data == NULL) {
        return wrong(exchange, "/filter", "A filter is needed; {} means every run.");
    }
    if (runs_filter_from_body(exchange, filter, "/filter", &sweep->filter) != 0) {
        return -1;
    }
    if ((sweep->filter.statuses & ~CANCELLABLE) != 0) {
        return wrong(exchange, "/filter/status",
                     "Only pending, running and interrupted runs can be cancelled.");
    }
    if (sweep->filter.statuses == 0) {
        sweep->filter.statuses = CANCELLABLE;
    }
    return 0;
}

static int read_sweep(struct sweep *sweep)
{
    struct exchange *exchange = sweep->exchange;
    struct json_span object;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    struct json_span filter = {0};
    if (request_body(exchange, false, &object) != 0) {
        return -1;
    }
    while (json_pair(object, &cursor, &name, &value)) {
        if (body_is(name, "filter")) {
            filter = value;
        } else if (body_is(name, "expected_count")) {
            if (body_number(value, &sweep->expected) != 0) {
                return wrong(exchange, "/expected_count",
                             "expected_count must be a whole number from 0 up.");
            }
        } else {
            request_unknown_field(exchange, "", name);
            return -1;
        }
    }
    return read_filter(sweep, filter);
}

void runs_cancel_all(struct exchange *exchange)
{
    struct sweep *sweep = memory_new(sizeof *sweep);
    char actor[COMMAND_ACTOR_SIZE];
    sweep->exchange = exchange;
    sweep->expected = -1;
    if (read_sweep(sweep) != 0) {
        sweep_destroy(sweep);
        return;
    }
    struct message_span by = command_actor(exchange, actor);
    buffer_append_text(&sweep->payload, "{\"by\":");
    buffer_append_json(&sweep->payload, (const char *)by.data, by.length);
    buffer_append_byte(&sweep->payload, '}');
    exchange_hold(exchange);
    store_select_runs(exchange->api->store, &sweep->filter, CANCEL_MAX, selected, sweep);
}
