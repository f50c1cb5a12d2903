/*
 * Schedules whose queue is in a shard of ours: queues a detached job for every tick that is due
 * (ENQUEUE_JOBS, under the key "cron:{name}:{tick}", so that two runners cannot make two), then moves
 * the schedule on, if it is still as it was read. In rounds: a look into the table, what is due then,
 * and a pause until the next one is.
 */
#ifndef SIGNALBOX_JOB_RUNNER_SCHEDULE_H
#define SIGNALBOX_JOB_RUNNER_SCHEDULE_H

struct job_runner;
struct schedule;

/* Schedules have changed: looks soon. */
void schedule_wake(struct schedule *schedule);

struct schedule *schedule_create(struct job_runner *runner);
/* After the database's end, before that of the commands. */
void schedule_destroy(struct schedule **schedule);

#endif
