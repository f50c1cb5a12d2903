/*
 * CHANGE_JOBS under way: what claim, report, lease and jobs want of the sequencer, gathered during a
 * turn of the loop and while two messages are in flight, at most 256 changes or 1 MiB a message. So
 * ends of claims and the next claims share one commit: alone they leave at once, under load a
 * message fills while others commit.
 *
 * Every change is the same when it is said twice, so one whose outcome is unknown is said again
 * until it is known.
 */
#ifndef SIGNALBOX_JOB_RUNNER_CHANGES_H
#define SIGNALBOX_JOB_RUNNER_CHANGES_H

#include "job-runner/report.h"

#include <stddef.h>

struct changes;

struct change {
    struct report_change said;
    const char *worker; /* CLAIM; NULL otherwise */
    uint64_t lease_ms;  /* CLAIM */
};

struct change_outcome {
    enum job_outcome outcome;
    unsigned attempt;
    struct uuid run;
};

/* Called once, from the loop; `outcome` NULL: it will never be known, the process ends. */
typedef void change_done_fn(void *arg, const struct change_outcome *outcome);

/* Copies, with all that it points to. `done` may be NULL. */
void changes_send(struct changes *changes, const struct change *change, change_done_fn *done,
                  void *arg);
/* At the end of this turn of the loop claim gathers, and what there is leaves. */
void changes_wake(struct changes *changes);
/* Changes without an outcome. */
size_t changes_pending(const struct changes *changes);

struct changes *changes_create(struct job_runner *runner);
void changes_destroy(struct changes **changes);

#endif
