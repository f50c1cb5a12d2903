/*
 * Chats of the AI SDK. A chat is a thread. Its POST is read, one query tells how the thread stands,
 * and by that it is the answer a run waits for, a repetition, or the start of a run; conversation.c
 * does the rest.
 *
 * What makes a POST the same again is its digest: the run's id is derived from it, and the run's
 * metadata holds it. Writing a message anew begins a run each time, so that its id is derived from the
 * run before it as well.
 */
#include "api/ai_sdk.h"

#include "api/ai_sdk_request.h"
#include "api/client_id.h"
#include "api/conversation.h"
#include "api/request.h"
#include "api/runs.h"
#include "api/store_conversation.h"
#include "runtime/base/number.h"
#include "runtime/body.h"

#include <assert.h>
#include <string.h>

/* ---- POST: which run ---- */

static void derive_run(const struct exchange *exchange, const struct ai_sdk_request *request,
                       const struct store_chat *newest, struct uuid *run_out)
{
    char text[AI_SDK_DIGEST_SIZE + UUID_TEXT_SIZE];
    size_t length = sizeof request->digest - 1;
    memcpy(text, request->digest, length);
    if (request->is_regenerate && newest != NULL) {
        uuid_format(&newest->run, text + length);
        length += UUID_TEXT_SIZE - 1;
    }
    int mapped = client_id_map(&exchange->who.tenant, "ai-sdk", "run", text, length, run_out);
    assert(mapped == 0);
}

static void start(struct exchange *exchange, const struct ai_sdk_request *request,
                  const struct store_chat *newest)
{
    struct conversation *conversation;
    struct buffer metadata = {0};
    struct conversation_run run = {.thread = request->thread, .strategy = MULTITASK_REJECT};
    if (!request->by_user) {
        exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD,
                         "The last message is the assistant's and answers no question.",
                         &(struct problem_extra){.pointer = "/messages"});
        return;
    }
    conversation = conversation_create(exchange, STREAM_FORMAT_AI_SDK);
    if (ai_sdk_request_say(conversation, request) != 0) {
        conversation_destroy(&conversation);
        return;
    }
    derive_run(exchange, request, newest, &run.run);
    ai_sdk_request_metadata(request, &metadata);
    run.metadata = (struct json_span){(const char *)metadata.data, metadata.length};
    conversation_start(conversation, &run);
    buffer_deinit(&metadata);
}

static void show(struct exchange *exchange, const struct store_chat *chat, int64_t after_seq)
{
    conversation_show(conversation_create(exchange, STREAM_FORMAT_AI_SDK), &chat->run, after_seq,
                      true);
}

/* The first time it may have come to nothing between the run and what the user said. */
static void repeat(struct exchange *exchange, const struct ai_sdk_request *request,
                   const struct store_chat *chat)
{
    struct conversation *conversation = conversation_create(exchange, STREAM_FORMAT_AI_SDK);
    if (ai_sdk_request_say(conversation, request) == 0) {
        conversation_repeat(conversation, &chat->run);
    } else {
        conversation_destroy(&conversation);
    }
}

/* ---- POST: answers ---- */

static bool same_text(struct json_span left, struct json_span right)
{
    struct buffer texts[2] = {{0}};
    body_string(&texts[0], left);
    body_string(&texts[1], right);
    bool same =
        texts[0].length == texts[1].length &&
        (texts[0].length == 0 || memcmp(texts[0].data, texts[1].data, texts[0].length) == 0);
    buffer_deinit(&texts[0]);
    buffer_deinit(&texts[1]);
    return same;
}

static bool is_open(const struct store_chat *chat, struct json_span clarification)
{
    struct json_span list = {chat->questions, chat->questions_length};
    struct json_span cursor = {0};
    struct json_span question;
    while ((question = json_element(list, &cursor)).data != NULL) {
        if (same_text(question, clarification)) {
            return true;
        }
    }
    return false;
}

/* Whether there is an answer to give. */
static bool answers_open(const struct ai_sdk_request *request, const struct store_chat *chat)
{
    struct json_span cursor = {0};
    struct json_span clarification;
    struct json_span response;
    while (ai_sdk_request_answer(request, &cursor, &clarification, &response)) {
        if (is_open(chat, clarification)) {
            return true;
        }
    }
    return false;
}

/* The message's answers to open questions. Without any, the last one it holds: it has been given
 * before, or is to no question of the run's, and the sequencer knows which. */
static void take_answers(struct conversation *conversation, const struct ai_sdk_request *request,
                         const struct store_chat *chat)
{
    struct json_span cursor = {0};
    struct json_span clarification;
    struct json_span response;
    struct json_span last[2] = {{0}};
    while (ai_sdk_request_answer(request, &cursor, &clarification, &response)) {
        last[0] = clarification;
        last[1] = response;
        if (is_open(chat, clarification)) {
            conversation_answer(conversation, clarification, response);
        }
    }
    if (!conversation_has_answers(conversation) && last[0].data != NULL) {
        conversation_answer(conversation, last[0], last[1]);
    }
}

/* What a person writes while a run waits is the answer, if it is clear to what. -1: it is not. */
static int take_text(struct conversation *conversation, const struct ai_sdk_request *request,
                     const struct store_chat *chat)
{
    struct json_span list = {chat->questions, chat->questions_length};
    struct json_span cursor = {0};
    struct json_span question = json_element(list, &cursor);
    struct buffer text = {0};
    if (!request->by_user || (question.data != NULL && json_element(list, &cursor).data != NULL)) {
        return -1;
    }
    ai_sdk_request_text(request, &text);
    conversation_answer(conversation, question,
                        (struct json_span){(const char *)text.data, text.length});
    buffer_deinit(&text);
    return 0;
}

