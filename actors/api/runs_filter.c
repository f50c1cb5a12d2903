/* See runs_filter.h. A field is checked in one place, whether it came in a query or in a body; what
 * is wrong is said as the words behind its name. */
#include "api/runs_filter.h"

#include "api/time_text.h"
#include "runtime/body.h"
#include "runtime/run_status.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const char *const names[RUNS_FILTER_FIELDS] = {
    [RUNS_FILTER_STATUS] = "status",
    [RUNS_FILTER_THREAD] = "thread_id",
    [RUNS_FILTER_PARENT] = "parent_run_id",
    [RUNS_FILTER_AFTER] = "created_after",
    [RUNS_FILTER_BEFORE] = "created_before",
    [RUNS_FILTER_METADATA] = "metadata",
    [RUNS_FILTER_ID] = "q",
};

/* ---- fields: NULL, or what is wrong ---- */

static const char *take_status(struct store_runs_filter *filter, const char *name, size_t length)
{
    for (unsigned i = 0; i < STORE_RUN_STATUSES; i++) {
        const char *known = run_status_name(i);
        if (strlen(known) == length && memcmp(known, name, length) == 0) {
            filter->statuses |= 1U << i;
            return NULL;
        }
    }
    return "is not one that a run can have";
}

static const char *take_statuses(struct store_runs_filter *filter, const char *text, size_t length)
{
    const char *end = text + length;
    for (;;) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma == NULL ? end : comma;
        const char *wrong = take_status(filter, text, (size_t)(stop - text));
        if (wrong != NULL || comma == NULL) {
            return wrong;
        }
        text = comma + 1;
    }
}

static const char *take_uuid(struct uuid *uuid, const char *text, size_t length)
{
    return uuid_parse(text, length, uuid) == 0 && !uuid_is_nil(uuid) ? NULL
                                                                     : "must be a lower-case UUID";
}

static const char *take_time(int64_t *real_us, const char *text, size_t length)
{
    if (time_text_parse(text, length, real_us) != 0) {
        return "must be a time such as 2026-11-20T09:22:00Z (RFC 3339)";
    }
    *real_us = *real_us == 0 ? 1 : *real_us; /* 0 stands for any; there was no run then */
    return NULL;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What no id begins with matches nothing: the range is empty. */
static void match_nothing(struct store_runs_filter *filter)
{
    memset(filter->id_low.bytes, 0xff, sizeof filter->id_low.bytes);
    memset(filter->id_high.bytes, 0, sizeof filter->id_high.bytes);
}

/* The beginning of an id's text, as a range of ids. */
static const char *take_id(struct store_runs_filter *filter, const char *text, size_t length)
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    unsigned digits = 0;
    if (length == 0) {
        return "must be the beginning of an id";
    }
    filter->by_id = true;
    memset(filter->id_low.bytes, 0, sizeof filter->id_low.bytes);
    memset(filter->id_high.bytes, 0xff, sizeof filter->id_high.bytes);
    for (size_t i = 0; i < length; i++) {
        int digit = hex_digit(text[i]);
        if (i >= sizeof shape - 1 || (shape[i] == '-' ? text[i] != '-' : digit < 0)) {
            match_nothing(filter);
            return NULL;
        }
        if (shape[i] == '-') {
            continue;
        }
        unsigned shift = digits % 2 == 0 ? 4 : 0;
        uint8_t *low = &filter->id_low.bytes[digits / 2];
        uint8_t *high = &filter->id_high.bytes[digits / 2];
        *low = (uint8_t)(*low | (unsigned)digit << shift);
        *high = (uint8_t)((*high & ~(0xfU << shift)) | (unsigned)digit << shift);
        digits++;
    }
    return NULL;
}

static const char *take_metadata(const struct api *api, struct store_runs_filter *filter,
                                 const char *text, size_t length)
{
    struct error err;
    struct json_span span = body_trim(text, length);
    if (json_check(text, length, &api->submission.json, NULL, &err) != JSON_OK ||
        !body_is_object(span)) {
        return "must be a JSON object";
    }
    buffer_append(&filter->metadata, span.data, span.length);
    return NULL;
}

static const char *take_field(struct exchange *exchange, struct store_runs_filter *filter,
                              unsigned field, const char *text, size_t length)
{
    switch (field) {
    case RUNS_FILTER_STATUS:
        return take_statuses(filter, text, length);
    case RUNS_FILTER_THREAD:
        return take_uuid(&filter->thread, text, length);
    case RUNS_FILTER_PARENT:
        return take_uuid(&filter->parent, text, length);
    case RUNS_FILTER_AFTER:
        return take_time(&filter->after_us, text, length);
    case RUNS_FILTER_BEFORE:
        return take_time(&filter->before_us, text, length);
    case RUNS_FILTER_METADATA:
        return take_metadata(exchange->api, filter, text, length);
    default:
        return take_id(filter, text, length);
    }
}

/* ---- from a query ---- */

