/*
 * POST /runs. Creating a run is a command to the sequencer, which writes RUN_STARTED as seq 1, or
 * leaves the run pending. The answer is read from the table and shows the run as it was created.
 */
#include "runtime/body.h"
#include "api/command.h"
#include "api/request.h"
#include "api/runs.h"
#include "api/runs_view.h"
#include "api/time_text.h"
#include "proto/outcome.h"
#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/commands.h"

#include <string.h>

enum {
    TEXT_CHARACTERS_MAX = 255,
    LIMIT_MAX = 1000000,
    LIVENESS_MIN_MS = 100,
};
#define DAY_MS 86400000LL
#define DELAY_MAX_MS (366 * DAY_MS)
#define LIVENESS_MAX_MS (31 * DAY_MS)

struct creation {
    struct uuid id;
    struct uuid thread;
    struct uuid parent;
    struct json_span metadata;
    struct json_span created_by; /* as the texts below: with its quotes; absent: not said */
    struct json_span deliverable;
    struct json_span concurrency_key;
    int64_t concurrency_limit;
    int64_t start_us; /* 0: at once */
    int64_t delay_ms; /* -1: not given */
    enum multitask_strategy strategy;
    int64_t liveness_ms;
};

/* ---- members ---- */

static int wrong(struct exchange *exchange, const char *pointer, const char *detail)
{
    exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD, detail,
                     &(struct problem_extra){.pointer = pointer});
    return -1;
}

static int take_uuid(struct exchange *exchange, struct json_span value, const char *pointer,
                     struct uuid *uuid_out)
{
    if (body_is_null(value)) {
        return 0;
    }
    if (body_uuid(value, uuid_out) != 0 || uuid_is_nil(uuid_out)) {
        return wrong(exchange, pointer, "This must be a lower-case UUID or null.");
    }
    return 0;
}

static int take_text(struct exchange *exchange, struct json_span value, const char *pointer,
                     struct json_span *text_out)
{
    if (body_is_null(value)) {
        return 0;
    }
    size_t length = body_is_string(value) ? body_string_length(value) : 0;
    if (length < 1 || length > TEXT_CHARACTERS_MAX) {
        return wrong(exchange, pointer, "This must be a text of 1 to 255 characters, or null.");
    }
    *text_out = value;
    return 0;
}

static int take_number(struct exchange *exchange, struct json_span value, const char *pointer,
                       int64_t least, int64_t most, int64_t *number_out)
{
    if (body_number(value, number_out) != 0 || *number_out < least || *number_out > most) {
        struct buffer detail = {0};
        buffer_printf(&detail, "This must be a whole number from %lld to %lld.", (long long)least,
                      (long long)most);
        (void)wrong(exchange, pointer, buffer_text(&detail));
        buffer_deinit(&detail);
        return -1;
    }
    return 0;
}

static int take_start(struct exchange *exchange, struct json_span value, int64_t *start_us_out)
{
    if (body_is_null(value)) {
        return 0;
    }
    struct json_span text = body_is_string(value) ? body_text(value) : (struct json_span){"", 0};
    if (time_text_parse(text.data, text.length, start_us_out) != 0) {
        return wrong(exchange, "/start_at",
                     "start_at must be a time such as 2026-11-20T09:22:00Z (RFC 3339) or null.");
    }
    return 0;
}

static int take_strategy(struct exchange *exchange, struct json_span value,
                         enum multitask_strategy *strategy_out)
{
    static const char *const names[] = {
        [MULTITASK_REJECT] = "\"reject\"",
        [MULTITASK_ENQUEUE] = "\"enqueue\"",
        [MULTITASK_INTERRUPT] = "\"interrupt\"",
        [MULTITASK_ROLLBACK] = "\"rollback\"",
    };
    if (body_is_null(value)) {
        return 0;
    }
    for (unsigned i = MULTITASK_REJECT; i <= MULTITASK_ROLLBACK; i++) {
        if (body_is(value, names[i])) {
            *strategy_out = (enum multitask_strategy)i;
            return 0;
        }
    }
    return wrong(exchange, "/multitask_strategy",
                 "multitask_strategy must be reject, enqueue, interrupt, rollback or null.");
}

