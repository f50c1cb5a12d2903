/*
 * The way of a conversation's request (AG-UI, AI SDK), whatever its protocol. A POST starts a run for
 * an agent elsewhere: CREATE_RUN, then APPEND of what the client said, then the socket goes to a
 * streamer, which writes the run in the protocol's format. Ids are derived from the client's and what
 * is appended has a key, so a POST that is repeated finds the run it started before, whatever became
 * of the first one. A POST that answers a question is RESUME_RUN and the stream from there on. A GET
 * only finds the run. Refusals are the problems of the native routes.
 *
 *     struct conversation *talk = conversation_create(exchange, STREAM_FORMAT_...);
 *     if (conversation_say(talk, id, role, content) != 0) { conversation_destroy(&talk); return; }
 *     conversation_start(talk, &run);
 */
#ifndef SIGNALBOX_API_CONVERSATION_H
#define SIGNALBOX_API_CONVERSATION_H

#include "proto/run_status.h"
#include "proto/stream_kind.h"
#include "runtime/base/buffer.h"
#include "runtime/base/uuid.h"
#include "runtime/json.h"

#include <stdbool.h>
#include <stdint.h>

struct conversation;
struct exchange;

/* Returns, caller destroys with conversation_destroy, or gives it to one of the functions that take
 * it. */
struct conversation *conversation_create(struct exchange *exchange, enum stream_format format);
void conversation_destroy(struct conversation **conversation);
/* The reader is given the run so far in short, where the format has that, instead of from seq 1. */
void conversation_join(struct conversation *conversation);

/* What is shown is one part of the run, up to where it pauses first, even if it has gone on since. */
void conversation_part(struct conversation *conversation);

/* An event to append when the run is there: `payload` is a JSON object. -1: it is not as its contract
 * says, which was answered. */
SB_MUST_CHECK int conversation_add(struct conversation *conversation, const char *type,
                                   const struct buffer *payload);
/* MESSAGE_COMPLETED; the texts are JSON strings with their quotes. */
SB_MUST_CHECK int conversation_say(struct conversation *conversation, struct json_span message_id,
                                   const char *role, struct json_span content);
/* An answer that conversation_resume gives; `clarification` is a JSON string with its quotes, data
 * NULL when the run asks no question; `response` any JSON value. Both are copied. */
void conversation_answer(struct conversation *conversation, struct json_span clarification,
                         struct json_span response);
/* The answers are in this message of the client's, a JSON string with its quotes: they say so. */
void conversation_answered_in(struct conversation *conversation, struct json_span message_id);
/* With the answers the run goes on under this name of the client's, a JSON string with its quotes. */
void conversation_call_it(struct conversation *conversation, struct json_span client_run_id);
bool conversation_has_answers(const struct conversation *conversation);

/* The run a POST is about. */
struct conversation_run {
    struct uuid run;                  /* derived from the client's ids */
    struct uuid thread;               /* nil: none */
    struct json_span metadata;        /* a JSON object, with the client's own ids */
    struct json_span created_by;      /* a JSON string; data NULL: the key */
    enum multitask_strategy strategy; /* MULTITASK_NONE or MULTITASK_REJECT */
};
/* Takes the conversation: creates the run, or finds it, appends the events and streams it. */
void conversation_start(struct conversation *conversation, const struct conversation_run *run);
/* Takes the conversation: the POST that began the run has come again. Appends the events, should that
 * not have been done then, and streams the run. */
void conversation_repeat(struct conversation *conversation, const struct uuid *run);
/* Takes the conversation: gives the answers in turn and streams what follows the first. An answer
 * that was given before is as good as given now. */
void conversation_resume(struct conversation *conversation, const struct uuid *run);
/* Takes the conversation: streams the run. 404 when it is not there; when it has ended 204, unless
 * `ended_too`. after_seq -1: as conversation_join said. */
void conversation_show(struct conversation *conversation, const struct uuid *run, int64_t after_seq,
                       bool ended_too);

#endif
