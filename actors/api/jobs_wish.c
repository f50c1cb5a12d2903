/* See jobs_wish.h. */
#include "api/jobs_wish.h"

#include "api/request.h"
#include "api/time_text.h"
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/base/number.h"
#include "runtime/body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    JOBS_MAX = 1000,
    NAME_BYTES_MAX = 255,
    PAYLOAD_BYTES_MAX = 64 << 10,
    PRIORITY_MAX = 1000,
    ATTEMPTS_MAX = 1000,
    POINTER_SIZE = 64
};
#define DEBOUNCE_MAX_MS (366 * 86400000LL)

void jobs_wishes_deinit(struct jobs_wishes *wishes)
{
    free(wishes->items);
    buffer_deinit(&wishes->texts);
}

const char *jobs_wishes_text(const struct jobs_wishes *wishes, struct jobs_wish_text text)
{
    return (const char *)wishes->texts.data + text.at;
}

/* ---- members ---- */

/* Where in the request: "/jobs/7/queue", or "/queue" of a job that stands alone. */
static void point(const struct jobs_wishes *wishes, size_t job, const char *member,
                  char out[POINTER_SIZE])
{
    if (wishes->batch) {
        (void)snprintf(out, POINTER_SIZE, "/jobs/%zu%s%s", job, member[0] == '\0' ? "" : "/",
                       member);
    } else {
        (void)snprintf(out, POINTER_SIZE, "%s%s", member[0] == '\0' ? "" : "/", member);
    }
}

static int wrong_as(struct jobs_wishes *wishes, enum problem problem, size_t job,
                    const char *member, const char *detail)
{
    char pointer[POINTER_SIZE];
    point(wishes, job, member, pointer);
    exchange_problem(wishes->exchange, problem, detail,
                     &(struct problem_extra){.pointer = pointer});
    return -1;
}

int jobs_wishes_wrong(struct jobs_wishes *wishes, size_t job, const char *member,
                      const char *detail)
{
    return wrong_as(wishes, PROBLEM_INVALID_PAYLOAD, job, member, detail);
}

size_t jobs_wishes_decode(struct buffer *out, struct json_span value)
{
    struct json_span text = body_text(value);
    size_t length =
        json_unescape(text.data, text.length, (char *)buffer_reserve(out, text.length + 1));
    out->length += length;
    return length;
}

static int take_text(struct jobs_wishes *wishes, size_t job, const char *member,
                     struct json_span value, size_t most, struct jobs_wish_text *text_out)
{
    size_t at = wishes->texts.length;
    size_t length = body_is_string(value) ? jobs_wishes_decode(&wishes->texts, value) : 0;
    if (body_is_null(value)) {
        return 0;
    }
    if (length < 1 || length > most) {
        return jobs_wishes_wrong(wishes, job, member,
                                 most == JOBS_WISH_KEY_BYTES_MAX
                                     ? "This must be a text of 1 to 512 bytes."
                                     : "This must be a text of 1 to 255 bytes.");
    }
    *text_out = (struct jobs_wish_text){at, length};
    return 0;
}

static int take_number(struct jobs_wishes *wishes, size_t job, const char *member,
                       struct json_span value, int64_t least, int64_t most, int64_t *number_out)
{
    bool negative = value.length > 1 && value.data[0] == '-';
    int64_t number = 0;
    if (body_is_null(value)) {
        return 0;
    }
    int failed =
        number_parse(value.data + (negative ? 1 : 0), value.length - (negative ? 1 : 0), &number);
    number = negative ? -number : number;
    if (failed != 0 || number < least || number > most) {
        char detail[96];
        (void)snprintf(detail, sizeof detail, "This must be a whole number from %lld to %lld.",
                       (long long)least, (long long)most);
        return jobs_wishes_wrong(wishes, job, member, detail);
    }
    *number_out = number;
    return 0;
}

static int take_payload(struct jobs_wishes *wishes, size_t job, struct json_span value,
                        struct json_span *payload_out)
{
    if (value.length > PAYLOAD_BYTES_MAX) {
        return wrong_as(wishes, PROBLEM_TOO_LARGE, job, "payload",
                        "The payload of a job may have 64 KiB.");
    }
    *payload_out = value;
    return 0;
}

