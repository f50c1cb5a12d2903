/* When the sequencer's notice of each event of one run was on the bus: a thread of its own listens
 * as a streamer does, so that a busy loop of readers does not delay what it sees. */
#ifndef SIGNALBOX_BENCH_NOTICES_H
#define SIGNALBOX_BENCH_NOTICES_H

#include <stdint.h>

struct notices;

/* Listens at the socket `path` for the run with this id (text). Ends with the process. */
struct notices *notices_start(const char *path, const char *run_id);
/* Microsecond at which the notice of that seq came; 0 when it has not come. */
int64_t notices_at(const struct notices *notices, int64_t seq);

#endif
