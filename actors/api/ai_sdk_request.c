/* See ai_sdk_request.h. What the transport is known to send is checked; the rest belongs to the
 * application and goes to the agent as it is. */
#include "api/ai_sdk_request.h"

#include "api/client_id.h"
#include "api/conversation.h"
#include "api/request.h"
#include "runtime/body.h"

#include <sodium.h>
#include <string.h>

enum { QUESTION_MAX = 255 }; /* characters of a clarification_id: no question has more */

static int wrong(struct exchange *exchange, const char *pointer, const char *detail)
{
    exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD, detail,
                     &(struct problem_extra){.pointer = pointer});
    return -1;
}

/* ---- members ---- */

/* A string, or absent: null is as good as that. */
static int text_member(struct exchange *exchange, struct json_span object, const char *name,
                       const char *pointer, struct json_span *text_out)
{
    struct json_span value = json_member(object, name);
    if (value.data == NULL || body_is_null(value)) {
        return 0;
    }
    if (!body_is_string(value)) {
        return wrong(exchange, pointer, "This must be a text.");
    }
    *text_out = value;
    return 0;
}

static int map_thread(struct exchange *exchange, struct ai_sdk_request *request)
{
    struct buffer id = {0};
    if (request->id.data != NULL) {
        body_string(&id, request->id);
    }
    int mapped = client_id_map(&exchange->who.tenant, "ai-sdk", "thread", (const char *)id.data,
                               id.length, &request->thread);
    buffer_deinit(&id);
    return mapped == 0 ? 0 : wrong(exchange, "/id", "A chat needs an id of 1 to 255 bytes.");
}

/* The last of "messages", or "message". */
static int find_last(struct exchange *exchange, struct ai_sdk_request *request)
{
    struct json_span messages = json_member(request->body, "messages");
    struct json_span cursor = {0};
    struct json_span element;
    request->last = json_member(request->body, "message");
    if (messages.data != NULL && !body_is_array(messages)) {
        return wrong(exchange, "/messages", "messages must be a list.");
    }
    while (messages.data != NULL && (element = json_element(messages, &cursor)).data != NULL) {
        request->last = element;
    }
    if (request->last.data == NULL || !body_is_object(request->last)) {
        return wrong(exchange, messages.data != NULL ? "/messages" : "/message",
                     "There must be a message, which is an object.");
    }
    return 0;
}

static int read_last(struct exchange *exchange, struct ai_sdk_request *request)
{
    const char *where =
        json_member(request->body, "messages").data == NULL ? "/message" : "/messages";
    struct json_span role = json_member(request->last, "role");
    struct json_span parts = json_member(request->last, "parts");
    request->by_user = body_is(role, "\"user\"");
    if (!request->by_user && !body_is(role, "\"assistant\"")) {
        return wrong(exchange, where, "The last message must be the user's or the assistant's.");
    }
    if (parts.data != NULL && !body_is_array(parts)) {
        return wrong(exchange, where, "The parts of a message must be a list.");
    }
    if (text_member(exchange, request->last, "id", where, &request->last_id) != 0) {
        return -1;
    }
    size_t length = request->last_id.data == NULL ? 1 : body_string_length(request->last_id);
    return length >= 1 && length <= CLIENT_ID_MAX
               ? 0
               : wrong(exchange, where, "The id of a message must have 1 to 255 characters.");
}

/* ---- what it says ---- */

static void member(struct buffer *out, const char *name, struct json_span value)
{
    if (value.data != NULL) {
        buffer_printf(out, ",\"%s\":", name);
        buffer_append(out, value.data, value.length);
    }
}

