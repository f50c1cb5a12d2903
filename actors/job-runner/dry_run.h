/*
 * --dry-run: what a runner would claim now, printed as a JSON object a line, from a copy of the
 * tables in a `ready` of its own. No shard, no lease, no attempt, no event.
 */
#ifndef SIGNALBOX_JOB_RUNNER_DRY_RUN_H
#define SIGNALBOX_JOB_RUNNER_DRY_RUN_H

struct dry_run;
struct job_runner;

/* Begins, and ends the actor when it is done: exit 0, 3 when there is nothing, 1 when the database
 * cannot be asked. Needs runner->actor, links and ready only. Returns, caller destroys with
 * dry_run_destroy() after the database is closed. */
struct dry_run *dry_run_create(struct job_runner *runner);
void dry_run_destroy(struct dry_run **dry_run);

#endif
