/* See conversation.h. The exchange is held from the first line to the last: what a client said is
 * written down even when it has gone by then. */
#include "api/conversation.h"

#include "runtime/body.h"
#include "api/command.h"
#include "api/handover.h"
#include "api/request.h"
#include "api/store_conversation.h"
#include "api/stream.h"
#include "proto/outcome.h"
#include "runtime/base/fault.h"
#include "runtime/base/memory.h"
#include "runtime/commands.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWERS_MAX = 64 };

/* What a POST appends has one key a run, whatever it says: the run's first POST decides. A client's
 * own key is printable and never begins so. */
static const char append_key[] = "\4conversation";

struct answer {
    struct buffer clarification; /* a JSON string with its quotes; empty: no question */
    struct buffer response;
};

struct conversation {
    struct exchange *exchange;
    enum stream_format format;
    bool join;
    bool created;      /* the run did not exist before */
    bool part;         /* what is shown ends at the first pause */
    bool ended_too;    /* a run that has ended is streamed as well */
    int64_t after_seq; /* -1: from the beginning, or joined */
    struct msgpack_sbuffer events;
    uint32_t events_count;
    struct answer answers[ANSWERS_MAX];
    size_t answers_count;
    size_t answered;
    struct buffer next_name;       /* the same, of what the client calls the run from now on */
    struct buffer answers_message; /* a JSON string with its quotes; empty: not said */
};

struct conversation *conversation_create(struct exchange *exchange, enum stream_format format)
{
    struct conversation *conversation = memory_new(sizeof *conversation);
    exchange_hold(exchange);
    conversation->exchange = exchange;
    conversation->format = format;
    conversation->after_seq = -1;
    msgpack_sbuffer_init(&conversation->events);
    return conversation;
}

void conversation_destroy(struct conversation **conversation)
{
    struct conversation *gone = *conversation;
    if (gone == NULL) {
        return;
    }
    for (size_t i = 0; i < gone->answers_count; i++) {
        buffer_deinit(&gone->answers[i].clarification);
        buffer_deinit(&gone->answers[i].response);
    }
    buffer_deinit(&gone->next_name);
    buffer_deinit(&gone->answers_message);
    msgpack_sbuffer_destroy(&gone->events);
    bool waiting SB_UNUSED = exchange_resume(gone->exchange);
    free(gone);
    *conversation = NULL;
}

void conversation_join(struct conversation *conversation)
{
    conversation->join = true;
}

void conversation_part(struct conversation *conversation)
{
    conversation->part = true;
}

/* ---- what it says ---- */

int conversation_add(struct conversation *conversation, const char *type,
                     const struct buffer *payload)
{
    struct exchange *exchange = conversation->exchange;
    struct submission *submission = &exchange->api->submission;
    struct buffer event = {0};
    submission_begin(submission);
    buffer_printf(&event, "{\"type\":\"%s\",\"payload\":", type);
    buffer_append(&event, payload->data, payload->length);
    buffer_append_byte(&event, '}');
    int added = submission_add(
        submission, (struct json_span){(const char *)event.data, event.length}, SUBMISSION_ALONE);
    if (added == 0) {
        msgpack_sbuffer_write(&conversation->events, submission->events.data,
                              submission->events.size);
        conversation->events_count++;
    } else {
        exchange_refuse(exchange, &submission->refusal);
    }
    buffer_deinit(&event);
    return added;
}

int conversation_say(struct conversation *conversation, struct json_span message_id,
                     const char *role, struct json_span content)
{
    struct buffer payload = {0};
    buffer_append_text(&payload, "{\"message_id\":");
    buffer_append(&payload, message_id.data, message_id.length);
    buffer_printf(&payload, ",\"role\":\"%s\",\"content\":", role);
    buffer_append(&payload, content.data, content.length);
    buffer_append_byte(&payload, '}');
    int added = conversation_add(conversation, "MESSAGE_COMPLETED", &payload);
    buffer_deinit(&payload);
    return added;
}

void conversation_answer(struct conversation *conversation, struct json_span clarification,
                         struct json_span response)
{
    if (conversation->answers_count == ANSWERS_MAX) {
        return; /* no run asks as much at once */
    }
    struct answer *answer = &conversation->answers[conversation->answers_count++];
    buffer_append(&answer->clarification, clarification.data, clarification.length);
    buffer_append(&answer->response, response.data, response.length);
}

