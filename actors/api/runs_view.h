/* How a run looks in answers. */
#ifndef SIGNALBOX_API_RUNS_VIEW_H
#define SIGNALBOX_API_RUNS_VIEW_H

#include "api/store_runs.h"
#include "runtime/base/buffer.h"

/* Appends the run as a JSON object. */
void runs_view_write(struct buffer *out, const struct store_run *run);
/* Turns what the table says now into what the creation answered: the same however often it is
 * asked for, and whatever became of the run. */
void runs_view_as_created(struct store_run *run);

#endif
