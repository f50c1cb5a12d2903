/* The statements of the job-runner. What yields a run event is a command to the sequencer and not
 * here. */
#ifndef SIGNALBOX_JOB_RUNNER_STORE_H
#define SIGNALBOX_JOB_RUNNER_STORE_H

#include "runtime/db.h"

/* $1 text url, $2 json document. */
extern const struct db_statement store_put_jwks;

/* $1 text name, $2 bigint origin, $3 int4 lease_ms; the shards that are ours. */
extern const struct db_statement store_hold_shards;
/* $1 text name, $2 bigint origin. */
extern const struct db_statement store_leave_shards;
/* kind (0: queue, 1: pause of a type), tenant, name, paused, concurrency, key_concurrency,
 * rate_per_minute, rate_burst; 0: no limit. */
extern const struct db_statement store_rules;
/* $1 bigint after, $2 int4[] shards, $3 bigint limit. */
extern const struct db_statement store_open_page;
/* $1 bigint[] numbers; the same columns, in no order. */
extern const struct db_statement store_open_rows;
/* $1 bigint[] numbers; number, key, max_attempts, payload. */
extern const struct db_statement store_payloads;
/* $1 bigint[] numbers, $2 uuid[] tokens, $3 int4[] lease_ms, $4 json[] progress; places from 1 of
 * the live ones. */
extern const struct db_statement store_renew;
/* $1 bigint[] numbers, $2 uuid[] tokens, $3 bigint[] origins (0: none); of the live ones: place from
 * 1, milliseconds left, beaten since its claim, whether the process of that origin lives. */
extern const struct db_statement store_confirm;
/* $1 bigint ms; claims that should have been ended so long ago and more: number, token, shard. */
extern const struct db_statement store_stuck;
/* $1 int4[] shards, $2 bigint limit, $3 timestamptz; schedules that are due by then, in order: tenant, name, spec, tz, queue,
 * job_type, payload, priority, max_attempts, concurrency_key, missed, next_at. */
extern const struct db_statement store_due_schedules;
/* $1 uuid tenant, $2 text name, $3 timestamptz due, $4 timestamptz next (null: never), $5
 * timestamptz the tick that was queued (null: none), $6 text error; whether it was still so. */
extern const struct db_statement store_move_schedule;
/* How many jobs are dead, at most 100000. */
extern const struct db_statement store_dead;
/* Open transactions of clients, at least one; with each: dead rows of job_open. */
extern const struct db_statement store_vitals;

#endif
