/* See agui_request.h. */
#include "api/agui_request.h"

#include "api/client_id.h"
#include "api/conversation.h"
#include "api/request.h"
#include "runtime/body.h"

#include <string.h>

enum {
    EVENTS_MAX = 500,  /* messages that become events; an append has 1,000 at most */
    EVENT_ROOM = 4096, /* of one event, for what stands around the messages */
    POINTER_SIZE = 96,
    INTERRUPT_MAX = 255 /* characters, as of a clarification_id */
};

static int wrong(struct exchange *exchange, const char *pointer, const char *detail)
{
    exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD, detail,
                     &(struct problem_extra){.pointer = pointer});
    return -1;
}

static bool is_present(struct json_span value)
{
    return value.data != NULL && !body_is_null(value);
}

/* ---- checks ---- */

static int check_id(struct exchange *exchange, struct json_span value, const char *pointer)
{
    if (value.data == NULL || !body_is_string(value) || value.length < 3 ||
        body_string_length(value) > CLIENT_ID_MAX) {
        return wrong(exchange, pointer, "This must be a text of 1 to 255 characters.");
    }
    return 0;
}

/* What a member of a message must be. */
enum shape { SHAPE_TEXT, SHAPE_OBJECT, SHAPE_PARTS, SHAPE_CALLS };

struct member {
    const char *role; /* NULL: of every role */
    const char *name;
    enum shape shape;
    bool required;
};

static const struct member members[] = {
    {"user", "content", SHAPE_PARTS, true},         {"tool", "content", SHAPE_PARTS, true},
    {"system", "content", SHAPE_TEXT, true},        {"developer", "content", SHAPE_TEXT, true},
    {"assistant", "content", SHAPE_TEXT, false},    {"reasoning", "content", SHAPE_TEXT, true},
    {"activity", "content", SHAPE_OBJECT, true},    {"activity", "activityType", SHAPE_TEXT, true},
    {"assistant", "toolCalls", SHAPE_CALLS, false}, {"tool", "toolCallId", SHAPE_TEXT, true},
    {"tool", "error", SHAPE_TEXT, false},           {NULL, "name", SHAPE_TEXT, false},
    {NULL, "encryptedValue", SHAPE_TEXT, false},    {NULL, "subagentRunId", SHAPE_TEXT, false},
    {NULL, "metadata", SHAPE_OBJECT, false},
};

static bool is_text(struct json_span object, const char *name)
{
    struct json_span value = json_member(object, name);
    return value.data != NULL && body_is_string(value);
}

static bool is_media(struct json_span part)
{
    static const char *const types[] = {"\"image\"", "\"audio\"", "\"video\"", "\"document\""};
    static const char *const sources[] = {"\"data\"", "\"url\"", "\"file\""};
    struct json_span source = json_member(part, "source");
    bool known = false;
    for (size_t i = 0; i < 4; i++) {
        known = known || body_is(json_member(part, "type"), types[i]);
    }
    if (!known || source.data == NULL || !body_is_object(source) || !is_text(source, "value")) {
        return false;
    }
    struct json_span kind = json_member(source, "type");
    struct json_span mime = json_member(source, "mimeType");
    return (body_is(kind, sources[0]) && is_text(source, "mimeType")) ||
           ((body_is(kind, sources[1]) || body_is(kind, sources[2])) &&
            (mime.data == NULL || body_is_string(mime)));
}

static bool is_part(struct json_span part)
{
    return body_is_object(part) && is_text(part, "type") &&
           ((body_is(json_member(part, "type"), "\"text\"") && is_text(part, "text")) ||
            is_media(part));
}

static bool is_call(struct json_span call)
{
    struct json_span function =
        body_is_object(call) ? json_member(call, "function") : (struct json_span){0};
    return function.data != NULL && body_is_object(function) && is_text(call, "id") &&
           json_member(call, "id").length > 2 &&
           body_is(json_member(call, "type"), "\"function\"") && is_text(function, "name") &&
           is_text(function, "arguments");
}

