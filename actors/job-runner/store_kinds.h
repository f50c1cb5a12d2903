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
/* $1 uuid job: the note of its progress, or null. */
extern const struct db_statement store_kinds_progress;
/* $1 uuid after, $2 bigint limit: runs by id. */
extern const struct db_statement store_kinds_runs_of_all;
/* $1 uuid tenant, $2 timestamptz created before or null, $3 uuid of the run then, $4 bigint limit:
 * run, created_at; the newest first. */
extern const struct db_statement store_kinds_runs_of_tenant;

#endif
