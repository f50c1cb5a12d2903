/* What wants.c and wants_wait.c share: who waits, and at which api process. */
#ifndef SIGNALBOX_JOB_RUNNER_WANTS_INTERNAL_H
#define SIGNALBOX_JOB_RUNNER_WANTS_INTERNAL_H

#include "job-runner/runner.h"
#include "job-runner/wants.h"
#include "proto/messages.h"
#include "runtime/base/list.h"
#include "runtime/base/map.h"
#include "runtime/bus.h"

struct claim_demand;

/* One api process. */
struct peer {
    struct list node;
    struct bus_peer id;
    struct map wants; /* struct want, by number */
};

struct want {
    struct wants *wants;
    struct peer *peer;
    uint64_t number;
    struct claim_demand *demand; /* owned */
    struct event *timer;
    struct uuid tenant;
    uint64_t lease_ms;
    uint64_t delivery_ms;
    int64_t end_ms;
    int64_t renewed_ms;
    bool closing;   /* no more is claimed; answered when nothing is under way */
    bool elsewhere; /* without jobs it is sent elsewhere */
    uint32_t count;
    struct msgpack_sbuffer jobs; /* as the list of JOB_GIVEN has them */
};

struct wants {
    struct job_runner *runner; /* borrowed */
    struct bus_socket *socket;
    struct list peers;
    struct map tenants; /* wants of each, as a pointer */
    size_t count;
    size_t most;
    size_t most_of_tenant;
    bool draining;
    const char **types_never; /* owned; the names are static */
    struct msgpack_sbuffer frame;
};

/* Sends what is in wants->frame. */
enum bus_send_result wants_reply(struct wants *wants, const struct bus_peer *peer);

/* ---- wants_wait.c: one that waits ---- */

/* JOB_WANT: a new one, or one that is asked again. -1: not understood. */
int wants_take(struct wants *wants, const struct bus_peer *id, uint64_t number,
               const struct message_job_want *message);
/* JOB_FORGET: nobody waits for its answer any more. */
void wants_take_forget(struct wants *wants, const struct bus_peer *id, uint64_t number);
/* Nothing more is claimed for it: it is answered when nothing is under way, without jobs with
 * `elsewhere`. */
void wants_close(struct want *want, bool elsewhere);
/* The process that asked has gone, with all who waited there. */
void wants_forget_peer(struct peer *peer);

#endif
