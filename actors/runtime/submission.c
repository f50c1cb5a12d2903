/* See submission.h. Payloads are judged where they lie in the text; only what is refused costs more. */
#include "runtime/submission.h"

#include "contracts/generated/payloads.h"
#include "proto/messages.h"
#include "runtime/base/metrics.h"
#include "runtime/base/number.h"
#include "runtime/body.h"

#include <stdio.h>
#include <string.h>

enum { POINTER_SIZE = 48, KEPT_BYTES = 256 << 10 };

void submission_init(struct submission *submission, const struct settings *settings)
{
    *submission = (struct submission){
        .json = {.depth = (size_t)settings_int(settings, SETTING_JSON_DEPTH),
                 .keys = (size_t)settings_int(settings, SETTING_JSON_KEYS)},
        .event_bytes_max = (size_t)settings_int(settings, SETTING_HTTP_EVENT_BYTES),
        .events_max = settings_int(settings, SETTING_HTTP_EVENTS_MAX),
    };
    msgpack_sbuffer_init(&submission->events);
}

void submission_deinit(struct submission *submission)
{
    refusal_deinit(&submission->refusal);
    msgpack_sbuffer_destroy(&submission->events);
    buffer_deinit(&submission->flat);
    buffer_deinit(&submission->scratch);
}

void submission_trim(struct submission *submission)
{
    if (submission->flat.capacity > KEPT_BYTES) {
        buffer_deinit(&submission->flat);
    }
    if (submission->events.alloc > KEPT_BYTES) {
        msgpack_sbuffer_destroy(&submission->events);
        msgpack_sbuffer_init(&submission->events);
    }
}

/* ---- the text ---- */

/* Most texts have no line breaks and are read where they are. */
static struct json_span flatten(struct submission *submission, struct json_span text)
{
    if (memchr(text.data, '\n', text.length) == NULL &&
        memchr(text.data, '\r', text.length) == NULL) {
        return text;
    }
    buffer_clear(&submission->flat);
    buffer_append(&submission->flat, text.data, text.length);
    json_flatten((char *)submission->flat.data, submission->flat.length);
    return (struct json_span){(const char *)submission->flat.data, text.length};
}

int submission_object(struct submission *submission, struct json_span text,
                      struct json_span *object_out)
{
    struct error err;
    switch (json_check(text.data, text.length, &submission->json, NULL, &err)) {
    case JSON_OK:
        break;
    case JSON_MALFORMED:
    case JSON_TOO_DEEP:
        return refusal_set(&submission->refusal, PROBLEM_MALFORMED_JSON, err.text);
    case JSON_OUT_OF_RANGE:
        return refusal_set(&submission->refusal, PROBLEM_NUMBER_OUT_OF_RANGE, err.text);
    }
    struct json_span object = body_trim(text.data, text.length);
    if (!body_is_object(object)) {
        return refusal_at(&submission->refusal, PROBLEM_INVALID_PAYLOAD, "",
                          "This must be a JSON object.");
    }
    *object_out = flatten(submission, object);
    return 0;
}

bool submission_is_printable(const char *text, size_t length, size_t longest)
{
    bool good = length >= 1 && length <= longest;
    for (size_t i = 0; good && i < length; i++) {
        good = text[i] >= 0x20 && text[i] <= 0x7e;
    }
    return good;
}

static int bad_producer(struct submission *submission, const char *detail)
{
    return refusal_set(&submission->refusal, PROBLEM_INVALID_PRODUCER, detail);
}

static int read_number(struct json_span text, int64_t *number_out)
{
    return number_parse(text.data, text.length, number_out) == 0 &&
                   *number_out <= SUBMISSION_PRODUCER_NUMBER_MAX
               ? 0
               : -1;
}

int submission_producer_read(struct submission *submission,
                             const struct submission_producer_texts *texts,
                             struct submission_producer *producer_out)
{
    int present =
        (texts->id.data != NULL) + (texts->epoch.data != NULL) + (texts->seq.data != NULL);
    *producer_out = (struct submission_producer){0};
    if (present == 0) {
        return 0;
    }
    if (present != 3) {
        return bad_producer(submission,
                            "Producer-Id, Producer-Epoch and Producer-Seq belong together.");
    }
    if (texts->keyed) {
        return bad_producer(submission,
                            "A producer's numbers stand in place of an Idempotency-Key.");
    }
    if (!submission_is_printable(texts->id.data, texts->id.length, SUBMISSION_PRODUCER_ID_BYTES)) {
        return bad_producer(submission, "Producer-Id must be 1 to 255 printable ASCII characters.");
    }
    if (read_number(texts->epoch, &producer_out->epoch) != 0 ||
        read_number(texts->seq, &producer_out->seq) != 0) {
        return bad_producer(submission, "Producer-Epoch and Producer-Seq must be whole numbers "
                                        "from 0 to 9007199254740991.");
    }
    producer_out->id = texts->id;
    return 0;
}