static int take_run_at(struct jobs_wishes *wishes, size_t job, struct json_span value,
                       int64_t *run_at_us_out)
{
    if (body_is_null(value)) {
        return 0;
    }
    struct json_span text = body_is_string(value) ? body_text(value) : (struct json_span){"", 0};
    if (time_text_parse(text.data, text.length, run_at_us_out) != 0) {
        return jobs_wishes_wrong(
            wishes, job, "run_at",
            "run_at must be a time such as 2026-11-20T09:22:00Z (RFC 3339) or null.");
    }
    return 0;
}

static int take_dep_fail(struct jobs_wishes *wishes, size_t job, struct json_span value,
                         enum job_dep_fail *rule_out)
{
    static const char *const names[] = {[JOB_DEP_FAIL_CANCEL] = "\"cancel\"",
                                        [JOB_DEP_FAIL_FAIL] = "\"fail\"",
                                        [JOB_DEP_FAIL_CONTINUE] = "\"continue\""};
    if (body_is_null(value)) {
        return 0;
    }
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (body_is(value, names[i])) {
            *rule_out = (enum job_dep_fail)i;
            return 0;
        }
    }
    return jobs_wishes_wrong(wishes, job, "on_dep_fail",
                             "on_dep_fail must be cancel, fail or continue.");
}

static int take_detached(struct jobs_wishes *wishes, size_t job, struct json_span value,
                         bool *detached_out)
{
    if (!body_is(value, "true") && !body_is(value, "false") && !body_is_null(value)) {
        return jobs_wishes_wrong(wishes, job, "detached", "detached must be true or false.");
    }
    *detached_out = body_is(value, "true");
    return 0;
}

static int take_depends_on(struct jobs_wishes *wishes, size_t job, struct json_span value,
                           struct json_span *depends_on_out)
{
    if (body_is_null(value)) {
        return 0;
    }
    if (!body_is_array(value)) {
        return jobs_wishes_wrong(wishes, job, "depends_on",
                                 "depends_on must be an array of ids and keys of jobs.");
    }
    *depends_on_out = value;
    return 0;
}

static int take_member(struct jobs_wishes *wishes, size_t job, struct json_span name,
                       struct json_span value)
{
    struct jobs_wish *wish = &wishes->items[job];
    char pointer[POINTER_SIZE];
    if (body_is(name, "job_type")) {
        return take_text(wishes, job, "job_type", value, NAME_BYTES_MAX, &wish->type);
    }
    if (body_is(name, "artifact_kind")) {
        return take_text(wishes, job, "artifact_kind", value, NAME_BYTES_MAX, &wish->artifact_kind);
    }
    if (body_is(name, "job_key")) {
        return take_text(wishes, job, "job_key", value, JOBS_WISH_KEY_BYTES_MAX, &wish->key);
    }
    if (body_is(name, "payload")) {
        return take_payload(wishes, job, value, &wish->payload);
    }
    if (body_is(name, "queue")) {
        return take_text(wishes, job, "queue", value, NAME_BYTES_MAX, &wish->queue);
    }
    if (body_is(name, "priority")) {
        return take_number(wishes, job, "priority", value, -PRIORITY_MAX, PRIORITY_MAX,
                           &wish->priority);
    }
    if (body_is(name, "max_attempts")) {
        return take_number(wishes, job, "max_attempts", value, 1, ATTEMPTS_MAX,
                           &wish->max_attempts);
    }
    if (body_is(name, "run_at")) {
        return take_run_at(wishes, job, value, &wish->run_at_us);
    }
    if (body_is(name, "depends_on")) {
        return take_depends_on(wishes, job, value, &wish->depends_on);
    }
    if (body_is(name, "on_dep_fail")) {
        return take_dep_fail(wishes, job, value, &wish->on_dep_fail);
    }
    if (body_is(name, "concurrency_key")) {
        return take_text(wishes, job, "concurrency_key", value, NAME_BYTES_MAX,
                         &wish->concurrency_key);
    }
    if (body_is(name, "detached")) {
        return take_detached(wishes, job, value, &wish->detached);
    }
    if (body_is(name, "debounce_ms")) {
        return take_number(wishes, job, "debounce_ms", value, 0, DEBOUNCE_MAX_MS,
                           &wish->debounce_ms);
    }
    point(wishes, job, "", pointer);
    request_unknown_field(wishes->exchange, pointer, name);
    return -1;
}

/* ---- one job ---- */

/* {run_id}:{job_type}:{artifact_kind}. A colon in the type would let two different jobs have one
 * name. */