static int take_concurrency(struct exchange *exchange, struct json_span object,
                            struct creation *creation)
{
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    if (body_is_null(object)) {
        return 0;
    }
    if (!body_is_object(object)) {
        return wrong(exchange, "/concurrency", "concurrency must be an object or null.");
    }
    while (json_pair(object, &cursor, &name, &value)) {
        int failed = 0;
        if (body_is(name, "key")) {
            failed = take_text(exchange, value, "/concurrency/key", &creation->concurrency_key);
        } else if (body_is(name, "limit")) {
            failed = take_number(exchange, value, "/concurrency/limit", 1, LIMIT_MAX,
                                 &creation->concurrency_limit);
        } else {
            request_unknown_field(exchange, "/concurrency", name);
            failed = -1;
        }
        if (failed != 0) {
            return -1;
        }
    }
    if (creation->concurrency_key.data == NULL) {
        return wrong(exchange, "/concurrency/key", "concurrency needs a key.");
    }
    if (creation->concurrency_limit == 0) {
        return wrong(exchange, "/concurrency/limit", "concurrency needs a limit.");
    }
    return 0;
}

static int take_member(struct exchange *exchange, struct json_span name, struct json_span value,
                       struct creation *creation)
{
    if (body_is(name, "id")) {
        if (body_uuid(value, &creation->id) != 0 || uuid_is_nil(&creation->id)) {
            return wrong(exchange, "/id", "id must be a lower-case UUID.");
        }
        return 0;
    }
    if (body_is(name, "metadata")) {
        creation->metadata = value;
        return body_is_object(value) ? 0
                                     : wrong(exchange, "/metadata", "metadata must be an object.");
    }
    if (body_is(name, "thread_id")) {
        return take_uuid(exchange, value, "/thread_id", &creation->thread);
    }
    if (body_is(name, "parent_run_id")) {
        return take_uuid(exchange, value, "/parent_run_id", &creation->parent);
    }
    if (body_is(name, "created_by")) {
        return take_text(exchange, value, "/created_by", &creation->created_by);
    }
    if (body_is(name, "deliverable_type")) {
        return take_text(exchange, value, "/deliverable_type", &creation->deliverable);
    }
    if (body_is(name, "start_at")) {
        return take_start(exchange, value, &creation->start_us);
    }
    if (body_is(name, "delay_ms")) {
        return body_is_null(value) ? 0
                                   : take_number(exchange, value, "/delay_ms", 0, DELAY_MAX_MS,
                                                 &creation->delay_ms);
    }
    if (body_is(name, "multitask_strategy")) {
        return take_strategy(exchange, value, &creation->strategy);
    }
    if (body_is(name, "concurrency")) {
        return take_concurrency(exchange, value, creation);
    }
    if (body_is(name, "liveness_timeout_ms")) {
        return body_is_null(value)
                   ? 0
                   : take_number(exchange, value, "/liveness_timeout_ms", LIVENESS_MIN_MS,
                                 LIVENESS_MAX_MS, &creation->liveness_ms);
    }
    request_unknown_field(exchange, "", name);
    return -1;
}

/* What the members say together. */
static int conclude(struct exchange *exchange, struct creation *creation)
{
    if (creation->delay_ms >= 0 && creation->start_us > 0) {
        return wrong(exchange, "/delay_ms", "start_at and delay_ms say the same: give one.");
    }
    if (creation->strategy != MULTITASK_NONE && uuid_is_nil(&creation->thread)) {
        return wrong(exchange, "/multitask_strategy",
                     "A strategy is about the runs of a thread: give a thread_id too.");
    }
    int64_t now_us = clock_real_us();
    if (creation->delay_ms > 0) {
        creation->start_us = now_us + creation->delay_ms * 1000;
    } else if (creation->start_us <= now_us) {
        creation->start_us = 0; /* a time that has passed is "at once" */
    }
    if (uuid_is_nil(&creation->id)) {
        creation->id = uuid_new();
    }
    return 0;
}

static int read_creation(struct exchange *exchange, struct json_span object,
                         struct creation *creation)
{
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    while (json_pair(object, &cursor, &name, &value)) {
        if (take_member(exchange, name, value, creation) != 0) {
            return -1;
        }
    }
    return conclude(exchange, creation);
}

/* ---- the answer ---- */

static void show_created(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct store_run run;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK || db_rows(result) == 0) {
        command_unknown(exchange);
        return;
    }
    store_read_run(result, 0, &run);
    if (exchange->run.created) {
        runs_view_as_created(&run);
    }
    struct buffer *body = &exchange->api->text;
    buffer_clear(body);
    runs_view_write(body, &run);
    exchange_json(exchange, exchange->run.created ? 201 : 200, body);
}

static void created(void *arg, enum command_state state, const struct message_result *result)
{
    struct exchange *exchange = arg;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (state == COMMAND_UNKNOWN) {
        command_unknown(exchange);
        return;
    }
    if (result->outcome != OUTCOME_OK && result->outcome != OUTCOME_EXISTS) {
        command_refused(exchange, result);
        return;
    }
    SB_FAULT("api_run_created");
    memcpy(exchange->id.bytes, result->run, sizeof exchange->id.bytes);
    exchange->run.created = result->outcome == OUTCOME_OK;
    exchange_hold(exchange);
    store_get_run(exchange->api->store, &exchange->who.tenant, &exchange->id, show_created,
                  exchange);
}

