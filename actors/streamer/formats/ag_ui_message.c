/* Messages and reasoning: started, piece by piece, whole. See ag_ui_table.c for what pairs them. */
#include "streamer/formats/ag_ui_state.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

static const struct json_span none = {"", 0};

/* What differs between the two. */
struct streamed {
    enum ag_ui_kind kind;
    const char *prefix; /* of its id: clients keep messages and reasoning in one list */
    const char *start, *content, *end;
    enum ag_ui_record record, text_record;
};

static const struct streamed message_kind = {AG_UI_MESSAGE,        "",
                                             "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT",
                                             "TEXT_MESSAGE_END",   AG_UI_TALK_MESSAGE,
                                             AG_UI_TALK_TEXT};
static const struct streamed reasoning_kind = {
    AG_UI_REASONING,           "reasoning:",
    "REASONING_MESSAGE_START", "REASONING_MESSAGE_CONTENT",
    "REASONING_MESSAGE_END",   AG_UI_TALK_REASONING,
    AG_UI_TALK_REASONING_TEXT};

/* Roles that clients know; what is said by anybody else is said by the agent. */
static struct json_span known_role(struct json_span role)
{
    static const char *const known[] = {"user", "system", "developer", "tool"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (role.length == strlen(known[i]) && memcmp(role.data, known[i], role.length) == 0) {
            return (struct json_span){known[i], role.length};
        }
    }
    return (struct json_span){"assistant", strlen("assistant")};
}

static bool is_tool(struct json_span role)
{
    return role.length == strlen("tool") && memcmp(role.data, "tool", role.length) == 0;
}

static void write_start(struct ag_ui_take *take, const struct streamed *kind, struct json_span id,
                        struct json_span role)
{
    struct buffer *out;
    if (kind->kind == AG_UI_REASONING) {
        out = ag_ui_begin(take, "REASONING_START");
        ag_ui_member_ids(out, "messageId", kind->prefix, id);
        ag_ui_end(take);
    }
    out = ag_ui_begin(take, kind->start);
    ag_ui_member_ids(out, "messageId", kind->prefix, id);
    ag_ui_member_id(out, "role", role);
    ag_ui_end(take);
}

static void write_end(struct ag_ui_take *take, const struct streamed *kind, struct json_span id)
{
    ag_ui_member_ids(ag_ui_begin(take, kind->end), "messageId", kind->prefix, id);
    ag_ui_end(take);
    if (kind->kind == AG_UI_REASONING) {
        ag_ui_member_ids(ag_ui_begin(take, "REASONING_END"), "messageId", kind->prefix, id);
        ag_ui_end(take);
    }
}

static void write_text(struct ag_ui_take *take, const struct streamed *kind, struct json_span id,
                       struct json_span body)
{
    ag_ui_write_delta(take, kind->content, "messageId", kind->prefix, id, body);
    ag_ui_note(take, kind->text_record, id, body);
}

/* Opens it unless it is; NULL when it cannot be shown now. */
static struct ag_ui_open *start(struct ag_ui_take *take, const struct streamed *kind,
                                struct json_span id, struct json_span role)
{
    struct ag_ui_open *open = ag_ui_find_open(take->state, kind->kind, id);
    if (open != NULL) {
        return open->hidden ? NULL : open;
    }
    open = ag_ui_add_open(take->state, kind->kind, id);
    if (open == NULL) {
        return NULL;
    }
    ag_ui_text_set(&open->name, role);
    /* What a tool says is a result, which clients take whole only. */
    open->hidden = is_tool(role);
    if (open->hidden) {
        return NULL;
    }
    write_start(take, kind, id, role);
    ag_ui_note(take, kind->record, id, role);
    return open;
}

static void piece(struct ag_ui_take *take, const struct streamed *kind, struct json_span role)
{
    struct ag_ui_text id;
    struct ag_ui_text text;
    if (ag_ui_member_text(take->payload, "message_id", &id) != 0) {
        return;
    }
    struct ag_ui_open *open = start(take, kind, ag_ui_text_span(&id), role);
    if (open != NULL && ag_ui_member_text(take->payload, "delta", &text) == 0) {
        open->text_hash = ag_ui_hash(open->text_hash, text.data, text.length);
        open->text_length += text.length;
        write_text(take, kind, ag_ui_text_span(&id),
                   ag_ui_inside(json_member(take->payload, "delta")));
        ag_ui_text_clear(&text);
    }
    ag_ui_text_clear(&id);
}

/* Clients have a text of it that its completion does not begin with. */
static void replace(struct ag_ui_take *take, struct json_span id, struct json_span content)
{
    ag_ui_note(take, AG_UI_TALK_EDIT, id, ag_ui_is(content, '"') ? ag_ui_inside(content) : none);
    if (!take->state->messages_apart && take->state->talk.total <= AG_UI_SNAPSHOT_MAX) {
        ag_ui_write_messages(take, true);
    }
}

