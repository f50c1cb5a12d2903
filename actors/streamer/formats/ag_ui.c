/*
 * AG-UI 1.0. A run begins with RUN_STARTED and ends with RUN_FINISHED or RUN_ERROR; a question ends it
 * too, and the answer begins the next run of the same log (ag_ui_state.h: phases). What our log has
 * and AG-UI has not is a CUSTOM event of the type's own name. Everything is closed before an end, as
 * clients demand; how a log that does not pair its events becomes one that does: ag_ui_table.c.
 */
#include "streamer/formats/ag_ui.h"

#include "streamer/formats/ag_ui_state.h"

#include "runtime/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct json_span absent = {NULL, 0};

/* ---- everything else ---- */

static enum projection_after custom(struct ag_ui_take *take, bool keep)
{
    char name[NATIVE_TYPE_MAX + 3];
    int length =
        snprintf(name, sizeof name, "\"%.*s\"", (int)take->event->type_length, take->event->type);
    ag_ui_write_custom(take, (struct json_span){name, (size_t)length}, take->payload, keep);
    return PROJECTION_GOES_ON;
}

static enum projection_after cancel_requested(struct ag_ui_take *take)
{
    ag_ui_cancelling(take);
    return custom(take, true);
}

/* What the client sent along with its request. */
static void take_input(struct ag_ui_take *take, struct json_span input)
{
    struct ag_ui *state = take->state;
    struct json_span shared = json_member(input, "state");
    struct json_span messages = json_member(input, "messages");
    if (shared.data != NULL) {
        ag_ui_state_set(state, AG_UI_STATE_WHOLE, shared);
    }
    state->has_input = ag_ui_is(messages, '[');
    state->messages_apart = !state->has_input;
    if (state->has_input) {
        ag_ui_note(take, AG_UI_TALK_INPUT, absent, messages);
    }
}

static enum projection_after said_custom(struct ag_ui_take *take)
{
    static const char input_name[] = "\"ag_ui.input\"";
    struct json_span name = json_member(take->payload, "name");
    struct json_span value = json_member(take->payload, "value");
    if (name.length == strlen(input_name) && memcmp(name.data, input_name, name.length) == 0 &&
        ag_ui_is(value, '{')) {
        take_input(take, value);
    } else {
        ag_ui_write_custom(take, name, value, true);
    }
    return PROJECTION_GOES_ON;
}

static enum projection_after planned(struct ag_ui_take *take)
{
    struct ag_ui_text id;
    if (ag_ui_member_text(take->payload, "plan_id", &id) == 0) {
        struct buffer *out = ag_ui_begin(take, "ACTIVITY_SNAPSHOT");
        ag_ui_member_ids(out, "messageId", "plan:", ag_ui_text_span(&id));
        buffer_append_text(out, ",\"activityType\":\"plan\"");
        ag_ui_member_json(out, "content", take->payload);
        ag_ui_end(take);
        ag_ui_note(take, AG_UI_TALK_ACTIVITY, ag_ui_text_span(&id), take->payload);
    }
    ag_ui_text_clear(&id);
    return PROJECTION_GOES_ON;
}

/* ---- the projection ---- */

static enum projection_after plain(struct ag_ui_take *take, void (*handle)(struct ag_ui_take *))
{
    handle(take);
    return PROJECTION_GOES_ON;
}

static enum projection_after task_failed(struct ag_ui_take *take)
{
    enum projection_after after = custom(take, true);
    ag_ui_task_ended(take);
    return after;
}

