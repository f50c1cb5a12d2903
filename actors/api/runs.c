/*
 * Runs as a resource. Creating one is a command to the sequencer, which writes RUN_STARTED as seq
 * 1; what is shown of a run is read from the table, which a read after the acknowledgement always
 * includes.
 */
#include "api/runs.h"

#include "api/body.h"
#include "api/command.h"
#include "api/cursor.h"
#include "api/request.h"
#include "api/store.h"
#include "proto/outcome.h"
#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/commands.h"

#include <string.h>

/* ---- how a run looks ---- */

static void id_member(struct buffer *out, const char *name, const struct uuid *id)
{
    char text[UUID_TEXT_SIZE];
    if (uuid_is_nil(id)) {
        buffer_printf(out, "\"%s\":null,", name);
        return;
    }
    uuid_format(id, text);
    buffer_printf(out, "\"%s\":\"%s\",", name, text);
}

static void time_member(struct buffer *out, const char *name, int64_t real_us)
{
    char text[CLOCK_TEXT_SIZE];
    if (real_us == 0) {
        buffer_printf(out, "\"%s\":null", name);
        return;
    }
    clock_format(real_us, text);
    buffer_printf(out, "\"%s\":\"%s\"", name, text);
}

static void write_run(struct buffer *out, const struct store_run *run)
{
    buffer_append_byte(out, '{');
    id_member(out, "id", &run->id);
    buffer_printf(out, "\"status\":\"%.*s\",", (int)run->status_length, run->status);
    id_member(out, "thread_id", &run->thread);
    id_member(out, "parent_run_id", &run->parent);
    buffer_append_text(out, "\"metadata\":");
    buffer_append(out, run->metadata, run->metadata_length);
    buffer_append_text(out, ",\"last_seq\":");
    buffer_append_int(out, run->last_seq);
    buffer_append_byte(out, ',');
    time_member(out, "created_at", run->created_us);
    buffer_append_byte(out, ',');
    time_member(out, "started_at", run->started_us);
    buffer_append_byte(out, ',');
    time_member(out, "completed_at", run->completed_us);
    buffer_append_byte(out, '}');
}

/* ---- POST /runs ---- */

struct creation {
    struct uuid id;
    struct uuid thread;
    struct json_span metadata;
};

static int wrong_member(struct exchange *exchange, const char *pointer, const char *detail)
{
    exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD, detail,
                     &(struct problem_extra){.pointer = pointer});
    return -1;
}

static int read_creation(struct exchange *exchange, struct json_span object,
                         struct creation *creation)
{
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    while (json_pair(object, &cursor, &name, &value)) {
        if (body_is(name, "id")) {
            if (body_uuid(value, &creation->id) != 0 || uuid_is_nil(&creation->id)) {
                return wrong_member(exchange, "/id", "id must be a lower-case UUID.");
            }
        } else if (body_is(name, "thread_id")) {
            if (!body_is_null(value) &&
                (body_uuid(value, &creation->thread) != 0 || uuid_is_nil(&creation->thread))) {
                return wrong_member(exchange, "/thread_id",
                                    "thread_id must be a lower-case UUID or null.");
            }
        } else if (body_is(name, "metadata")) {
            if (!body_is_object(value)) {
                return wrong_member(exchange, "/metadata", "metadata must be an object.");
            }
            creation->metadata = value;
        } else {
            request_unknown_field(exchange, "", name);
            return -1;
        }
    }
    return 0;
}

/* Payload of RUN_STARTED. */
static void write_started(struct buffer *out, const struct creation *creation)
{
    char thread[UUID_TEXT_SIZE];
    buffer_append_text(out, "{\"metadata\":");
    buffer_append(out, creation->metadata.data, creation->metadata.length);
    if (!uuid_is_nil(&creation->thread)) {
        uuid_format(&creation->thread, thread);
        buffer_printf(out, ",\"thread_id\":\"%s\"", thread);
    }
    buffer_append_byte(out, '}');
}