/* Writes of the whole text what has not been written yet. False: something else was written. */
static bool write_rest(struct ag_ui_take *take, const struct streamed *kind, struct json_span id,
                       struct json_span content, uint64_t *length, uint64_t *text_hash)
{
    struct ag_ui_text text = {memory_new(content.length), 0};
    text.length = json_unescape(content.data + 1, content.length - 2, text.data);
    bool fits = text.length >= *length &&
                ag_ui_hash(AG_UI_HASH_BASIS, text.data, (size_t)*length) == *text_hash;
    if (fits && text.length > *length) {
        struct buffer rest = {0};
        buffer_append_json(&rest, text.data + *length, text.length - (size_t)*length);
        write_text(take, kind, id,
                   ag_ui_inside((struct json_span){(const char *)rest.data, rest.length}));
        buffer_deinit(&rest);
    }
    *length = text.length;
    *text_hash = ag_ui_hash(AG_UI_HASH_BASIS, text.data, text.length);
    ag_ui_text_clear(&text);
    return fits;
}

/* It is open and ends, with its whole text if that was said. */
static void end_open(struct ag_ui_take *take, const struct streamed *kind, struct ag_ui_open *open,
                     struct json_span content)
{
    struct ag_ui_text id = open->id;
    struct json_span name = ag_ui_text_span(&id);
    bool fits = content.data == NULL ||
                write_rest(take, kind, name, content, &open->text_length, &open->text_hash);
    struct ag_ui_done *done = ag_ui_remember(take->state, kind->kind, name);
    done->text_hash = open->text_hash;
    done->text_length = open->text_length;
    open->id = (struct ag_ui_text){0};
    ag_ui_remove_open(take->state, open);
    write_end(take, kind, name);
    if (!fits) {
        replace(take, name, content);
    }
    ag_ui_text_clear(&id);
}

/* It is not open and comes whole: at once, or again. */
static void whole(struct ag_ui_take *take, const struct streamed *kind, struct json_span id,
                  struct json_span role, struct json_span content)
{
    struct ag_ui_done *done = ag_ui_find_done(take->state, kind->kind, id);
    uint64_t length = done == NULL ? 0 : done->text_length;
    uint64_t text_hash = done == NULL ? AG_UI_HASH_BASIS : done->text_hash;
    if (done != NULL) {
        struct ag_ui_text text = {memory_new(content.length), 0};
        text.length = json_unescape(content.data + 1, content.length - 2, text.data);
        uint64_t now = ag_ui_hash(AG_UI_HASH_BASIS, text.data, text.length);
        bool same = now == done->text_hash && text.length == done->text_length;
        done->text_hash = now;
        done->text_length = text.length;
        ag_ui_text_clear(&text);
        if (!same) {
            replace(take, id, content);
        }
        return;
    }
    write_start(take, kind, id, role);
    ag_ui_note(take, kind->record, id, role);
    bool fits SB_UNUSED = write_rest(take, kind, id, content, &length, &text_hash);
    write_end(take, kind, id);
    done = ag_ui_remember(take->state, kind->kind, id);
    done->text_hash = text_hash;
    done->text_length = length;
}

static struct json_span role_of(struct json_span payload, struct ag_ui_text *text)
{
    return ag_ui_member_text(payload, "role", text) == 0 ? known_role(ag_ui_text_span(text))
                                                         : known_role(none);
}

void ag_ui_message_started(struct ag_ui_take *take)
{
    struct ag_ui_text id;
    struct ag_ui_text role;
    struct json_span known = role_of(take->payload, &role);
    if (ag_ui_member_text(take->payload, "message_id", &id) == 0) {
        (void)start(take, &message_kind, ag_ui_text_span(&id), known);
    }
    ag_ui_text_clear(&id);
    ag_ui_text_clear(&role);
}

void ag_ui_message_delta(struct ag_ui_take *take)
{
    piece(take, &message_kind, known_role(none));
}

/* A message of role tool: the result of a call, if it says of which. */
static void tool_said(struct ag_ui_take *take, struct json_span id, struct json_span content)
{
    struct ag_ui_text call;
    if (ag_ui_member_text(take->payload, "tool_call_id", &call) != 0) {
        struct json_span name = {"\"MESSAGE_COMPLETED\"", strlen("\"MESSAGE_COMPLETED\"")};
        ag_ui_write_custom(take, name, take->payload, true);
        return;
    }
    struct ag_ui_done *done = ag_ui_remember(take->state, AG_UI_TOOL_CALL, ag_ui_text_span(&call));
    if (!done->answered) {
        done->answered = true;
        struct buffer *out = ag_ui_begin(take, "TOOL_CALL_RESULT");
        ag_ui_member_id(out, "messageId", id);
        ag_ui_member_id(out, "toolCallId", ag_ui_text_span(&call));
        ag_ui_member_json(out, "content", content);
        buffer_append_text(out, ",\"role\":\"tool\"");
        ag_ui_end(take);
        ag_ui_note_result(take, ag_ui_text_span(&call), id, content);
    }
    ag_ui_text_clear(&call);
}

/* What the client said itself when it asked for the run: it has that. */
static bool is_input(struct ag_ui_take *take)
{
    struct json_span value = json_member(take->payload, "input");
    return value.length == 4 && memcmp(value.data, "true", 4) == 0;
}

