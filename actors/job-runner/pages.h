/*
 * What jobs reads of job_open, over a connection of its own:
 *
 *   a reading   all unfinished jobs of some shards, in pages by number: when a shard becomes ours,
 *               when frames of the bus were lost (at most once a second), and once a minute
 *   a poll      rows with higher numbers than any heard of, every jobs.poll_ms +-20 %; where the bus
 *               is silent and there is little, everything
 *   an answer   rows of jobs that are in doubt
 *
 * A frame that was lost costs one of these and never a job.
 */
#ifndef SIGNALBOX_JOB_RUNNER_PAGES_H
#define SIGNALBOX_JOB_RUNNER_PAGES_H

#include "runtime/db.h"

#include <stdbool.h>
#include <stdint.h>

struct job_runner;
struct pages;

/* All of these shards, a bit each, soon. */
void pages_read(struct pages *pages, uint32_t shards);
void pages_lose_shard(struct pages *pages, unsigned shard);
/* This one, soon. */
void pages_ask(struct pages *pages, int64_t id);
/* Frames were lost: everything of ours, soon. */
void pages_lost(struct pages *pages);
/* Whether the bus has been heard within the last second. */
bool pages_hints_live(const struct pages *pages);
void pages_heard(struct pages *pages);
/* The connection: claim reads payloads over it. */
struct db *pages_db(const struct pages *pages);

struct pages *pages_create(struct job_runner *runner);
void pages_destroy(struct pages **pages);

#endif