/* ---- one event ---- */

/* "/events/7" or "", and then "/payload". */
static const char *pointer_to(char pointer[POINTER_SIZE], int index, const char *member)
{
    if (index == SUBMISSION_ALONE) {
        snprintf(pointer, POINTER_SIZE, "%s", member);
    } else {
        snprintf(pointer, POINTER_SIZE, "/events/%d%s", index, member);
    }
    return pointer;
}

static int wrong(struct submission *submission, enum problem problem, int index, const char *member,
                 const char *detail)
{
    char pointer[POINTER_SIZE];
    return refusal_at(&submission->refusal, problem, pointer_to(pointer, index, member), detail);
}

/* A member that every event may have; false: it is none of those. */
static bool take_member(struct submission_event *event, struct json_span name,
                        struct json_span value)
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

static int check_type(struct submission *submission, struct json_span type, int index,
                      enum event_type *type_out)
{
    if (type.data == NULL || !body_is_string(type)) {
        return wrong(submission, PROBLEM_INVALID_PAYLOAD, index, "/type",
                     "An event needs a type, which is a string.");
    }
    struct json_span name = body_text(type);
    if (event_type_find(name.data, name.length, type_out) != 0) {
        return wrong(submission, PROBLEM_UNKNOWN_EVENT_TYPE, index, "/type",
                     "There is no such type of event.");
    }
    if (event_type_is_reserved(*type_out)) {
        return wrong(submission, PROBLEM_RESERVED_EVENT_TYPE, index, "/type",
                     "The server itself writes events of this type.");
    }
    return 0;
}

static int check_schema(struct submission *submission, uint16_t node, struct json_span value,
                        int index, const char *member, const char *detail)
{
    char pointer[POINTER_SIZE];
    if (schema_check(&payload_schemas, node, value, NULL)) {
        return 0;
    }
    return refusal_schema(&submission->refusal, node, value, pointer_to(pointer, index, member),
                          detail);
}

static int check_payload(struct submission *submission, enum event_type type,
                         struct json_span payload, int index)
{
    if (!body_is_object(payload)) {
        return wrong(submission, PROBLEM_INVALID_PAYLOAD, index, "/payload",
                     "The payload must be an object.");
    }
    if (payload.length > submission->event_bytes_max) {
        return wrong(submission, PROBLEM_TOO_LARGE, index, "/payload",
                     "The payload is larger than one event may be.");
    }
    return check_schema(submission, payload_node(type), payload, index, "/payload",
                        "The payload is not what this type of event must have.");
}

/* The id of the question an event is about, which the sequencer wants beside the payload. The
 * payload has been checked, so it is there. In submission->scratch until that is used again. */
static struct message_span subject_of(struct submission *submission, enum event_type type,
                                      struct json_span payload)
{
    if (type != EVENT_TYPE_CLARIFICATION_NEEDED && type != EVENT_TYPE_CLARIFICATION_ANSWERED) {
        return (struct message_span){NULL, 0};
    }
    struct json_span id = body_text(json_member(payload, "clarification_id"));
    buffer_clear(&submission->scratch);
    char *text = (char *)buffer_reserve(&submission->scratch, id.length);
    return (struct message_span){(const uint8_t *)text, json_unescape(id.data, id.length, text)};
}

/* Of a payload that has been checked: what is absent or null counts nothing. */
static int64_t number_of(struct json_span payload, const char *name)
{
    int64_t number = 0;
    struct json_span value = json_member(payload, name);
    return value.data != NULL && body_number(value, &number) == 0 ? number : 0;
}

static void count_usage(struct submission_usage *usage, struct json_span payload)
{
    usage->input_tokens += number_of(payload, "input_tokens");
    usage->output_tokens += number_of(payload, "output_tokens");
    usage->cost_micros += number_of(payload, "cost_micros");
}

void submission_add_usage(struct submission_usage *sum, const struct submission_usage *more)
{
    sum->input_tokens += more->input_tokens;
    sum->output_tokens += more->output_tokens;
    sum->cost_micros += more->cost_micros;
}

void submission_count_usage(struct submission_usage *usage, bool duplicate)
{
    if (!duplicate) {
        metric_add(METRIC_TOKENS_INPUT, usage->input_tokens);
        metric_add(METRIC_TOKENS_OUTPUT, usage->output_tokens);
        metric_add(METRIC_COST_MICROS, usage->cost_micros);
    }
    *usage = (struct submission_usage){0};
}

