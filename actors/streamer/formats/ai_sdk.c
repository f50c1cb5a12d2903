/*
 * A run as the AI SDK's stream: where its message begins, pauses and ends. What stands between is in
 * ai_sdk_content.c and ai_sdk_data.c.
 *
 * A message begins anew with every answer, so that a reader can be given the stream from there on
 * (what an agent writes while it waits is a message of its own each time, with the same id). The id
 * stays, and a client that is given everything from the first `start` goes through without
 * noticing. Only when the answer came as a message of the user's does what follows stand in another
 * message, with an id of its own: clients replace messages by their ids.
 */
#include "streamer/formats/ai_sdk.h"

#include "runtime/base/memory.h"
#include "streamer/formats/ai_sdk_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the message ---- */

struct json_span ai_sdk_member(const struct ai_sdk *told, const char *name)
{
    return json_member(told->payload, name);
}

bool ai_sdk_is_string(struct json_span value)
{
    return value.length >= 2 && value.data[0] == '"';
}

static void begin_message(struct ai_sdk *told)
{
    struct projection *projection = told->projection;
    if (projection->message_id[0] == '\0') {
        (void)snprintf(projection->message_id, sizeof projection->message_id, "%s",
                       told->event->run_id);
    }
    if (!projection->in_message) {
        ai_sdk_part(told, "start");
        ai_sdk_text(told, "messageId", projection->message_id, strlen(projection->message_id));
        ai_sdk_end(told);
        projection->in_message = true;
    }
}

void ai_sdk_make_room(struct ai_sdk *told)
{
    struct open_items *open = &told->projection->open;
    if (open->count == OPEN_MAX) {
        ai_sdk_rest(told, &open->items[0]);
        open_remove(open, &open->items[0]);
    }
}

void ai_sdk_ready(struct ai_sdk *told)
{
    struct projection *projection = told->projection;
    begin_message(told);
    if (!projection->in_step) {
        ai_sdk_part(told, "start-step");
        ai_sdk_end(told);
        projection->in_step = true;
    }
    ai_sdk_make_room(told);
}

/* Ends what is open; `keep`: it may go on. */
static void end_step(struct ai_sdk *told)
{
    struct projection *projection = told->projection;
    for (size_t i = 0; i < projection->open.count; i++) {
        ai_sdk_rest(told, &projection->open.items[i]);
    }
    if (projection->in_step) {
        ai_sdk_part(told, "finish-step");
        ai_sdk_end(told);
        projection->in_step = false;
    }
}

static void finish(struct ai_sdk *told, const char *reason)
{
    end_step(told);
    ai_sdk_part(told, "finish");
    ai_sdk_text(told, "finishReason", reason, strlen(reason));
    ai_sdk_end(told);
    ai_sdk_done(told);
    told->projection->in_message = false;
}

/* ---- the run ---- */

static void run_started(struct ai_sdk *told)
{
    ai_sdk_ready(told);
}

static void run_finished(struct ai_sdk *told)
{
    struct json_span result = ai_sdk_member(told, "result");
    ai_sdk_ready(told);
    if (result.data != NULL) {
        ai_sdk_part(told, "data-result");
        ai_sdk_value(told, "data", result);
        ai_sdk_end(told);
    }
    finish(told, "stop");
}

static void run_failed(struct ai_sdk *told)
{
    ai_sdk_ready(told);
    end_step(told);
    ai_sdk_part(told, "error");
    ai_sdk_error_text(told, "The run failed.");
    ai_sdk_end(told);
    finish(told, "error");
}

static void run_cancelled(struct ai_sdk *told)
{
    struct json_span reason = ai_sdk_member(told, "reason");
    ai_sdk_ready(told);
    end_step(told);
    ai_sdk_part(told, "abort");
    if (ai_sdk_is_string(reason)) {
        ai_sdk_value(told, "reason", reason);
    }
    ai_sdk_end(told);
    ai_sdk_done(told);
    told->projection->in_message = false;
}

static void cancel_requested(struct ai_sdk *told)
{
    told->projection->is_cancelling = true;
    told->projection->waits = false;
}

/* ---- waiting for a person ---- */

/* A run that is being cancelled waits for nobody. */
static void pause_here(struct ai_sdk *told)
{
    if (!told->projection->is_cancelling) {
        told->projection->waits = true;
        finish(told, "other"); /* version 6 has no word for it */
        told->after = PROJECTION_PAUSES;
    }
}

static void interrupted(struct ai_sdk *told)
{
    ai_sdk_ready(told);
    ai_sdk_part(told, "data-interrupt");
    ai_sdk_value(told, "data", told->payload);
    ai_sdk_end(told);
    pause_here(told);
}

static void clarification_needed(struct ai_sdk *told)
{
    told->projection->questions++;
    ai_sdk_question(told);
    pause_here(told);
}

/* The answer was a message of the user's. Tool calls belong to the message they began in. */
static void change_message(struct ai_sdk *told)
{
    struct projection *projection = told->projection;
    struct open_items *open = &projection->open;
    (void)snprintf(projection->message_id, sizeof projection->message_id, "%s-%llu",
                   told->event->run_id, (unsigned long long)told->event->seq);
    for (size_t i = open->count; i-- > 0;) {
        if (open->items[i].family == OPEN_TOOL) {
            open_remove(open, &open->items[i]);
        }
    }
}

