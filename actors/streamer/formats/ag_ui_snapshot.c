/*
 * The run in short, for clients that come late: what its messages, calls and activities have come to,
 * told from the transcript as a client would have built it from the events. See ag_ui_state.h.
 */
#include "streamer/formats/ag_ui_state.h"

#include "runtime/base/map.h"
#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

struct call {
    struct call *next;
    struct json_span id;
    struct json_span name;
    struct buffer arguments;
    struct said *said; /* the message it is part of */
};

enum said_kind { SAID_MESSAGE, SAID_REASONING, SAID_ACTIVITY };

/* One message of the snapshot. */
struct said {
    struct said *next;
    enum said_kind kind;
    struct json_span id;
    struct json_span role;
    bool has_text; /* else it is there for its calls only */
    struct buffer text;
    struct call *calls;
    struct call **calls_end;
    struct buffer results; /* messages of their own that follow it */
};

struct snapshot {
    struct said *first;
    struct said **end;
    struct json_span input; /* the client's messages */
    struct map said[3];     /* by the hash of the id; one for each kind */
    struct map calls;
};

static struct uuid key(struct json_span id)
{
    return map_number_key(ag_ui_hash(AG_UI_HASH_BASIS, id.data, id.length));
}

static struct said *find(struct snapshot *snapshot, enum said_kind kind, struct json_span id)
{
    struct uuid hash = key(id);
    return map_get(&snapshot->said[kind], &hash);
}

static struct said *add(struct snapshot *snapshot, enum said_kind kind, struct json_span id,
                        struct json_span role)
{
    struct said *said = memory_new(sizeof *said);
    struct uuid hash = key(id);
    *said = (struct said){.kind = kind, .id = id, .role = role};
    said->calls_end = &said->calls;
    *snapshot->end = said;
    snapshot->end = &said->next;
    (void)map_put(&snapshot->said[kind], &hash, said);
    return said;
}

/* ---- reading the transcript ---- */

static struct json_span behind_nul(struct json_span text, struct json_span *before_out)
{
    const char *nul = memchr(text.data, '\0', text.length);
    size_t before = (size_t)(nul - text.data);
    *before_out = (struct json_span){text.data, before};
    return (struct json_span){nul + 1, text.length - before - 1};
}

static bool is_assistant(struct json_span role)
{
    return role.length == strlen("assistant") && memcmp(role.data, "assistant", role.length) == 0;
}

static void take_call(struct snapshot *snapshot, const struct transcript_record *record)
{
    static const struct json_span assistant = {"assistant", 9};
    struct json_span parent;
    struct json_span name = behind_nul(record->text, &parent);
    struct uuid hash = key(record->name);
    if (map_get(&snapshot->calls, &hash) != NULL) {
        return;
    }
    struct said *said = parent.length == 0 ? NULL : find(snapshot, SAID_MESSAGE, parent);
    if (said == NULL && parent.length > 0) {
        said = add(snapshot, SAID_MESSAGE, parent, assistant);
    } else if (said == NULL || !is_assistant(said->role)) {
        said = add(snapshot, SAID_MESSAGE, record->name, assistant);
    }
    struct call *call = memory_new(sizeof *call);
    *call = (struct call){.id = record->name, .name = name, .said = said};
    *said->calls_end = call;
    said->calls_end = &call->next;
    (void)map_put(&snapshot->calls, &hash, call);
}

/* Clients put a result behind the message that has the call. */
static void take_result(struct snapshot *snapshot, const struct transcript_record *record)
{
    struct uuid hash = key(record->name);
    const struct call *call = map_get(&snapshot->calls, &hash);
    struct said *said = call == NULL ? NULL : call->said;
    struct json_span message;
    struct json_span content = behind_nul(record->text, &message);
    if (said == NULL) {
        said = add(snapshot, SAID_MESSAGE, message, (struct json_span){NULL, 0});
    }
    buffer_append_text(&said->results, ",{\"role\":\"tool\"");
    ag_ui_member_id(&said->results, "id", message);
    ag_ui_member_id(&said->results, "toolCallId", record->name);
    ag_ui_member_json(&said->results, "content", content);
    buffer_append_byte(&said->results, '}');
}

static void take_text(struct said *said, struct json_span text, bool instead)
{
    if (said != NULL && said->has_text) { /* what was edited before it was said is said anew */
        if (instead) {
            buffer_clear(&said->text);
        }
        buffer_append(&said->text, text.data, text.length);
    }
}

static void take_start(struct snapshot *snapshot, enum said_kind kind,
                       const struct transcript_record *record)
{
    struct said *said = find(snapshot, kind, record->name);
    if (said == NULL) {
        said = add(snapshot, kind, record->name, record->text);
    }
    said->has_text = true;
}

