/*
 * The links to the job-runners, one DEALER for every slot, and what is asked of them: jobs for a
 * worker that waits (JOB_WANT), and to note that a worker is alive (JOB_BEAT). Which of them holds a
 * job's shard is theirs to know, so every question goes to all; it is asked again, with the same
 * number, while there is no answer, and of a job-runner that has just come.
 *
 * What an answer gives and nobody waits for any more goes back at once (surplus.h).
 */
#ifndef SIGNALBOX_API_RUNNERS_H
#define SIGNALBOX_API_RUNNERS_H

#include "proto/messages.h"
#include "runtime/actor.h"
#include "runtime/base/uuid.h"

#include <stdbool.h>
#include <stdint.h>

struct runners;
struct runners_call;
struct surplus;

enum runners_end {
    RUNNERS_GIVEN,      /* `given` holds jobs */
    RUNNERS_NOTHING,    /* the wait is over */
    RUNNERS_UNREACHABLE /* no job-runner has answered */
};
/* Called once. `given` is NULL unless RUNNERS_GIVEN. */
typedef void runners_given_fn(void *arg, enum runners_end end,
                              const struct message_job_given *given);
/* Called once. NULL: none of them knows the job, or none has answered. */
typedef void runners_beaten_fn(void *arg, const struct message_job_beaten *beaten);

/* Opens the DEALERs of job_runner.count slots; borrows `surplus`. Returns, caller destroys with
 * runners_destroy(): those who wait are then told that nothing comes. */
struct runners *runners_create(struct actor *actor, struct surplus *surplus, struct error *err);
void runners_destroy(struct runners **runners);

/* Waits for up to want->wait_ms; `want` is copied with all it points to. The call is gone when
 * `given` is called, which is never before this returns. */
struct runners_call *runners_want(struct runners *runners, const struct message_job_want *want,
                                  runners_given_fn *given, void *arg);
/* Nobody waits any more: `given` is not called. */
void runners_forget(struct runners_call **call);
void runners_beat(struct runners *runners, const struct message_job_beat *beat,
                  runners_beaten_fn *beaten, void *arg);
/* Pauses or limits of the tenant have changed. A hint. */
void runners_tell_rules(struct runners *runners, const struct uuid *tenant);

/* Draining: waits end now, those that begin later at once. */
void runners_end_waits(struct runners *runners);
/* How many wait for jobs. */
size_t runners_waiting(const struct runners *runners);
size_t runners_waiting_of(const struct runners *runners, const struct uuid *tenant);

#endif
