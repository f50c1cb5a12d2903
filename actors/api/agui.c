/*
 * AG-UI. A POST is read, one query tells what its ids mean and how the thread stands, and by that it
 * is a return to a run, the answer a run waits for, or the start of a run; conversation.c does the
 * rest. An answer begins another run for the client, under an id of its own, while the log goes on:
 * that id is written down (client_runs) before the answer is given, so that it can be come back to.
 */
#include "api/agui.h"

#include "api/agui_request.h"
#include "api/client_id.h"
#include "api/conversation.h"
#include "api/request.h"
#include "api/store_agui.h"
#include "runtime/body.h"

#include <stdio.h>
#include <string.h>

/* ---- errors as a stream ---- */

/* What the protocol itself forbids is told in its own words. */
static void refuse(struct exchange *exchange, const char *code, const char *message)
{
    struct buffer body = {0};
    static const struct http_field fields[] = {{"Cache-Control", "no-cache, no-transform"},
                                               {NULL, NULL}};
    buffer_append_text(&body, "data: {\"type\":\"RUN_ERROR\",\"message\":");
    buffer_append_json(&body, message, strlen(message));
    buffer_append_text(&body, ",\"code\":");
    buffer_append_json(&body, code, strlen(code));
    buffer_append_text(&body, "}\n\n");
    exchange_reply(exchange, 200, "text/event-stream", fields, &body);
    buffer_deinit(&body);
}

/* ---- coming back ---- */

/* A part of the run that another one follows is shown from its beginning to its end; the last one, or
 * the only one, as it stands. */
static void attach(struct exchange *exchange, const struct store_agui *known)
{
    struct conversation *conversation = conversation_create(exchange, STREAM_FORMAT_AG_UI);
    if (known->named_goes_on) {
        conversation_part(conversation);
        conversation_show(conversation, &known->named, known->named_after_seq, true);
    } else {
        conversation_join(conversation);
        conversation_show(conversation, &known->named, -1, true);
    }
}

/* The first time it may have come to nothing between the run and what it says. */
static void repeat(struct exchange *exchange, const struct agui_request *request,
                   const struct store_agui *known)
{
    struct conversation *conversation = conversation_create(exchange, STREAM_FORMAT_AG_UI);
    if (agui_request_say(exchange, conversation, request, known->named_first) == 0) {
        conversation_join(conversation);
        conversation_repeat(conversation, &known->named);
    } else {
        conversation_destroy(&conversation);
    }
}

/* ---- starting ---- */

static void start(struct exchange *exchange, const struct agui_request *request,
                  const struct store_agui *known)
{
    struct buffer agent = {0};
    struct buffer metadata = {0};
    struct conversation_run run = {
        .run = request->run, .thread = request->thread, .strategy = MULTITASK_REJECT};
    if (agui_request_agent(exchange, &agent) != 0) {
        buffer_deinit(&agent);
        return;
    }
    struct conversation *conversation = conversation_create(exchange, STREAM_FORMAT_AG_UI);
    if (agui_request_say(exchange, conversation, request, !known->has_run) == 0) {
        agui_request_metadata(request, &agent, &metadata);
        run.metadata = (struct json_span){(const char *)metadata.data, metadata.length};
        conversation_start(conversation, &run);
    } else {
        conversation_destroy(&conversation);
    }
    buffer_deinit(&agent);
    buffer_deinit(&metadata);
}

/* ---- answering ---- */

/* The name that the projection gives to an interruption without a question. */
static struct json_span interrupt_name(const struct store_agui *known, char text[40])
{
    int length = snprintf(text, 40, "\"interrupted:%lld\"", (long long)known->interrupted_seq);
    return (struct json_span){text, (size_t)length};
}

struct taken {
    size_t open;     /* interrupts that wait */
    size_t answered; /* of those */
};

/* Gives every answer that is wanted to the conversation, if there is one. */
static struct taken take_answers(struct conversation *conversation,
                                 const struct agui_request *request, const struct store_agui *known)
{
    char name[40];
    struct buffer text = {0};
    struct json_span cursor = {0};
    struct json_span list = {known->questions, known->questions_length};
    struct json_span question = json_element(list, &cursor);
    bool asked = question.data != NULL;
    struct json_span interrupt = asked ? question : interrupt_name(known, name);
    struct taken taken = {0};
    while (interrupt.data != NULL) {
        struct json_span answer = agui_request_answer(request, interrupt, &text);
        taken.open++;
        taken.answered += answer.data != NULL ? 1 : 0;
        if (answer.data != NULL && conversation != NULL) {
            conversation_answer(conversation, question, answer);
        }
        interrupt = question = asked ? json_element(list, &cursor) : (struct json_span){NULL, 0};
    }
    buffer_deinit(&text);
    return taken;
}

