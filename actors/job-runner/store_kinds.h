/* The statements of the built-in kinds of jobs: they read. What they write goes through the
 * sequencer. */
#ifndef SIGNALBOX_JOB_RUNNER_STORE_KINDS_H
#define SIGNALBOX_JOB_RUNNER_STORE_KINDS_H

#include "runtime/db.h"

/* $1 uuid job: the trace it was queued in, or null. */
extern const struct db_statement store_kinds_trace;
/* $1 bigint[] numbers: number, job, run, key, type, queue, priority, attempt that is next,
 * max_attempts. */
extern const struct db_statement store_kinds_waiting;

#endif
