/*
 * POST /runs/{id}/cancel, /resume, /fork, /heartbeat: each is one command to the sequencer, which
 * decides by the run's status. Asking again is answered as the first time: a cancelled run is
 * cancelled, the same response to the same question has been given.
 */
#include "runtime/body.h"
#include "api/command.h"
#include "api/request.h"
#include "api/runs.h"
#include "api/store_runs.h"
#include "proto/outcome.h"
#include "runtime/base/fault.h"
#include "runtime/commands.h"
#include "runtime/run_status.h"

#include <string.h>

/* ---- what they have in common ---- */

static int wrong(struct exchange *exchange, const char *pointer, const char *detail)
{
    exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD, detail,
                     &(struct problem_extra){.pointer = pointer});
    return -1;
}

/* A command has come back. True when it was carried out and the client still waits. */
static bool is_done(struct exchange *exchange, enum command_state state,
                    const struct message_result *result)
{
    if (!exchange_resume(exchange)) {
        return false;
    }
    if (state == COMMAND_UNKNOWN) {
        command_unknown(exchange);
        return false;
    }
    if (result->outcome == OUTCOME_OK) {
        SB_FAULT("api_before_answer");
        return true;
    }
    command_refused(exchange, result);
    return false;
}

static void answer_status(void *arg, enum command_state state, const struct message_result *result)
{
    struct exchange *exchange = arg;
    char id[UUID_TEXT_SIZE];
    if (!is_done(exchange, state, result)) {
        return;
    }
    struct buffer *body = &exchange->api->text;
    uuid_format(&exchange->id, id);
    buffer_clear(body);
    buffer_printf(body, "{\"id\":\"%s\",\"status\":\"%s\"}", id, run_status_name(result->status));
    exchange_json(exchange, 202, body);
}

/* After a hold: `sent` is what the command's function returned. */
static void expect(struct exchange *exchange, int sent)
{
    SB_FAULT("api_after_command");
    if (sent != 0 && exchange_resume(exchange)) {
        command_busy(exchange);
    }
}

static int refuse(struct exchange *exchange)
{
    exchange_refuse(exchange, &exchange->api->submission.refusal);
    return -1;
}

/* ---- cancel ---- */

static int read_cancel(struct exchange *exchange, struct submission_cancel *cancel)
{
    struct submission *submission = &exchange->api->submission;
    struct json_span object;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    if (request_body(exchange, true, &object) != 0) {
        return -1;
    }
    while (json_pair(object, &cursor, &name, &value)) {
        enum submission_taken taken = submission_cancel_member(submission, cancel, name, value);
        if (taken == SUBMISSION_NOT_MINE) {
            request_unknown_field(exchange, "", name);
            return -1;
        }
        if (taken == SUBMISSION_REFUSED) {
            return refuse(exchange);
        }
    }
    return 0;
}

void runs_cancel(struct exchange *exchange)
{
    struct api *api = exchange->api;
    struct submission_cancel cancel = {0};
    char actor[COMMAND_ACTOR_SIZE];
    if (read_cancel(exchange, &cancel) != 0) {
        return;
    }
    submission_cancel_payload(&cancel, exchange->who.actor, &api->text);
    struct message_cancel_run message = {
        .actor = command_actor(exchange, actor),
        .payload = command_span(api->text.data, api->text.length),
    };
    memcpy(message.tenant, exchange->who.tenant.bytes, sizeof message.tenant);
    memcpy(message.run, exchange->id.bytes, sizeof message.run);
    command_trace(exchange, message.trace, &message.span, &message.trace_flags);
    SB_FAULT("api_before_command");
    exchange_hold(exchange);
    expect(exchange, commands_cancel_run(api->commands, &message, answer_status, exchange));
}

/* ---- resume ---- */

static int read_resume(struct exchange *exchange, struct submission_resume *resume)
{
    struct submission *submission = &exchange->api->submission;
    struct json_span object;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    if (request_body(exchange, true, &object) != 0) {
        return -1;
    }
    while (json_pair(object, &cursor, &name, &value)) {
        enum submission_taken taken = submission_resume_member(submission, resume, name, value);
        if (taken == SUBMISSION_NOT_MINE) {
            request_unknown_field(exchange, "", name);
            return -1;
        }
        if (taken == SUBMISSION_REFUSED) {
            return refuse(exchange);
        }
    }
    return 0;
}

static void resumed(void *arg, enum command_state state, const struct message_result *result)
{
    struct exchange *exchange = arg;
    if (state != COMMAND_DONE || result->outcome != OUTCOME_KEY_MISMATCH) {
        answer_status(arg, state, result);
    } else if (exchange_resume(exchange)) {
        submission_resume_refused(&exchange->api->submission, result);
        (void)refuse(exchange);
    }
}

void runs_resume(struct exchange *exchange)
{
    struct api *api = exchange->api;
    struct submission_resume resume = {0};
    struct buffer clarification = {0};
    uint8_t hash[REQUEST_KEY_HASH_BYTES];
    char actor[COMMAND_ACTOR_SIZE];
    if (read_resume(exchange, &resume) != 0) {
        return;
    }
    if (submission_resume_payload(&api->submission, &resume, exchange->who.actor, &api->text,
                                  hash) != 0) {
        (void)refuse(exchange);
        return;
    }
    if (resume.clarification.data != NULL) {
        body_string(&clarification, resume.clarification);
    }
    struct message_resume_run message = {
        .actor = command_actor(exchange, actor),
        .clarification = command_span(clarification.data, clarification.length),
        .hash = command_span(hash, sizeof hash),
        .payload = command_span(api->text.data, api->text.length),
    };
    memcpy(message.tenant, exchange->who.tenant.bytes, sizeof message.tenant);
    memcpy(message.run, exchange->id.bytes, sizeof message.run);
    command_trace(exchange, message.trace, &message.span, &message.trace_flags);
    SB_FAULT("api_before_command");
    exchange_hold(exchange);
    expect(exchange, commands_resume_run(api->commands, &message, resumed, exchange));
    buffer_deinit(&clarification);
}

