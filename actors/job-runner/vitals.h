/* Numbers for /metrics and the log, from memory once a second; once a minute what the database knows
 * of the health of job_open. */
#ifndef SIGNALBOX_JOB_RUNNER_VITALS_H
#define SIGNALBOX_JOB_RUNNER_VITALS_H

struct job_runner;
struct vitals;

void vitals_dump(const struct job_runner *runner);

struct vitals *vitals_create(struct job_runner *runner);
void vitals_destroy(struct vitals **vitals);

#endif
