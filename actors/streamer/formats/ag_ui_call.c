/* Tool calls and their results, steps, and the end of whatever is open. See ag_ui_table.c. */
#include "streamer/formats/ag_ui_state.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

static void tell_call(struct ag_ui_take *take, struct json_span id, struct json_span name,
                      struct json_span parent)
{
    struct buffer *out = ag_ui_begin(take, "TOOL_CALL_START");
    ag_ui_member_id(out, "toolCallId", id);
    ag_ui_member_json(out, "toolCallName", name);
    if (parent.data != NULL) {
        ag_ui_member_id(out, "parentMessageId", parent);
    }
    ag_ui_end(take);
}

static void call_start(struct ag_ui_take *take, struct json_span id, struct json_span name)
{
    struct buffer about = {0};
    struct ag_ui_text parent;
    bool has_parent SB_UNUSED = ag_ui_member_text(take->payload, "message_id", &parent) == 0;
    tell_call(take, id, name, ag_ui_text_span(&parent));
    buffer_append(&about, parent.data, parent.length);
    buffer_append_byte(&about, '\0');
    buffer_append(&about, name.data, name.length);
    ag_ui_note(take, AG_UI_TALK_CALL, id,
               (struct json_span){(const char *)about.data, about.length});
    buffer_deinit(&about);
    ag_ui_text_clear(&parent);
}

static void call_arguments(struct ag_ui_take *take, struct json_span id, struct json_span body)
{
    ag_ui_write_delta(take, "TOOL_CALL_ARGS", "toolCallId", "", id, body);
    ag_ui_note(take, AG_UI_TALK_ARGUMENTS, id, body);
}

static void call_end(struct ag_ui_take *take, struct json_span id)
{
    ag_ui_write_id(take, "TOOL_CALL_END", "toolCallId", id);
    (void)ag_ui_remember(take->state, AG_UI_TOOL_CALL, id);
}

/* TOOL_CALL_ARGS bring the rest of it. */
static bool comes_in_pieces(struct json_span arguments)
{
    return arguments.length == 2 && (ag_ui_is(arguments, '"') || ag_ui_is(arguments, '{'));
}

static void call_begins(struct ag_ui_take *take, struct json_span id)
{
    struct json_span arguments = json_member(take->payload, "arguments");
    struct json_span name = json_member(take->payload, "name");
    if (comes_in_pieces(arguments)) {
        struct ag_ui_open *open = ag_ui_add_open(take->state, AG_UI_TOOL_CALL, id);
        if (open != NULL) {
            call_start(take, id, name);
            return;
        }
    }
    struct buffer body = {0};
    ag_ui_string_body(&body, arguments);
    call_start(take, id, name);
    call_arguments(take, id, (struct json_span){(const char *)body.data, body.length});
    call_end(take, id);
    buffer_deinit(&body);
}

void ag_ui_call_started(struct ag_ui_take *take)
{
    struct ag_ui_text id;
    if (ag_ui_member_text(take->payload, "tool_call_id", &id) == 0) {
        struct json_span name = ag_ui_text_span(&id);
        if (ag_ui_find_open(take->state, AG_UI_TOOL_CALL, name) == NULL &&
            ag_ui_find_done(take->state, AG_UI_TOOL_CALL, name) == NULL) {
            call_begins(take, name);
        }
    }
    ag_ui_text_clear(&id);
}

/* Pieces of a call that clients know to be whole, or do not know, have no name and no place. */
void ag_ui_call_arguments(struct ag_ui_take *take)
{
    struct ag_ui_text id;
    struct json_span delta = json_member(take->payload, "delta");
    if (ag_ui_member_text(take->payload, "tool_call_id", &id) == 0 && ag_ui_is(delta, '"')) {
        struct ag_ui_open *open =
            ag_ui_find_open(take->state, AG_UI_TOOL_CALL, ag_ui_text_span(&id));
        if (open != NULL) {
            open->text_length += delta.length - 2;
            call_arguments(take, ag_ui_text_span(&id), ag_ui_inside(delta));
        }
    }
    ag_ui_text_clear(&id);
}

