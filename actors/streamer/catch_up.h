/*
 * Pages of events from the table: for holes in windows and for readers whose position has left the
 * window.
 *
 * A page is read once for all readers of the run that can use it, and kept a moment for those that
 * come. Few pages are on the way at a time, run after run in turn, so that one long catch-up does
 * not hold up the others.
 */
#ifndef SIGNALBOX_STREAMER_CATCH_UP_H
#define SIGNALBOX_STREAMER_CATCH_UP_H

#include "streamer/run_window.h"

#include <stdint.h>

struct run;
struct streamer;

/* The run has a hole to be read, or positions that wait for a page: they are told (position_resume)
 * when it is in memory. */
void catch_up_enqueue(struct run *run);
/* The page that holds `seq`, or NULL. */
const struct run_window *catch_up_page(struct run *run, uint64_t seq);
/* Sends queries as far as allowed. */
void catch_up_go(struct streamer *streamer);
/* Drops pages not used lately. */
void catch_up_tick(struct streamer *streamer, int64_t now_ms);
void catch_up_drop_pages(struct run *run);

#endif
