/*
 * POST /jobs/claim. A worker waits for jobs: its wish goes to the job-runners, which answer with
 * claims, or with nothing when the wait is over. Nothing is asked of the database meanwhile. A client
 * that goes while it waits is forgotten, and what was claimed for it is given back.
 */
#include "api/command.h"
#include "api/jobs_claim.h"
#include "api/request.h"
#include "api/runners.h"
#include "api/surplus.h"
#include "runtime/base/fault.h"
#include "runtime/body.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum {
    NAMES_MAX = 100,
    TEXT_BYTES_MAX = 255,
    JOBS_MAX = 100,
    WAIT_MAX_MS = 60000,
    LEASE_MIN_MS = 100,
    LEASE_MAX_MS = 3600000,
    LEASE_DEFAULT_MS = 60000
};

/* ---- the request ---- */

struct wish {
    int64_t max;
    int64_t wait_ms;
    int64_t lease_ms;
    int64_t delivery_ms;
    struct buffer worker;          /* owned, as the next two */
    struct msgpack_sbuffer queues; /* as the lists of JOB_WANT have them */
    struct msgpack_sbuffer types;
    uint32_t queue_count;
    uint32_t type_count;
};

static void wish_init(struct wish *wish)
{
    *wish = (struct wish){.max = 1, .lease_ms = LEASE_DEFAULT_MS};
    msgpack_sbuffer_init(&wish->queues);
    msgpack_sbuffer_init(&wish->types);
}

static void wish_deinit(struct wish *wish)
{
    buffer_deinit(&wish->worker);
    msgpack_sbuffer_destroy(&wish->queues);
    msgpack_sbuffer_destroy(&wish->types);
}

static int wrong(struct exchange *exchange, const char *pointer, const char *detail)
{
    exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD, detail,
                     &(struct problem_extra){.pointer = pointer});
    return -1;
}

static int take_number(struct exchange *exchange, struct json_span value, const char *pointer,
                       int64_t least, int64_t most, int64_t *number_out)
{
    char detail[80];
    if (body_number(value, number_out) == 0 && *number_out >= least && *number_out <= most) {
        return 0;
    }
    (void)snprintf(detail, sizeof detail, "This must be a whole number from %lld to %lld.",
                   (long long)least, (long long)most);
    return wrong(exchange, pointer, detail);
}

/* Without its escapes; -1: no text, or of another length. */
static int read_text(struct json_span value, struct buffer *text)
{
    buffer_clear(text);
    if (body_is_string(value)) {
        body_string(text, value);
    }
    return text->length >= 1 && text->length <= TEXT_BYTES_MAX ? 0 : -1;
}

static int take_worker(struct exchange *exchange, struct json_span value, struct wish *wish)
{
    return read_text(value, &wish->worker) == 0
               ? 0
               : wrong(exchange, "/worker", "worker must be a text of 1 to 255 bytes.");
}

static int bad_name(struct exchange *exchange, const char *pointer, uint32_t index)
{
    char place[32];
    (void)snprintf(place, sizeof place, "%s/%u", pointer, index);
    return wrong(exchange, place, "This must be a text of 1 to 255 bytes.");
}

/* The item of a queue and that of a type are both one text. */
static int take_names(struct exchange *exchange, struct json_span value, const char *pointer,
                      struct msgpack_sbuffer *list, uint32_t *count_out)
{
    struct json_span cursor = {0};
    struct json_span element;
    struct buffer text = {0};
    int failed = 0;
    if (!body_is_array(value)) {
        return wrong(exchange, pointer, "This must be a list of names.");
    }
    while (failed == 0 && (element = json_element(value, &cursor)).data != NULL) {
        if (*count_out == NAMES_MAX) {
            failed = wrong(exchange, pointer, "This must hold at most 100 names.");
        } else if (read_text(element, &text) != 0) {
            failed = bad_name(exchange, pointer, *count_out);
        } else {
            struct message_job_want_queue item = {.name = command_span(text.data, text.length)};
            message_job_want_queue_encode(list, &item);
            (*count_out)++;
        }
    }
    buffer_deinit(&text);
    if (failed == 0 && *count_out == 0) {
        return wrong(exchange, pointer, "This must hold at least one name.");
    }
    return failed;
}

