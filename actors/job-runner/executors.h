/*
 * The local executors: jobs.executors attempts of built-in kinds at once, filled from one demand at
 * claim.h. What was claimed begins in the next turn of the loop, and what has ended is claimed anew
 * once a turn, so that ends and claims of a turn travel together.
 */
#ifndef SIGNALBOX_JOB_RUNNER_EXECUTORS_H
#define SIGNALBOX_JOB_RUNNER_EXECUTORS_H

#include "runtime/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct executors;
struct job_runner;

struct executors_count {
    size_t busy;     /* claimed, and not yet ended and settled */
    int64_t begun;   /* since the start */
    int64_t settled; /* of these */
    int64_t success; /* of these */
};

/* -1 and err, and the actor's exit code is set: no kind is enabled (jobs.kinds). Returns 0; caller
 * destroys with executors_destroy(). Needs runner->claim, report, lease, fetch. */
SB_MUST_CHECK int executors_create(struct job_runner *runner, struct error *err);
/* Before fetch, links, claim, report and lease. */
void executors_destroy(struct executors **executors);
/* jobs.executors has changed. */
void executors_reload(struct executors *executors);
/* Takes nothing new, gives back what has not begun, lets end what can end, and the rest shortly
 * before runner->drain_until_ms. */
void executors_drain(struct executors *executors);
/* Jobs that it could begin now if it had the room: one is as many as many. */
size_t executors_due(const struct executors *executors);
bool executors_is_idle(const struct executors *executors);
struct executors_count executors_count(const struct executors *executors);

#endif
