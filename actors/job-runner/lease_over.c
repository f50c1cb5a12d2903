/* When a lease is over, see lease.h, or the grace of a job that is to stop: who looks for it, and what is
 * said then. */
#include "job-runner/changes.h"
#include "job-runner/jobs.h"
#include "job-runner/lease_internal.h"
#include "job-runner/shards.h"
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"

#include <stdlib.h>

enum { LOOK_MS = 20, JUMP_MS = 200, HEAR_MS = 100 };

/* ---- when ---- */

/* Looks no more often than every LOOK_MS, however many are due. */
void lease_due(struct lease *lease, int64_t at_ms)
{
    int64_t now_ms = clock_monotonic_ms();
    if (at_ms >= lease->due_ms) {
        return;
    }
    lease->due_ms = at_ms > now_ms + LOOK_MS ? at_ms : now_ms + LOOK_MS;
    int64_t ms = lease->due_ms - now_ms;
    event_add(lease->due_event, &(struct timeval){ms / 1000, ms % 1000 * 1000});
}

int64_t lease_due_ms(const struct held *held)
{
    if (held->ending || held->confirming || held->leaving) {
        return INT64_MAX;
    }
    int64_t over_ms = held->cancelled != NULL ? INT64_MAX : held->over_ms;
    return held->kill_ms != 0 && held->kill_ms < over_ms ? held->kill_ms : over_ms;
}

void lease_live_from_now(struct lease *lease, struct held *held, uint64_t lease_ms)
{
    held->over_ms = clock_monotonic_ms() + (int64_t)lease_ms;
    lease_due(lease, lease_due_ms(held));
}

/* It is to stop: an executor of ours hears it now, and everybody has a grace. */
void lease_mark_cancelled(struct lease *lease, struct held *held)
{
    if (held->kill_ms == 0) {
        held->kill_ms = clock_monotonic_ms() +
                        settings_int(lease->runner->actor->settings, SETTING_JOBS_CANCEL_GRACE_MS);
        lease_due(lease, lease_due_ms(held));
    }
    if (held->cancelled != NULL && !held->told) {
        held->told = true;
        held->cancelled(held->arg, false);
    }
}

/* ---- what ends ---- */

/* A change of ours that ends a claim. */
struct ending {
    struct lease *lease;
    int64_t id;
    struct uuid token;
};

/* OK: the claim is over, frames and jobs say what comes next. Else it is looked at again. */
static void on_ended(void *arg, const struct change_outcome *outcome)
{
    struct ending ending = *(struct ending *)arg;
    free(arg);
    struct held *held = outcome == NULL ? NULL : lease_find(ending.lease, ending.id, &ending.token);
    if (held == NULL) {
        return;
    }
    if (outcome->outcome == JOB_OUTCOME_OK || outcome->outcome == JOB_OUTCOME_LEASE_LOST ||
        outcome->outcome == JOB_OUTCOME_NOT_FOUND) {
        lease_drop(ending.lease, held, true);
    } else {
        /* Not as we thought: the row says how it is. */
        held->ending = false;
        held->kill_ms = 0;
        lease_live_from_now(ending.lease, held, held->lease_ms);
        jobs_doubt(ending.lease->runner->jobs, ending.id);
    }
}

static void end_claim(struct lease *lease, struct held *held, enum job_change what,
                      enum job_class class)
{
    struct ending *ending = memory_new(sizeof *ending);
    *ending = (struct ending){lease, held->id, held->token};
    held->ending = true;
    changes_send(lease->runner->changes,
                 &(struct change){.said = {.job = held->job,
                                           .token = held->token,
                                           .what = what,
                                           .class = class,
                                           .percent = -1}},
                 on_ended, ending);
}

/* What was never taken up costs no attempt. */
void lease_expire(struct lease *lease, struct held *held)
{
    metric_add(held->delivery ? METRIC_JOBS_UNDELIVERED : METRIC_JOBS_EXPIRED, 1);
    end_claim(lease, held, JOB_EXPIRE,
              held->delivery ? JOB_CLASS_RATE_LIMITED : JOB_CLASS_RETRYABLE);
}

/* Ends what has had its grace, and gathers what seems to be over. */
static bool look_at(struct lease *lease, struct held *held, int64_t now_ms)
{
    const struct shards *shards = lease->runner->shards;
    if (held->ending || held->confirming || held->leaving || !shards_is_ours(shards, held->shard) ||
        shards_are_visited(shards)) {
        return false;
    }
    if (held->kill_ms != 0 && now_ms >= held->kill_ms) {
        metric_add(METRIC_JOBS_KILLED, 1);
        end_claim(lease, held, JOB_KILL, JOB_CLASS_RETRYABLE);
        return false;
    }
    return held->cancelled == NULL && now_ms >= held->over_ms;
}

/* Who looks long after he meant to has stood still. Beats that came meanwhile are in the sockets, and
 * are to be read before a lease seems to be over: the look waits for them, once. */
static bool has_jumped(struct lease *lease, int64_t now_ms)
{
    lease->hearing = !lease->hearing && lease->due_ms <= now_ms - JUMP_MS;
    return lease->hearing;
}

static void look(struct lease *lease, int64_t now_ms)
{
    struct held *over[LEASE_CONFIRM_MAX];
    size_t count = 0;
    size_t cursor = 0;
    int64_t next_ms = INT64_MAX;
    struct held *held;
    while ((held = map_next(&lease->by_number, &cursor)) != NULL) {
        if (look_at(lease, held, now_ms)) {
            if (count < LEASE_CONFIRM_MAX && lease->confirming.count == 0) {
                over[count++] = held;
            }
        } else if (lease_due_ms(held) > now_ms && lease_due_ms(held) < next_ms) {
            next_ms = lease_due_ms(held);
        }
    }
    if (count > 0) {
        lease_confirm(lease, over, count); /* its answer looks again */
    }
    lease_due(lease, next_ms);
}

void lease_on_due(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct lease *lease = arg;
    int64_t now_ms = clock_monotonic_ms();
    bool jumped = has_jumped(lease, now_ms);
    lease->due_ms = INT64_MAX;
    if (lease->runner->actor->draining) {
        return; /* the next owner of the shard looks */
    }
    if (jumped) {
        lease_due(lease, now_ms + HEAR_MS);
    } else {
        look(lease, now_ms);
    }
}