/* Checks the event and adds it to submission->events. */
static int add(struct submission *submission, const struct submission_event *event, int index)
{
    static const char empty_object[] = "{}";
    struct json_span payload = event->payload;
    enum event_type type;
    if (check_type(submission, event->type, index, &type) != 0) {
        return -1;
    }
    if (event->schema_version.data != NULL &&
        check_schema(submission, payload_version_node(), event->schema_version, index,
                     "/schema_version", "There is no such version of the events.") != 0) {
        return -1;
    }
    if (payload.data == NULL) {
        payload = (struct json_span){empty_object, sizeof empty_object - 1};
    }
    if (check_payload(submission, type, payload, index) != 0) {
        return -1;
    }
    if (type == EVENT_TYPE_USAGE_RECORDED) {
        count_usage(&submission->usage, payload);
    }
    struct message_append_event item = {.type = (uint64_t)type,
                                        .subject = subject_of(submission, type, payload),
                                        .payload = {(const uint8_t *)payload.data, payload.length}};
    message_append_event_encode(&submission->events, &item);
    submission->count++;
    return 0;
}

/* ---- a request to append ---- */

void submission_begin(struct submission *submission)
{
    msgpack_sbuffer_clear(&submission->events);
    submission->count = 0;
    submission->usage = (struct submission_usage){0};
}

int submission_add(struct submission *submission, struct json_span object, int index)
{
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    struct submission_event event = {0};
    char pointer[POINTER_SIZE];
    if (!body_is_object(object)) {
        return wrong(submission, PROBLEM_INVALID_PAYLOAD, index, "", "An event must be an object.");
    }
    while (json_pair(object, &cursor, &name, &value)) {
        if (!take_member(&event, name, value)) {
            return refusal_unknown_field(&submission->refusal, pointer_to(pointer, index, ""),
                                         name);
        }
    }
    return add(submission, &event, index);
}

static int add_list(struct submission *submission, struct json_span array)
{
    struct json_span cursor = {0};
    struct json_span element;
    if (!body_is_array(array)) {
        return wrong(submission, PROBLEM_INVALID_PAYLOAD, SUBMISSION_ALONE, "/events",
                     "events must be an array.");
    }
    while ((element = json_element(array, &cursor)).data != NULL) {
        if (submission->count == submission->events_max) {
            return wrong(submission, PROBLEM_TOO_LARGE, SUBMISSION_ALONE, "/events",
                         "There are more events than one request may hold.");
        }
        if (submission_add(submission, element, (int)submission->count) != 0) {
            return -1;
        }
    }
    if (submission->count == 0) {
        return wrong(submission, PROBLEM_INVALID_PAYLOAD, SUBMISSION_ALONE, "/events",
                     "events must hold at least one event.");
    }
    return 0;
}

enum submission_taken submission_append_member(struct submission *submission,
                                               struct submission_append *append,
                                               struct json_span name, struct json_span value)
{
    if (body_is(name, "events")) {
        append->list = value;
        return SUBMISSION_TAKEN;
    }
    if (!body_is(name, "expected_seq")) {
        return take_member(&append->single, name, value) ? SUBMISSION_TAKEN : SUBMISSION_NOT_MINE;
    }
    if (body_number(value, &append->expected_seq) != 0) {
        (void)wrong(submission, PROBLEM_INVALID_PAYLOAD, SUBMISSION_ALONE, "/expected_seq",
                    "expected_seq must be a whole number from 0 up.");
        return SUBMISSION_REFUSED;
    }
    return SUBMISSION_TAKEN;
}

int submission_append_events(struct submission *submission, const struct submission_append *append)
{
    submission_begin(submission);
    if (append->list.data == NULL) {
        return add(submission, &append->single, SUBMISSION_ALONE);
    }
    if (append->single.type.data != NULL) {
        return wrong(submission, PROBLEM_UNKNOWN_FIELD, SUBMISSION_ALONE, "/type",
                     "type has no place beside events.");
    }
    if (append->single.payload.data != NULL) {
        return wrong(submission, PROBLEM_UNKNOWN_FIELD, SUBMISSION_ALONE, "/payload",
                     "payload has no place beside events.");
    }
    if (append->single.schema_version.data != NULL) {
        return wrong(submission, PROBLEM_UNKNOWN_FIELD, SUBMISSION_ALONE, "/schema_version",
                     "schema_version has no place beside events.");
    }
    return add_list(submission, append->list);
}
