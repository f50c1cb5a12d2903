/*
 * The memory of the unfinished jobs of our shards, a copy that may be thrown away at any time:
 * loaded in pages from job_open when a shard becomes ours, kept by JOBS frames and by the outcomes
 * of our own changes, and read again where a frame was lost. Feeds ready (what waits) and lease
 * (what runs).
 */
#ifndef SIGNALBOX_JOB_RUNNER_JOBS_H
#define SIGNALBOX_JOB_RUNNER_JOBS_H

#include "proto/job.h"
#include "proto/messages.h"
#include "runtime/base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct change;
struct change_outcome;
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
    bool claiming;     /* a claim of ours on it is under way: ready has given it out */
    bool skipping;     /* our JOB_SKIP is under way */
    bool doubted;      /* not known to be what `state` says: it is being read */
    uint64_t stamp;    /* when it was last heard of: grows with everything that is heard */
    char *worker;      /* owned; NULL: nobody */
    const char *queue; /* these behind the struct, in the same allocation */
    const char *type;
    const char *concurrency_key; /* "": none */
};

struct job_news {
    int64_t id;
    struct uuid job;
    struct uuid tenant;
    struct uuid run;
    struct uuid token;
    enum job_state state;
    unsigned shard;
    int priority;
    unsigned attempts;
    int64_t run_at_us;
    uint64_t lease_ms; /* 0: not said */
    bool cancel;
    uint64_t
        since; /* read from the table, after this stamp: what came since is newer; 0: not read */
    struct message_span queue;
    struct message_span type;
    struct message_span concurrency_key;
    struct message_span worker;
};

/* NULL: not known here. Borrowed until the next turn of the loop. */
struct job *jobs_by_number(const struct jobs *jobs, int64_t id);
struct job *jobs_by_uuid(const struct jobs *jobs, const struct uuid *job);
size_t jobs_count(const struct jobs *jobs);
/* All that is in our shards has been read. */
bool jobs_is_known(const struct jobs *jobs);
/* Without its worker. Returns, caller frees with free(). */
struct job *jobs_copy(const struct job *job);
/* It is no more what we thought: it waits no longer, and is read again soon. */
void jobs_doubt(struct jobs *jobs, int64_t id);
/* What became of a change of ours: as good as a frame that says so. */
void jobs_outcome(struct jobs *jobs, const struct change *change,
                  const struct change_outcome *outcome);
/* Of claim.c: it was taken from ready, and its claim is under way. */
void jobs_claiming(struct jobs *jobs, struct job *job);
/* What the bus or the table says of a job; spans are borrowed for the call. */
void jobs_take(struct jobs *jobs, const struct job_news *news);
/* It is not in the table, as read after stamp `since`. */
void jobs_gone(struct jobs *jobs, int64_t id, uint64_t since);
uint64_t jobs_stamp(const struct jobs *jobs);
/* The highest number heard of. */
int64_t jobs_newest(const struct jobs *jobs);
/* Ends a reading of these shards (a bit each) that began at stamp `since`: what it has not shown is
 * gone, and now they are known. */
void jobs_end_reading(struct jobs *jobs, uint32_t shards, uint64_t since);
/* Of shards.c. */
void jobs_gain_shard(struct jobs *jobs, unsigned shard);
void jobs_lose_shard(struct jobs *jobs, unsigned shard);

struct jobs *jobs_create(struct job_runner *runner);
void jobs_destroy(struct jobs **jobs);

#endif
