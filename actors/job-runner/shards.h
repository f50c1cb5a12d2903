/*
 * Which shards are ours: said to the database once a second (hold_job_shards), given back when the
 * process drains. A shard that is not confirmed for its lease is ours no more. Losing one forgets
 * its jobs and ends nothing: every claim is fenced by its row.
 *
 * One that was started by hand is a visitor: it claims in all shards, as a second owner, and takes
 * none away from the others, who look after leases and schedules.
 */
#ifndef SIGNALBOX_JOB_RUNNER_SHARDS_H
#define SIGNALBOX_JOB_RUNNER_SHARDS_H

#include "runtime/base/uuid.h"

#include <stdbool.h>
#include <stddef.h>

struct job_runner;
struct shards;

/* The shard of a tenant's queue, 0 .. JOB_SHARDS - 1: the same as job_shard() of the database. */
unsigned shards_of(const struct uuid *tenant, const char *queue, size_t length);
bool shards_is_ours(const struct shards *shards, unsigned shard);
unsigned shards_count(const struct shards *shards);
bool shards_are_visited(const struct shards *shards);
/* The database is there: does not wait for the next second. */
void shards_hurry(struct shards *shards);
/* Draining: gives them back, once. */
void shards_leave(struct shards *shards);
/* Given back, or past hope. */
bool shards_has_left(const struct shards *shards);

struct shards *shards_create(struct job_runner *runner);
void shards_destroy(struct shards **shards);

#endif
