/*
 * The body of a chat's POST, as the AI SDK's transport sends it: {"id","messages" or "message",
 * "trigger","messageId", and whatever an application adds}. Spans lie in the request's body and are
 * valid within one call of a handler.
 */
#ifndef SIGNALBOX_API_AI_SDK_REQUEST_H
#define SIGNALBOX_API_AI_SDK_REQUEST_H

#include "runtime/base/buffer.h"
#include "runtime/base/uuid.h"
#include "runtime/json.h"

#include <stdbool.h>

struct conversation;
struct exchange;

enum { AI_SDK_DIGEST_SIZE = 65 };

struct ai_sdk_request {
    struct json_span body;
    struct json_span id; /* of the chat; a string, as all below, or absent */
    struct json_span trigger;
    struct json_span agent;
    struct json_span message_id; /* what is to be written anew */
    struct json_span last;       /* the last message */
    struct json_span last_id;
    bool by_user;                    /* its role */
    bool is_regenerate;              /* the trigger */
    struct uuid thread;              /* the chat's */
    char digest[AI_SDK_DIGEST_SIZE]; /* of all that makes a repeated POST the same */
};

/* -1: answered. */
SB_MUST_CHECK int ai_sdk_request_read(struct exchange *exchange,
                                      struct ai_sdk_request *request_out);

/* What the run is told of the client, a JSON object. */
void ai_sdk_request_metadata(const struct ai_sdk_request *request, struct buffer *out);
/* The user's message as an event of the run. -1: answered. */
SB_MUST_CHECK int ai_sdk_request_say(struct conversation *conversation,
                                     const struct ai_sdk_request *request);
/* The text of the last message, as a JSON string. */
void ai_sdk_request_text(const struct ai_sdk_request *request, struct buffer *out);
/* Walks the answers in the last message, data-clarification parts with a response: *cursor starts as
 * {0}; false at the end. */
bool ai_sdk_request_answer(const struct ai_sdk_request *request, struct json_span *cursor,
                           struct json_span *clarification_out, struct json_span *response_out);

#endif