static void completed(struct ag_ui_take *take, struct json_span id, struct json_span content)
{
    struct ag_ui_open *open = ag_ui_find_open(take->state, AG_UI_MESSAGE, id);
    struct ag_ui_text text = {0};
    struct json_span role =
        open == NULL ? role_of(take->payload, &text) : known_role(ag_ui_text_span(&open->name));
    if (open != NULL && !open->hidden) {
        end_open(take, &message_kind, open, content);
    } else {
        if (open != NULL) {
            ag_ui_remove_open(take->state, open);
        }
        if (is_tool(role)) {
            tool_said(take, id, content);
        } else {
            whole(take, &message_kind, id, role, content);
        }
    }
    ag_ui_text_clear(&text);
}

void ag_ui_message_completed(struct ag_ui_take *take)
{
    struct ag_ui_text id;
    struct json_span content = json_member(take->payload, "content");
    if (ag_ui_member_text(take->payload, "message_id", &id) == 0 && ag_ui_is(content, '"')) {
        bool muted = take->muted;
        bool changed = take->state->changed;
        bool input = is_input(take);
        if (!input || !take->state->has_input) {
            take->muted = take->muted || input;
            completed(take, ag_ui_text_span(&id), content);
            take->muted = muted;
            take->state->changed = input ? changed : take->state->changed;
        }
    }
    ag_ui_text_clear(&id);
}

/* What clients have of it from now on. */
static void note_edit(struct ag_ui *state, struct json_span id, struct json_span content)
{
    struct ag_ui_open *open = ag_ui_find_open(state, AG_UI_MESSAGE, id);
    struct ag_ui_done *done = ag_ui_find_done(state, AG_UI_MESSAGE, id);
    struct ag_ui_text text = {memory_new(content.length), 0};
    if (ag_ui_is(content, '"')) {
        text.length = json_unescape(content.data + 1, content.length - 2, text.data);
    }
    uint64_t hash = ag_ui_hash(AG_UI_HASH_BASIS, text.data, text.length);
    if (open != NULL) {
        open->text_hash = hash;
        open->text_length = text.length;
    }
    if (done != NULL) {
        done->text_hash = hash;
        done->text_length = text.length;
    }
    ag_ui_text_clear(&text);
}

void ag_ui_message_edited(struct ag_ui_take *take)
{
    struct ag_ui_text id;
    struct json_span content = json_member(take->payload, "content");
    struct json_span name = {"\"MESSAGE_EDITED\"", strlen("\"MESSAGE_EDITED\"")};
    if (ag_ui_member_text(take->payload, "message_id", &id) == 0) {
        ag_ui_write_custom(take, name, take->payload, true);
        note_edit(take->state, ag_ui_text_span(&id), content);
        replace(take, ag_ui_text_span(&id), content);
    }
    ag_ui_text_clear(&id);
}

static const struct json_span reasoning_role = {"reasoning", 9};

void ag_ui_reasoning_started(struct ag_ui_take *take)
{
    struct ag_ui_text id;
    if (ag_ui_member_text(take->payload, "message_id", &id) == 0) {
        (void)start(take, &reasoning_kind, ag_ui_text_span(&id), reasoning_role);
    }
    ag_ui_text_clear(&id);
}

void ag_ui_reasoning_delta(struct ag_ui_take *take)
{
    piece(take, &reasoning_kind, reasoning_role);
}

void ag_ui_reasoning_completed(struct ag_ui_take *take)
{
    struct ag_ui_text id;
    struct json_span content = json_member(take->payload, "content");
    struct json_span said = ag_ui_is(content, '"') ? content : (struct json_span){"\"\"", 2};
    if (ag_ui_member_text(take->payload, "message_id", &id) == 0) {
        struct ag_ui_open *open =
            ag_ui_find_open(take->state, AG_UI_REASONING, ag_ui_text_span(&id));
        if (open != NULL && !open->hidden) {
            end_open(take, &reasoning_kind, open,
                     ag_ui_is(content, '"') ? content : (struct json_span){NULL, 0});
        } else if (ag_ui_find_done(take->state, AG_UI_REASONING, ag_ui_text_span(&id)) == NULL) {
            whole(take, &reasoning_kind, ag_ui_text_span(&id), reasoning_role, said);
        }
    }
    ag_ui_text_clear(&id);
}

void ag_ui_close_text(struct ag_ui_take *take, struct ag_ui_open *open)
{
    end_open(take, open->kind == AG_UI_MESSAGE ? &message_kind : &reasoning_kind, open,
             (struct json_span){NULL, 0});
}

void ag_ui_open_text(struct ag_ui_take *take, const struct ag_ui_open *open, struct json_span body)
{
    const struct streamed *kind = open->kind == AG_UI_MESSAGE ? &message_kind : &reasoning_kind;
    struct json_span id = ag_ui_text_span(&open->id);
    write_start(take, kind, id, ag_ui_text_span(&open->name));
    ag_ui_write_delta(take, kind->content, "messageId", kind->prefix, id, body);
}