static enum projection_after dispatch(struct ag_ui_take *take)
{
    switch (take->event->number) {
    case EVENT_TYPE_RUN_STARTED:
        return ag_ui_started(take);
    case EVENT_TYPE_RUN_FINISHED:
        return ag_ui_finished(take);
    case EVENT_TYPE_RUN_FAILED:
        return ag_ui_failed(take);
    case EVENT_TYPE_RUN_CANCELLED:
        return ag_ui_cancelled(take);
    case EVENT_TYPE_RUN_INTERRUPTED:
        return ag_ui_interrupted(take);
    case EVENT_TYPE_RUN_RESUMED:
        return ag_ui_resumed(take);
    case EVENT_TYPE_RUN_CANCEL_REQUESTED:
        return cancel_requested(take);
    case EVENT_TYPE_CLARIFICATION_NEEDED:
        return ag_ui_asked(take);
    case EVENT_TYPE_CLARIFICATION_ANSWERED:
        return ag_ui_answered(take);
    case EVENT_TYPE_MESSAGE_STARTED:
        return plain(take, ag_ui_message_started);
    case EVENT_TYPE_MESSAGE_DELTA:
        return plain(take, ag_ui_message_delta);
    case EVENT_TYPE_MESSAGE_COMPLETED:
        return plain(take, ag_ui_message_completed);
    case EVENT_TYPE_MESSAGE_EDITED:
        return plain(take, ag_ui_message_edited);
    case EVENT_TYPE_REASONING_STARTED:
        return plain(take, ag_ui_reasoning_started);
    case EVENT_TYPE_REASONING_DELTA:
        return plain(take, ag_ui_reasoning_delta);
    case EVENT_TYPE_REASONING_COMPLETED:
        return plain(take, ag_ui_reasoning_completed);
    case EVENT_TYPE_TOOL_CALL_STARTED:
        return plain(take, ag_ui_call_started);
    case EVENT_TYPE_TOOL_CALL_ARGS:
        return plain(take, ag_ui_call_arguments);
    case EVENT_TYPE_TOOL_CALL_COMPLETED:
        ag_ui_call_ended(take, false);
        return PROJECTION_GOES_ON;
    case EVENT_TYPE_TOOL_CALL_FAILED:
        ag_ui_call_ended(take, true);
        return PROJECTION_GOES_ON;
    case EVENT_TYPE_TASK_STARTED:
        return plain(take, ag_ui_task_started);
    case EVENT_TYPE_TASK_COMPLETED:
        return plain(take, ag_ui_task_ended);
    case EVENT_TYPE_TASK_FAILED:
    case EVENT_TYPE_TASK_CANCELLED:
        return task_failed(take);
    case EVENT_TYPE_PLAN_CREATED:
    case EVENT_TYPE_PLAN_UPDATED:
        return planned(take);
    case EVENT_TYPE_STATE_SNAPSHOT:
        return plain(take, ag_ui_state_whole);
    case EVENT_TYPE_STATE_DELTA:
        return ag_ui_state_change(take) ? PROJECTION_GOES_ON : custom(take, true);
    case EVENT_TYPE_USAGE_RECORDED:
        return plain(take, ag_ui_used);
    case EVENT_TYPE_CUSTOM:
        return said_custom(take);
    case EVENT_TYPE_RUN_PROGRESS:
    case EVENT_TYPE_TASK_PROGRESS:
    case EVENT_TYPE_JOB_PROGRESS:
        return custom(take, false); /* of interest at its moment only */
    case EVENT_TYPE_SOURCE_ADDED:
    case EVENT_TYPE_ENTITY_EXTRACTED:
    case EVENT_TYPE_CITATION_ADDED:
    case EVENT_TYPE_ARTIFACT_CREATED:
    case EVENT_TYPE_WEBSITE_GENERATION_DONE:
    case EVENT_TYPE_JOB_QUEUED:
    case EVENT_TYPE_JOB_STARTED:
    case EVENT_TYPE_JOB_RETRYING:
    case EVENT_TYPE_JOB_COMPLETED:
    case EVENT_TYPE_JOB_FAILED:
    case EVENT_TYPE_JOB_CANCELLED:
    case EVENT_TYPE_WARNING:
        return custom(take, true);
    }
    return PROJECTION_GOES_ON;
}

/* The seq, as the id of the last event that was written. */
static void add_seq(struct ag_ui_take *take)
{
    if (take->written) {
        take->out->length--;
        buffer_append_text(take->out, "id: ");
        buffer_append_int(take->out, (int64_t)take->state->seq);
        buffer_append_text(take->out, "\n\n");
    }
}

static struct ag_ui *state_of(const struct projection *projection)
{
    return (struct ag_ui *)(uintptr_t)projection;
}

