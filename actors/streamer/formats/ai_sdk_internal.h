/* What the ai_sdk*.c files share; not for their users. */
#ifndef SIGNALBOX_STREAMER_FORMATS_AI_SDK_INTERNAL_H
#define SIGNALBOX_STREAMER_FORMATS_AI_SDK_INTERNAL_H

#include "streamer/formats/ai_sdk_open.h"
#include "streamer/formats/projection.h"

#include <stdbool.h>

enum { AI_SDK_MESSAGE_ID_SIZE = UUID_TEXT_SIZE + 24 };

struct projection {
    struct open_items open;
    char message_id
        [AI_SDK_MESSAGE_ID_SIZE]; /* the run's, until a message of the user's came between */
    bool in_message;              /* `start` was sent, and no `finish` yet */
    bool in_step;
    bool waits; /* for a person */
    bool is_cancelling;
    unsigned questions; /* that wait */
};

/* One event on its way to a client. */
struct ai_sdk {
    struct projection *projection;
    const struct native_event *event;
    struct json_span payload;
    struct buffer *out;
    bool begun; /* a part was written */
    enum projection_after after;
};

/* ---- ai_sdk_part.c: parts, one server-sent event each; the last of an event bears its seq ---- */

/* {"type":"TYPE" ... } between these; strings of the payload are spliced in as they are. */
void ai_sdk_part(struct ai_sdk *told, const char *type);
void ai_sdk_end(struct ai_sdk *told);
/* ,"name":value, a value of the payload's; nothing when it is absent. */
void ai_sdk_value(struct ai_sdk *told, const char *name, struct json_span value);
/* ,"name":"text" */
void ai_sdk_text(struct ai_sdk *told, const char *name, const void *text, size_t length);
/* What clients skip: the end of a message. */
void ai_sdk_done(struct ai_sdk *told);
/* Appends a value of the payload's without line breaks. */
void ai_sdk_splice(struct buffer *out, struct json_span value);

/* ---- ai_sdk.c: where a message begins and ends ---- */

/* A part may be sent: the message and its step have begun, and there is room for one more open. */
void ai_sdk_ready(struct ai_sdk *told);
void ai_sdk_make_room(struct ai_sdk *told);
/* The member of the payload. */
struct json_span ai_sdk_member(const struct ai_sdk *told, const char *name);
bool ai_sdk_is_string(struct json_span value);

/* ---- ai_sdk_content.c: texts, reasoning, tool calls ---- */

void ai_sdk_message_started(struct ai_sdk *told);
void ai_sdk_message_delta(struct ai_sdk *told);
void ai_sdk_message_completed(struct ai_sdk *told);
void ai_sdk_reasoning_delta(struct ai_sdk *told);
void ai_sdk_reasoning_completed(struct ai_sdk *told);
void ai_sdk_tool_started(struct ai_sdk *told);
void ai_sdk_tool_args(struct ai_sdk *told);
void ai_sdk_tool_completed(struct ai_sdk *told);
void ai_sdk_tool_failed(struct ai_sdk *told);
/* Ends the part of an open item; it can begin again. */
void ai_sdk_rest(struct ai_sdk *told, struct open_item *item);
/* ,"errorText":… from "error", "reason", or these words. */
void ai_sdk_error_text(struct ai_sdk *told, const char *words);

/* ---- ai_sdk_data.c: sources, files and data-* parts ---- */

void ai_sdk_source(struct ai_sdk *told);
void ai_sdk_artifact(struct ai_sdk *told);
void ai_sdk_question(struct ai_sdk *told);
/* Those that wait still, once more: whose stream ended at the first has not seen the others. */
void ai_sdk_questions(struct ai_sdk *told);
void ai_sdk_answer(struct ai_sdk *told);
void ai_sdk_task(struct ai_sdk *told);
/* A payload as it is, for events that are sent so. */
void ai_sdk_data(struct ai_sdk *told);

#endif
