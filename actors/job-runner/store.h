/* The statements of the job-runner. What yields a run event is a command to the sequencer and not
 * here. */
#ifndef SIGNALBOX_JOB_RUNNER_STORE_H
#define SIGNALBOX_JOB_RUNNER_STORE_H

#include "runtime/db.h"

/* $1 text url, $2 json document. */
extern const struct db_statement store_put_jwks;

#endif
