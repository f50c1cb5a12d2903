/*
 * Why something that a client asked for is not done: all that a problem document says, kept as a
 * value, so that whoever finds it need not know how the client is answered. Every transport that
 * takes requests answers by it.
 */
#ifndef SIGNALBOX_RUNTIME_REFUSAL_H
#define SIGNALBOX_RUNTIME_REFUSAL_H

#include "runtime/base/buffer.h"
#include "runtime/json.h"
#include "runtime/problem.h"
#include "runtime/schema.h"

#include <stdint.h>

struct message_result;

/* Zero-initialised is empty and valid. Holds the last thing that was set; reused, it keeps its
 * memory. */
struct refusal {
    enum problem problem;
    struct problem_extra extra; /* its pointers are static, or into what follows */
    int64_t retry_after_s;      /* when it may be tried again; 0: not known */
    struct buffer detail;       /* owned, as the next two; text with a NUL */
    struct buffer pointer;
    struct schema_report report;
};

void refusal_deinit(struct refusal *refusal);
/* What follows returns -1, for `return refusal_…` in a function that checks. Texts are copied, except
 * the names in `extra`, which are static. */
int refusal_set(struct refusal *refusal, enum problem problem, const char *detail);
/* With a JSON pointer to what is wrong. */
int refusal_at(struct refusal *refusal, enum problem problem, const char *pointer,
               const char *detail);
/* The object at `pointer` has a member nobody knows; `name` as json_pair gives it. */
int refusal_unknown_field(struct refusal *refusal, const char *pointer, struct json_span name);
/* `value`, at `pointer`, is not what `node` of the schemas of payloads wants. */
int refusal_schema(struct refusal *refusal, uint16_t node, struct json_span value,
                   const char *pointer, const char *detail);

/* What the sequencer's answer to a command means to the client: an outcome that is neither OK nor
 * EXISTS. `producer_seq` is the number the client gave; -1: none. */
void refusal_outcome(struct refusal *refusal, const struct message_result *result,
                     int64_t producer_seq);
/* The window of commands is full. */
void refusal_busy(struct refusal *refusal);
/* No definite outcome in time. */
void refusal_unknown(struct refusal *refusal);

/* The document. */
void refusal_write(struct buffer *out, const struct refusal *refusal);

#endif