void runs_filter_parameters(struct request_parameter parameters[RUNS_FILTER_FIELDS])
{
    for (unsigned i = 0; i < RUNS_FILTER_FIELDS; i++) {
        parameters[i] =
            (struct request_parameter){.name = names[i], .repeats = i == RUNS_FILTER_STATUS};
    }
}

int runs_filter_from_query(struct exchange *exchange, const struct request_parameter *parameters,
                           struct store_runs_filter *filter_out)
{
    *filter_out = (struct store_runs_filter){.tenant = exchange->who.tenant};
    for (unsigned i = 0; i < RUNS_FILTER_FIELDS; i++) {
        const char *wrong = NULL;
        if (parameters[i].given) {
            wrong = take_field(exchange, filter_out, i, parameters[i].value, parameters[i].length);
        }
        if (wrong != NULL) {
            char detail[128];
            snprintf(detail, sizeof detail, "The parameter %s %s.", names[i], wrong);
            exchange_problem(exchange, PROBLEM_INVALID_PARAMETER, detail, NULL);
            return -1;
        }
    }
    return 0;
}

/* ---- from a body ---- */

/* A list of statuses, or a string with one. */
static const char *take_status_value(struct store_runs_filter *filter, struct json_span value)
{
    struct json_span cursor = {0};
    struct json_span element;
    if (body_is_string(value)) {
        struct json_span text = body_text(value);
        return take_status(filter, text.data, text.length);
    }
    if (!body_is_array(value)) {
        return "must be a status or a list of them";
    }
    while ((element = json_element(value, &cursor)).data != NULL) {
        struct json_span text =
            body_is_string(element) ? body_text(element) : (struct json_span){0};
        const char *wrong = take_status(filter, text.data == NULL ? "" : text.data, text.length);
        if (wrong != NULL) {
            return "holds one that a run cannot have";
        }
    }
    return filter->statuses == 0 ? "must name at least one" : NULL;
}

static const char *take_value(struct exchange *exchange, struct store_runs_filter *filter,
                              unsigned field, struct json_span value)
{
    if (field == RUNS_FILTER_STATUS) {
        return take_status_value(filter, value);
    }
    if (field == RUNS_FILTER_METADATA) {
        return take_field(exchange, filter, field, value.data, value.length);
    }
    if (!body_is_string(value)) {
        return "must be a string";
    }
    struct json_span text = body_text(value);
    return take_field(exchange, filter, field, text.data, text.length);
}

static int read_field(struct exchange *exchange, const char *pointer, struct json_span name,
                      struct json_span value, struct store_runs_filter *filter)
{
    for (unsigned i = 0; i < RUNS_FILTER_FIELDS; i++) {
        if (!body_is(name, names[i])) {
            continue;
        }
        const char *wrong = take_value(exchange, filter, i, value);
        if (wrong == NULL) {
            return 0;
        }
        char where[64];
        char detail[128];
        snprintf(where, sizeof where, "%s/%s", pointer, names[i]);
        snprintf(detail, sizeof detail, "%s %s.", names[i], wrong);
        exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD, detail,
                         &(struct problem_extra){.pointer = where});
        return -1;
    }
    request_unknown_field(exchange, pointer, name);
    return -1;
}

int runs_filter_from_body(struct exchange *exchange, struct json_span object, const char *pointer,
                          struct store_runs_filter *filter_out)
{
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    *filter_out = (struct store_runs_filter){.tenant = exchange->who.tenant};
    if (!body_is_object(object)) {
        exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD, "The filter must be an object.",
                         &(struct problem_extra){.pointer = pointer});
        return -1;
    }
    while (json_pair(object, &cursor, &name, &value)) {
        if (read_field(exchange, pointer, name, value, filter_out) != 0) {
            return -1;
        }
    }
    return 0;
}

void runs_filter_deinit(struct store_runs_filter *filter)
{
    buffer_deinit(&filter->metadata);
}

void runs_filter_digest(const struct store_runs_filter *filter, uint8_t digest_out[32])
{
    crypto_generichash_state state;
    const struct {
        const void *bytes;
        size_t length;
    } parts[] = {
        {filter->tenant.bytes, sizeof filter->tenant.bytes},
        {&filter->statuses, sizeof filter->statuses},
        {filter->thread.bytes, sizeof filter->thread.bytes},
        {filter->parent.bytes, sizeof filter->parent.bytes},
        {&filter->after_us, sizeof filter->after_us},
        {&filter->before_us, sizeof filter->before_us},
        {&filter->by_id, sizeof filter->by_id},
        {filter->id_low.bytes, sizeof filter->id_low.bytes},
        {filter->id_high.bytes, sizeof filter->id_high.bytes},
        {filter->metadata.data, filter->metadata.length},
    };
    (void)crypto_generichash_init(&state, NULL, 0, 32);
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        (void)crypto_generichash_update(&state, parts[i].bytes, parts[i].length);
    }
    (void)crypto_generichash_final(&state, digest_out, 32);
}
