/*
 * The leases of the jobs of our shards: beats stay in memory and are written for all of them at once
 * every jobs.beat_flush_ms; a lease that is over is confirmed by the clock of the database before
 * JOB_EXPIRE is said. A runner that has just begun grants every lease it finds one full length.
 */
#ifndef SIGNALBOX_JOB_RUNNER_LEASE_H
#define SIGNALBOX_JOB_RUNNER_LEASE_H

#include "proto/job.h"
#include "runtime/base/uuid.h"

#include <stdbool.h>
#include <stdint.h>

struct job;
struct job_news;
struct job_runner;
struct lease;

struct lease_answer {
    enum job_beat state;
    bool cancel; /* the job is to stop */
    uint64_t lease_ms;
};

/* A worker is alive. percent -1 and note "": nothing new. */
struct lease_answer lease_beat(struct lease *lease, const struct uuid *job,
                               const struct uuid *token, int percent, const char *note,
                               size_t note_length);
/* A claim of ours was given: full length from now, or delivery_ms until its first beat when that is
 * not 0. `cancelled` is called once when it is to stop or lost (NULL: it is told by its beats). With
 * `cancelled` it is of an executor of this process, which lives as long as the loop: its lease is
 * renewed until lease_end() without being beaten. */
typedef void lease_cancelled_fn(void *arg, bool lost);
void lease_begin(struct lease *lease, int64_t id, const struct uuid *token, uint64_t lease_ms,
                 uint64_t delivery_ms, lease_cancelled_fn *cancelled, void *arg);
/* Whether the claim is known, and looked after. */
bool lease_is_watched(const struct lease *lease, int64_t id, const struct uuid *token);
/* It has ended: nothing is called any more. */
void lease_end(struct lease *lease, int64_t id, const struct uuid *token);

/* ---- of the other files of this actor ---- */

/* The job runs, as the bus or the table says: its lease is watched, one full length from now if it
 * was not before. */
void lease_watch(struct lease *lease, const struct job *job);
/* A claim of ours was granted: it is watched even where its shard is no longer ours. */
void lease_hold(struct lease *lease, const struct job *job);
/* Something is said of the job, of any shard: ends what it contradicts. */
void lease_heard(struct lease *lease, const struct job_news *news);
/* No claim is live, as it seems. */
void lease_over(struct lease *lease, int64_t id);
/* Of report.c: its worker says its end, and is told nothing any more. */
void lease_reported(struct lease *lease, const struct uuid *job, const struct uuid *token);
/* The claim is over, as the sequencer says to who has ended it. */
void lease_settled(struct lease *lease, const struct uuid *job, const struct uuid *token);
/* Others watch these now, but for those of our own executors. */
void lease_lose_shard(struct lease *lease, unsigned shard);
/* Writes the beats that are not yet written; true: there are none. */
bool lease_flush_now(struct lease *lease);
/* Leases that are watched. */
size_t lease_count(const struct lease *lease);

struct lease *lease_create(struct job_runner *runner);
void lease_destroy(struct lease **lease);

#endif