static void close_call(struct ag_ui_take *take, struct ag_ui_open *open)
{
    struct ag_ui_text id = open->id;
    if (open->text_length == 0) { /* no pieces came: it has no arguments */
        call_arguments(take, ag_ui_text_span(&id), (struct json_span){"{}", 2});
    }
    open->id = (struct ag_ui_text){0};
    ag_ui_remove_open(take->state, open);
    call_end(take, ag_ui_text_span(&id));
    ag_ui_text_clear(&id);
}

/* Content of the result, as the inside of a JSON string. */
static void result_body(struct ag_ui_take *take, bool failed, struct buffer *body)
{
    struct json_span result = json_member(take->payload, "result");
    if (!failed) {
        ag_ui_string_body(body, result);
        return;
    }
    struct buffer error = {0};
    struct json_span why = json_member(take->payload, "error");
    if (why.data == NULL) {
        why = json_member(take->payload, "reason");
    }
    buffer_append_text(&error, "{\"error\":");
    if (why.data == NULL) {
        buffer_append_text(&error, "\"failed\"");
    } else {
        buffer_append(&error, why.data, why.length);
    }
    buffer_append_byte(&error, '}');
    ag_ui_string_body(body, (struct json_span){(const char *)error.data, error.length});
    buffer_deinit(&error);
}

void ag_ui_note_result(struct ag_ui_take *take, struct json_span call, struct json_span message,
                       struct json_span content)
{
    struct buffer about = {0};
    buffer_append(&about, message.data, message.length);
    buffer_append_byte(&about, '\0');
    buffer_append(&about, content.data, content.length);
    ag_ui_note(take, AG_UI_TALK_RESULT, call,
               (struct json_span){(const char *)about.data, about.length});
    buffer_deinit(&about);
}

static void call_result(struct ag_ui_take *take, struct json_span id, bool failed)
{
    struct buffer message = {0};
    struct buffer content = {0};
    buffer_append_text(&message, "result:");
    buffer_append(&message, id.data, id.length);
    buffer_append_byte(&content, '"');
    result_body(take, failed, &content);
    buffer_append_byte(&content, '"');
    struct json_span text = {(const char *)content.data, content.length};
    struct buffer *out = ag_ui_begin(take, "TOOL_CALL_RESULT");
    ag_ui_member_id(out, "messageId",
                    (struct json_span){(const char *)message.data, message.length});
    ag_ui_member_id(out, "toolCallId", id);
    ag_ui_member_json(out, "content", text);
    buffer_append_text(out, ",\"role\":\"tool\"");
    ag_ui_end(take);
    ag_ui_note_result(take, id, (struct json_span){(const char *)message.data, message.length},
                      text);
    buffer_deinit(&message);
    buffer_deinit(&content);
}

void ag_ui_call_ended(struct ag_ui_take *take, bool failed)
{
    struct ag_ui_text text;
    struct json_span name = json_member(take->payload, "name");
    if (ag_ui_member_text(take->payload, "tool_call_id", &text) == 0) {
        struct json_span id = ag_ui_text_span(&text);
        struct ag_ui_open *open = ag_ui_find_open(take->state, AG_UI_TOOL_CALL, id);
        if (open != NULL) {
            close_call(take, open);
        } else if (ag_ui_find_done(take->state, AG_UI_TOOL_CALL, id) == NULL && name.data != NULL) {
            call_start(take, id, name);
            call_end(take, id);
        }
        struct ag_ui_done *done = ag_ui_remember(take->state, AG_UI_TOOL_CALL, id);
        if (!done->answered) {
            done->answered = true;
            call_result(take, id, failed);
        }
    }
    ag_ui_text_clear(&text);
}

/* ---- steps ---- */

