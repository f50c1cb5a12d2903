/* Conversation -> events. See conversation.h; the way back is in rebuild.c. */
#include "ops/cli/conversation.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

struct writer {
    struct conversation *conversation;
    size_t message;
};

/* Takes `payload`. */
static int add_event(struct writer *writer, const char *type, json_t *payload, struct error *err)
{
    struct conversation *conversation = writer->conversation;
    json_t *event = json_pack("{s:s, s:o}", "type", type, "payload", payload);
    char *json = event != NULL ? json_dumps(event, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(event);
    if (json == NULL) {
        return error_set(err, "message %zu cannot be written as %s", writer->message + 1, type);
    }
    if (conversation->event_count == conversation->event_capacity) {
        conversation->event_capacity = conversation->event_capacity * 2 + 64;
        conversation->events = memory_grow(conversation->events, conversation->event_capacity,
                                           sizeof *conversation->events);
    }
    conversation->events[conversation->event_count++] = (struct conversation_event){
        .json = json, .length = strlen(json), .message = writer->message};
    return 0;
}

/* Bytes of the first `characters` code points of `text`; jansson has checked that it is UTF-8. */
static size_t prefix_bytes(const char *text, size_t length, size_t characters)
{
    size_t at = 0;
    while (at < length && characters > 0) {
        at++;
        while (at < length && ((unsigned char)text[at] & 0xc0) == 0x80) {
            at++;
        }
        characters--;
    }
    return at;
}

static json_t *message_id(const struct writer *writer)
{
    return json_sprintf("message-%zu", writer->message + 1);
}

static int add_whole_text(struct writer *writer, const char *role, const json_t *content,
                          struct error *err)
{
    json_t *text = json_is_string(content) ? json_incref((json_t *)content) : json_string("");
    return add_event(writer, "MESSAGE_COMPLETED",
                     json_pack("{s:o, s:s, s:o}", "message_id", message_id(writer), "role", role,
                               "content", text),
                     err);
}

static int add_streamed_text(struct writer *writer, const json_t *content, struct error *err)
{
    const char *text = json_string_value(content);
    size_t left = json_string_length(content);
    if (add_event(writer, "MESSAGE_STARTED",
                  json_pack("{s:o, s:s}", "message_id", message_id(writer), "role", "assistant"),
                  err)) {
        return -1;
    }
    while (left > 0) {
        size_t piece = prefix_bytes(text, left, CONVERSATION_DELTA_CHARACTERS);
        json_t *payload = json_pack("{s:o, s:o}", "message_id", message_id(writer), "delta",
                                    json_stringn(text, piece));
        if (add_event(writer, "MESSAGE_DELTA", payload, err) != 0) {
            return -1;
        }
        text += piece;
        left -= piece;
    }
    return add_event(writer, "MESSAGE_COMPLETED",
                     json_pack("{s:o, s:s, s:O}", "message_id", message_id(writer), "role",
                               "assistant", "content", content),
                     err);
}

static int add_tool_calls(struct writer *writer, const json_t *calls, struct error *err)
{
    size_t index;
    json_t *call;
    json_array_foreach(calls, index, call)
    {
        const json_t *function = json_object_get(call, "function");
        json_t *id = json_object_get(call, "id");
        json_t *name = json_object_get(function, "name");
        json_t *arguments = json_object_get(function, "arguments");
        if (!json_is_string(id) || !json_is_string(name) || !json_is_string(arguments)) {
            return error_set(err, "message %zu: tool call %zu needs id, name and arguments as text",
                             writer->message + 1, index + 1);
        }
        if (add_event(writer, "TOOL_CALL_STARTED",
                      json_pack("{s:O, s:O, s:O}", "tool_call_id", id, "name", name, "arguments",
                                arguments),
                      err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int add_tool_result(struct writer *writer, const json_t *message, struct error *err)
{
    json_t *id = json_object_get(message, "tool_call_id");
    json_t *name = json_object_get(message, "name");
    const json_t *content = json_object_get(message, "content");
    if (!json_is_string(id) || !json_is_string(name)) {
        return error_set(err, "message %zu: a tool's message needs tool_call_id and name",
                         writer->message + 1);
    }
    json_t *result = json_is_string(content) ? json_incref((json_t *)content) : json_string("");
    return add_event(
        writer, "TOOL_CALL_COMPLETED",
        json_pack("{s:O, s:O, s:o}", "tool_call_id", id, "name", name, "result", result), err);
}

static int add_message(struct writer *writer, const json_t *message, struct error *err)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    const json_t *content = json_object_get(message, "content");
    const json_t *calls = json_object_get(message, "tool_calls");
    if (role == NULL) {
        return error_set(err, "message %zu has no role", writer->message + 1);
    }
    if (content != NULL && !json_is_string(content) && !json_is_null(content)) {
        return error_set(err, "message %zu: content is neither text nor null", writer->message + 1);
    }
    if (strcmp(role, "system") == 0 || strcmp(role, "user") == 0) {
        return add_whole_text(writer, role, content, err);
    }
    if (strcmp(role, "tool") == 0) {
        return add_tool_result(writer, message, err);
    }
    if (strcmp(role, "assistant") != 0) {
        return error_set(err, "message %zu: unknown role %s", writer->message + 1, role);
    }
    if (json_string_length(content) > 0 && add_streamed_text(writer, content, err) != 0) {
        return -1;
    }
    return add_tool_calls(writer, calls, err);
}

static int add_messages(struct writer *writer, const json_t *messages, struct error *err)
{
    size_t index;
    json_t *message;
    json_array_foreach(messages, index, message)
    {
        writer->message = index;
        if (add_message(writer, message, err) != 0) {
            return -1;
        }
    }
    writer->message = json_array_size(messages);
    return add_event(writer, "RUN_FINISHED", json_object(), err);
}

struct conversation *conversation_create(const char *line, size_t length, struct error *err)
{
    json_error_t where;
    json_t *root = json_loadb(line, length, JSON_REJECT_DUPLICATES, &where);
    if (root == NULL) {
        error_set(err, "not JSON: %s (byte %d)", where.text, where.position);
        return NULL;
    }
    struct conversation *conversation = memory_new(sizeof *conversation);
    struct writer writer = {.conversation = conversation};
    json_t *messages = json_incref(json_object_get(root, "messages"));
    json_object_del(root, "messages");
    int status = -1;
    if (!json_is_array(messages)) {
        error_set(err, "no list of messages");
    } else {
        conversation->metadata = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17));
        status = add_messages(&writer, messages, err);
    }
    json_decref(messages);
    json_decref(root);
    if (status != 0) {
        conversation_destroy(&conversation);
    }
    return conversation;
}

void conversation_destroy(struct conversation **conversation)
{
    if (*conversation == NULL) {
        return;
    }
    for (size_t i = 0; i < (*conversation)->event_count; i++) {
        free((*conversation)->events[i].json);
    }
    free((*conversation)->events);
    free((*conversation)->metadata);
    free(*conversation);
    *conversation = NULL;
}
