/* What lease.c, lease_over.c and lease_store.c share: the leases that are watched. */
#ifndef SIGNALBOX_JOB_RUNNER_LEASE_INTERNAL_H
#define SIGNALBOX_JOB_RUNNER_LEASE_INTERNAL_H

#include "job-runner/lease.h"
#include "job-runner/runner.h"
#include "runtime/base/buffer.h"
#include "runtime/base/map.h"

/* One live claim, as far as we know. */
struct held {
    int64_t id;
    struct uuid job;
    struct uuid token;
    struct uuid tenant;
    struct uuid run;
    unsigned shard;
    uint64_t lease_ms;
    int64_t over_ms;        /* monotonic, as the next two */
    int64_t kill_ms;        /* it is to stop, and has until then; 0: it is not to */
    int64_t renewed_ms;     /* the database was last told that it lives, or has said so */
    uint64_t origin;        /* of another job-runner process whose executor claimed it; or 0 */
    bool delivery;          /* not beaten yet, and the lease is the short one */
    bool beaten;            /* and not yet written */
    bool confirming;        /* the database is being asked whether it is over */
    bool ending;            /* its EXPIRE or KILL is under way */
    bool leaving;           /* its shard is another's: gone when what was said is written */
    bool told;              /* `cancelled` was called because it is to stop */
    struct buffer progress; /* JSON, not yet known to be written; empty: none */
    bool progress_sent;     /* the statement under way says it */
    lease_cancelled_fn *cancelled; /* NULL: not of an executor of this process */
    void *arg;
};

enum { LEASE_CONFIRM_MAX = 500, LEASE_RENEW_MAX = 2000 };

/* The arrays of a statement under way, to know what its places mean. */
struct lease_batch {
    size_t count; /* 0: none is under way */
    int64_t ids[LEASE_RENEW_MAX];
    struct uuid tokens[LEASE_RENEW_MAX];
};

struct lease {
    struct job_runner *runner; /* borrowed */
    struct map by_number;      /* owns them */
    struct map by_uuid;
    struct event *due_event;
    struct event *flush_event;
    struct event *sweep_event;
    int64_t due_ms; /* when due_event comes; INT64_MAX: never */
    bool hearing;   /* the clock has jumped: what came meanwhile is read before the look */
    struct lease_batch renewing;
    struct lease_batch confirming;
};

/* NULL: not watched, or with another token. */
struct held *lease_find(const struct lease *lease, int64_t id, const struct uuid *token);
/* It is watched no more; an executor of ours is told that it has lost it. */
void lease_drop(struct lease *lease, struct held *held, bool lost);

/* ---- lease_over.c: when it is over ---- */

/* A look then. */
void lease_due(struct lease *lease, int64_t at_ms);
/* When it is to be looked at; INT64_MAX: never. */
int64_t lease_due_ms(const struct held *held);
void lease_live_from_now(struct lease *lease, struct held *held, uint64_t lease_ms);
/* It is to stop: an executor of ours hears it now, and everybody has a grace. */
void lease_mark_cancelled(struct lease *lease, struct held *held);
/* Its lease is over, or its grace: says so to the sequencer. */
void lease_expire(struct lease *lease, struct held *held);
/* The look; of due_event. */
void lease_on_due(evutil_socket_t fd, short what, void *arg);

/* ---- lease_store.c: what the database is asked ---- */

/* Writes beats, and renews what runs in this process. */
void lease_flush(struct lease *lease);
/* Asks of those that seem to be over, 500 at a time. */
void lease_confirm(struct lease *lease, struct held *const *held, size_t count);
/* Looks in the table for claims of our shards that nobody watches, and counts what hangs anywhere. */
void lease_sweep(struct lease *lease);

#endif
