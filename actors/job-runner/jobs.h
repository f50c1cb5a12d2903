/*
 * The memory of the unfinished jobs of our shards, a copy that may be thrown away at any time:
 * loaded in pages from job_open when a shard becomes ours, kept by JOBS frames and by the outcomes
 * of our own changes, and read again where a frame was lost. Feeds ready (what waits) and lease
 * (what runs).
 */
#ifndef SIGNALBOX_JOB_RUNNER_JOBS_H
#define SIGNALBOX_JOB_RUNNER_JOBS_H

#include "proto/job.h"
#include "runtime/base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct job_runner;
struct jobs;

struct job {
    int64_t id;
    struct uuid job;
    struct uuid tenant;
    struct uuid run;
    struct uuid token; /* of the live claim; nil: nobody works on it */
    enum job_state state;
    unsigned shard;
    int priority;
    unsigned attempts; /* that are over */
    int64_t run_at_us;
    uint64_t lease_ms;
    bool cancel;       /* it is to stop */
    bool claiming;     /* a claim of ours on it is under way: nothing else moves it in ready */
    uint32_t sweep;    /* in which reading of its shard it was last seen */
    const char *queue; /* these four behind the struct, in the same allocation */
    const char *type;
    const char *concurrency_key; /* "": none */
    const char *worker;          /* "": nobody */
};

/* NULL: not known here. Borrowed until the next turn of the loop. */
struct job *jobs_by_number(const struct jobs *jobs, int64_t id);
struct job *jobs_by_uuid(const struct jobs *jobs, const struct uuid *job);
size_t jobs_count(const struct jobs *jobs);
/* It is no more what we thought: read again soon. */
void jobs_doubt(struct jobs *jobs, int64_t id);
/* Of claim.c: the outcome of a claim of ours on it is known; `granted`: it runs with the token. */
void jobs_claimed(struct jobs *jobs, int64_t id, bool granted, const struct uuid *token,
                  const char *worker, uint64_t lease_ms);
/* Of shards.c. */
void jobs_gain_shard(struct jobs *jobs, unsigned shard);
void jobs_lose_shard(struct jobs *jobs, unsigned shard);

struct jobs *jobs_create(struct job_runner *runner);
void jobs_destroy(struct jobs **jobs);

#endif