void conversation_answered_in(struct conversation *conversation, struct json_span message_id)
{
    buffer_clear(&conversation->answers_message);
    buffer_append(&conversation->answers_message, message_id.data, message_id.length);
}

void conversation_call_it(struct conversation *conversation, struct json_span client_run_id)
{
    buffer_clear(&conversation->next_name);
    buffer_append(&conversation->next_name, client_run_id.data, client_run_id.length);
}

bool conversation_has_answers(const struct conversation *conversation)
{
    return conversation->answers_count > 0;
}

/* ---- the end of it: the stream ---- */

/* Takes the conversation. The client may have gone. */
static void hand_over(struct conversation *conversation, int64_t head, int64_t stop_after)
{
    struct exchange *exchange = conversation->exchange;
    if (exchange->request != NULL && !stream_answers_head(exchange)) {
        memset(&exchange->stream, 0, sizeof exchange->stream);
        exchange->stream.kind = STREAM_KIND_RUN;
        exchange->stream.format = conversation->format;
        exchange->stream.head = head;
        exchange->stream.stop_after = stop_after;
        exchange->stream.join = conversation->join && conversation->after_seq < 0;
        exchange->stream.after_seq = conversation->after_seq < 0 ? 0 : conversation->after_seq;
        handover_give(exchange->api->handover, exchange);
    }
    conversation_destroy(&conversation);
}

/* A reader of a run that waits is shown the question it waits at, and nothing of earlier ones ends
 * its stream. */
static int64_t stop_after(const struct store_conversation *run)
{
    int64_t seq = run->interrupted ? run->paused_seq - 1 : run->last_seq;
    return seq < 0 ? 0 : seq;
}

static void looked(void *arg, enum db_status status, const struct db_result *result)
{
    struct conversation *conversation = arg;
    struct exchange *exchange = conversation->exchange;
    struct store_conversation run;
    if (exchange->request == NULL) {
        conversation_destroy(&conversation);
        return;
    }
    if (status != DB_OK) {
        exchange_unavailable(exchange);
    } else if (db_rows(result) == 0) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such run.", NULL);
    } else {
        store_read_conversation(result, &run);
        if (!run.closed || conversation->ended_too) {
            hand_over(conversation, run.last_seq,
                      conversation->part ? conversation->after_seq : stop_after(&run));
            return;
        }
        exchange_reply(exchange, 204, NULL, NULL, NULL);
    }
    conversation_destroy(&conversation);
}

static void look(struct conversation *conversation)
{
    struct exchange *exchange = conversation->exchange;
    store_get_conversation(exchange->api->store, &exchange->who.tenant, &exchange->id, looked,
                           conversation);
}

void conversation_show(struct conversation *conversation, const struct uuid *run, int64_t after_seq,
                       bool ended_too)
{
    conversation->exchange->id = *run;
    conversation->after_seq = after_seq;
    conversation->ended_too = ended_too;
    look(conversation);
}

/* ---- commands ---- */

/* Takes the conversation, unless the command was carried out. */
static bool is_refused(struct conversation *conversation, enum command_state state,
                       const struct message_result *result)
{
    struct exchange *exchange = conversation->exchange;
    if (state == COMMAND_DONE &&
        (result->outcome == OUTCOME_OK || result->outcome == OUTCOME_EXISTS)) {
        return false;
    }
    if (exchange->request != NULL && state == COMMAND_UNKNOWN) {
        command_unknown(exchange);
    } else if (exchange->request != NULL) {
        command_refused(exchange, result);
    }
    conversation_destroy(&conversation);
    return true;
}

/* `sent` is what the command's function returned. */
static void expect(struct conversation *conversation, int sent)
{
    SB_FAULT("api_after_command");
    if (sent != 0) {
        if (conversation->exchange->request != NULL) {
            command_busy(conversation->exchange);
        }
        conversation_destroy(&conversation);
    }
}

/* ---- a run starts ---- */

static void appended(void *arg, enum command_state state, const struct message_result *result)
{
    struct conversation *conversation = arg;
    bool ended = state == COMMAND_DONE && !conversation->created &&
                 (result->outcome == OUTCOME_RUN_CLOSED || result->outcome == OUTCOME_RUN_PENDING);
    if (!ended && is_refused(conversation, state, result)) {
        return;
    }
    if (conversation->created) {
        hand_over(conversation, (int64_t)result->last_seq, 0);
    } else {
        look(conversation);
    }
}