/* ---- the command ---- */

static void text_member(struct buffer *out, const char *name, struct json_span text)
{
    if (text.data != NULL) {
        buffer_printf(out, ",\"%s\":", name);
        buffer_append(out, text.data, text.length);
    }
}

static void id_member(struct buffer *out, const char *name, const struct uuid *id)
{
    char text[UUID_TEXT_SIZE];
    if (!uuid_is_nil(id)) {
        uuid_format(id, text);
        buffer_printf(out, ",\"%s\":\"%s\"", name, text);
    }
}

/* Payload of RUN_STARTED. */
static void write_started(struct buffer *out, const struct creation *creation)
{
    buffer_clear(out);
    buffer_append_text(out, "{\"metadata\":");
    buffer_append(out, creation->metadata.data, creation->metadata.length);
    id_member(out, "thread_id", &creation->thread);
    id_member(out, "parent_run_id", &creation->parent);
    text_member(out, "created_by", creation->created_by);
    text_member(out, "deliverable_type", creation->deliverable);
    buffer_append_byte(out, '}');
}

/* Three texts of a request without their escapes, one behind the other. */
struct texts {
    struct buffer bytes;
    size_t ends[3];
};

static void decode_texts(const struct creation *creation, struct texts *texts)
{
    const struct json_span spans[] = {creation->created_by, creation->deliverable,
                                      creation->concurrency_key};
    for (unsigned i = 0; i < 3; i++) {
        if (spans[i].data != NULL) {
            body_string(&texts->bytes, spans[i]);
        }
        texts->ends[i] = texts->bytes.length;
    }
}

static struct message_span text_of(const struct texts *texts, unsigned i)
{
    size_t begin = i == 0 ? 0 : texts->ends[i - 1];
    return command_span(texts->bytes.data == NULL ? NULL : texts->bytes.data + begin,
                        texts->ends[i] - begin);
}

static void send_creation(struct exchange *exchange, const struct creation *creation,
                          const struct request_key *key)
{
    struct api *api = exchange->api;
    struct texts texts = {0};
    char actor[COMMAND_ACTOR_SIZE];
    decode_texts(creation, &texts);
    struct message_create_run message = {
        .metadata = command_span(creation->metadata.data, creation->metadata.length),
        .created_by =
            creation->created_by.data == NULL ? command_actor(exchange, actor) : text_of(&texts, 0),
        .deliverable = text_of(&texts, 1),
        .start_at = creation->start_us,
        .strategy = creation->strategy,
        .concurrency_key = text_of(&texts, 2),
        .concurrency_limit = (uint64_t)creation->concurrency_limit,
        .liveness_ms = (uint64_t)creation->liveness_ms,
        .key = command_span(key->key.data, key->key.length),
        .hash = command_span(key->hash, key->key.length > 0 ? sizeof key->hash : 0),
        .started = command_span(api->text.data, api->text.length),
    };
    command_trace(exchange, message.trace, &message.span, &message.trace_flags);
    memcpy(message.tenant, exchange->who.tenant.bytes, sizeof message.tenant);
    memcpy(message.run, creation->id.bytes, sizeof message.run);
    memcpy(message.thread, creation->thread.bytes, sizeof message.thread);
    memcpy(message.parent, creation->parent.bytes, sizeof message.parent);
    exchange_hold(exchange);
    if (commands_create_run(api->commands, &message, created, exchange) != 0 &&
        exchange_resume(exchange)) {
        command_busy(exchange);
    }
    buffer_deinit(&texts.bytes);
}

void runs_create(struct exchange *exchange)
{
    static const char empty_object[] = "{}";
    struct api *api = exchange->api;
    struct creation creation = {.metadata = {empty_object, sizeof empty_object - 1},
                                .delay_ms = -1};
    struct request_key key;
    struct json_span object;
    if (request_idempotency(exchange, &key) != 0 || request_body(exchange, true, &object) != 0 ||
        read_creation(exchange, object, &creation) != 0) {
        return;
    }
    write_started(&api->text, &creation);
    if (api->text.length > (size_t)settings_int(api->actor->settings, SETTING_HTTP_EVENT_BYTES)) {
        exchange_problem(exchange, PROBLEM_TOO_LARGE, "metadata is larger than one event may be.",
                         &(struct problem_extra){.pointer = "/metadata"});
        return;
    }
    exchange->id = creation.id;
    send_creation(exchange, &creation, &key);
}