static int take_member(struct exchange *exchange, struct json_span name, struct json_span value,
                       struct wish *wish)
{
    if (body_is(name, "queues")) {
        return body_is_null(value)
                   ? 0
                   : take_names(exchange, value, "/queues", &wish->queues, &wish->queue_count);
    }
    if (body_is(name, "job_types")) {
        return body_is_null(value)
                   ? 0
                   : take_names(exchange, value, "/job_types", &wish->types, &wish->type_count);
    }
    if (body_is(name, "worker")) {
        return body_is_null(value) ? 0 : take_worker(exchange, value, wish);
    }
    if (body_is(name, "max")) {
        return take_number(exchange, value, "/max", 1, JOBS_MAX, &wish->max);
    }
    if (body_is(name, "wait_ms")) {
        return take_number(exchange, value, "/wait_ms", 0, WAIT_MAX_MS, &wish->wait_ms);
    }
    if (body_is(name, "lease_ms")) {
        return take_number(exchange, value, "/lease_ms", LEASE_MIN_MS, LEASE_MAX_MS,
                           &wish->lease_ms);
    }
    if (body_is(name, "delivery_ms")) {
        return take_number(exchange, value, "/delivery_ms", 0, LEASE_MAX_MS, &wish->delivery_ms);
    }
    request_unknown_field(exchange, "", name);
    return -1;
}

static int read_wish(struct exchange *exchange, struct wish *wish)
{
    static const char default_queue[] = "default";
    struct json_span object;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    if (request_body(exchange, true, &object) != 0) {
        return -1;
    }
    while (json_pair(object, &cursor, &name, &value)) {
        if (take_member(exchange, name, value, wish) != 0) {
            return -1;
        }
    }
    if (wish->queue_count == 0) {
        struct message_job_want_queue item = {
            .name = command_span(default_queue, sizeof default_queue - 1)};
        message_job_want_queue_encode(&wish->queues, &item);
        wish->queue_count = 1;
    }
    if (wish->worker.length == 0) {
        buffer_append_text(&wish->worker, exchange->who.actor);
    }
    return 0;
}

/* ---- the answer ---- */

/* What a callee outside may take as its idempotency key: the same for every attempt, and for no
 * other job of anybody. */
static void append_effect_key(struct buffer *out, const struct uuid *tenant,
                              struct message_span job_key)
{
    crypto_hash_sha256_state state;
    uint8_t hash[crypto_hash_sha256_BYTES];
    char text[2 * sizeof hash + 1];
    (void)crypto_hash_sha256_init(&state);
    (void)crypto_hash_sha256_update(&state, tenant->bytes, sizeof tenant->bytes);
    (void)crypto_hash_sha256_update(&state, job_key.data, job_key.length);
    (void)crypto_hash_sha256_final(&state, hash);
    (void)sodium_bin2hex(text, sizeof text, hash, sizeof hash);
    buffer_append_text(out, text);
}

static void append_uuid(struct buffer *out, const char *name, const uint8_t bytes[16])
{
    struct uuid uuid;
    char text[UUID_TEXT_SIZE];
    memcpy(uuid.bytes, bytes, sizeof uuid.bytes);
    uuid_format(&uuid, text);
    buffer_printf(out, "\"%s\":\"%s\",", name, text);
}

static void append_text(struct buffer *out, const char *name, struct message_span text)
{
    buffer_printf(out, "\"%s\":", name);
    buffer_append_json(out, (const char *)text.data, text.length);
    buffer_append_byte(out, ',');
}

static void append_job(struct buffer *out, const struct uuid *tenant,
                       const struct message_job_given_job *job)
{
    buffer_append_byte(out, '{');
    append_uuid(out, "id", job->job);
    append_uuid(out, "token", job->token);
    append_text(out, "job_key", job->key);
    append_text(out, "job_type", job->type);
    append_text(out, "queue", job->queue);
    append_uuid(out, "run_id", job->run);
    buffer_append_text(out, "\"payload\":");
    buffer_append(out, job->payload.data, job->payload.length);
    buffer_printf(out, ",\"attempt\":%llu,\"max_attempts\":%llu,\"lease_ms\":%llu,",
                  (unsigned long long)job->attempt, (unsigned long long)job->max_attempts,
                  (unsigned long long)job->lease_ms);
    buffer_append_text(out, "\"effect_key\":\"");
    append_effect_key(out, tenant, job->key);
    buffer_append_text(out, "\"}");
}

