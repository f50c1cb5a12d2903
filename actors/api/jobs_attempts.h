/* The events of a job, and the attempts they tell of. Pure. */
#ifndef SIGNALBOX_API_JOBS_ATTEMPTS_H
#define SIGNALBOX_API_JOBS_ATTEMPTS_H

#include "api/store.h"
#include "runtime/base/buffer.h"

#include <stdbool.h>

/* Zero-initialised is empty. */
struct jobs_attempts {
    struct buffer list; /* JSON objects with commas between them */
    bool open;          /* the last one has not been closed */
};

void jobs_attempts_deinit(struct jobs_attempts *attempts);
/* The next event of the job, in order. */
void jobs_attempts_add(struct jobs_attempts *attempts, const struct store_event *event);
/* Appends the array. */
void jobs_attempts_write(struct buffer *out, struct jobs_attempts *attempts);

#endif