static bool all_are(struct json_span array, bool (*fits)(struct json_span))
{
    struct json_span cursor = {0};
    struct json_span element;
    while ((element = json_element(array, &cursor)).data != NULL) {
        if (!fits(element)) {
            return false;
        }
    }
    return true;
}

static bool has_shape(struct json_span value, enum shape shape)
{
    switch (shape) {
    case SHAPE_TEXT:
        return body_is_string(value);
    case SHAPE_OBJECT:
        return body_is_object(value);
    case SHAPE_PARTS:
        return body_is_string(value) || (body_is_array(value) && all_are(value, is_part));
    case SHAPE_CALLS:
        return body_is_array(value) && all_are(value, is_call);
    }
    return false;
}

static bool role_is(struct json_span message, const char *role)
{
    struct json_span value = json_member(message, "role");
    return value.data != NULL && body_is_string(value) && value.length == strlen(role) + 2 &&
           memcmp(value.data + 1, role, strlen(role)) == 0;
}

static int check_member(struct exchange *exchange, struct json_span message, size_t number,
                        const struct member *member)
{
    char pointer[POINTER_SIZE];
    struct json_span value = json_member(message, member->name);
    if (value.data == NULL ? !member->required : has_shape(value, member->shape)) {
        return 0;
    }
    (void)snprintf(pointer, sizeof pointer, "/messages/%zu/%s", number, member->name);
    return wrong(exchange, pointer,
                 value.data == NULL ? "A message of this role needs this."
                                    : "This is not as AG-UI 1.0 says.");
}

static int check_message(struct exchange *exchange, struct json_span message, size_t number)
{
    char pointer[POINTER_SIZE];
    bool known = false;
    (void)snprintf(pointer, sizeof pointer, "/messages/%zu", number);
    if (!body_is_object(message)) {
        return wrong(exchange, pointer, "A message is an object.");
    }
    (void)snprintf(pointer, sizeof pointer, "/messages/%zu/id", number);
    if (check_id(exchange, json_member(message, "id"), pointer) != 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        bool its = members[i].role != NULL && role_is(message, members[i].role);
        known = known || its;
        if ((its || members[i].role == NULL) &&
            check_member(exchange, message, number, &members[i]) != 0) {
            return -1;
        }
    }
    (void)snprintf(pointer, sizeof pointer, "/messages/%zu/role", number);
    return known ? 0 : wrong(exchange, pointer, "There is no such role in AG-UI 1.0.");
}

static int check_messages(struct exchange *exchange, struct json_span messages)
{
    struct json_span cursor = {0};
    struct json_span message;
    if (messages.data == NULL || !body_is_array(messages)) {
        return wrong(exchange, "/messages", "There must be a list of messages.");
    }
    for (size_t i = 0; (message = json_element(messages, &cursor)).data != NULL; i++) {
        if (check_message(exchange, message, i) != 0) {
            return -1;
        }
    }
    return 0;
}

static int check_resume(struct exchange *exchange, struct agui_request *request)
{
    char pointer[POINTER_SIZE];
    struct json_span resume = json_member(request->body, "resume");
    struct json_span cursor = {0};
    struct json_span entry;
    if (!is_present(resume)) {
        return 0;
    }
    if (!body_is_array(resume)) {
        return wrong(exchange, "/resume", "resume must be a list.");
    }
    for (size_t i = 0; (entry = json_element(resume, &cursor)).data != NULL; i++) {
        bool fits = body_is_object(entry) && is_text(entry, "interruptId") &&
                    body_string_length(json_member(entry, "interruptId")) <= INTERRUPT_MAX &&
                    (body_is(json_member(entry, "status"), "\"resolved\"") ||
                     body_is(json_member(entry, "status"), "\"cancelled\""));
        (void)snprintf(pointer, sizeof pointer, "/resume/%zu", i);
        if (!fits) {
            return wrong(exchange, pointer,
                         "An entry has an interruptId and a status, resolved or cancelled.");
        }
        request->resume = resume;
    }
    return 0;
}

