/*
 * The order in which waiting jobs run, in memory: fair between tenants (deficit round robin over
 * those that have something to run; who had its last turn longest ago is next), by priority and then by age within a tenant, within the limits
 * of queues, concurrency keys and rates, not before their time, not while paused. Pure: no I/O, no
 * clock (callers say what time it is, in microseconds since 1970, UTC); deterministic; unit-tested.
 *
 * A job is known from ready_put() to ready_remove(). It is waiting, taken (ready_take() gave it out:
 * it counts as running) or running. Everything is O(log n) in the jobs of its group; a group is a
 * (tenant, queue, type).
 */
#ifndef SIGNALBOX_JOB_RUNNER_READY_H
#define SIGNALBOX_JOB_RUNNER_READY_H

#include "runtime/base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ready;

struct ready_job {
    int64_t id; /* its number in the tables: grows in the order of queueing */
    struct uuid tenant;
    const char *queue;
    const char *type;
    const char *concurrency_key; /* "": none */
    int priority;                /* higher is sooner */
    int64_t run_at_us;           /* not before */
};

/* What the tenant asks of a queue. */
struct ready_rules {
    bool paused;
    unsigned concurrency;     /* jobs at once; 0: no limit */
    unsigned key_concurrency; /* jobs with the same concurrency key at once; 0: no limit */
    unsigned rate_per_minute; /* takes; 0: no limit */
    unsigned rate_burst;
};

/* Which jobs somebody could run. */
struct ready_filter {
    const struct uuid *tenant; /* NULL: any */
    const char *const *queues; /* queues_count names; 0: any */
    size_t queues_count;
    const char *const *types; /* types_count names; 0: any but `types_never` */
    size_t types_count;
    const char *const *types_never;
    size_t types_never_count;
};

/* How many there are, for metrics and --dry-run. */
struct ready_depth {
    size_t waiting;    /* due or not */
    size_t due;        /* due, whether or not a limit or a pause holds them back */
    size_t running;    /* taken ones too */
    int64_t oldest_us; /* run_at of the oldest that is due; 0: none */
};

/* A waiting job rises by one priority for every ageing_us it has waited since it was due; 0: never.
 * Returns, caller destroys with ready_destroy(). */
struct ready *ready_create(int64_t ageing_us);
void ready_destroy(struct ready **ready);

/* The job waits: new, or back from being taken or running, or changed. Copies. What a take has used
 * up of a rate is not given back. */
void ready_put(struct ready *ready, const struct ready_job *job);
/* The job runs, wherever it was before: it counts for the limits. Copies. */
void ready_put_running(struct ready *ready, const struct ready_job *job);
/* It has ended, or is no concern of ours any more. Unknown ids are ignored. */
void ready_remove(struct ready *ready, int64_t id);
bool ready_is_waiting(const struct ready *ready, int64_t id);
enum { READY_MANY = 16, READY_TURNS = 8 };
/* Up to `max` jobs that may run at `now_us` and pass the filter, in the order they are to run; they
 * are taken. Returns how many. A turn is one job for each of the tenant's weight, in a take of
 * READY_MANY and more a READY_TURNS-th of `max`. A take of one tenant alone (filter.tenant) is not one
 * of its turns.
 * Before many are put, a call with max 0 says what time it is, which makes the puts cheaper. */
size_t ready_take(struct ready *ready, int64_t now_us, const struct ready_filter *filter,
                  int64_t *ids_out, size_t max);
/* The same without taking: what ready_take() would give now. */
size_t ready_peek(struct ready *ready, int64_t now_us, const struct ready_filter *filter,
                  int64_t *ids_out, size_t max);
/* When a tenant that had nothing to run last got something while others had: 0: never. */
int64_t ready_newcomer_us(const struct ready *ready);
/* When ready_take() may give more than now though nothing is called in between: a job becomes due
 * or a rate allows another. INT64_MAX: never. */
int64_t ready_next_us(const struct ready *ready, int64_t now_us);

/* NULL: no rules (as if never set: key_concurrency 1, nothing else). May be said again and again. */
void ready_set_rules(struct ready *ready, const struct uuid *tenant, const char *queue,
                     const struct ready_rules *rules);
/* type "": all of the tenant. */
void ready_pause_type(struct ready *ready, const struct uuid *tenant, const char *type,
                      bool paused);
/* The tenant's share: its weight, 1 unless set. */
void ready_set_weight(struct ready *ready, const struct uuid *tenant, unsigned weight);
/* Its jobs are told to be slower (a callee's 429): nothing of this type of the tenant is taken
 * before. */
void ready_hold_type(struct ready *ready, const struct uuid *tenant, const char *type,
                     int64_t until_us);

/* tenant NULL: of all; queue NULL: of all. */
struct ready_depth ready_depth(const struct ready *ready, const struct uuid *tenant,
                               const char *queue, int64_t now_us);
/* Calls back for every (tenant, queue) with jobs. */
typedef void ready_depth_fn(void *arg, const struct uuid *tenant, const char *queue,
                            const struct ready_depth *depth);
void ready_each_queue(const struct ready *ready, int64_t now_us, ready_depth_fn *each, void *arg);

#endif