static enum projection_after ag_ui_take(struct projection *projection,
                                        const struct native_event *event, struct buffer *out)
{
    struct ag_ui *state = state_of(projection);
    struct ag_ui_take take = {.state = state,
                              .event = event,
                              .payload = {event->payload, event->payload_length},
                              .out = out,
                              .muted = state->phase == AG_UI_WAITS};
    bool known = state->phase == AG_UI_BEFORE ? event->number == EVENT_TYPE_RUN_STARTED
                                              : state->phase != AG_UI_OVER;
    state->seq = event->seq;
    enum projection_after after = known ? dispatch(&take) : PROJECTION_GOES_ON;
    add_seq(&take);
    return after;
}

static struct projection *ag_ui_create(uint64_t types)
{
    (void)types; /* a conversation leaves nothing out */
    return memory_new(sizeof(struct ag_ui));
}

static void copy_text(struct ag_ui_text *text)
{
    if (text->data != NULL) {
        struct json_span value = ag_ui_text_span(text);
        text->data = NULL;
        ag_ui_text_set(text, value);
    }
}

static struct projection *ag_ui_copy(const struct projection *projection)
{
    const struct ag_ui *state = state_of(projection);
    struct ag_ui *copy = memory_copy(state, sizeof *state);
    struct ag_ui_text *const texts[] = {&copy->thread_id, &copy->run_id, &copy->parent_run_id,
                                        &copy->end, &copy->pause};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        copy_text(texts[i]);
    }
    for (size_t i = 0; i < copy->open_count; i++) {
        copy_text(&copy->open[i].id);
        copy_text(&copy->open[i].name);
    }
    for (size_t i = 0; i < copy->questions_count; i++) {
        copy_text(&copy->questions[i].id);
        copy_text(&copy->questions[i].json);
    }
    for (size_t i = 0; i < copy->usage_count; i++) {
        copy_text(&copy->usage[i].model);
        copy_text(&copy->usage[i].provider);
    }
    transcript_copy(&copy->talk, &state->talk);
    transcript_copy(&copy->shared, &state->shared);
    return (struct projection *)copy;
}

static void ag_ui_destroy(struct projection **projection)
{
    struct ag_ui *state = state_of(*projection);
    if (state == NULL) {
        return;
    }
    struct ag_ui_text *const texts[] = {&state->thread_id, &state->run_id, &state->parent_run_id,
                                        &state->end, &state->pause};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ag_ui_text_clear(texts[i]);
    }
    while (state->open_count > 0) {
        ag_ui_remove_open(state, &state->open[state->open_count - 1]);
    }
    ag_ui_drop_questions(state);
    for (size_t i = 0; i < state->usage_count; i++) {
        ag_ui_text_clear(&state->usage[i].model);
        ag_ui_text_clear(&state->usage[i].provider);
    }
    transcript_deinit(&state->talk);
    transcript_deinit(&state->shared);
    free(state);
    *projection = NULL;
}

/* Ids and questions are short beside the rest. */
static size_t ag_ui_size(const struct projection *projection)
{
    const struct ag_ui *state = state_of(projection);
    size_t size = sizeof *state + state->end.length + transcript_size(&state->talk) +
                  transcript_size(&state->shared);
    for (size_t i = 0; i < state->questions_count; i++) {
        size += state->questions[i].json.length;
    }
    return size;
}

static enum projection_after ag_ui_join(const struct projection *projection, struct buffer *out)
{
    struct ag_ui *state = state_of(projection);
    struct ag_ui_take take = {.state = state, .out = out};
    if (state->phase == AG_UI_BEFORE) {
        return PROJECTION_GOES_ON;
    }
    ag_ui_write_started(&take);
    ag_ui_write_so_far(&take, true);
    if (state->phase == AG_UI_WAITS) {
        ag_ui_write_interrupted(&take);
    } else if (state->phase == AG_UI_OVER) {
        take.begin = out->length;
        buffer_append(out, state->end.data, state->end.length);
        ag_ui_end(&take);
    }
    add_seq(&take);
    return state->phase == AG_UI_WAITS ? PROJECTION_PAUSES : PROJECTION_GOES_ON;
}

const struct projection_format ag_ui_format = {
    .name = "ag-ui",
    .content_type = "text/event-stream",
    .fields = "",
    .is_sse = true,
    .is_conversation = true,
    .create = ag_ui_create,
    .copy = ag_ui_copy,
    .destroy = ag_ui_destroy,
    .size = ag_ui_size,
    .take = ag_ui_take,
    .join = ag_ui_join,
};