static bool is_all(struct taken taken)
{
    return taken.answered == taken.open;
}

/* Answers that may have been given before, to questions that are not open any more. */
static void repeat_answers(struct conversation *conversation, const struct agui_request *request)
{
    static const char without_question[] = "\"interrupted:";
    struct buffer text = {0};
    struct json_span cursor = {0};
    struct json_span entry;
    while ((entry = json_element(request->resume, &cursor)).data != NULL) {
        struct json_span name = json_member(entry, "interruptId");
        struct json_span answer = agui_request_answer(request, name, &text);
        bool named = name.length < sizeof without_question ||
                     memcmp(name.data, without_question, sizeof without_question - 1) != 0;
        conversation_answer(conversation, named ? name : (struct json_span){NULL, 0}, answer);
    }
    buffer_deinit(&text);
}

static void answer(struct exchange *exchange, const struct agui_request *request,
                   const struct store_agui *known)
{
    struct conversation *conversation = conversation_create(exchange, STREAM_FORMAT_AG_UI);
    if (!known->interrupted) {
        repeat_answers(conversation, request);
    } else if (!is_all(take_answers(conversation, request, known))) {
        conversation_destroy(&conversation);
        refuse(exchange, "interrupts_open", "resume must answer every open interrupt.");
        return;
    }
    conversation_call_it(conversation, request->run_id);
    conversation_resume(conversation, &known->run);
}

/* ---- POST ---- */

static void find(struct exchange *exchange, const struct agui_request *request);

/* Whether answers are to be given. Under a name that is known they may have been: none is to what the
 * run has asked since. */
static bool is_answer(const struct agui_request *request, const struct store_agui *known)
{
    if (request->resume.data == NULL || !known->has_run) {
        return false;
    }
    return !known->is_named || (known->interrupted && uuid_equal(&known->named, &known->run) &&
                                take_answers(NULL, request, known).answered > 0);
}

static void decide(struct exchange *exchange, const struct agui_request *request,
                   const struct store_agui *known)
{
    if (known->is_named && known->named_unsaid) {
        repeat(exchange, request, known);
    } else if (known->is_named) {
        attach(exchange, known);
    } else if (known->interrupted) {
        refuse(exchange, "interrupts_open",
               "The thread waits for an answer: resume must answer every open interrupt.");
    } else if (request->resume.data != NULL) {
        refuse(exchange, "nothing_to_resume", "The thread waits for no answer.");
    } else {
        start(exchange, request, known);
    }
}

static void named(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct agui_request request;
    (void)result;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        exchange_unavailable(exchange);
    } else if (agui_request_read(exchange, &request) == 0) {
        find(exchange, &request);
    }
}

static void found(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct agui_request request;
    struct store_agui known;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        exchange_unavailable(exchange);
        return;
    }
    if (agui_request_read(exchange, &request) != 0) { /* once more: its spans have gone */
        return;
    }
    store_read_agui(result, &known);
    if (!is_answer(&request, &known)) {
        decide(exchange, &request, &known);
    } else if (known.is_named || !known.interrupted ||
               !is_all(take_answers(NULL, &request, &known))) {
        answer(exchange, &request, &known);
    } else { /* then everything is looked at again: it may have been answered meanwhile */
        exchange_hold(exchange);
        store_name_agui(exchange->api->store, &exchange->who.tenant, &request.run, &known.run,
                        known.last_seq, named, exchange);
    }
}

static void find(struct exchange *exchange, const struct agui_request *request)
{
    exchange_hold(exchange);
    store_find_agui(exchange->api->store, &exchange->who.tenant, &request->run, &request->thread,
                    found, exchange);
}

void agui_run(struct exchange *exchange)
{
    struct agui_request request;
    if (agui_request_read(exchange, &request) == 0) {
        find(exchange, &request);
    }
}

/* ---- GET ---- */

static void attach_found(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct store_agui known;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        exchange_unavailable(exchange);
        return;
    }
    store_read_agui(result, &known);
    if (known.is_named) {
        attach(exchange, &known);
    } else {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such run.", NULL);
    }
}

void agui_attach(struct exchange *exchange)
{
    static const struct uuid no_thread;
    struct http_text segment = exchange->second;
    struct uuid run;
    char text[3 * CLIENT_ID_MAX];
    size_t length =
        segment.length <= sizeof text ? client_id_unescape(segment.data, segment.length, text) : 0;
    if (client_id_map(&exchange->who.tenant, "ag-ui", "run", text, length, &run) != 0) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "A run's id has 1 to 255 bytes.", NULL);
        return;
    }
    exchange_hold(exchange);
    store_find_agui(exchange->api->store, &exchange->who.tenant, &run, &no_thread, attach_found,
                    exchange);
}
