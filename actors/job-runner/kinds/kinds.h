/* The built-in kinds, one file each; their register is kinds.c. */
#ifndef SIGNALBOX_JOB_RUNNER_KINDS_KINDS_H
#define SIGNALBOX_JOB_RUNNER_KINDS_KINDS_H

#include "job-runner/kind.h"

extern const struct kind kind_http_request;
extern const struct kind kind_noop;
extern const struct kind kind_reconcile;
extern const struct kind kind_retention;

#endif
