/* See request.h. */
#include "api/request.h"

#include "runtime/base/limits.h"
#include "runtime/base/number.h"
#include "runtime/event_mask.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

static struct request_parameter *find(struct request_parameter *parameters, size_t count,
                                      struct http_text name)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(parameters[i].name) == name.length &&
            memcmp(parameters[i].name, name.data, name.length) == 0) {
            return &parameters[i];
        }
    }
    return NULL;
}

static int bad_parameter(struct exchange *exchange, const char *name, const char *what)
{
    char detail[128];
    snprintf(detail, sizeof detail, "The parameter %s %s.", name, what);
    exchange_problem(exchange, PROBLEM_INVALID_PARAMETER, detail, NULL);
    return -1;
}

/* A repeated value stands behind the ones before it and a comma, in a place of its own. */
static void take_value(struct buffer *text, struct request_parameter *parameter, size_t *offset,
                       struct http_text value)
{
    size_t at = text->length;
    if (parameter->given) {
        buffer_reserve(text, parameter->length + 1);
        buffer_append(text, text->data + *offset, parameter->length);
        buffer_append_byte(text, ',');
    }
    buffer_append(text, value.data, value.length);
    parameter->length = text->length - at;
    parameter->given = true;
    *offset = at;
    buffer_append_byte(text, 0);
}

int request_parameters(struct exchange *exchange, struct request_parameter *parameters,
                       size_t count)
{
    struct api *api = exchange->api;
    struct http_text query = http_request_query(exchange->request);
    struct http_text name;
    struct http_text value;
    struct buffer scratch = {0};
    size_t offsets[REQUEST_PARAMETERS_MAX] = {0};
    assert(count <= REQUEST_PARAMETERS_MAX);
    bool bad = false;
    int failed = 0;
    buffer_clear(&api->text);
    while (failed == 0 && http_query_next(&query, &scratch, &name, &value, &bad)) {
        struct request_parameter *parameter = find(parameters, count, name);
        if (parameter == NULL) {
            continue;
        }
        if (parameter->given && !parameter->repeats) {
            failed = bad_parameter(exchange, parameter->name, "is given twice");
            break;
        }
        take_value(&api->text, parameter, &offsets[parameter - parameters], value);
    }
    buffer_deinit(&scratch);
    if (failed == 0 && bad) {
        exchange_problem(exchange, PROBLEM_INVALID_PARAMETER,
                         "The query holds a malformed percent escape.", NULL);
        failed = -1;
    }
    for (size_t i = 0; i < count; i++) {
        parameters[i].value = parameters[i].given ? (const char *)api->text.data + offsets[i] : "";
    }
    return failed;
}

int request_types(struct exchange *exchange, const struct request_parameter *parameter,
                  uint64_t *types_out)
{
    *types_out = 0;
    if (parameter->given && event_mask_parse(parameter->value, parameter->length, types_out) != 0) {
        return bad_parameter(exchange, parameter->name,
                             "must be names of event types, joined by commas");
    }
    return 0;
}

int request_limit(struct exchange *exchange, const struct request_parameter *parameter,
                  int32_t *limit_out)
{
    int64_t limit = REQUEST_LIMIT_DEFAULT;
    if (parameter->given && (number_parse(parameter->value, parameter->length, &limit) != 0 ||
                             limit < 1 || limit > REQUEST_LIMIT_MAX)) {
        return bad_parameter(exchange, parameter->name, "must be a number from 1 to 1000");
    }
    *limit_out = (int32_t)limit;
    return 0;
}

int request_object(struct exchange *exchange, struct json_span text, struct json_span *object_out)
{
    struct submission *submission = &exchange->api->submission;
    if (submission_object(submission, text, object_out) != 0) {
        exchange_refuse(exchange, &submission->refusal);
        return -1;
    }
    return 0;
}

int request_body(struct exchange *exchange, bool may_be_empty, struct json_span *object_out)
{
    static const char empty_object[] = "{}";
    struct http_text body = http_request_body(exchange->request);
    if (body.length == 0 && may_be_empty) {
        *object_out = (struct json_span){empty_object, sizeof empty_object - 1};
        return 0;
    }
    return request_object(exchange, (struct json_span){body.data, body.length}, object_out);
}

void request_unknown_field(struct exchange *exchange, const char *prefix, struct json_span name)
{
    struct refusal *refusal = &exchange->api->submission.refusal;
    (void)refusal_unknown_field(refusal, prefix, name);
    exchange_refuse(exchange, refusal);
}

int request_idempotency(struct exchange *exchange, struct request_key *key_out)
{
    struct http_request *request = exchange->request;
    size_t count = 0;
    struct http_text key = http_request_field(request, "Idempotency-Key", &count);
    *key_out = (struct request_key){0};
    if (count == 0) {
        return 0;
    }
    if (count != 1 || !submission_is_printable(key.data, key.length, LIMIT_IDEMPOTENCY_KEY_BYTES)) {
        exchange_problem(exchange, PROBLEM_INVALID_PARAMETER,
                         "Idempotency-Key must be one field of 1 to 255 printable ASCII "
                         "characters.",
                         NULL);
        return -1;
    }
    struct http_text body = http_request_body(request);
    key_out->key = key;
    (void)crypto_hash_sha256(key_out->hash, (const uint8_t *)body.data, body.length);
    return 0;
}

int request_read_producer(struct exchange *exchange, const struct request_key *key,
                          struct submission_producer *producer_out)
{
    static const char *const names[] = {"Producer-Id", "Producer-Epoch", "Producer-Seq"};
    struct submission *submission = &exchange->api->submission;
    struct submission_producer_texts texts = {.keyed = key->key.length > 0};
    struct json_span *const spans[] = {&texts.id, &texts.epoch, &texts.seq};
    for (unsigned i = 0; i < 3; i++) {
        size_t count = 0;
        struct http_text field = http_request_field(exchange->request, names[i], &count);
        *spans[i] = (struct json_span){field.data, field.length};
        if (count > 1) {
            exchange_problem(exchange, PROBLEM_INVALID_PRODUCER,
                             "A producer's field is given twice.", NULL);
            return -1;
        }
    }
    if (submission_producer_read(submission, &texts, producer_out) != 0) {
        exchange_refuse(exchange, &submission->refusal);
        return -1;
    }
    return 0;
}

void request_set_producer(struct message_append *message,
                          const struct submission_producer *producer, int64_t ahead)
{
    if (producer->id.length > 0) {
        message->producer =
            (struct message_span){(const uint8_t *)producer->id.data, producer->id.length};
        message->producer_epoch = (uint64_t)producer->epoch;
        message->producer_seq = (uint64_t)(producer->seq + ahead);
    }
}
