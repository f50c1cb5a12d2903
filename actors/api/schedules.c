/* See schedules.h. A schedule is a row that the job-runner of its shard looks at; here it is checked,
 * its first time computed, and written. */
#include "api/schedules.h"

#include "api/listing.h"
#include "api/names.h"
#include "api/request.h"
#include "api/runners.h"
#include "api/store_schedules.h"
#include "runtime/base/clock.h"
#include "runtime/base/number.h"
#include "runtime/body.h"
#include "runtime/cron.h"

#include <stdio.h>
#include <string.h>

enum { PAYLOAD_BYTES_MAX = 64 << 10, PRIORITY_MAX = 1000, ATTEMPTS_MAX = 1000, POINTER_SIZE = 32 };

enum text {
    TEXT_SPEC,
    TEXT_TZ,
    TEXT_QUEUE,
    TEXT_JOB_TYPE,
    TEXT_CONCURRENCY_KEY,
    TEXT_MISSED,
    TEXTS
};

static const struct {
    const char *member;
    const char *otherwise; /* NULL: none */
} texts[TEXTS] = {
    [TEXT_SPEC] = {"spec", NULL},
    [TEXT_TZ] = {"tz", "UTC"},
    [TEXT_QUEUE] = {"queue", "default"},
    [TEXT_JOB_TYPE] = {"job_type", NULL},
    [TEXT_CONCURRENCY_KEY] = {"concurrency_key", NULL},
    [TEXT_MISSED] = {"missed", "skip"},
};

/* A schedule as it was asked for. */
struct wish {
    struct exchange *exchange;
    char name[NAMES_BYTES_MAX + 1];
    char text[TEXTS][NAMES_BYTES_MAX + 2];
    struct json_span payload;
    int64_t priority;
    int64_t max_attempts;
    bool enabled;
    int64_t next_us;
};

static int wrong(struct exchange *exchange, const char *member, const char *detail)
{
    char pointer[POINTER_SIZE];
    (void)snprintf(pointer, sizeof pointer, "/%s", member);
    exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD, detail,
                     &(struct problem_extra){.pointer = pointer});
    return -1;
}

/* ---- the request ---- */

static int read_name(struct exchange *exchange, char out[NAMES_BYTES_MAX + 1])
{
    if (names_from_path(exchange->segment.data, exchange->segment.length, out) != 0) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "A name has 1 to 255 bytes of UTF-8.", NULL);
        return -1;
    }
    return 0;
}

/* null is as if it were not there. */
static int take_text(struct wish *wish, enum text which, struct json_span value)
{
    struct json_span raw = body_is_string(value) ? body_text(value) : (struct json_span){"", 0};
    char decoded[6 * NAMES_BYTES_MAX]; /* each character may have come escaped */
    if (body_is_null(value)) {
        return 0;
    }
    size_t length = raw.length <= sizeof decoded ? json_unescape(raw.data, raw.length, decoded) : 0;
    if (!names_are_sound(decoded, length, NAMES_BYTES_MAX)) {
        return wrong(wish->exchange, texts[which].member, "This must be a text of 1 to 255 bytes.");
    }
    memcpy(wish->text[which], decoded, length);
    wish->text[which][length] = '\0';
    return 0;
}

static int take_number(struct wish *wish, const char *member, struct json_span value, int64_t least,
                       int64_t most, int64_t *number_out)
{
    char detail[96];
    bool negative = value.length > 1 && value.data[0] == '-';
    int64_t number = 0;
    if (body_is_null(value)) {
        return 0;
    }
    int failed =
        number_parse(value.data + (negative ? 1 : 0), value.length - (negative ? 1 : 0), &number);
    number = negative ? -number : number;
    if (failed != 0 || number < least || number > most) {
        (void)snprintf(detail, sizeof detail, "This must be a whole number from %lld to %lld.",
                       (long long)least, (long long)most);
        return wrong(wish->exchange, member, detail);
    }
    *number_out = number;
    return 0;
}

static int take_payload(struct wish *wish, struct json_span value)
{
    if (value.length > PAYLOAD_BYTES_MAX) {
        exchange_problem(wish->exchange, PROBLEM_TOO_LARGE,
                         "The payload of a schedule may have 64 KiB.",
                         &(struct problem_extra){.pointer = "/payload"});
        return -1;
    }
    wish->payload = value;
    return 0;
}

static int take_enabled(struct wish *wish, struct json_span value)
{
    if (!body_is(value, "true") && !body_is(value, "false") && !body_is_null(value)) {
        return wrong(wish->exchange, "enabled", "enabled must be true or false.");
    }
    wish->enabled = !body_is(value, "false");
    return 0;
}

static int take_member(struct wish *wish, struct json_span name, struct json_span value)
{
    for (enum text which = 0; which < TEXTS; which++) {
        if (body_is(name, texts[which].member)) {
            return take_text(wish, which, value);
        }
    }
    if (body_is(name, "payload")) {
        return take_payload(wish, value);
    }
    if (body_is(name, "priority")) {
        return take_number(wish, "priority", value, -PRIORITY_MAX, PRIORITY_MAX, &wish->priority);
    }
    if (body_is(name, "max_attempts")) {
        return take_number(wish, "max_attempts", value, 1, ATTEMPTS_MAX, &wish->max_attempts);
    }
    if (body_is(name, "enabled")) {
        return take_enabled(wish, value);
    }
    request_unknown_field(wish->exchange, "", name);
    return -1;
}