static void take_record(struct snapshot *snapshot, const struct transcript_record *record)
{
    struct uuid hash;
    struct call *call;
    switch ((enum ag_ui_record)record->kind) {
    case AG_UI_TALK_INPUT:
        snapshot->input = record->text;
        break;
    case AG_UI_TALK_MESSAGE:
        take_start(snapshot, SAID_MESSAGE, record);
        break;
    case AG_UI_TALK_TEXT:
        take_text(find(snapshot, SAID_MESSAGE, record->name), record->text, false);
        break;
    case AG_UI_TALK_EDIT:
        take_text(find(snapshot, SAID_MESSAGE, record->name), record->text, true);
        break;
    case AG_UI_TALK_CALL:
        take_call(snapshot, record);
        break;
    case AG_UI_TALK_ARGUMENTS:
        hash = key(record->name);
        call = map_get(&snapshot->calls, &hash);
        if (call != NULL) {
            buffer_append(&call->arguments, record->text.data, record->text.length);
        }
        break;
    case AG_UI_TALK_RESULT:
        take_result(snapshot, record);
        break;
    case AG_UI_TALK_REASONING:
        take_start(snapshot, SAID_REASONING, record);
        break;
    case AG_UI_TALK_REASONING_TEXT:
        take_text(find(snapshot, SAID_REASONING, record->name), record->text, false);
        break;
    case AG_UI_TALK_ACTIVITY:
        take_start(snapshot, SAID_ACTIVITY, record);
        take_text(find(snapshot, SAID_ACTIVITY, record->name), record->text, true);
        break;
    case AG_UI_TALK_CUSTOM:
    case AG_UI_STATE_WHOLE:
    case AG_UI_STATE_CHANGE:
        break;
    }
}

static void snapshot_init(struct snapshot *snapshot, const struct ag_ui *state)
{
    struct transcript_cursor cursor = {0};
    struct transcript_record record;
    *snapshot = (struct snapshot){0};
    snapshot->end = &snapshot->first;
    while (transcript_next(&state->talk, &cursor, &record)) {
        take_record(snapshot, &record);
    }
}

static void snapshot_deinit(struct snapshot *snapshot)
{
    while (snapshot->first != NULL) {
        struct said *said = snapshot->first;
        snapshot->first = said->next;
        while (said->calls != NULL) {
            struct call *call = said->calls;
            said->calls = call->next;
            buffer_deinit(&call->arguments);
            free(call);
        }
        buffer_deinit(&said->text);
        buffer_deinit(&said->results);
        free(said);
    }
    for (size_t i = 0; i < 3; i++) {
        map_deinit(&snapshot->said[i]);
    }
    map_deinit(&snapshot->calls);
}

/* ---- writing it ---- */

static bool is_open(struct ag_ui *state, enum ag_ui_kind kind, struct json_span id)
{
    const struct ag_ui_open *open = ag_ui_find_open(state, kind, id);
    return open != NULL && !open->hidden;
}

static void append_text(struct buffer *out, const char *name, const struct buffer *text, bool shown)
{
    buffer_printf(out, ",\"%s\":\"", name);
    if (shown) {
        buffer_append(out, text->data, text->length);
    }
    buffer_append_byte(out, '"');
}

static void append_calls(struct buffer *out, struct ag_ui *state, const struct said *said,
                         bool open_text)
{
    buffer_append_text(out, ",\"toolCalls\":[");
    for (const struct call *call = said->calls; call != NULL; call = call->next) {
        buffer_append_text(out, call == said->calls ? "{\"type\":\"function\""
                                                    : ",{\"type\":\"function\"");
        ag_ui_member_id(out, "id", call->id);
        buffer_append_text(out, ",\"function\":{\"name\":");
        buffer_append(out, call->name.data, call->name.length);
        append_text(out, "arguments", &call->arguments,
                    open_text || !is_open(state, AG_UI_TOOL_CALL, call->id));
        buffer_append_text(out, "}}");
    }
    buffer_append_byte(out, ']');
}

static void append_message(struct buffer *out, struct ag_ui *state, const struct said *said,
                           bool open_text)
{
    buffer_append_text(out, ",{\"role\":");
    buffer_append_json(out, said->role.data, said->role.length);
    ag_ui_member_id(out, "id", said->id);
    if (said->has_text) {
        append_text(out, "content", &said->text,
                    open_text || !is_open(state, AG_UI_MESSAGE, said->id));
    }
    if (said->calls != NULL) {
        append_calls(out, state, said, open_text);
    }
    buffer_append_byte(out, '}');
}

static void append_said(struct buffer *out, struct ag_ui *state, const struct said *said,
                        bool open_text)
{
    switch (said->kind) {
    case SAID_MESSAGE:
        if (said->role.data != NULL) {
            append_message(out, state, said, open_text);
        }
        break;
    case SAID_REASONING:
        buffer_append_text(out, ",{\"role\":\"reasoning\"");
        ag_ui_member_ids(out, "id", "reasoning:", said->id);
        append_text(out, "content", &said->text,
                    open_text || !is_open(state, AG_UI_REASONING, said->id));
        buffer_append_byte(out, '}');
        break;
    case SAID_ACTIVITY:
        buffer_append_text(out, ",{\"role\":\"activity\",\"activityType\":\"plan\"");
        ag_ui_member_ids(out, "id", "plan:", said->id);
        buffer_append_text(out, ",\"content\":");
        buffer_append(out, said->text.data, said->text.length);
        buffer_append_byte(out, '}');
        break;
    }
    buffer_append(out, said->results.data, said->results.length);
}

