/*
 * Appending events to a run, the hot path: the body is checked once, payloads travel as the
 * bytes they came in, no query is made and nothing is allocated for an event but its place in the
 * frame.
 */
#include "api/events.h"

#include "api/body.h"
#include "api/command.h"
#include "api/ndjson.h"
#include "api/payload.h"
#include "api/request.h"
#include "proto/outcome.h"
#include "runtime/base/fault.h"
#include "runtime/commands.h"

#include <string.h>

static int add_listed(struct exchange *exchange, struct json_span object, int index)
{
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    struct payload_event event = {0};
    if (!body_is_object(object)) {
        return payload_wrong(exchange, PROBLEM_INVALID_PAYLOAD, index, "",
                             "An event must be an object.");
    }
    while (json_pair(object, &cursor, &name, &value)) {
        if (!payload_take(&event, name, value)) {
            return payload_unknown(exchange, index, name);
        }
    }
    return payload_add(exchange, &event, index);
}

int events_add(struct exchange *exchange, struct json_span object)
{
    return add_listed(exchange, object, -1);
}

static int add_list(struct exchange *exchange, struct json_span array, uint32_t *count_out)
{
    int64_t max = settings_int(exchange->api->actor->settings, SETTING_HTTP_EVENTS_MAX);
    struct json_span cursor = {0};
    struct json_span element;
    int count = 0;
    if (!body_is_array(array)) {
        return payload_wrong(exchange, PROBLEM_INVALID_PAYLOAD, PAYLOAD_ALONE, "/events",
                             "events must be an array.");
    }
    while ((element = json_element(array, &cursor)).data != NULL) {
        if (count == max) {
            return payload_wrong(exchange, PROBLEM_TOO_LARGE, PAYLOAD_ALONE, "/events",
                                 "There are more events than one request may hold.");
        }
        if (add_listed(exchange, element, count++) != 0) {
            return -1;
        }
    }
    if (count == 0) {
        return payload_wrong(exchange, PROBLEM_INVALID_PAYLOAD, PAYLOAD_ALONE, "/events",
                             "events must hold at least one event.");
    }
    *count_out = (uint32_t)count;
    return 0;
}

struct append_text {
    struct payload_event single;
    struct json_span list;
    int64_t expected_seq;
};

static int read_append(struct exchange *exchange, struct json_span object,
                       struct append_text *append)
{
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    while (json_pair(object, &cursor, &name, &value)) {
        if (body_is(name, "events")) {
            append->list = value;
        } else if (body_is(name, "expected_seq")) {
            if (body_number(value, &append->expected_seq) != 0) {
                return payload_wrong(exchange, PROBLEM_INVALID_PAYLOAD, PAYLOAD_ALONE,
                                     "/expected_seq",
                                     "expected_seq must be a whole number from 0 up.");
            }
        } else if (!payload_take(&append->single, name, value)) {
            request_unknown_field(exchange, "", name);
            return -1;
        }
    }
    if (append->list.data != NULL && append->single.type.data != NULL) {
        return payload_wrong(exchange, PROBLEM_UNKNOWN_FIELD, PAYLOAD_ALONE, "/type",
                             "type has no place beside events.");
    }
    if (append->list.data != NULL && append->single.payload.data != NULL) {
        return payload_wrong(exchange, PROBLEM_UNKNOWN_FIELD, PAYLOAD_ALONE, "/payload",
                             "payload has no place beside events.");
    }
    if (append->list.data != NULL && append->single.schema_version.data != NULL) {
        return payload_wrong(exchange, PROBLEM_UNKNOWN_FIELD, PAYLOAD_ALONE, "/schema_version",
                             "schema_version has no place beside events.");
    }
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
    payload_count_usage(exchange, result->duplicate);
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
    struct append_text append = {.expected_seq = -1};
    struct request_key key;
    struct request_producer producer;
    struct json_span object;
    char actor[COMMAND_ACTOR_SIZE];
    uint32_t count = 1;
    if (http_request_is_streamed(exchange->request)) {
        ndjson_begin(exchange);
        return;
    }
    msgpack_sbuffer_clear(&api->events);
    if (request_idempotency(exchange, &key) != 0 ||
        request_read_producer(exchange, &key, &producer) != 0 ||
        request_body(exchange, false, &object) != 0 ||
        read_append(exchange, object, &append) != 0) {
        return;
    }
    if ((append.list.data == NULL ? payload_add(exchange, &append.single, PAYLOAD_ALONE)
                                  : add_list(exchange, append.list, &count)) != 0) {
        return;
    }
    struct message_append message = {
        .expected_seq = append.expected_seq,
        .actor = command_actor(exchange, actor),
        .key = command_span(key.key.data, key.key.length),
        .hash = command_span(key.hash, key.key.length > 0 ? sizeof key.hash : 0),
        .events = {.data = (const uint8_t *)api->events.data,
                   .length = api->events.size,
                   .count = count},
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