/* The times: what the spec and the zone say of them. */
static int conclude_times(struct wish *wish)
{
    const char *spec = wish->text[TEXT_SPEC];
    const char *tz = wish->text[TEXT_TZ];
    struct cron cron;
    struct zone *zone = NULL;
    struct error err;
    if (cron_parse(spec, strlen(spec), &cron, &err) != 0) {
        (void)error_prefix(&err, "spec");
        return wrong(wish->exchange, "spec", err.text);
    }
    if (zone_load(tz, strlen(tz), &zone, &err) != 0) {
        (void)error_prefix(&err, "tz");
        return wrong(wish->exchange, "tz", err.text);
    }
    wish->next_us = cron_next_us(&cron, zone, clock_real_us());
    zone_destroy(&zone);
    return 0;
}

static int conclude(struct wish *wish)
{
    const char *missed = wish->text[TEXT_MISSED];
    for (enum text which = 0; which < TEXTS; which++) {
        const char *otherwise = texts[which].otherwise;
        if (wish->text[which][0] == '\0' && otherwise != NULL) {
            memcpy(wish->text[which], otherwise, strlen(otherwise) + 1);
        }
    }
    if (wish->text[TEXT_SPEC][0] == '\0') {
        return wrong(wish->exchange, "spec", "A schedule needs a spec, such as \"0 3 * * *\".");
    }
    if (wish->text[TEXT_JOB_TYPE][0] == '\0') {
        return wrong(wish->exchange, "job_type", "A schedule needs a job_type.");
    }
    if (strcmp(missed, "skip") != 0 && strcmp(missed, "all") != 0 && strcmp(missed, "none") != 0) {
        return wrong(wish->exchange, "missed", "missed must be skip, all or none.");
    }
    return conclude_times(wish);
}

static int read_wish(struct wish *wish)
{
    struct json_span object;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    if (read_name(wish->exchange, wish->name) != 0 ||
        request_body(wish->exchange, false, &object) != 0) {
        return -1;
    }
    while (json_pair(object, &cursor, &name, &value)) {
        if (take_member(wish, name, value) != 0) {
            return -1;
        }
    }
    return conclude(wish);
}

/* ---- the answer ---- */

static void show(struct exchange *exchange, int status, struct store_text text)
{
    struct buffer *body = &exchange->api->text;
    buffer_clear(body);
    buffer_append(body, text.data, text.length);
    exchange_json(exchange, status, body);
}

/* As it is, or as it was when it was deleted. */
static void shown(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct store_text text;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK && exchange->route->scope == SCOPE_READ) {
        exchange_unavailable(exchange);
    } else if (status != DB_OK) {
        listing_failed(exchange, status);
    } else if (!store_read_schedule(result, &text)) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no schedule of this name.", NULL);
    } else {
        show(exchange, 200, text);
    }
}

static void was_set(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct store_text text;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        listing_failed(exchange, status);
    } else if (!store_read_schedule(result, &text)) {
        exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD, "A tenant may have 1,000 schedules.",
                         NULL);
    } else {
        runners_tell_rules(exchange->api->runners, &exchange->who.tenant);
        show(exchange, store_read_schedule_is_new(result) ? 201 : 200, text);
    }
}

/* ---- handlers ---- */

void schedules_list(struct exchange *exchange)
{
    exchange_hold(exchange);
    store_list_schedules(exchange->api->store, &exchange->who.tenant, shown, exchange);
}

void schedules_get(struct exchange *exchange)
{
    char name[NAMES_BYTES_MAX + 1];
    if (read_name(exchange, name) == 0) {
        exchange_hold(exchange);
        store_get_schedule(exchange->api->store, &exchange->who.tenant, name, shown, exchange);
    }
}

void schedules_set(struct exchange *exchange)
{
    struct wish wish = {
        .exchange = exchange,
        .payload = {"{}", 2},
        .max_attempts = settings_int(exchange->api->actor->settings, SETTING_JOBS_MAX_ATTEMPTS),
        .enabled = true,
    };
    if (read_wish(&wish) != 0) {
        return;
    }
    const struct store_schedule schedule = {
        .name = wish.name,
        .spec = wish.text[TEXT_SPEC],
        .tz = wish.text[TEXT_TZ],
        .queue = wish.text[TEXT_QUEUE],
        .job_type = wish.text[TEXT_JOB_TYPE],
        .concurrency_key =
            wish.text[TEXT_CONCURRENCY_KEY][0] == '\0' ? NULL : wish.text[TEXT_CONCURRENCY_KEY],
        .missed = wish.text[TEXT_MISSED],
        .payload = wish.payload.data,
        .payload_length = wish.payload.length,
        .priority = (int32_t)wish.priority,
        .max_attempts = (int32_t)wish.max_attempts,
        .enabled = wish.enabled,
        .next_us = wish.next_us,
    };
    exchange_hold(exchange);
    store_set_schedule(exchange->api->store, &exchange->who.tenant, &schedule, exchange->who.actor,
                       was_set, exchange);
}

void schedules_delete(struct exchange *exchange)
{
    char name[NAMES_BYTES_MAX + 1];
    if (read_name(exchange, name) == 0) {
        exchange_hold(exchange);
        store_delete_schedule(exchange->api->store, &exchange->who.tenant, name,
                              exchange->who.actor, shown, exchange);
    }
}
