/* The words of the interface for what a run can be. */
#ifndef SIGNALBOX_RUNTIME_RUN_STATUS_H
#define SIGNALBOX_RUNTIME_RUN_STATUS_H

#include "proto/run_status.h"

#include <stdint.h>

/* Of an enum run_status as messages carry it. */
const char *run_status_name(uint64_t status);

#endif