static bool step_is_open(const struct ag_ui *state, struct json_span name)
{
    for (size_t i = 0; i < state->open_count; i++) {
        const struct ag_ui_open *open = &state->open[i];
        if (open->kind == AG_UI_STEP && open->name.length == name.length &&
            memcmp(open->name.data, name.data, name.length) == 0) {
            return true;
        }
    }
    return false;
}

/* Clients know steps by name alone: the title, or the task's id when another step has that title. */
static void step_start(struct ag_ui_take *take, struct json_span id)
{
    struct ag_ui_text title;
    struct json_span name = id;
    if (ag_ui_member_text(take->payload, "title", &title) == 0 && title.length > 0 &&
        !step_is_open(take->state, ag_ui_text_span(&title))) {
        name = ag_ui_text_span(&title);
    }
    struct ag_ui_open *open =
        step_is_open(take->state, name) ? NULL : ag_ui_add_open(take->state, AG_UI_STEP, id);
    if (open != NULL) {
        ag_ui_text_set(&open->name, name);
        ag_ui_write_id(take, "STEP_STARTED", "stepName", name);
    }
    ag_ui_text_clear(&title);
}

/* `open` is in the table. */
static void step_end(struct ag_ui_take *take, struct ag_ui_open *open)
{
    ag_ui_write_id(take, "STEP_FINISHED", "stepName", ag_ui_text_span(&open->name));
    (void)ag_ui_remember(take->state, AG_UI_STEP, ag_ui_text_span(&open->id));
    ag_ui_remove_open(take->state, open);
}

void ag_ui_task_started(struct ag_ui_take *take)
{
    struct ag_ui_text id;
    if (ag_ui_member_text(take->payload, "task_id", &id) == 0 &&
        ag_ui_find_open(take->state, AG_UI_STEP, ag_ui_text_span(&id)) == NULL) {
        step_start(take, ag_ui_text_span(&id));
    }
    ag_ui_text_clear(&id);
}

void ag_ui_task_ended(struct ag_ui_take *take)
{
    struct ag_ui_text id;
    if (ag_ui_member_text(take->payload, "task_id", &id) == 0) {
        if (ag_ui_find_done(take->state, AG_UI_STEP, ag_ui_text_span(&id)) == NULL) {
            ag_ui_task_started(take); /* it may end without a word of its beginning */
        }
        struct ag_ui_open *open = ag_ui_find_open(take->state, AG_UI_STEP, ag_ui_text_span(&id));
        if (open != NULL) {
            step_end(take, open);
        }
    }
    ag_ui_text_clear(&id);
}

void ag_ui_close_all(struct ag_ui_take *take)
{
    struct ag_ui *state = take->state;
    while (state->open_count > 0) {
        struct ag_ui_open *open = &state->open[state->open_count - 1];
        if (open->hidden) {
            ag_ui_remove_open(state, open);
            continue;
        }
        switch (open->kind) {
        case AG_UI_MESSAGE:
        case AG_UI_REASONING:
            ag_ui_close_text(take, open);
            break;
        case AG_UI_TOOL_CALL:
            close_call(take, open);
            break;
        case AG_UI_STEP:
            step_end(take, open);
            break;
        }
    }
}

void ag_ui_open_again(struct ag_ui_take *take, const struct ag_ui_open *open, struct json_span name,
                      struct json_span body)
{
    struct json_span id = ag_ui_text_span(&open->id);
    if (open->hidden) {
        return;
    }
    switch (open->kind) {
    case AG_UI_MESSAGE:
    case AG_UI_REASONING:
        ag_ui_open_text(take, open, body);
        break;
    case AG_UI_TOOL_CALL:
        tell_call(take, id, name, (struct json_span){NULL, 0});
        ag_ui_write_delta(take, "TOOL_CALL_ARGS", "toolCallId", "", id, body);
        break;
    case AG_UI_STEP:
        ag_ui_write_id(take, "STEP_STARTED", "stepName", ag_ui_text_span(&open->name));
        break;
    }
}
