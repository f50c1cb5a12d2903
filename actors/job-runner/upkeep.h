/*
 * What the server does for itself, without a tenant, a job or a run: reconcile of everything, a minute
 * after the start and every jobs.reconcile_ms, by the runner that holds the first shard. What it finds
 * is logged and counted.
 */
#ifndef SIGNALBOX_JOB_RUNNER_UPKEEP_H
#define SIGNALBOX_JOB_RUNNER_UPKEEP_H

struct job_runner;
struct upkeep;

/* Returns, caller destroys with upkeep_destroy(), before the database. */
struct upkeep *upkeep_create(struct job_runner *runner);
void upkeep_destroy(struct upkeep **upkeep);
/* Draining: ends what is under way. */
void upkeep_stop(struct upkeep *upkeep);

#endif
