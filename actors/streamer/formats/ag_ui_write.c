/* Events as AG-UI's clients read them: `data:` and one JSON object, ended by an empty line. Optional
 * members are left out, never null. See ag_ui_state.h. */
#include "streamer/formats/ag_ui_state.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* ---- texts ---- */

void ag_ui_text_set(struct ag_ui_text *text, struct json_span value)
{
    char *data = memory_new(value.length + 1);
    if (value.length > 0) {
        memcpy(data, value.data, value.length);
    }
    free(text->data);
    *text = (struct ag_ui_text){data, value.length};
}

void ag_ui_text_clear(struct ag_ui_text *text)
{
    free(text->data);
    *text = (struct ag_ui_text){0};
}

struct json_span ag_ui_text_span(const struct ag_ui_text *text)
{
    return (struct json_span){text->data, text->length};
}

bool ag_ui_is(struct json_span value, char first)
{
    return value.data != NULL && *value.data == first;
}

struct json_span ag_ui_inside(struct json_span string)
{
    return (struct json_span){string.data + 1, string.length - 2};
}

int ag_ui_member_text(struct json_span object, const char *name, struct ag_ui_text *text)
{
    struct json_span value = json_member(object, name);
    *text = (struct ag_ui_text){0};
    if (!ag_ui_is(value, '"')) {
        return -1;
    }
    text->data = memory_new(value.length);
    text->length = json_unescape(value.data + 1, value.length - 2, text->data);
    return 0;
}

/* ---- members ---- */

static void member(struct buffer *out, const char *name)
{
    buffer_append_text(out, ",\"");
    buffer_append_text(out, name);
    buffer_append_text(out, "\":");
}

void ag_ui_member_id(struct buffer *out, const char *name, struct json_span id)
{
    member(out, name);
    buffer_append_json(out, id.data, id.length);
}

/* The inside of the JSON string that `text` would be. */
static void append_escaped(struct buffer *out, struct json_span text)
{
    size_t at = out->length;
    buffer_append_json(out, text.data, text.length);
    memmove(out->data + at, out->data + at + 1, out->length - at - 2);
    out->length -= 2;
}

void ag_ui_member_ids(struct buffer *out, const char *name, const char *prefix, struct json_span id)
{
    member(out, name);
    buffer_append_byte(out, '"');
    buffer_append_text(out, prefix);
    append_escaped(out, id);
    buffer_append_byte(out, '"');
}

void ag_ui_member_json(struct buffer *out, const char *name, struct json_span json)
{
    member(out, name);
    buffer_append(out, json.data, json.length);
}

void ag_ui_string_body(struct buffer *out, struct json_span value)
{
    if (ag_ui_is(value, '"')) {
        buffer_append(out, value.data + 1, value.length - 2);
        return;
    }
    append_escaped(out, value);
}

/* ---- events ---- */

struct buffer *ag_ui_begin(struct ag_ui_take *take, const char *type)
{
    take->begin = take->out->length;
    buffer_append_text(take->out, "data: {\"type\":\"");
    buffer_append_text(take->out, type);
    buffer_append_byte(take->out, '"');
    return take->out;
}

void ag_ui_end(struct ag_ui_take *take)
{
    struct buffer *out = take->out;
    if (take->muted) {
        out->length = take->begin;
        take->state->changed = true;
        return;
    }
    buffer_append_byte(out, '}');
    /* Intake lets no line break through; one that got past it would end the event. */
    json_flatten((char *)out->data + take->begin, out->length - take->begin);
    buffer_append_text(out, "\n\n");
    take->written = true;
}

void ag_ui_write_id(struct ag_ui_take *take, const char *type, const char *name,
                    struct json_span id)
{
    ag_ui_member_id(ag_ui_begin(take, type), name, id);
    ag_ui_end(take);
}

void ag_ui_write_delta(struct ag_ui_take *take, const char *type, const char *name,
                       const char *prefix, struct json_span id, struct json_span body)
{
    if (body.length == 0) {
        return;
    }
    struct buffer *out = ag_ui_begin(take, type);
    ag_ui_member_ids(out, name, prefix, id);
    buffer_append_text(out, ",\"delta\":\"");
    buffer_append(out, body.data, body.length);
    buffer_append_byte(out, '"');
    ag_ui_end(take);
}

void ag_ui_write_custom(struct ag_ui_take *take, struct json_span name, struct json_span value,
                        bool keep)
{
    struct buffer *out = ag_ui_begin(take, "CUSTOM");
    ag_ui_member_json(out, "name", name);
    ag_ui_member_json(out, "value", value);
    if (keep) {
        take->state->customs++;
        struct json_span text = {(const char *)out->data + take->begin, out->length - take->begin};
        transcript_add(&take->state->talk, AG_UI_TALK_MAX, AG_UI_TALK_CUSTOM,
                       (struct json_span){NULL, 0}, text);
    }
    ag_ui_end(take);
}

void ag_ui_write_started(struct ag_ui_take *take)
{
    const struct ag_ui *state = take->state;
    struct buffer *out = ag_ui_begin(take, "RUN_STARTED");
    ag_ui_member_json(out, "threadId", ag_ui_text_span(&state->thread_id));
    ag_ui_member_json(out, "runId", ag_ui_text_span(&state->run_id));
    if (state->parent_run_id.length > 0) {
        ag_ui_member_json(out, "parentRunId", ag_ui_text_span(&state->parent_run_id));
    }
    buffer_append_text(out, ",\"protocolVersion\":\"1.0\"");
    ag_ui_end(take);
}

void ag_ui_write_interrupted(struct ag_ui_take *take)
{
    const struct ag_ui *state = take->state;
    struct buffer *out = ag_ui_begin(take, "RUN_FINISHED");
    ag_ui_member_json(out, "threadId", ag_ui_text_span(&state->thread_id));
    ag_ui_member_json(out, "runId", ag_ui_text_span(&state->run_id));
    buffer_append_text(out, ",\"outcome\":{\"type\":\"interrupt\",\"interrupts\":[");
    if (state->questions_count == 0) {
        buffer_append(out, state->pause.data, state->pause.length);
    }
    for (size_t i = 0; i < state->questions_count; i++) {
        buffer_append_text(out, i == 0 ? "" : ",");
        buffer_append(out, state->questions[i].json.data, state->questions[i].json.length);
    }
    buffer_append_text(out, "]}");
    ag_ui_append_usage(out, state);
    ag_ui_end(take);
}

static void append_count(struct buffer *out, const char *name, uint64_t count)
{
    member(out, name);
    buffer_append_int(out, (int64_t)count);
}

void ag_ui_append_usage(struct buffer *out, const struct ag_ui *state)
{
    for (size_t i = 0; i < state->usage_count; i++) {
        const struct ag_ui_usage *usage = &state->usage[i];
        buffer_append_text(out, i == 0 ? ",\"usage\":[{\"inputTokens\":" : ",{\"inputTokens\":");
        buffer_append_int(out, (int64_t)usage->input);
        append_count(out, "outputTokens", usage->output);
        if (usage->cached > 0) {
            append_count(out, "cachedInputTokens", usage->cached);
        }
        if (usage->reasoning > 0) {
            append_count(out, "reasoningTokens", usage->reasoning);
        }
        if (usage->model.length > 0) {
            ag_ui_member_json(out, "model", ag_ui_text_span(&usage->model));
        }
        if (usage->provider.length > 0) {
            ag_ui_member_json(out, "provider", ag_ui_text_span(&usage->provider));
        }
        buffer_append_byte(out, '}');
    }
    buffer_append_text(out, state->usage_count > 0 ? "]" : "");
}
