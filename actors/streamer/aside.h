/*
 * Events put aside as they came on the bus: a view cannot encode what lies behind a hole before the
 * hole is filled. Kept in a run_window, a record instead of a frame for each. Pure.
 */
#ifndef SIGNALBOX_STREAMER_ASIDE_H
#define SIGNALBOX_STREAMER_ASIDE_H

#include "streamer/formats/native.h"
#include "streamer/run_window.h"

#include <stdint.h>

/* The event is window->next, of a known type. */
void aside_put(struct run_window *window, const struct native_event *event);
/* The window holds `seq`. The event borrows from the window, and `run_id`. */
void aside_get(const struct run_window *window, uint64_t seq, const char *run_id,
               struct native_event *event_out);

#endif