static int make_key(struct jobs_wishes *wishes, size_t job)
{
    struct jobs_wish *wish = &wishes->items[job];
    struct buffer *texts = &wishes->texts;
    size_t at = texts->length;
    if (memchr(jobs_wishes_text(wishes, wish->type), ':', wish->type.length) != NULL) {
        return jobs_wishes_wrong(wishes, job, "job_type",
                                 "A job whose type has a colon in it needs a job_key of its own.");
    }
    (void)buffer_reserve(texts, UUID_TEXT_SIZE + 2 + 2 * NAME_BYTES_MAX); /* nothing moves below */
    buffer_append_text(texts, wishes->run_text);
    buffer_append_byte(texts, ':');
    buffer_append(texts, jobs_wishes_text(wishes, wish->type), wish->type.length);
    buffer_append_byte(texts, ':');
    if (wish->artifact_kind.length > 0) {
        buffer_append(texts, jobs_wishes_text(wishes, wish->artifact_kind),
                      wish->artifact_kind.length);
    }
    wish->key = (struct jobs_wish_text){at, texts->length - at};
    return 0;
}

static int conclude(struct jobs_wishes *wishes, size_t job)
{
    struct jobs_wish *wish = &wishes->items[job];
    if (wish->type.length == 0) {
        return jobs_wishes_wrong(wishes, job, "job_type", "A job needs a job_type.");
    }
    if (wish->run_at_us <= clock_real_us()) {
        wish->run_at_us = 0; /* a time that has passed is "at once" */
    }
    if (wish->queue.length == 0) {
        wish->queue = (struct jobs_wish_text){wishes->texts.length, strlen("default")};
        buffer_append_text(&wishes->texts, "default");
    }
    return wish->key.length > 0 ? 0 : make_key(wishes, job);
}

static int read_job(struct jobs_wishes *wishes, size_t job, struct json_span object)
{
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    wishes->items[job] = (struct jobs_wish){
        .payload = {"{}", 2},
        .depends_on = {"[]", 2},
        .max_attempts =
            settings_int(wishes->exchange->api->actor->settings, SETTING_JOBS_MAX_ATTEMPTS),
        .id = uuid_new(),
    };
    while (json_pair(object, &cursor, &name, &value)) {
        if (take_member(wishes, job, name, value) != 0) {
            return -1;
        }
    }
    return conclude(wishes, job);
}

/* ---- all of them ---- */

static int read_batch(struct jobs_wishes *wishes, struct json_span list)
{
    struct json_span cursor = {0};
    struct json_span object;
    if (!body_is_array(list)) {
        exchange_problem(wishes->exchange, PROBLEM_INVALID_PAYLOAD, "jobs must be an array.",
                         &(struct problem_extra){.pointer = "/jobs"});
        return -1;
    }
    while ((object = json_element(list, &cursor)).data != NULL) {
        if (wishes->count == JOBS_MAX) {
            exchange_problem(wishes->exchange, PROBLEM_TOO_LARGE, "A request may have 1,000 jobs.",
                             &(struct problem_extra){.pointer = "/jobs"});
            return -1;
        }
        if (!body_is_object(object)) {
            return jobs_wishes_wrong(wishes, wishes->count, "", "A job must be an object.");
        }
        if (read_job(wishes, wishes->count, object) != 0) {
            return -1;
        }
        wishes->count++;
    }
    if (wishes->count == 0) {
        exchange_problem(wishes->exchange, PROBLEM_INVALID_PAYLOAD, "There is no job in it.",
                         &(struct problem_extra){.pointer = "/jobs"});
        return -1;
    }
    return 0;
}

int jobs_wishes_read(struct jobs_wishes *wishes, struct exchange *exchange)
{
    struct json_span object;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    struct json_span list;
    wishes->exchange = exchange;
    uuid_format(&exchange->id, wishes->run_text);
    if (request_body(exchange, false, &object) != 0) {
        return -1;
    }
    list = json_member(object, "jobs");
    wishes->batch = list.data != NULL;
    wishes->items = memory_array(wishes->batch ? JOBS_MAX : 1, sizeof *wishes->items);
    if (!wishes->batch) {
        wishes->count = 1;
        return read_job(wishes, 0, object);
    }
    while (json_pair(object, &cursor, &name, &value)) {
        if (!body_is(name, "jobs")) {
            request_unknown_field(wishes->exchange, "", name);
            return -1;
        }
    }
    return read_batch(wishes, list);
}
