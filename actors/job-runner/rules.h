/* Pauses and limits of queues and types, as they stand in the tables: read at the start, at every
 * poll and when an api says that they have changed (JOB_RULES). Kept in ready. */
#ifndef SIGNALBOX_JOB_RUNNER_RULES_H
#define SIGNALBOX_JOB_RUNNER_RULES_H

#include <stdbool.h>

struct job_runner;
struct rules;

/* Reads them again, soon. */
void rules_read(struct rules *rules);
/* They have changed: nothing is claimed until they have been read again. */
void rules_changed(struct rules *rules);
/* They have been read: before that nothing may be claimed. */
bool rules_are_known(const struct rules *rules);

struct rules *rules_create(struct job_runner *runner);
void rules_destroy(struct rules **rules);

#endif
