/* Numbers for /metrics and the log, from memory once a second; every jobs.stale_check_ms what the database knows
 * of the health of job_open: rows that are dead, and the transaction that is open for longest, because
 * it keeps them; and how many jobs have died, told by the owner of the first shard only. */
#ifndef SIGNALBOX_JOB_RUNNER_VITALS_H
#define SIGNALBOX_JOB_RUNNER_VITALS_H

struct job_runner;
struct vitals;

void vitals_dump(const struct job_runner *runner);

struct vitals *vitals_create(struct job_runner *runner);
void vitals_destroy(struct vitals **vitals);

#endif