static void append(struct conversation *conversation)
{
    static const uint8_t any_body[REQUEST_KEY_HASH_BYTES];
    struct exchange *exchange = conversation->exchange;
    char actor[COMMAND_ACTOR_SIZE];
    struct message_append message = {
        .expected_seq = -1,
        .actor = command_actor(exchange, actor),
        .key = command_span(append_key, sizeof append_key - 1),
        .hash = command_span(any_body, sizeof any_body),
        .events = {.data = (const uint8_t *)conversation->events.data,
                   .length = conversation->events.size,
                   .count = conversation->events_count},
    };
    memcpy(message.tenant, exchange->who.tenant.bytes, sizeof message.tenant);
    memcpy(message.run, exchange->id.bytes, sizeof message.run);
    command_trace(exchange, message.trace, &message.span, &message.trace_flags);
    expect(conversation,
           commands_append(exchange->api->commands, &message, appended, conversation));
}

static void created(void *arg, enum command_state state, const struct message_result *result)
{
    struct conversation *conversation = arg;
    if (is_refused(conversation, state, result)) {
        return;
    }
    SB_FAULT("api_run_created");
    conversation->created = result->outcome == OUTCOME_OK;
    conversation->ended_too = true;
    if (conversation->events_count > 0) {
        append(conversation);
    } else if (conversation->created) {
        hand_over(conversation, (int64_t)result->last_seq, 0);
    } else {
        look(conversation);
    }
}

void conversation_repeat(struct conversation *conversation, const struct uuid *run)
{
    conversation->exchange->id = *run;
    conversation->ended_too = true;
    append(conversation);
}

/* Payload of RUN_STARTED. */
static void write_started(struct buffer *out, const struct conversation_run *run)
{
    char thread[UUID_TEXT_SIZE];
    buffer_append_text(out, "{\"metadata\":");
    buffer_append(out, run->metadata.data, run->metadata.length);
    if (!uuid_is_nil(&run->thread)) {
        uuid_format(&run->thread, thread);
        buffer_printf(out, ",\"thread_id\":\"%s\"", thread);
    }
    if (run->created_by.data != NULL) {
        buffer_append_text(out, ",\"created_by\":");
        buffer_append(out, run->created_by.data, run->created_by.length);
    }
    buffer_append_byte(out, '}');
}

static void create(struct conversation *conversation, const struct conversation_run *run,
                   const struct buffer *started)
{
    struct exchange *exchange = conversation->exchange;
    struct buffer created_by = {0};
    char actor[COMMAND_ACTOR_SIZE];
    if (run->created_by.data != NULL) {
        body_string(&created_by, run->created_by);
    }
    struct message_create_run message = {
        .metadata = command_span(run->metadata.data, run->metadata.length),
        .created_by = run->created_by.data == NULL
                          ? command_actor(exchange, actor)
                          : command_span(created_by.data, created_by.length),
        .strategy = run->strategy,
        .started = command_span(started->data, started->length),
    };
    command_trace(exchange, message.trace, &message.span, &message.trace_flags);
    memcpy(message.tenant, exchange->who.tenant.bytes, sizeof message.tenant);
    memcpy(message.run, run->run.bytes, sizeof message.run);
    memcpy(message.thread, run->thread.bytes, sizeof message.thread);
    SB_FAULT("api_before_command");
    expect(conversation,
           commands_create_run(exchange->api->commands, &message, created, conversation));
    buffer_deinit(&created_by);
}

void conversation_start(struct conversation *conversation, const struct conversation_run *run)
{
    struct exchange *exchange = conversation->exchange;
    struct buffer started = {0};
    write_started(&started, run);
    exchange->id = run->run;
    if (started.length >
        (size_t)settings_int(exchange->api->actor->settings, SETTING_HTTP_EVENT_BYTES)) {
        exchange_problem(exchange, PROBLEM_TOO_LARGE,
                         "What is said of the run is larger than one event may be.", NULL);
        conversation_destroy(&conversation);
    } else {
        create(conversation, run, &started);
    }
    buffer_deinit(&started);
}

/* ---- a run goes on ---- */