/* ---- fork ---- */

static int read_fork(struct exchange *exchange, struct uuid *id_out)
{
    struct json_span object;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    exchange->fork.seq = 0;
    if (request_body(exchange, false, &object) != 0) {
        return -1;
    }
    while (json_pair(object, &cursor, &name, &value)) {
        if (body_is(name, "seq")) {
            if (body_number(value, &exchange->fork.seq) != 0 || exchange->fork.seq < 1) {
                return wrong(exchange, "/seq", "seq must be a whole number from 1 up.");
            }
        } else if (body_is(name, "id")) {
            if (body_uuid(value, id_out) != 0 || uuid_is_nil(id_out)) {
                return wrong(exchange, "/id", "id must be a lower-case UUID.");
            }
        } else {
            request_unknown_field(exchange, "", name);
            return -1;
        }
    }
    return exchange->fork.seq == 0 ? wrong(exchange, "/seq", "A fork needs a seq.") : 0;
}

static void answer_fork(struct exchange *exchange, int status)
{
    struct buffer *body = &exchange->api->text;
    char id[UUID_TEXT_SIZE];
    char source[UUID_TEXT_SIZE];
    uuid_format(&exchange->id, id);
    uuid_format(&exchange->fork.source, source);
    buffer_clear(body);
    buffer_printf(body, "{\"id\":\"%s\",\"parent_run_id\":\"%s\",\"last_seq\":%lld}", id, source,
                  (long long)exchange->fork.seq);
    exchange_json(exchange, status, body);
}

/* A run of this id is there: it may be this very fork. */
static void compare_fork(void *arg, enum db_status status, const struct db_result *result)
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
    if (uuid_equal(&run.parent, &exchange->fork.source) && run.fork_seq == exchange->fork.seq) {
        answer_fork(exchange, 200);
        return;
    }
    exchange_problem(exchange, PROBLEM_RUN_ID_TAKEN, "A run with this id cannot be created.", NULL);
}

static void forked(void *arg, enum command_state state, const struct message_result *result)
{
    struct exchange *exchange = arg;
    bool exists = state == COMMAND_DONE && result->outcome == OUTCOME_EXISTS;
    if (!exists && !is_done(exchange, state, result)) {
        return;
    }
    if (exists && !exchange_resume(exchange)) {
        return;
    }
    memcpy(exchange->id.bytes, result->run, sizeof exchange->id.bytes);
    if (!exists) {
        answer_fork(exchange, 201);
        return;
    }
    exchange_hold(exchange);
    store_get_run(exchange->api->store, &exchange->who.tenant, &exchange->id, compare_fork,
                  exchange);
}

void runs_fork(struct exchange *exchange)
{
    struct api *api = exchange->api;
    struct request_key key;
    struct uuid id = {0};
    char actor[COMMAND_ACTOR_SIZE];
    if (request_idempotency(exchange, &key) != 0 || read_fork(exchange, &id) != 0) {
        return;
    }
    if (uuid_is_nil(&id)) {
        id = uuid_new();
    }
    exchange->fork.source = exchange->id;
    struct message_fork_run message = {
        .seq = (uint64_t)exchange->fork.seq,
        .created_by = command_actor(exchange, actor),
        .key = command_span(key.key.data, key.key.length),
        .hash = command_span(key.hash, key.key.length > 0 ? sizeof key.hash : 0),
    };
    memcpy(message.tenant, exchange->who.tenant.bytes, sizeof message.tenant);
    memcpy(message.run, id.bytes, sizeof message.run);
    memcpy(message.source, exchange->id.bytes, sizeof message.source);
    SB_FAULT("api_before_command");
    exchange_hold(exchange);
    expect(exchange, commands_fork_run(api->commands, &message, forked, exchange));
}

/* ---- heartbeat ---- */

static void touched(void *arg, enum command_state state, const struct message_result *result)
{
    struct exchange *exchange = arg;
    if (!is_done(exchange, state, result)) {
        return;
    }
    struct buffer *body = &exchange->api->text;
    buffer_clear(body);
    buffer_printf(body, "{\"cancel_requested\":%s,\"status\":\"%s\"}",
                  result->cancel_requested ? "true" : "false", run_status_name(result->status));
    exchange_json(exchange, 200, body);
}

void runs_heartbeat(struct exchange *exchange)
{
    struct json_span object;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    if (request_body(exchange, true, &object) != 0) {
        return;
    }
    if (json_pair(object, &cursor, &name, &value)) {
        request_unknown_field(exchange, "", name);
        return;
    }
    struct message_touch_run message = {0};
    memcpy(message.tenant, exchange->who.tenant.bytes, sizeof message.tenant);
    memcpy(message.run, exchange->id.bytes, sizeof message.run);
    exchange_hold(exchange);
    expect(exchange, commands_touch_run(exchange->api->commands, &message, touched, exchange));
}