static int map_id(struct exchange *exchange, const char *kind, struct json_span text,
                  const char *pointer, struct uuid *id_out)
{
    struct buffer id = {0};
    if (text.data != NULL && body_is_string(text)) {
        body_string(&id, text);
    }
    int mapped = client_id_map(&exchange->who.tenant, "ag-ui", kind, (const char *)id.data,
                               id.length, id_out);
    buffer_deinit(&id);
    return mapped == 0 ? 0 : wrong(exchange, pointer, "This must be a text of 1 to 255 bytes.");
}

int agui_request_read(struct exchange *exchange, struct agui_request *request)
{
    *request = (struct agui_request){0};
    if (request_body(exchange, false, &request->body) != 0) {
        return -1;
    }
    request->thread_id = json_member(request->body, "threadId");
    request->run_id = json_member(request->body, "runId");
    request->messages = json_member(request->body, "messages");
    if (map_id(exchange, "thread", request->thread_id, "/threadId", &request->thread) != 0 ||
        map_id(exchange, "run", request->run_id, "/runId", &request->run) != 0 ||
        check_messages(exchange, request->messages) != 0) {
        return -1;
    }
    return check_resume(exchange, request);
}

/* ---- what becomes of it ---- */

static void add_member(struct buffer *out, const char *name, struct json_span value)
{
    buffer_append_text(out, ",\"");
    buffer_append_text(out, name);
    buffer_append_text(out, "\":");
    buffer_append(out, value.data, value.length);
}

int agui_request_agent(struct exchange *exchange, struct buffer *out)
{
    char text[3 * CLIENT_ID_MAX];
    struct http_text segment = exchange->segment;
    size_t length = segment.length <= sizeof text
                        ? client_id_unescape(segment.data, segment.length, text)
                        : sizeof text;
    if (length > CLIENT_ID_MAX) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "An agent's name has 1 to 255 bytes.", NULL);
        return -1;
    }
    buffer_append_json(out, text, length);
    return 0;
}

void agui_request_metadata(const struct agui_request *request, const struct buffer *agent,
                           struct buffer *out)
{
    buffer_append_text(out, "{\"client\":{\"protocol\":\"ag-ui\"");
    add_member(out, "thread_id", request->thread_id);
    add_member(out, "run_id", request->run_id);
    buffer_append_text(out, "},\"agent\":");
    buffer_append(out, agent->data, agent->length);
    buffer_append_byte(out, '}');
}

/* The event that says what no other event does. With all messages, as they are, when they fit. */
static int say_input(struct exchange *exchange, struct conversation *conversation,
                     const struct agui_request *request)
{
    static const char *const names[] = {"tools",          "context",     "state",
                                        "forwardedProps", "parentRunId", "protocolVersion"};
    struct buffer payload = {0};
    int64_t max = settings_int(exchange->api->actor->settings, SETTING_HTTP_EVENT_BYTES);
    buffer_append_text(&payload, "{\"name\":\"ag_ui.input\",\"value\":{\"agent\":");
    if (agui_request_agent(exchange, &payload) != 0) {
        buffer_deinit(&payload);
        return -1;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct json_span value = json_member(request->body, names[i]);
        if (is_present(value)) {
            add_member(&payload, names[i], value);
        }
    }
    if ((int64_t)(payload.length + request->messages.length) + EVENT_ROOM <= max) {
        add_member(&payload, "messages", request->messages);
    }
    buffer_append_text(&payload, "}}");
    int added = conversation_add(conversation, "CUSTOM", &payload);
    buffer_deinit(&payload);
    return added;
}

/* The texts of a message's content. */
static void append_content(struct buffer *out, struct json_span content)
{
    struct json_span cursor = {0};
    struct json_span part;
    if (content.data != NULL && body_is_string(content)) {
        buffer_append(out, content.data, content.length);
        return;
    }
    buffer_append_byte(out, '"');
    while (content.data != NULL && (part = json_element(content, &cursor)).data != NULL) {
        if (is_text(part, "text")) {
            struct json_span text = body_text(json_member(part, "text"));
            buffer_append(out, text.data, text.length);
        }
    }
    buffer_append_byte(out, '"');
}

