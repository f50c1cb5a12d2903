/*
 * One run in a format other than the native: the state of its projection at the end of the run's
 * window, and copies of earlier states, from which pages start.
 *
 * The rule that keeps bytes right: an event is encoded only from the state behind the event before
 * it. The state at the window's end moves with the window and is never guessed; a page starts at a
 * kept state, or before seq 1, however far back that is, and ends with a state that is kept for the
 * next one. Kept states are bounded in number and size, and may be dropped at any time: what is
 * missing is read again.
 */
#ifndef SIGNALBOX_STREAMER_VIEW_H
#define SIGNALBOX_STREAMER_VIEW_H

#include "runtime/base/list.h"
#include "streamer/formats/projection.h"
#include "streamer/run_window.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct streamer;

struct view {
    struct streamer *streamer;
    const struct projection_format *format;
    enum stream_format number;
    uint64_t types;          /* as in HANDOVER */
    struct projection *head; /* owned; behind the last event of the window */
    uint64_t paused;         /* the last event behind which the run paused; 0: none */
    struct list kept;        /* struct view_state, by seq; owned */
    unsigned kept_count;
    size_t kept_bytes;
};

/* What the views of a process keep. */
struct view_states {
    struct list all; /* least recently used first */
    size_t bytes;
};

/* NULL for a number that is no projection. Caller destroys. */
struct view *view_create(struct streamer *streamer, enum stream_format format, uint64_t types);
void view_destroy(struct view **view);

/* ---- the window of the run ---- */

/* Where a window can start at the earliest when the head is `head`: the seq of its first event. */
uint64_t view_start(const struct view *view, uint64_t head);
/* The event is window->next; nothing was left out since view_create or view_start. */
void view_take(struct view *view, struct run_window *window, const struct native_event *event);
/* What lies aside (aside.h) and follows the window goes over. */
void view_take_aside(struct view *view, struct run_window *window, struct run_window *aside,
                     const char *run_id);
/* Keeps the state at the window's end, which is behind `seq`, now and then. */
void view_keep_head(struct view *view, uint64_t seq);
/* One chunk that brings a client to the window's end; perhaps nothing. Returns whether the run pauses
 * there. */
bool view_join(const struct view *view, struct buffer *out);

/* ---- pages ---- */

/* Where a page that is to show what follows `seq` has to start: at most `seq`. */
uint64_t view_nearest(const struct view *view, uint64_t seq);
/* The state there, for a page. Caller destroys, or gives it back with view_keep. */
struct projection *view_state_at(struct view *view, uint64_t nearest);
/* The event is window->next, and `state` is behind the one before it. Returns whether the run pauses
 * there. */
bool view_encode(struct view *view, struct projection *state, struct run_window *window,
                 const struct native_event *event);
/* Takes the state behind `seq`. */
void view_keep(struct view *view, uint64_t seq, struct projection **state);

void view_states_init(struct view_states *states);
/* Drops states not used for a while. */
void view_tick(struct streamer *streamer, int64_t now_ms);

#endif
