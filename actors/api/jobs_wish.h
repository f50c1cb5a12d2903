/*
 * The jobs that a request to queue some asks for: each member checked, keys made, and where in the
 * request something is wrong.
 */
#ifndef SIGNALBOX_API_JOBS_WISH_H
#define SIGNALBOX_API_JOBS_WISH_H

#include "api/exchange.h"
#include "proto/job.h"
#include "runtime/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JOBS_WISH_KEY_BYTES_MAX = 512 };

/* A text in jobs_wishes.texts; length 0: not said. */
struct jobs_wish_text {
    size_t at;
    size_t length;
};

/* A job as it was asked for. Its spans are into the request: valid in the call that read it. */
struct jobs_wish {
    struct jobs_wish_text key;
    struct jobs_wish_text type;
    struct jobs_wish_text artifact_kind;
    struct jobs_wish_text queue;
    struct jobs_wish_text concurrency_key;
    struct json_span payload;
    struct json_span depends_on; /* an array */
    int64_t priority;
    int64_t max_attempts;
    int64_t run_at_us;
    int64_t debounce_ms;
    enum job_dep_fail on_dep_fail;
    bool detached;
    /* What has become of it; `id` is new at first. */
    struct uuid id;
    enum job_outcome outcome;
    enum job_status status;
};

/* Zero-initialised is empty. */
struct jobs_wishes {
    struct exchange *exchange; /* borrowed */
    bool batch;                /* {"jobs":[…]} */
    struct jobs_wish *items;   /* owned */
    size_t count;
    struct buffer texts;
    char run_text[UUID_TEXT_SIZE]; /* of the path */
};

void jobs_wishes_deinit(struct jobs_wishes *wishes);
/* The body of the request. -1: answered, as below. */
SB_MUST_CHECK int jobs_wishes_read(struct jobs_wishes *wishes, struct exchange *exchange);
/* Valid until the next text is added. */
const char *jobs_wishes_text(const struct jobs_wishes *wishes, struct jobs_wish_text text);
/* 422 about a member of a job: "/jobs/7/queue", or "/queue" of one that stands alone. Returns -1. */
int jobs_wishes_wrong(struct jobs_wishes *wishes, size_t job, const char *member,
                      const char *detail);
/* Appends the text of a JSON string without its escapes. Returns its length. */
size_t jobs_wishes_decode(struct buffer *out, struct json_span value);

#endif