static void answer(struct exchange *exchange, const struct message_job_given *given)
{
    struct buffer *body = &exchange->api->text;
    struct message_list cursor = {0};
    struct message_job_given_job job;
    bool first = true;
    if (given != NULL) {
        cursor = given->jobs;
    }
    buffer_clear(body);
    buffer_append_text(body, "{\"jobs\":[");
    while (message_job_given_job_next(&cursor, &job)) {
        buffer_append_text(body, first ? "" : ",");
        append_job(body, &exchange->who.tenant, &job);
        first = false;
    }
    buffer_append_text(body, "]}");
    exchange_json(exchange, 200, body);
}

static void give_back(struct surplus *surplus, const struct message_job_given *given)
{
    struct message_list cursor = given->jobs;
    struct message_job_given_job job;
    while (message_job_given_job_next(&cursor, &job)) {
        surplus_add(surplus, job.job, job.token);
    }
}

static void given_jobs(void *arg, enum runners_end end, const struct message_job_given *given)
{
    struct exchange *exchange = arg;
    exchange->claim.call = NULL;
    exchange->abandoned = NULL;
    if (!exchange_resume(exchange)) {
        return; /* told by abandoned() before, so it cannot be */
    }
    if (end == RUNNERS_UNREACHABLE) {
        exchange_problem(exchange, PROBLEM_BUSY, "No job-runner can be reached now. Try again.",
                         NULL);
        return;
    }
    SB_FAULT("api_before_answer");
    if (given != NULL && !http_request_is_there(exchange->request)) {
        give_back(exchange->api->surplus, given);
        given = NULL;
    }
    answer(exchange, given);
}

static void abandoned(struct exchange *exchange)
{
    runners_forget(&exchange->claim.call);
    exchange->abandoned = NULL;
    bool waiting = exchange_resume(exchange); /* nobody calls back any more */
    assert(!waiting);
}

static bool is_full(const struct exchange *exchange)
{
    const struct api *api = exchange->api;
    const struct settings *settings = api->actor->settings;
    return runners_waiting(api->runners) >= (size_t)settings_int(settings, SETTING_JOBS_WAITS) ||
           runners_waiting_of(api->runners, &exchange->who.tenant) >=
               (size_t)settings_int(settings, SETTING_JOBS_WAITS_PER_TENANT);
}

static void wait_for_jobs(struct exchange *exchange, const struct wish *wish)
{
    struct message_job_want want = {
        .worker = command_span(wish->worker.data, wish->worker.length),
        .max = (uint64_t)wish->max,
        .lease_ms = (uint64_t)wish->lease_ms,
        .delivery_ms = (uint64_t)wish->delivery_ms,
        .wait_ms = (uint64_t)wish->wait_ms,
        .queues = {(const uint8_t *)wish->queues.data, wish->queues.size, wish->queue_count},
        .types = {(const uint8_t *)wish->types.data, wish->types.size, wish->type_count},
    };
    memcpy(want.tenant, exchange->who.tenant.bytes, sizeof want.tenant);
    http_request_needs_client(exchange->request);
    exchange_hold(exchange);
    exchange->abandoned = abandoned;
    exchange->claim.call = runners_want(exchange->api->runners, &want, given_jobs, exchange);
}

void jobs_claim(struct exchange *exchange)
{
    struct wish wish;
    wish_init(&wish);
    if (read_wish(exchange, &wish) == 0) {
        if (is_full(exchange)) {
            exchange_problem(exchange, PROBLEM_BUSY, "Too many workers wait for jobs. Try again.",
                             NULL);
        } else {
            wait_for_jobs(exchange, &wish);
        }
    }
    wish_deinit(&wish);
}
