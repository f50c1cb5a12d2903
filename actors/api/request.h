/* What the handlers ask of a request: parameters, the JSON body, the Idempotency-Key. Each answers
 * the exchange itself when the request is wrong, and then returns -1. */
#ifndef SIGNALBOX_API_REQUEST_H
#define SIGNALBOX_API_REQUEST_H

#include "api/exchange.h"
#include "proto/messages.h"
#include "runtime/submission.h"

#include <stdint.h>

enum {
    REQUEST_KEY_HASH_BYTES = SUBMISSION_HASH_BYTES,
    REQUEST_LIMIT_DEFAULT = 100,
    REQUEST_LIMIT_MAX = 1000,
    REQUEST_PARAMETERS_MAX = 16
};

/* One query parameter that a handler knows. */
struct request_parameter {
    const char *name;
    bool repeats; /* may be given more than once: the values are joined by commas */
    bool given;
    const char *value; /* NUL-terminated, in api->text until the next call */
    size_t length;
};

/* Fills those that are given. 400 for a malformed escape or a parameter given twice; unknown ones
 * are passed over. */
SB_MUST_CHECK int request_parameters(struct exchange *exchange,
                                     struct request_parameter *parameters, size_t count);
/* ?types=, a list of event types: 1 << enum event_type for each; 0 when it is not given. */
SB_MUST_CHECK int request_types(struct exchange *exchange,
                                const struct request_parameter *parameter, uint64_t *types_out);
/* ?limit= of a list. */
SB_MUST_CHECK int request_limit(struct exchange *exchange,
                                const struct request_parameter *parameter, int32_t *limit_out);

/* The body: JSON, whatever its Content-Type says, and an object. Line breaks between tokens have
 * become blanks. Empty counts as {} when `may_be_empty`. */
SB_MUST_CHECK int request_body(struct exchange *exchange, bool may_be_empty,
                               struct json_span *object_out);
/* 422 with the pointer `prefix` + "/name". */
void request_unknown_field(struct exchange *exchange, const char *prefix, struct json_span name);

/* The same of text that has been read elsewhere; -1: answered. */
SB_MUST_CHECK int request_object(struct exchange *exchange, struct json_span text,
                                 struct json_span *object_out);

struct request_key {
    struct http_text key; /* length 0: none */
    uint8_t hash[REQUEST_KEY_HASH_BYTES];
};
/* Idempotency-Key and the hash of the body as it was sent. */
SB_MUST_CHECK int request_idempotency(struct exchange *exchange, struct request_key *key_out);

/* Producer-Id, -Epoch and -Seq: all or none, and not beside an Idempotency-Key. */
SB_MUST_CHECK int request_read_producer(struct exchange *exchange, const struct request_key *key,
                                        struct submission_producer *producer_out);
/* Puts them into a message; `ahead` is added to the number. */
void request_set_producer(struct message_append *message,
                          const struct submission_producer *producer, int64_t ahead);

#endif
