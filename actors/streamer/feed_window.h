/*
 * Encoded events of one feed by log position: every event of the feed in (from, to] is held. Shared
 * by all readers of the feed, owned by none of them. Pure.
 *
 * Positions of one feed have gaps (other tenants' events lie between), so the frames are numbered
 * as they come and kept in a run_window; an index gives their positions.
 */
#ifndef SIGNALBOX_STREAMER_FEED_WINDOW_H
#define SIGNALBOX_STREAMER_FEED_WINDOW_H

#include "streamer/run_window.h"

#include <stddef.h>
#include <stdint.h>

/* Zero-initialised is empty at position 0. */
struct feed_window {
    struct run_window frames; /* by number, from 1 */
    uint64_t *positions;      /* owned ring; of frames.first .. frames.next - 1 */
    size_t capacity;          /* of the ring, a power of two */
    uint64_t from;
    uint64_t to;
};

/* Empty, with nothing known behind `position`. */
void feed_window_start(struct feed_window *window, uint64_t position);
void feed_window_deinit(struct feed_window *window);
/* Room for the frame of the event at `position`, which is behind `to`: to be filled with exactly
 * `size` bytes. */
uint8_t *feed_window_append(struct feed_window *window, uint64_t position, size_t size);
/* There are no more events up to `position`. */
void feed_window_reach(struct feed_window *window, uint64_t position);
/* Drops oldest frames until about `bytes` are held. */
void feed_window_trim(struct feed_window *window, size_t bytes);
/* Drops all frames; what is behind them stays known to be empty. */
void feed_window_clear(struct feed_window *window);
/* Memory held. */
size_t feed_window_bytes(const struct feed_window *window);
/* Position of the newest event held, or `from`. */
uint64_t feed_window_last(const struct feed_window *window);
/* Below, a position's `cursor` is a log position not before `from`, and `skip` the bytes taken of
 * the event that follows it. */
/* Fills at most `max` iovecs with the frames behind `at`; 0 when there are none. */
int feed_window_gather(const struct feed_window *window, struct window_position at,
                       struct iovec *iov, int max);
/* Where a reader is after `taken` more bytes (at least 1, not more than gather gave). */
struct window_position feed_window_advance(const struct feed_window *window,
                                           struct window_position at, size_t taken);
/* Bytes of the event behind `at` that are not taken; the window holds it. */
size_t feed_window_left(const struct feed_window *window, struct window_position at);
/* Events in (after, up_to]. */
uint64_t feed_window_count(const struct feed_window *window, uint64_t after, uint64_t up_to);
/* Position of the event behind the cursor; the window holds it. */
uint64_t feed_window_next(const struct feed_window *window, uint64_t cursor);

#endif
