/*
 * Texts, reasoning and tool calls of the AI SDK's stream. Whatever order producers write in, a part
 * begins before it goes on and ends once. Tool calls are the agent's own (providerExecuted): a client
 * that runs tools itself leaves them alone.
 */
#include "streamer/formats/ai_sdk_internal.h"

#include <string.h>

static const struct json_limits input_limits = {.depth = 64, .keys = 10000};

/* ---- texts and reasoning ---- */

struct words {
    enum open_family family;
    const char *start;
    const char *delta;
    const char *end;
};
static const struct words texts = {OPEN_MESSAGE, "text-start", "text-delta", "text-end"};
static const struct words thoughts = {OPEN_REASONING, "reasoning-start", "reasoning-delta",
                                      "reasoning-end"};

static struct json_span message_id(const struct ai_sdk *told)
{
    return ai_sdk_member(told, "message_id");
}

static bool is_shown(struct json_span role)
{
    static const char assistant[] = "\"assistant\"";
    return !ai_sdk_is_string(role) ||
           (role.length == sizeof assistant - 1 && memcmp(role.data, assistant, role.length) == 0);
}

static void bare(struct ai_sdk *told, const char *type, const struct open_item *item)
{
    ai_sdk_part(told, type);
    ai_sdk_text(told, "id", item->id.data, item->id.length);
    ai_sdk_end(told);
}

/* Begins the part if it has not; the item is new when there is none. */
static struct open_item *begin(struct ai_sdk *told, const struct words *words)
{
    struct open_items *open = &told->projection->open;
    ai_sdk_ready(told);
    struct open_item *item = open_find(open, words->family, message_id(told));
    if (item == NULL) {
        item = open_add(open, words->family, message_id(told));
    }
    if (!item->live) {
        bare(told, words->start, item);
        item->live = true;
    }
    return item;
}

static void show(struct ai_sdk *told, const struct words *words, struct open_item *item,
                 struct json_span delta)
{
    struct buffer plain = {0};
    ai_sdk_part(told, words->delta);
    ai_sdk_text(told, "id", item->id.data, item->id.length);
    ai_sdk_value(told, "delta", delta);
    ai_sdk_end(told);
    open_unescape(&plain, delta);
    open_shown(item, (const char *)plain.data, plain.length);
    buffer_deinit(&plain);
}

static void add_delta(struct ai_sdk *told, const struct words *words)
{
    struct json_span delta = ai_sdk_member(told, "delta");
    struct open_item *item = open_find(&told->projection->open, words->family, message_id(told));
    if ((item != NULL && item->hidden) || delta.length <= 2) {
        return;
    }
    show(told, words, begin(told, words), delta);
}

/* What the whole text has beyond what was shown. */
static void show_rest(struct ai_sdk *told, const struct words *words, struct open_item *item,
                      const struct buffer *whole)
{
    const char *text = (const char *)whole->data + item->length;
    size_t length = whole->length - (size_t)item->length;
    if (length > 0) {
        item = begin(told, words);
        ai_sdk_part(told, words->delta);
        ai_sdk_text(told, "id", item->id.data, item->id.length);
        ai_sdk_text(told, "delta", text, length);
        ai_sdk_end(told);
    }
}

/* What was shown is not what the message says in the end. */
static void correct(struct ai_sdk *told)
{
    ai_sdk_ready(told);
    ai_sdk_part(told, "data-message-edit");
    ai_sdk_value(told, "id", message_id(told));
    ai_sdk_value(told, "data", told->payload);
    ai_sdk_end(told);
}

static void complete_item(struct ai_sdk *told, const struct words *words, struct open_item *item,
                          struct json_span content)
{
    struct open_items *open = &told->projection->open;
    struct buffer whole = {0};
    open_unescape(&whole, content);
    bool right =
        !ai_sdk_is_string(content) || open_is_prefix(item, (const char *)whole.data, whole.length);
    if (right && ai_sdk_is_string(content)) {
        show_rest(told, words, item, &whole);
    }
    item = open_find(open, words->family, message_id(told));
    if (item != NULL) { /* making room may have cost it its place */
        ai_sdk_rest(told, item);
        open_remove(open, item);
    }
    if (!right) {
        correct(told);
    }
    buffer_deinit(&whole);
}

