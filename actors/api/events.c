/*
 * Events of a run. Appending is the hot path: the body is checked once, payloads travel as the
 * bytes they came in, no query is made and nothing is allocated for an event but its place in the
 * frame.
 */
#include "api/events.h"

#include "api/command.h"
#include "api/ndjson.h"
#include "api/request.h"
#include "api/store.h"
#include "proto/outcome.h"
#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/number.h"
#include "runtime/commands.h"

#include <stdio.h>
#include <string.h>

/* ---- POST ---- */

static int read_append(struct exchange *exchange, struct json_span object,
                       struct submission_append *append)
{
    struct submission *submission = &exchange->api->submission;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    while (json_pair(object, &cursor, &name, &value)) {
        enum submission_taken taken = submission_append_member(submission, append, name, value);
        if (taken == SUBMISSION_NOT_MINE) {
            (void)refusal_unknown_field(&submission->refusal, "", name);
        }
        if (taken != SUBMISSION_TAKEN) {
            exchange_refuse(exchange, &submission->refusal);
            return -1;
        }
    }
    if (submission_append_events(submission, append) != 0) {
        exchange_refuse(exchange, &submission->refusal);
        return -1;
    }
    exchange->usage = submission->usage;
    return 0;
}

static void appended(void *arg, enum command_state state, const struct message_result *result)
{
    struct exchange *exchange = arg;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (state == COMMAND_UNKNOWN) {
        command_unknown(exchange);
        return;
    }
    if (result->outcome != OUTCOME_OK) {
        command_refused(exchange, result);
        return;
    }
    submission_count_usage(&exchange->usage, result->duplicate);
    SB_FAULT("api_before_answer");
    struct buffer *body = &exchange->api->text;
    buffer_clear(body);
    buffer_append_text(body, "{\"first_seq\":");
    buffer_append_int(body, (int64_t)result->first_seq);
    buffer_append_text(body, ",\"last_seq\":");
    buffer_append_int(body, (int64_t)result->last_seq);
    buffer_append_text(body, result->cancel_requested ? ",\"cancel_requested\":true}"
                                                      : ",\"cancel_requested\":false}");
    exchange_json(exchange, exchange->producer_seq >= 0 && result->duplicate ? 200 : 201, body);
}

void events_append(struct exchange *exchange)
{
    struct api *api = exchange->api;
    struct submission_append append = {.expected_seq = -1};
    struct request_key key;
    struct request_producer producer;
    struct json_span object;
    char actor[COMMAND_ACTOR_SIZE];
    if (http_request_is_streamed(exchange->request)) {
        ndjson_begin(exchange);
        return;
    }
    if (request_idempotency(exchange, &key) != 0 ||
        request_read_producer(exchange, &key, &producer) != 0 ||
        request_body(exchange, false, &object) != 0 ||
        read_append(exchange, object, &append) != 0) {
        return;
    }
    struct message_append message = {
        .expected_seq = append.expected_seq,
        .actor = command_actor(exchange, actor),
        .key = command_span(key.key.data, key.key.length),
        .hash = command_span(key.hash, key.key.length > 0 ? sizeof key.hash : 0),
        .events = {.data = (const uint8_t *)api->submission.events.data,
                   .length = api->submission.events.size,
                   .count = api->submission.count},
    };
    memcpy(message.tenant, exchange->who.tenant.bytes, sizeof message.tenant);
    memcpy(message.run, exchange->id.bytes, sizeof message.run);
    command_trace(exchange, message.trace, &message.span, &message.trace_flags);
    request_set_producer(&message, &producer, 0);
    exchange->producer_seq = producer.id.length > 0 ? producer.seq : -1;
    SB_FAULT("api_before_command");
    exchange_hold(exchange);
    if (commands_append(api->commands, &message, appended, exchange) != 0 &&
        exchange_resume(exchange)) {
        command_busy(exchange);
    }
    SB_FAULT("api_after_command");
}

/* ---- GET ---- */

static void write_event(struct buffer *out, const struct store_event *event)
{
    char ts[CLOCK_TEXT_SIZE];
    clock_format(event->ts_us, ts);
    buffer_append_text(out, "{\"seq\":");
    buffer_append_int(out, event->seq);
    buffer_append_text(out, ",\"type\":\"");
    buffer_append(out, event->type, event->type_length);
    buffer_append_text(out, "\",\"ts\":\"");
    buffer_append_text(out, ts);
    buffer_append_text(out, "\",\"payload\":");
    buffer_append(out, event->payload, event->payload_length);
    if (!uuid_is_nil(&event->trace)) {
        char trace[TRACE_ID_TEXT_SIZE];
        trace_id_format(event->trace.bytes, trace);
        buffer_append_text(out, ",\"trace_id\":\"");
        buffer_append_text(out, trace);
        buffer_append_byte(out, '"');
    }
    buffer_append_byte(out, '}');
}

static void show_page(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct store_event event = {0};
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        exchange_unavailable(exchange);
        return;
    }
    int rows = db_rows(result);
    if (rows == 0) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such run.", NULL);
        return;
    }
    struct buffer *body = &exchange->api->text;
    buffer_clear(body);
    buffer_append_text(body, "{\"events\":[");
    for (int row = 0; row < rows; row++) {
        store_read_event(result, row, &event);
        if (event.seq == 0) {
            break;
        }
        if (row > 0) {
            buffer_append_byte(body, ',');
        }
        write_event(body, &event);
    }
    if (exchange->page.after_seq > event.head) {
        exchange_problem(exchange, PROBLEM_CURSOR_BEYOND_HEAD,
                         "The position lies behind the last event of the run.",
                         &(struct problem_extra){.number_name = "last_seq", .number = event.head});
        return;
    }
    buffer_append_text(body, "],\"last_seq\":");
    buffer_append_int(body, event.head);
    buffer_append_byte(body, '}');
    exchange_json(exchange, 200, body);
}

void events_page(struct exchange *exchange)
{
    struct request_parameter parameters[] = {{.name = "after_seq"}, {.name = "limit"}};
    const struct request_parameter *after = &parameters[0];
    int64_t after_seq = 0;
    int32_t limit;
    if (request_parameters(exchange, parameters, 2) != 0 ||
        request_limit(exchange, &parameters[1], &limit) != 0) {
        return;
    }
    if (after->given && number_parse(after->value, after->length, &after_seq) != 0) {
        exchange_problem(exchange, PROBLEM_INVALID_CURSOR, "after_seq must be a whole number.",
                         NULL);
        return;
    }
    exchange->page.after_seq = after_seq;
    exchange_hold(exchange);
    store_page_events(exchange->api->store, &exchange->who.tenant, &exchange->id, after_seq, limit,
                      show_page, exchange);
}