/* True: the POST was an answer. */
static bool answer(struct exchange *exchange, const struct ai_sdk_request *request,
                   const struct store_chat *chat)
{
    struct conversation *conversation = conversation_create(exchange, STREAM_FORMAT_AI_SDK);
    take_answers(conversation, request, chat);
    /* To have something written anew is not to write. */
    if (!conversation_has_answers(conversation) && chat->interrupted && !request->is_regenerate &&
        take_text(conversation, request, chat) != 0) {
        exchange_problem(exchange, PROBLEM_CLARIFICATION_MISMATCH,
                         "The run asks several questions: say which one is answered.", NULL);
        conversation_destroy(&conversation);
        return true;
    }
    if (!conversation_has_answers(conversation)) {
        conversation_destroy(&conversation);
        return false;
    }
    if (request->by_user && request->last_id.data != NULL) {
        conversation_answered_in(conversation, request->last_id);
    }
    conversation_resume(conversation, &chat->run);
    return true;
}

/* ---- POST ---- */

static void decide(struct exchange *exchange, const struct ai_sdk_request *request,
                   const struct store_chat *chat)
{
    bool repeated = chat->request_length == strlen(request->digest) &&
                    memcmp(chat->request, request->digest, chat->request_length) == 0 &&
                    (!chat->closed || !request->is_regenerate);
    if (repeated && chat->closed) {
        show(exchange, chat, -1);
    } else if (repeated) {
        repeat(exchange, request, chat);
    } else if (chat->answered_seq > 0 && !answers_open(request, chat)) {
        show(exchange, chat, chat->answered_seq - 1);
    } else if (!answer(exchange, request, chat)) {
        start(exchange, request, chat);
    }
}

static void chat_known(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct ai_sdk_request request;
    struct store_chat chat;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        exchange_unavailable(exchange);
        return;
    }
    if (ai_sdk_request_read(exchange, &request) != 0) { /* once more: its spans have gone */
        return;
    }
    if (db_rows(result) == 0) {
        start(exchange, &request, NULL);
        return;
    }
    store_read_chat(result, &chat);
    decide(exchange, &request, &chat);
}

void ai_sdk_chat(struct exchange *exchange)
{
    struct ai_sdk_request request;
    struct buffer message = {0};
    if (ai_sdk_request_read(exchange, &request) != 0) {
        return;
    }
    if (request.last_id.data != NULL) {
        body_string(&message, request.last_id);
    }
    exchange_hold(exchange);
    store_find_chat(exchange->api->store, &exchange->who.tenant, &request.thread,
                    message.data == NULL ? "" : (const char *)message.data, message.length,
                    chat_known, exchange);
    buffer_deinit(&message);
}

/* ---- GET and stop ---- */

/* The chat's id is any text. -1: answered. */
static int read_chat_id(struct exchange *exchange, struct uuid *thread_out)
{
    struct http_text segment = exchange->segment;
    char text[3 * CLIENT_ID_MAX];
    size_t length =
        segment.length <= sizeof text ? client_id_unescape(segment.data, segment.length, text) : 0;
    if (client_id_map(&exchange->who.tenant, "ai-sdk", "thread", text, length, thread_out) != 0) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "A chat's id has 1 to 255 bytes.", NULL);
        return -1;
    }
    return 0;
}

static void find_active(struct exchange *exchange, db_done_fn *done)
{
    struct uuid thread;
    if (read_chat_id(exchange, &thread) == 0) {
        exchange_hold(exchange);
        store_find_conversation(exchange->api->store, &exchange->who.tenant, &thread, done,
                                exchange);
    }
}

static void stream_known(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct store_conversation run;
    int64_t after_seq = exchange->page.after_seq;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        exchange_unavailable(exchange);
        return;
    }
    if (db_rows(result) == 0) {
        exchange_reply(exchange, 204, NULL, NULL, NULL);
        return;
    }
    store_read_conversation(result, &run);
    if (after_seq > run.last_seq) {
        exchange_problem(
            exchange, PROBLEM_CURSOR_BEYOND_HEAD,
            "The position lies behind the last event of the run.",
            &(struct problem_extra){.number_name = "last_seq", .number = run.last_seq});
        return;
    }
    conversation_show(conversation_create(exchange, STREAM_FORMAT_AI_SDK), &run.run, after_seq,
                      false);
}

/* The header wins, as everywhere. */
static int read_position(struct exchange *exchange, int64_t *after_seq_out)
{
    struct request_parameter after = {.name = "after_seq"};
    size_t count = 0;
    struct http_text last = http_request_field(exchange->request, "Last-Event-ID", &count);
    if (request_parameters(exchange, &after, 1) != 0) {
        return -1;
    }
    *after_seq_out = -1;
    if ((after.given && number_parse(after.value, after.length, after_seq_out) != 0) || count > 1 ||
        (count == 1 && number_parse(last.data, last.length, after_seq_out) != 0)) {
        exchange_problem(exchange, PROBLEM_INVALID_CURSOR,
                         "A position must be the number of an event.", NULL);
        return -1;
    }
    return 0;
}

void ai_sdk_stream(struct exchange *exchange)
{
    if (read_position(exchange, &exchange->page.after_seq) == 0) {
        find_active(exchange, stream_known);
    }
}

static void stop_known(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct store_conversation run;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        exchange_unavailable(exchange);
        return;
    }
    if (db_rows(result) == 0) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "The chat has no run to stop.", NULL);
        return;
    }
    store_read_conversation(result, &run);
    exchange->id = run.run;
    runs_cancel(exchange);
}

void ai_sdk_stop(struct exchange *exchange)
{
    find_active(exchange, stop_known);
}