static int say_message(struct conversation *conversation, struct json_span message)
{
    struct buffer payload = {0};
    struct json_span content = json_member(message, "content");
    struct json_span call = json_member(message, "toolCallId");
    buffer_append_text(&payload, "{\"input\":true,\"message_id\":");
    struct json_span id = json_member(message, "id");
    buffer_append(&payload, id.data, id.length);
    add_member(&payload, "role", json_member(message, "role"));
    buffer_append_text(&payload, ",\"content\":");
    append_content(&payload, content);
    if (content.data != NULL && body_is_array(content)) {
        add_member(&payload, "parts", content);
    }
    if (call.data != NULL && role_is(message, "tool")) {
        add_member(&payload, "tool_call_id", call);
    }
    buffer_append_byte(&payload, '}');
    int added = conversation_add(conversation, "MESSAGE_COMPLETED", &payload);
    buffer_deinit(&payload);
    return added;
}

static int say_calls(struct conversation *conversation, struct json_span message)
{
    struct json_span calls = json_member(message, "toolCalls");
    struct json_span cursor = {0};
    struct json_span call;
    int added = 0;
    while (added == 0 && calls.data != NULL && (call = json_element(calls, &cursor)).data != NULL) {
        struct buffer payload = {0};
        struct json_span function = json_member(call, "function");
        buffer_append_text(&payload, "{\"input\":true");
        add_member(&payload, "tool_call_id", json_member(call, "id"));
        add_member(&payload, "name", json_member(function, "name"));
        add_member(&payload, "arguments", json_member(function, "arguments"));
        add_member(&payload, "message_id", json_member(message, "id"));
        buffer_append_byte(&payload, '}');
        added = conversation_add(conversation, "TOOL_CALL_STARTED", &payload);
        buffer_deinit(&payload);
    }
    return added;
}

static int say(struct conversation *conversation, struct json_span message)
{
    if (role_is(message, "activity") || role_is(message, "reasoning")) {
        return 0; /* the client's own notes: in the input they are */
    }
    struct json_span content = json_member(message, "content");
    if (content.data != NULL && say_message(conversation, message) != 0) {
        return -1;
    }
    return role_is(message, "assistant") ? say_calls(conversation, message) : 0;
}

/* How many messages the thread has already: those up to the last one of the agent's. */
static size_t known_messages(const struct agui_request *request, bool thread_is_new)
{
    struct json_span cursor = {0};
    struct json_span message;
    size_t count = 0;
    size_t known = 0;
    while ((message = json_element(request->messages, &cursor)).data != NULL) {
        count++;
        known = !thread_is_new && role_is(message, "assistant") ? count : known;
    }
    return count - known > EVENTS_MAX ? count - EVENTS_MAX : known;
}

int agui_request_say(struct exchange *exchange, struct conversation *conversation,
                     const struct agui_request *request, bool thread_is_new)
{
    size_t known = known_messages(request, thread_is_new);
    struct json_span cursor = {0};
    struct json_span message;
    if (say_input(exchange, conversation, request) != 0) {
        return -1;
    }
    for (size_t i = 0; (message = json_element(request->messages, &cursor)).data != NULL; i++) {
        if (i >= known && say(conversation, message) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- answers ---- */

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

struct json_span agui_request_answer(const struct agui_request *request, struct json_span interrupt,
                                     struct buffer *answer)
{
    struct json_span cursor = {0};
    struct json_span entry;
    while ((entry = json_element(request->resume, &cursor)).data != NULL) {
        if (!same_text(json_member(entry, "interruptId"), interrupt)) {
            continue;
        }
        struct json_span payload = json_member(entry, "payload");
        buffer_clear(answer);
        if (body_is(json_member(entry, "status"), "\"cancelled\"")) {
            buffer_append_text(answer, "{\"status\":\"cancelled\"}");
        } else if (payload.data == NULL) {
            buffer_append_text(answer, "null");
        } else {
            buffer_append(answer, payload.data, payload.length);
        }
        return (struct json_span){(const char *)answer->data, answer->length};
    }
    return (struct json_span){NULL, 0};
}
