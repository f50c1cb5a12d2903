/* What a worker says of its claim, as its request has it: the token, and progress, a result or an
 * error. */
#ifndef SIGNALBOX_API_JOBS_WORD_H
#define SIGNALBOX_API_JOBS_WORD_H

#include "proto/job.h"
#include "runtime/base/buffer.h"
#include "runtime/base/uuid.h"
#include "runtime/json.h"

#include <stdint.h>

struct exchange;

/* What a word may say besides the token; bits. */
enum { JOBS_WORD_PROGRESS = 1, JOBS_WORD_RESULT = 2, JOBS_WORD_ERROR = 4 };

struct jobs_word {
    struct uuid token;
    int64_t percent;    /* -1: not said */
    struct buffer text; /* owned: the note, or the reason */
    struct json_span result;
    struct json_span events;
    enum job_class class;
    int64_t retry_ms;
};

/* Reads the body, of which `says` members are allowed besides the token; word->text is to be freed
 * by the caller, always. -1: it has been answered why not. */
int jobs_word_read(struct exchange *exchange, unsigned says, struct jobs_word *word);
/* Answers that the member at `pointer` is not as it should be. Returns -1. */
int jobs_word_wrong(struct exchange *exchange, const char *pointer, const char *detail);

#endif
