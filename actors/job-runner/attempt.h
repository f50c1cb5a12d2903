/*
 * One attempt at a job by a built-in kind: what kind.h offers, over report (its end) and lease (its
 * claim). The kind ends it exactly once; it lives on until the sequencer has said what became of
 * that end.
 */
#ifndef SIGNALBOX_JOB_RUNNER_ATTEMPT_H
#define SIGNALBOX_JOB_RUNNER_ATTEMPT_H

#include "job-runner/claim.h"
#include "job-runner/kind.h"
#include "proto/job.h"

#include <stdbool.h>

struct job_runner;

/* Who is told how it goes. */
struct attempt_watcher {
    /* The kind has ended it: its place is free. Not from within attempt_create(). */
    void (*ended)(void *arg, struct attempt *attempt);
    /* The outcome of its end is known: who holds it destroys it, now or later. `success`: it was
     * completed, and that counts. */
    void (*settled)(void *arg, struct attempt *attempt, bool success);
    void *arg;
};

/* Copies `claimed` and `watcher`; its lease is kept from here on. Returns, caller destroys with
 * attempt_destroy(). */
struct attempt *attempt_create(struct job_runner *runner, const struct claimed *claimed,
                               const struct kind *kind, const struct attempt_watcher *watcher);
/* One of the server's own: no job, no claim, nothing is reported; its end is logged and settled at
 * once. Tenant and run are nil. */
struct attempt *attempt_create_own(struct job_runner *runner, const struct kind *kind,
                                   const char *payload, const struct attempt_watcher *watcher);
/* Not while the kind works on it. */
void attempt_destroy(struct attempt **attempt);
/* Lets the kind begin; one that was cancelled meanwhile is released. */
void attempt_begin(struct attempt *attempt);
/* The process stops: gives back what has not begun, tells the kind of what has. With `patient` a kind
 * that finishes what it has begun goes on. */
void attempt_stop(struct attempt *attempt, bool patient);
/* The kind works on it, or will. */
bool attempt_is_open(const struct attempt *attempt);
const struct kind *attempt_kind(const struct attempt *attempt);

#endif