static void give_answer(struct conversation *conversation);

static void answer_taken(void *arg, enum command_state state, const struct message_result *result)
{
    struct conversation *conversation = arg;
    struct exchange *exchange = conversation->exchange;
    if (state == COMMAND_DONE && result->outcome == OUTCOME_KEY_MISMATCH) {
        if (exchange->request != NULL) {
            exchange_problem(exchange, PROBLEM_CLARIFICATION_MISMATCH,
                             "The question has been answered with another response.", NULL);
        }
        conversation_destroy(&conversation);
        return;
    }
    if (is_refused(conversation, state, result)) {
        return;
    }
    /* Nothing was written: where the answer stands is not known, so everything is shown. */
    if (conversation->answered == 0 && result->first_seq > 0) {
        conversation->after_seq = (int64_t)result->first_seq - 1;
    }
    if (++conversation->answered < conversation->answers_count) {
        give_answer(conversation);
    } else {
        look(conversation);
    }
}

/* Payload of CLARIFICATION_ANSWERED or RUN_RESUMED. */
static void write_answer(const struct conversation *conversation, struct buffer *out,
                         struct message_span by)
{
    const struct answer *answer = &conversation->answers[conversation->answered];
    buffer_append_byte(out, '{');
    if (answer->clarification.length > 0) {
        buffer_append_text(out, "\"clarification_id\":");
        buffer_append(out, answer->clarification.data, answer->clarification.length);
        buffer_append_byte(out, ',');
    }
    buffer_append_text(out, "\"response\":");
    buffer_append(out, answer->response.data, answer->response.length);
    if (conversation->answers_message.length > 0) {
        buffer_append_text(out, ",\"message_id\":");
        buffer_append(out, conversation->answers_message.data,
                      conversation->answers_message.length);
    }
    if (conversation->next_name.length > 0) {
        buffer_append_text(out, ",\"client_run_id\":");
        buffer_append(out, conversation->next_name.data, conversation->next_name.length);
    }
    buffer_append_text(out, ",\"by\":");
    buffer_append_json(out, (const char *)by.data, by.length);
    buffer_append_byte(out, '}');
}

static void send_answer(struct conversation *conversation, const struct buffer *payload)
{
    struct exchange *exchange = conversation->exchange;
    const struct answer *answer = &conversation->answers[conversation->answered];
    const struct json_span name = {(const char *)answer->clarification.data,
                                   answer->clarification.length};
    struct buffer clarification = {0};
    uint8_t hash[REQUEST_KEY_HASH_BYTES];
    char actor[COMMAND_ACTOR_SIZE];
    if (name.length > 0) {
        body_string(&clarification, name);
    }
    (void)crypto_hash_sha256(hash, answer->response.data, answer->response.length);
    struct message_resume_run message = {
        .actor = command_actor(exchange, actor),
        .clarification = command_span(clarification.data, clarification.length),
        .hash = command_span(hash, sizeof hash),
        .payload = command_span(payload->data, payload->length),
    };
    memcpy(message.tenant, exchange->who.tenant.bytes, sizeof message.tenant);
    memcpy(message.run, exchange->id.bytes, sizeof message.run);
    command_trace(exchange, message.trace, &message.span, &message.trace_flags);
    SB_FAULT("api_before_command");
    expect(conversation,
           commands_resume_run(exchange->api->commands, &message, answer_taken, conversation));
    buffer_deinit(&clarification);
}

static void give_answer(struct conversation *conversation)
{
    struct exchange *exchange = conversation->exchange;
    struct buffer payload = {0};
    char actor[COMMAND_ACTOR_SIZE];
    write_answer(conversation, &payload, command_actor(exchange, actor));
    if (payload.length <=
        (size_t)settings_int(exchange->api->actor->settings, SETTING_HTTP_EVENT_BYTES)) {
        send_answer(conversation, &payload);
    } else {
        if (exchange->request != NULL) {
            exchange_problem(exchange, PROBLEM_TOO_LARGE,
                             "The response is larger than one event may be.", NULL);
        }
        conversation_destroy(&conversation);
    }
    buffer_deinit(&payload);
}

void conversation_resume(struct conversation *conversation, const struct uuid *run)
{
    conversation->exchange->id = *run;
    conversation->ended_too = true;
    give_answer(conversation);
}