static void show_run(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct store_run run;
    if (!exchange_resume(exchange)) {
        return;
    }
    bool created = exchange->run.created;
    if (status != DB_OK && created) {
        command_unknown(exchange);
        return;
    }
    if (status != DB_OK) {
        exchange_unavailable(exchange);
        return;
    }
    if (db_rows(result) == 0) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such run.", NULL);
        return;
    }
    store_read_run(result, 0, &run);
    if (created) {
        /* The same answer however often it is asked for again, and whatever became of the run. */
        run.status = "running";
        run.status_length = strlen(run.status);
        run.last_seq = 1;
        run.completed_us = 0;
    }
    struct buffer *body = &exchange->api->text;
    buffer_clear(body);
    write_run(body, &run);
    exchange_json(exchange, created ? 201 : 200, body);
}

static void read_run(struct exchange *exchange)
{
    exchange_hold(exchange);
    store_get_run(exchange->api->store, &exchange->who.tenant, &exchange->id, show_run, exchange);
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
    read_run(exchange);
}

static void send_creation(struct exchange *exchange, const struct creation *creation,
                          const struct request_key *key)
{
    struct api *api = exchange->api;
    char actor[COMMAND_ACTOR_SIZE];
    struct message_create_run message = {
        .metadata = command_span(creation->metadata.data, creation->metadata.length),
        .created_by = command_actor(exchange, actor),
        .key = command_span(key->key.data, key->key.length),
        .hash = command_span(key->hash, key->key.length > 0 ? sizeof key->hash : 0),
        .started = command_span(api->text.data, api->text.length),
        .span = exchange->trace.span,
    };
    memcpy(message.tenant, exchange->who.tenant.bytes, sizeof message.tenant);
    memcpy(message.run, creation->id.bytes, sizeof message.run);
    memcpy(message.thread, creation->thread.bytes, sizeof message.thread);
    memcpy(message.trace, exchange->trace.id, sizeof message.trace);
    exchange_hold(exchange);
    if (commands_create_run(api->commands, &message, created, exchange) != 0 &&
        exchange_resume(exchange)) {
        command_busy(exchange);
    }
}

void runs_create(struct exchange *exchange)
{
    static const char empty_object[] = "{}";
    struct api *api = exchange->api;
    struct creation creation = {.metadata = {empty_object, sizeof empty_object - 1}};
    struct request_key key;
    struct json_span object;
    if (request_idempotency(exchange, &key) != 0 || request_body(exchange, true, &object) != 0 ||
        read_creation(exchange, object, &creation) != 0) {
        return;
    }
    if (uuid_is_nil(&creation.id)) {
        creation.id = uuid_new();
    }
    buffer_clear(&api->text);
    write_started(&api->text, &creation);
    if (api->text.length > (size_t)settings_int(api->actor->settings, SETTING_HTTP_EVENT_BYTES)) {
        exchange_problem(exchange, PROBLEM_TOO_LARGE, "metadata is larger than one event may be.",
                         &(struct problem_extra){.pointer = "/metadata"});
        return;
    }
    exchange->id = creation.id;
    send_creation(exchange, &creation, &key);
}

/* ---- GET /runs/{id} ---- */

void runs_get(struct exchange *exchange)
{
    read_run(exchange);
}

/* ---- GET /runs ---- */

static bool is_status(const char *text)
{
    static const char *const all[] = {"pending",  "running", "interrupted", "cancelling",
                                      "finished", "failed",  "cancelled"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (strcmp(all[i], text) == 0) {
            return true;
        }
    }
    return false;
}

/* A cursor is good for one tenant, this list and its filters. */
static void write_scope(struct exchange *exchange, const struct store_runs_filter *filter)
{
    uint8_t *at = exchange->list.scope;
    size_t status_length = filter->status == NULL ? 0 : strlen(filter->status);
    memcpy(at, "runs", 4);
    memcpy(at + 4, filter->tenant.bytes, 16);
    memcpy(at + 20, filter->thread.bytes, 16);
    if (status_length > 0) {
        memcpy(at + 36, filter->status, status_length);
    }
    exchange->list.scope_length = 36 + status_length;
}