/* The inside of the client's array: everything between its brackets. */
static void append_input(struct buffer *out, struct json_span input)
{
    struct json_span cursor = {0};
    bool first = true;
    while (input.data != NULL && json_element(input, &cursor).data != NULL) {
        buffer_append_text(out, first ? "" : ",");
        buffer_append(out, cursor.data, cursor.length);
        first = false;
    }
}

static void write_messages(struct ag_ui_take *take, const struct snapshot *snapshot, bool open_text)
{
    struct buffer *out = ag_ui_begin(take, "MESSAGES_SNAPSHOT");
    buffer_append_text(out, ",\"messages\":[");
    size_t begin = out->length;
    append_input(out, snapshot->input);
    size_t at = out->length;
    for (const struct said *said = snapshot->first; said != NULL; said = said->next) {
        append_said(out, take->state, said, open_text);
    }
    if (at == begin && out->length > at) { /* no comma before the first one */
        memmove(out->data + at, out->data + at + 1, out->length - at - 1);
        out->length--;
    }
    buffer_append_byte(out, ']');
    ag_ui_end(take);
}

void ag_ui_write_messages(struct ag_ui_take *take, bool open_text)
{
    struct snapshot snapshot;
    snapshot_init(&snapshot, take->state);
    write_messages(take, &snapshot, open_text);
    snapshot_deinit(&snapshot);
}

void ag_ui_write_state(struct ag_ui_take *take, bool always)
{
    const struct transcript *shared = &take->state->shared;
    struct transcript_cursor cursor = {0};
    struct transcript_record record;
    bool based = false;
    if (shared->cut) {
        return; /* too long a history to tell: what is not whole is not told */
    }
    while (transcript_next(shared, &cursor, &record)) {
        bool whole = record.kind == AG_UI_STATE_WHOLE;
        if (!whole && !based) {
            ag_ui_member_json(ag_ui_begin(take, "STATE_SNAPSHOT"), "snapshot",
                              (struct json_span){"{}", 2});
            ag_ui_end(take);
        }
        based = true;
        ag_ui_member_json(ag_ui_begin(take, whole ? "STATE_SNAPSHOT" : "STATE_DELTA"),
                          whole ? "snapshot" : "delta", record.text);
        ag_ui_end(take);
    }
    if (always && !based) {
        ag_ui_member_json(ag_ui_begin(take, "STATE_SNAPSHOT"), "snapshot",
                          (struct json_span){"{}", 2});
        ag_ui_end(take);
    }
}

/* Events that leave nothing behind in messages or state are told again: from number `from` on, and
 * before number `to`. */
static void write_customs(struct ag_ui_take *take, uint64_t from, uint64_t to)
{
    struct transcript_cursor cursor = {0};
    struct transcript_record record;
    uint64_t count = 0;
    while (transcript_next(&take->state->talk, &cursor, &record)) {
        count += record.kind == AG_UI_TALK_CUSTOM;
    }
    uint64_t number = take->state->customs - count; /* the oldest may be gone */
    cursor = (struct transcript_cursor){0};
    while (transcript_next(&take->state->talk, &cursor, &record)) {
        if (record.kind == AG_UI_TALK_CUSTOM) {
            if (number >= from && number < to) {
                take->begin = take->out->length;
                buffer_append(take->out, record.text.data, record.text.length);
                ag_ui_end(take);
            }
            number++;
        }
    }
}

static void open_again(struct ag_ui_take *take, struct snapshot *snapshot,
                       const struct ag_ui_open *open)
{
    struct json_span id = ag_ui_text_span(&open->id);
    struct json_span name = {"\"\"", 2};
    const struct buffer *text = NULL;
    if (open->kind == AG_UI_TOOL_CALL) {
        struct uuid hash = key(id);
        const struct call *call = map_get(&snapshot->calls, &hash);
        text = call == NULL ? NULL : &call->arguments;
        name = call == NULL ? name : call->name;
    } else if (open->kind != AG_UI_STEP) {
        const struct said *said =
            find(snapshot, open->kind == AG_UI_MESSAGE ? SAID_MESSAGE : SAID_REASONING, id);
        text = said == NULL ? NULL : &said->text;
    }
    ag_ui_open_again(take, open, name,
                     text == NULL ? (struct json_span){NULL, 0}
                                  : (struct json_span){(const char *)text->data, text->length});
}

void ag_ui_write_so_far(struct ag_ui_take *take, bool for_new)
{
    struct ag_ui *state = take->state;
    struct snapshot snapshot;
    bool waits = state->phase == AG_UI_WAITS; /* nothing may be open when it is told so */
    snapshot_init(&snapshot, state);
    write_messages(take, &snapshot, waits);
    ag_ui_write_state(take, for_new);
    write_customs(take, for_new ? 0 : state->customs_told,
                  waits ? state->customs_told : state->customs);
    for (size_t i = 0; i < state->open_count && !waits; i++) {
        open_again(take, &snapshot, &state->open[i]);
    }
    snapshot_deinit(&snapshot);
}
