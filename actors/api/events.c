/*
 * Appending events to a run, the hot path: the body is checked once, payloads travel as the
 * bytes they came in, no query is made and nothing is allocated for an event but its place in the
 * frame.
 */
#include "api/events.h"

#include "api/command.h"
#include "api/ndjson.h"
#include "api/request.h"
#include "proto/outcome.h"
#include "runtime/base/fault.h"
#include "runtime/commands.h"

#include <string.h>

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
    struct submission_producer producer;
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
