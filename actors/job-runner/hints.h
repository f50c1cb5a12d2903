/*
 * The event bus as the runner hears it: JOBS frames bring news to jobs, HINT beats repeat their
 * counter, so that even the loss of the last frame shows. A new sequencer, a new connection or a
 * jump of the counter means that something may have been missed: pages_lost().
 */
#ifndef SIGNALBOX_JOB_RUNNER_HINTS_H
#define SIGNALBOX_JOB_RUNNER_HINTS_H

#include "runtime/base/error.h"

struct hints;
struct job_runner;

/* NULL and err when the socket cannot be opened. Returns, caller destroys with hints_destroy(). */
struct hints *hints_create(struct job_runner *runner, struct error *err);
void hints_destroy(struct hints **hints);

#endif
