/*
 * What the files of the job-runner share: one struct, made in job_runner.c and passed to all.
 *
 *   shards    which shards are ours            jobs      the unfinished jobs of our shards
 *   hints     news from the event bus          pages     what is read of the table
 *   rules     pauses and limits of queues      ready     in which order they run (pure)
 *   changes   CHANGE_JOBS under way            claim     demand into claims, by changes
 *   report    ends of claims, by changes       lease     beats, lost leases, cancels
 *   executors attempts of built-in kinds       wants     workers that wait over HTTP
 *   progress  how far jobs are, to readers
 *   schedule  ticks of schedules into jobs    ticks     which of them (pure)
 *
 * executors and wants ask claim for jobs, say beats to lease and ends to report; what they leave
 * claimed is given back by report (JOB_RELEASE). job_runner.c calls of both X_create(runner, err),
 * X_drain(runner's x): take nothing new, end what can end, by runner->drain_until_ms all of it;
 * X_is_idle(), and X_destroy(&x). Nothing here waits: everything happens in turns of the one loop.
 */
#ifndef SIGNALBOX_JOB_RUNNER_RUNNER_H
#define SIGNALBOX_JOB_RUNNER_RUNNER_H

#include "runtime/actor.h"
#include "runtime/links.h"

#include <stdbool.h>
#include <stddef.h>

struct by_hand;
struct changes;
struct claim;
struct executors;
struct fetch;
struct hints;
struct jobs;
struct jwks;
struct lease;
struct pages;
struct progress;
struct ready;
struct report;
struct rules;
struct schedule;
struct shards;
struct upkeep;
struct vitals;
struct wants;

enum { JOB_RUNNER_WORKER_SIZE = 80 };

struct job_runner {
    struct actor *actor; /* borrowed */
    struct links links;  /* one database connection for statements of a few rows, the commands */
    struct fetch *fetch;
    struct jwks *jwks;
    struct ready *ready;
    struct shards *shards;
    struct rules *rules;
    struct hints *hints;
    struct pages *pages;
    struct jobs *jobs;
    struct changes *changes;
    struct claim *claim;
    struct report *report;
    struct lease *lease;
    struct progress *progress;
    struct schedule *schedule;
    struct vitals *vitals;
    struct executors *executors;
    struct upkeep *upkeep;   /* NULL: started by hand */
    struct by_hand *by_hand; /* NULL: a child of the supervisor */
    struct wants *wants;
    struct event *begin;    /* at the start, until the database is there */
    struct event *settle;   /* while draining: is nothing left? */
    int64_t drain_until_ms; /* monotonic; while actor->draining */
};

/* Name of our local executor `n`: "<instance>/<origin hex>/<n>". A claim of such a worker, of this
 * instance and another origin, is of a process that is dead. */
void job_runner_worker_name(const struct job_runner *runner, unsigned n,
                            char name_out[JOB_RUNNER_WORKER_SIZE]);
/* While draining: something has ended. The process ends when nothing is left to be done. */
void job_runner_settle(struct job_runner *runner);

#endif