static void complete(struct ai_sdk *told, const struct words *words)
{
    struct open_items *open = &told->projection->open;
    struct json_span content = ai_sdk_member(told, "content");
    struct open_item *item = open_find(open, words->family, message_id(told));
    if (item != NULL) {
        complete_item(told, words, item, content);
    } else if (ai_sdk_is_string(content) && content.length > 2) {
        item = begin(told, words);
        show(told, words, item, content);
        ai_sdk_rest(told, item);
        open_remove(open, item);
    }
}

void ai_sdk_message_started(struct ai_sdk *told)
{
    struct open_items *open = &told->projection->open;
    if (!is_shown(ai_sdk_member(told, "role")) &&
        open_find(open, OPEN_MESSAGE, message_id(told)) == NULL) {
        ai_sdk_make_room(told);
        open_add(open, OPEN_MESSAGE, message_id(told))->hidden = true;
    }
}

void ai_sdk_message_delta(struct ai_sdk *told)
{
    add_delta(told, &texts);
}

void ai_sdk_message_completed(struct ai_sdk *told)
{
    struct open_items *open = &told->projection->open;
    struct open_item *item = open_find(open, OPEN_MESSAGE, message_id(told));
    if (item != NULL && item->hidden) {
        open_remove(open, item);
    } else if (item != NULL || is_shown(ai_sdk_member(told, "role"))) {
        complete(told, &texts);
    }
}

void ai_sdk_reasoning_delta(struct ai_sdk *told)
{
    add_delta(told, &thoughts);
}

void ai_sdk_reasoning_completed(struct ai_sdk *told)
{
    complete(told, &thoughts);
}

/* ---- tool calls ---- */

static struct json_span call_id(const struct ai_sdk *told)
{
    return ai_sdk_member(told, "tool_call_id");
}

/* A part that says which tool is called; ended by the caller. */
static void tool_part(struct ai_sdk *told, const char *type, const struct open_item *item)
{
    static const char nameless[] = "\"tool\"";
    struct json_span name = ai_sdk_member(told, "name");
    ai_sdk_part(told, type);
    if (item != NULL && item->name.length > 0) {
        name = (struct json_span){(const char *)item->name.data, item->name.length};
    } else if (!ai_sdk_is_string(name)) {
        name = (struct json_span){nameless, sizeof nameless - 1};
    }
    if (item != NULL) {
        ai_sdk_text(told, "toolCallId", item->id.data, item->id.length);
    } else {
        ai_sdk_value(told, "toolCallId", call_id(told));
    }
    ai_sdk_value(told, "toolName", name);
    buffer_append_text(told->out, ",\"providerExecuted\":true");
}

/* Arguments as a model wrote them are JSON more often than not. */
static void input_value(struct ai_sdk *told, const struct buffer *text)
{
    const char *bytes = (const char *)text->data;
    buffer_append_text(told->out, ",\"input\":");
    if (text->length == 0) {
        buffer_append_text(told->out, "{}");
    } else if (json_check(bytes, text->length, &input_limits, NULL, NULL) == JSON_OK) {
        ai_sdk_splice(told->out, (struct json_span){bytes, text->length});
    } else {
        buffer_append_json(told->out, bytes, text->length);
    }
}

static void input_available(struct ai_sdk *told, const struct open_item *item,
                            const struct buffer *input)
{
    tool_part(told, "tool-input-available", item);
    input_value(told, input);
    ai_sdk_end(told);
}

static void input_delta(struct ai_sdk *told, const void *text, size_t length)
{
    ai_sdk_part(told, "tool-input-delta");
    ai_sdk_value(told, "toolCallId", call_id(told));
    ai_sdk_text(told, "inputTextDelta", text, length);
    ai_sdk_end(told);
}

static void input_start(struct ai_sdk *told, struct open_item *item)
{
    tool_part(told, "tool-input-start", item);
    ai_sdk_end(told);
    if (item->text.length > 0) { /* pieces came first */
        input_delta(told, item->text.data, item->text.length);
    }
    item->live = true;
}

static struct open_item *call_of(struct ai_sdk *told)
{
    struct open_items *open = &told->projection->open;
    ai_sdk_ready(told);
    struct open_item *item = open_find(open, OPEN_TOOL, call_id(told));
    return item == NULL ? open_add(open, OPEN_TOOL, call_id(told)) : item;
}

