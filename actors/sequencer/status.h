/*
 * The status of a run as a function of its log: pure, table-tested, the same table as
 * run_status_next() in migrations/0005.
 */
#ifndef SIGNALBOX_SEQUENCER_STATUS_H
#define SIGNALBOX_SEQUENCER_STATUS_H

#include "contracts/generated/event_types.h"
#include "proto/run_status.h"

#include <stdbool.h>
#include <stddef.h>

/* After a terminal event. */
bool status_is_closed(enum run_status status);
/* Whether the event may change the status of a run that goes on: the batch that holds it says so to
 * append_batch. */
bool status_is_lifecycle(enum event_type type);
/* The status after an event of `type`, with `open` questions open after it. False: the event cannot
 * happen in that status. */
bool status_next(enum run_status status, enum event_type type, unsigned open,
                 enum run_status *next_out);
/* From the name in the database: 0 and the status, or -1. */
__attribute__((warn_unused_result)) int status_find(const char *name, size_t length,
                                                    enum run_status *status_out);

#endif
