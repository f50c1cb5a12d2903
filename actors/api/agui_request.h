/*
 * The body of an AG-UI request, RunAgentInput of version 1.0. What is given to other clients again is
 * checked as strictly as they will check it; unknown members are let through. Spans lie in the
 * request's body and are valid within one call of a handler.
 */
#ifndef SIGNALBOX_API_AGUI_REQUEST_H
#define SIGNALBOX_API_AGUI_REQUEST_H

#include "runtime/base/buffer.h"
#include "runtime/base/uuid.h"
#include "runtime/json.h"

#include <stdbool.h>

struct conversation;
struct exchange;

struct agui_request {
    struct json_span body;
    struct json_span thread_id; /* JSON strings */
    struct json_span run_id;
    struct json_span messages; /* an array */
    struct json_span resume;   /* an array; data NULL when absent or empty */
    struct uuid thread;        /* made from them */
    struct uuid run;
};

/* -1: answered. */
SB_MUST_CHECK int agui_request_read(struct exchange *exchange, struct agui_request *request_out);
/* The agent of the path, as a JSON string. -1: answered. */
SB_MUST_CHECK int agui_request_agent(struct exchange *exchange, struct buffer *out);
/* Metadata of the run, a JSON object. */
void agui_request_metadata(const struct agui_request *request, const struct buffer *agent,
                           struct buffer *out);
/* The input as events: one with all that has no event of its own, and the messages that the thread
 * does not have yet. -1: answered. */
SB_MUST_CHECK int agui_request_say(struct exchange *exchange, struct conversation *conversation,
                                   const struct agui_request *request, bool thread_is_new);
/* The answer to an interrupt among `resume`: any JSON value; data NULL: there is none. `answer` keeps
 * its text. */
struct json_span agui_request_answer(const struct agui_request *request, struct json_span interrupt,
                                     struct buffer *answer);

#endif