void ai_sdk_tool_started(struct ai_sdk *told)
{
    struct json_span arguments = ai_sdk_member(told, "arguments");
    struct json_span name = ai_sdk_member(told, "name");
    struct open_item *item = call_of(told);
    struct buffer input = {0};
    if (item->is_settled) {
        return;
    }
    buffer_clear(&item->name);
    buffer_append(&item->name, name.data, name.length);
    if (ai_sdk_is_string(arguments)) {
        open_unescape(&input, arguments);
    } else {
        buffer_append(&input, arguments.data, arguments.length);
    }
    if (input.length == 0) {
        input_start(told, item);
    } else {
        input_available(told, item, &input);
        open_forget_text(&told->projection->open, item);
        item->live = false;
    }
    buffer_deinit(&input);
}

void ai_sdk_tool_args(struct ai_sdk *told)
{
    struct json_span delta = ai_sdk_member(told, "delta");
    struct open_items *open = &told->projection->open;
    struct open_item *item = open_find(open, OPEN_TOOL, call_id(told));
    struct buffer plain = {0};
    if (item != NULL && !item->live) {
        return; /* its input is complete */
    }
    if (item == NULL) {
        item = call_of(told);
        input_start(told, item);
    } else {
        ai_sdk_ready(told);
        item = open_find(open, OPEN_TOOL, call_id(told));
    }
    open_unescape(&plain, delta);
    input_delta(told, plain.data, plain.length);
    if (item != NULL) {
        open_keep(open, item, (const char *)plain.data, plain.length);
    }
    buffer_deinit(&plain);
}

/* The call is known to clients, with all of its input. */
static void introduce(struct ai_sdk *told)
{
    static const struct buffer none;
    struct open_items *open = &told->projection->open;
    ai_sdk_ready(told);
    struct open_item *item = open_find(open, OPEN_TOOL, call_id(told));
    if (item == NULL) {
        input_available(told, NULL, &none);
        return;
    }
    ai_sdk_rest(told, item);
    open_remove(open, item);
}

void ai_sdk_tool_completed(struct ai_sdk *told)
{
    introduce(told);
    ai_sdk_part(told, "tool-output-available");
    ai_sdk_value(told, "toolCallId", call_id(told));
    ai_sdk_value(told, "output", ai_sdk_member(told, "result"));
    buffer_append_text(told->out, ",\"providerExecuted\":true");
    ai_sdk_end(told);
}

void ai_sdk_tool_failed(struct ai_sdk *told)
{
    introduce(told);
    ai_sdk_part(told, "tool-output-error");
    ai_sdk_value(told, "toolCallId", call_id(told));
    ai_sdk_error_text(told, "The tool failed.");
    buffer_append_text(told->out, ",\"providerExecuted\":true");
    ai_sdk_end(told);
}

/* ---- both ---- */

/* Clients look for a call's input in the step they are at, for its output everywhere. */
static void settle(struct ai_sdk *told, struct open_item *item)
{
    if (item->live && !item->too_long) {
        input_available(told, item, &item->text);
    }
    item->live = false;
    item->is_settled = true;
}

void ai_sdk_rest(struct ai_sdk *told, struct open_item *item)
{
    if (item->family == OPEN_TOOL) {
        settle(told, item);
    } else if (item->live) {
        bare(told, item->family == OPEN_MESSAGE ? texts.end : thoughts.end, item);
        item->live = false;
    }
}

void ai_sdk_error_text(struct ai_sdk *told, const char *words)
{
    struct json_span error = ai_sdk_member(told, "error");
    bool is_object = error.length > 0 && error.data[0] == '{';
    struct json_span message = is_object ? json_member(error, "message") : (struct json_span){0};
    struct json_span reason = ai_sdk_member(told, "reason");
    struct json_span said = ai_sdk_is_string(error)     ? error
                            : ai_sdk_is_string(message) ? message
                                                        : reason;
    if (ai_sdk_is_string(said)) {
        ai_sdk_value(told, "errorText", said);
    } else if (is_object) {
        ai_sdk_text(told, "errorText", error.data, error.length);
    } else {
        ai_sdk_text(told, "errorText", words, strlen(words));
    }
}