static void begin_again(struct ai_sdk *told)
{
    if (ai_sdk_is_string(ai_sdk_member(told, "message_id"))) {
        change_message(told);
    }
    begin_message(told);
}

static void clarification_answered(struct ai_sdk *told)
{
    struct projection *projection = told->projection;
    bool waited = projection->waits;
    projection->questions -= projection->questions > 0 ? 1 : 0;
    if (waited) {
        begin_again(told);
    } else {
        begin_message(told);
    }
    ai_sdk_answer(told);
    if (waited && projection->questions > 0) {
        ai_sdk_questions(told);
        pause_here(told);
    } else {
        projection->waits = false;
        ai_sdk_ready(told);
    }
}

static void resumed(struct ai_sdk *told)
{
    if (told->projection->waits) {
        told->projection->waits = false;
        begin_again(told);
        ai_sdk_ready(told);
    }
}

/* ---- the format ---- */

typedef void teller_fn(struct ai_sdk *told);

static teller_fn *const tellers[EVENT_TYPE_MAX + 1] = {
    [EVENT_TYPE_RUN_STARTED] = run_started,
    [EVENT_TYPE_RUN_FINISHED] = run_finished,
    [EVENT_TYPE_RUN_FAILED] = run_failed,
    [EVENT_TYPE_RUN_CANCELLED] = run_cancelled,
    [EVENT_TYPE_RUN_CANCEL_REQUESTED] = cancel_requested,
    [EVENT_TYPE_RUN_INTERRUPTED] = interrupted,
    [EVENT_TYPE_RUN_RESUMED] = resumed,
    [EVENT_TYPE_CLARIFICATION_NEEDED] = clarification_needed,
    [EVENT_TYPE_CLARIFICATION_ANSWERED] = clarification_answered,
    [EVENT_TYPE_MESSAGE_STARTED] = ai_sdk_message_started,
    [EVENT_TYPE_MESSAGE_DELTA] = ai_sdk_message_delta,
    [EVENT_TYPE_MESSAGE_COMPLETED] = ai_sdk_message_completed,
    [EVENT_TYPE_REASONING_DELTA] = ai_sdk_reasoning_delta,
    [EVENT_TYPE_REASONING_COMPLETED] = ai_sdk_reasoning_completed,
    [EVENT_TYPE_TOOL_CALL_STARTED] = ai_sdk_tool_started,
    [EVENT_TYPE_TOOL_CALL_ARGS] = ai_sdk_tool_args,
    [EVENT_TYPE_TOOL_CALL_COMPLETED] = ai_sdk_tool_completed,
    [EVENT_TYPE_TOOL_CALL_FAILED] = ai_sdk_tool_failed,
    [EVENT_TYPE_TASK_STARTED] = ai_sdk_task,
    [EVENT_TYPE_TASK_PROGRESS] = ai_sdk_task,
    [EVENT_TYPE_TASK_COMPLETED] = ai_sdk_task,
    [EVENT_TYPE_TASK_FAILED] = ai_sdk_task,
    [EVENT_TYPE_TASK_CANCELLED] = ai_sdk_task,
    [EVENT_TYPE_SOURCE_ADDED] = ai_sdk_source,
    [EVENT_TYPE_ARTIFACT_CREATED] = ai_sdk_artifact,
};

static enum projection_after take(struct projection *projection, const struct native_event *event,
                                  struct buffer *out)
{
    struct ai_sdk told = {.projection = projection,
                          .event = event,
                          .payload = {event->payload, event->payload_length},
                          .out = out,
                          .after = PROJECTION_GOES_ON};
    if ((unsigned)event->number > EVENT_TYPE_MAX) {
        return PROJECTION_GOES_ON;
    }
    if (tellers[event->number] != NULL) {
        tellers[event->number](&told);
    } else {
        ai_sdk_data(&told);
    }
    if (projection->waits && projection->in_message) {
        finish(&told, "other");
    }
    if (told.begun) {
        buffer_printf(out, "\nid: %llu\n\n", (unsigned long long)event->seq);
    }
    return told.after;
}

static struct projection *create(uint64_t types SB_UNUSED)
{
    return memory_new(sizeof(struct projection));
}

static struct projection *copy(const struct projection *projection)
{
    struct projection *twin = memory_copy(projection, sizeof *projection);
    open_copy(&twin->open, &projection->open);
    return twin;
}

static void destroy(struct projection **projection)
{
    if (*projection != NULL) {
        open_deinit(&(*projection)->open);
        free(*projection);
        *projection = NULL;
    }
}

static size_t size(const struct projection *projection)
{
    return sizeof *projection + open_size(&projection->open);
}

const struct projection_format ai_sdk_format = {
    .name = "ai-sdk",
    .content_type = "text/event-stream; charset=utf-8",
    .fields = "x-vercel-ai-ui-message-stream: v1\r\n",
    .is_sse = true,
    .is_conversation = true,
    .create = create,
    .copy = copy,
    .destroy = destroy,
    .size = size,
    .take = take,
};