static bool is_named(struct json_span name)
{
    static const char *const names[] = {"id",      "messages",  "message",
                                        "trigger", "messageId", "agent"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (body_is(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* What the application added. */
static void rest(struct buffer *out, struct json_span body)
{
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    bool first = true;
    while (json_pair(body, &cursor, &name, &value)) {
        if (!is_named(name)) {
            buffer_append_text(out, first ? ",\"body\":{\"" : ",\"");
            buffer_append(out, name.data, name.length);
            buffer_append_text(out, "\":");
            buffer_append(out, value.data, value.length);
            first = false;
        }
    }
    buffer_append_text(out, first ? "" : "}");
}

void ai_sdk_request_metadata(const struct ai_sdk_request *request, struct buffer *out)
{
    buffer_append_text(out, "{\"client\":{\"protocol\":\"ai-sdk\"");
    member(out, "thread_id", request->id);
    member(out, "trigger", request->trigger);
    member(out, "message_id", request->message_id);
    buffer_printf(out, ",\"request\":\"%s\"", request->digest);
    rest(out, request->body);
    buffer_append_byte(out, '}');
    member(out, "agent", request->agent);
    buffer_append_byte(out, '}');
}

static bool is_text_part(struct json_span part)
{
    return body_is_object(part) && body_is(json_member(part, "type"), "\"text\"") &&
           body_is_string(json_member(part, "text"));
}

void ai_sdk_request_text(const struct ai_sdk_request *request, struct buffer *out)
{
    struct json_span parts = json_member(request->last, "parts");
    struct json_span content = json_member(request->last, "content");
    struct json_span cursor = {0};
    struct json_span part;
    buffer_append_byte(out, '"');
    while (parts.data != NULL && (part = json_element(parts, &cursor)).data != NULL) {
        if (is_text_part(part)) {
            struct json_span text = body_text(json_member(part, "text"));
            buffer_append(out, text.data, text.length);
        }
    }
    if (parts.data == NULL && content.data != NULL && body_is_string(content)) {
        struct json_span text = body_text(content);
        buffer_append(out, text.data, text.length);
    }
    buffer_append_byte(out, '"');
}

/* Whether there is more in it than texts. */
static bool has_other_parts(struct json_span parts)
{
    struct json_span cursor = {0};
    struct json_span part;
    while (parts.data != NULL && (part = json_element(parts, &cursor)).data != NULL) {
        if (!is_text_part(part)) {
            return true;
        }
    }
    return false;
}

int ai_sdk_request_say(struct conversation *conversation, const struct ai_sdk_request *request)
{
    struct json_span parts = json_member(request->last, "parts");
    struct buffer payload = {0};
    buffer_append_text(&payload, "{\"message_id\":");
    if (request->last_id.data != NULL) {
        buffer_append(&payload, request->last_id.data, request->last_id.length);
    } else {
        buffer_printf(&payload, "\"%s\"", request->digest);
    }
    buffer_append_text(&payload, ",\"role\":\"user\",\"content\":");
    ai_sdk_request_text(request, &payload);
    if (has_other_parts(parts)) {
        member(&payload, "parts", parts);
    }
    buffer_append_byte(&payload, '}');
    int added = conversation_add(conversation, "MESSAGE_COMPLETED", &payload);
    buffer_deinit(&payload);
    return added;
}

bool ai_sdk_request_answer(const struct ai_sdk_request *request, struct json_span *cursor,
                           struct json_span *clarification_out, struct json_span *response_out)
{
    struct json_span parts = json_member(request->last, "parts");
    struct json_span part;
    while (parts.data != NULL && (part = json_element(parts, cursor)).data != NULL) {
        struct json_span data =
            body_is_object(part) && body_is(json_member(part, "type"), "\"data-clarification\"")
                ? json_member(part, "data")
                : (struct json_span){0};
        if (body_is_object(data)) {
            *clarification_out = json_member(data, "clarification_id");
            *response_out = json_member(data, "response");
            if (body_is_string(*clarification_out) && clarification_out->length > 2 &&
                body_string_length(*clarification_out) <= QUESTION_MAX &&
                response_out->data != NULL) {
                return true;
            }
        }
    }
    return false;
}

/* ---- what makes it the same ---- */

/* Length first, so that no two lists of texts look alike. */
static void digest_add(crypto_hash_sha256_state *state, const void *bytes, size_t size)
{
    uint64_t length = size;
    (void)crypto_hash_sha256_update(state, (const uint8_t *)&length, sizeof length);
    (void)crypto_hash_sha256_update(state, bytes, size);
}

/* However it was written. */
static void digest_add_string(crypto_hash_sha256_state *state, struct json_span string)
{
    struct buffer text = {0};
    if (string.data != NULL) {
        body_string(&text, string);
    }
    digest_add(state, buffer_text(&text), text.length);
    buffer_deinit(&text);
}

static void make_digest(struct ai_sdk_request *request)
{
    crypto_hash_sha256_state state;
    uint8_t hash[crypto_hash_sha256_BYTES];
    struct json_span parts = json_member(request->last, "parts");
    struct json_span cursor = {0};
    struct json_span part;
    struct buffer text = {0};
    (void)crypto_hash_sha256_init(&state);
    digest_add_string(&state, request->id);
    digest_add(&state, request->is_regenerate ? "1" : "0", 1);
    digest_add_string(&state, request->message_id);
    digest_add_string(&state, request->last_id);
    ai_sdk_request_text(request, &text);
    digest_add_string(&state, (struct json_span){(const char *)text.data, text.length});
    while (parts.data != NULL && (part = json_element(parts, &cursor)).data != NULL) {
        if (!is_text_part(part)) {
            digest_add(&state, part.data, part.length);
        }
    }
    (void)crypto_hash_sha256_final(&state, hash);
    (void)sodium_bin2hex(request->digest, sizeof request->digest, hash, sizeof hash);
    buffer_deinit(&text);
}

int ai_sdk_request_read(struct exchange *exchange, struct ai_sdk_request *request_out)
{
    *request_out = (struct ai_sdk_request){0};
    if (request_body(exchange, false, &request_out->body) != 0) {
        return -1;
    }
    struct json_span body = request_out->body;
    if (text_member(exchange, body, "id", "/id", &request_out->id) != 0 ||
        text_member(exchange, body, "trigger", "/trigger", &request_out->trigger) != 0 ||
        text_member(exchange, body, "messageId", "/messageId", &request_out->message_id) != 0 ||
        text_member(exchange, body, "agent", "/agent", &request_out->agent) != 0 ||
        map_thread(exchange, request_out) != 0 || find_last(exchange, request_out) != 0 ||
        read_last(exchange, request_out) != 0) {
        return -1;
    }
    request_out->is_regenerate = body_is(request_out->trigger, "\"regenerate-message\"");
    make_digest(request_out);
    return 0;
}
