/* See payload.h. Payloads are judged where they lie in the body; only what is refused costs more. */
#include "api/payload.h"

#include "api/body.h"
#include "api/command.h"
#include "api/request.h"
#include "contracts/generated/event_types.h"
#include "contracts/generated/payloads.h"
#include "runtime/base/metrics.h"
#include "runtime/schema.h"

#include <assert.h>
#include <stdio.h>

enum { POINTER_SIZE = 48 };

/* "/events/7" or "", and then "/payload". */
static void pointer_to(char pointer[POINTER_SIZE], int index, const char *member)
{
    if (index == PAYLOAD_ALONE) {
        snprintf(pointer, POINTER_SIZE, "%s", member);
    } else {
        snprintf(pointer, POINTER_SIZE, "/events/%d%s", index, member);
    }
}

int payload_wrong(struct exchange *exchange, enum problem problem, int index, const char *member,
                  const char *detail)
{
    char pointer[POINTER_SIZE];
    pointer_to(pointer, index, member);
    exchange_problem(exchange, problem, detail, &(struct problem_extra){.pointer = pointer});
    return -1;
}

int payload_unknown(struct exchange *exchange, int index, struct json_span name)
{
    char pointer[POINTER_SIZE];
    pointer_to(pointer, index, "");
    request_unknown_field(exchange, pointer, name);
    return -1;
}

bool payload_take(struct payload_event *event, struct json_span name, struct json_span value)
{
    if (body_is(name, "type")) {
        event->type = value;
    } else if (body_is(name, "payload")) {
        event->payload = value;
    } else if (body_is(name, "schema_version")) {
        event->schema_version = value;
    } else {
        return false;
    }
    return true;
}

static int check_type(struct exchange *exchange, struct json_span type, int index,
                      enum event_type *type_out)
{
    if (type.data == NULL || !body_is_string(type)) {
        return payload_wrong(exchange, PROBLEM_INVALID_PAYLOAD, index, "/type",
                             "An event needs a type, which is a string.");
    }
    struct json_span name = body_text(type);
    if (event_type_find(name.data, name.length, type_out) != 0) {
        return payload_wrong(exchange, PROBLEM_UNKNOWN_EVENT_TYPE, index, "/type",
                             "There is no such type of event.");
    }
    if (event_type_is_reserved(*type_out)) {
        return payload_wrong(exchange, PROBLEM_RESERVED_EVENT_TYPE, index, "/type",
                             "The server itself writes events of this type.");
    }
    return 0;
}

/* Judges a second time, to say what is wrong. */
static int refuse_schema(struct exchange *exchange, uint16_t node, struct json_span value,
                         const char *pointer, const char *detail)
{
    struct schema_report report;
    schema_report_init(&report, pointer);
    bool valid = schema_check(&payload_schemas, node, value, &report);
    assert(!valid && report.count > 0);
    exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD, detail,
                     &(struct problem_extra){.report = &report});
    schema_report_deinit(&report);
    return -1;
}

static int check_schema(struct exchange *exchange, uint16_t node, struct json_span value, int index,
                        const char *member, const char *detail)
{
    char pointer[POINTER_SIZE];
    if (schema_check(&payload_schemas, node, value, NULL)) {
        return 0;
    }
    pointer_to(pointer, index, member);
    return refuse_schema(exchange, node, value, pointer, detail);
}

static int check_payload(struct exchange *exchange, enum event_type type, struct json_span payload,
                         int index)
{
    int64_t bytes_max = settings_int(exchange->api->actor->settings, SETTING_HTTP_EVENT_BYTES);
    if (!body_is_object(payload)) {
        return payload_wrong(exchange, PROBLEM_INVALID_PAYLOAD, index, "/payload",
                             "The payload must be an object.");
    }
    if (payload.length > (size_t)bytes_max) {
        return payload_wrong(exchange, PROBLEM_TOO_LARGE, index, "/payload",
                             "The payload is larger than one event may be.");
    }
    return check_schema(exchange, payload_node(type), payload, index, "/payload",
                        "The payload is not what this type of event must have.");
}

/* The id of the question an event is about, which the sequencer wants beside the payload. The
 * payload has been checked, so it is there. In api->text until that is used again. */
static struct message_span subject_of(struct api *api, enum event_type type,
                                      struct json_span payload)
{
    if (type != EVENT_TYPE_CLARIFICATION_NEEDED && type != EVENT_TYPE_CLARIFICATION_ANSWERED) {
        return command_span(NULL, 0);
    }
    struct json_span id = body_text(json_member(payload, "clarification_id"));
    buffer_clear(&api->text);
    char *text = (char *)buffer_reserve(&api->text, id.length);
    return command_span(text, json_unescape(id.data, id.length, text));
}

/* Of a payload that has been checked: what is absent or null counts nothing. */
static int64_t number_of(struct json_span payload, const char *name)
{
    int64_t number = 0;
    struct json_span value = json_member(payload, name);
    return value.data != NULL && body_number(value, &number) == 0 ? number : 0;
}

static void add_usage(struct exchange *exchange, struct json_span payload)
{
    exchange->usage.input_tokens += number_of(payload, "input_tokens");
    exchange->usage.output_tokens += number_of(payload, "output_tokens");
    exchange->usage.cost_micros += number_of(payload, "cost_micros");
}

void payload_count_usage(struct exchange *exchange, bool duplicate)
{
    if (!duplicate) {
        metric_add(METRIC_TOKENS_INPUT, exchange->usage.input_tokens);
        metric_add(METRIC_TOKENS_OUTPUT, exchange->usage.output_tokens);
        metric_add(METRIC_COST_MICROS, exchange->usage.cost_micros);
    }
    exchange->usage.input_tokens = 0;
    exchange->usage.output_tokens = 0;
    exchange->usage.cost_micros = 0;
}

int payload_add(struct exchange *exchange, const struct payload_event *event, int index)
{
    static const char empty_object[] = "{}";
    struct json_span payload = event->payload;
    enum event_type type;
    if (check_type(exchange, event->type, index, &type) != 0) {
        return -1;
    }
    if (event->schema_version.data != NULL &&
        check_schema(exchange, payload_version_node(), event->schema_version, index,
                     "/schema_version", "There is no such version of the events.") != 0) {
        return -1;
    }
    if (payload.data == NULL) {
        payload = (struct json_span){empty_object, sizeof empty_object - 1};
    }
    if (check_payload(exchange, type, payload, index) != 0) {
        return -1;
    }
    if (type == EVENT_TYPE_USAGE_RECORDED) {
        add_usage(exchange, payload);
    }
    struct message_append_event item = {.type = (uint64_t)type,
                                        .subject = subject_of(exchange->api, type, payload),
                                        .payload = command_span(payload.data, payload.length)};
    message_append_event_encode(&exchange->api->events, &item);
    return 0;
}