static void show_list(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct api *api = exchange->api;
    struct store_run run = {0};
    char cursor[CURSOR_TEXT_SIZE];
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        exchange_unavailable(exchange);
        return;
    }
    /* One row more than asked for was read: it says whether there is a next page. A page cut short
     * by its size always has one, perhaps an empty one. */
    int rows = db_rows(result);
    int shown = rows > exchange->list.limit ? exchange->list.limit : rows;
    buffer_clear(&api->text);
    buffer_append_text(&api->text, "{\"runs\":[");
    for (int row = 0; row < shown; row++) {
        store_read_run(result, row, &run);
        if (row > 0) {
            buffer_append_byte(&api->text, ',');
        }
        write_run(&api->text, &run);
    }
    if (rows > shown || (shown > 0 && api->text.length > STORE_PAGE_BYTES)) {
        cursor_encode(api->cursor_key, &(struct cursor){run.created_us, run.id},
                      exchange->list.scope, exchange->list.scope_length, cursor);
        buffer_printf(&api->text, "],\"next_cursor\":\"%s\"}", cursor);
    } else {
        buffer_append_text(&api->text, "],\"next_cursor\":null}");
    }
    exchange_json(exchange, 200, &api->text);
}

enum { LIST_LIMIT, LIST_CURSOR, LIST_STATUS, LIST_THREAD, LIST_PARAMETERS };

static int read_filter(struct exchange *exchange, const struct request_parameter *parameters,
                       struct store_runs_filter *filter)
{
    const struct request_parameter *status = &parameters[LIST_STATUS];
    const struct request_parameter *thread = &parameters[LIST_THREAD];
    if (request_limit(exchange, &parameters[LIST_LIMIT], &exchange->list.limit) != 0) {
        return -1;
    }
    if (status->given && !is_status(status->value)) {
        exchange_problem(exchange, PROBLEM_INVALID_PARAMETER,
                         "The parameter status is not one that a run can have.", NULL);
        return -1;
    }
    if (thread->given && uuid_parse(thread->value, thread->length, &filter->thread) != 0) {
        exchange_problem(exchange, PROBLEM_INVALID_PARAMETER,
                         "The parameter thread_id must be a lower-case UUID.", NULL);
        return -1;
    }
    filter->status = status->given ? status->value : NULL;
    filter->limit = exchange->list.limit + 1;
    return 0;
}

void runs_list(struct exchange *exchange)
{
    struct api *api = exchange->api;
    struct request_parameter parameters[LIST_PARAMETERS] = {[LIST_LIMIT] = {.name = "limit"},
                                                            [LIST_CURSOR] = {.name = "cursor"},
                                                            [LIST_STATUS] = {.name = "status"},
                                                            [LIST_THREAD] = {.name = "thread_id"}};
    /* The end of the year 9999, and the greatest id: before everything. */
    struct store_runs_filter filter = {.tenant = exchange->who.tenant,
                                       .before_us = 253402300799999999};
    memset(filter.before_id.bytes, 0xff, sizeof filter.before_id.bytes);
    if (request_parameters(exchange, parameters, LIST_PARAMETERS) != 0 ||
        read_filter(exchange, parameters, &filter) != 0) {
        return;
    }
    write_scope(exchange, &filter);
    if (parameters[LIST_CURSOR].given) {
        struct cursor cursor;
        if (cursor_decode(api->cursor_key, parameters[LIST_CURSOR].value,
                          parameters[LIST_CURSOR].length, exchange->list.scope,
                          exchange->list.scope_length, &cursor) != 0) {
            exchange_problem(exchange, PROBLEM_INVALID_CURSOR,
                             "The cursor was not given out for this list.", NULL);
            return;
        }
        filter.before_us = cursor.time_us;
        filter.before_id = cursor.id;
    }
    exchange_hold(exchange);
    store_list_runs(api->store, &filter, show_list, exchange);
}
