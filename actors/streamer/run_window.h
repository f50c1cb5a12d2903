/*
 * A dense range of encoded events of one run: [first, next). Shared by all readers of the run,
 * owned by none of them.
 *
 * An event may have no bytes at all: it counts, and shows nothing.
 *
 * The bytes lie in blocks, each a gapless run of frames with an index of their ends, so a reader's
 * next events are a few iovecs whatever their number. Live windows, pages from the table and frames
 * that wait behind a hole are all of this type.
 */
#ifndef SIGNALBOX_STREAMER_RUN_WINDOW_H
#define SIGNALBOX_STREAMER_RUN_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct window_block;

/* run_window_start() makes it valid. Blocks are owned. */
struct run_window {
    struct window_block *oldest;
    struct window_block *newest;
    uint64_t first; /* seq of the oldest event held; == next when empty */
    uint64_t next;  /* seq of the event after the newest */
    size_t bytes;   /* memory of the blocks */
};

/* A position in the byte stream of the events: `skip` bytes of the event after `cursor` are taken.
 */
struct window_position {
    uint64_t cursor;
    size_t skip;
};

/* Empty, expecting `next`. The window must be new or empty. */
void run_window_start(struct run_window *window, uint64_t next);
/* Drops all events; goes on expecting the same next one. */
void run_window_clear(struct run_window *window);
bool run_window_is_empty(const struct run_window *window);
bool run_window_has(const struct run_window *window, uint64_t seq);
/* Room for the frame of event `next`, to be filled with exactly `size` bytes by the caller. */
uint8_t *run_window_append(struct run_window *window, size_t size);
/* Marks the newest event; a reader may have to stop behind it. */
void run_window_mark(struct run_window *window);
/* Drops oldest blocks until at most `bytes` are held; the newest block always stays. */
void run_window_trim(struct run_window *window, size_t bytes);
/* Drops the events before `seq`, to a block's border at least: `first` is then <= seq. */
void run_window_drop_before(struct run_window *window, uint64_t seq);
/* Moves everything of `ahead` that continues `window` over; `ahead` is left empty when it did,
 * alone when there is still a hole between them. Events held by both are taken from `window`. */
bool run_window_join(struct run_window *window, struct run_window *ahead);
/* Fills at most `max` iovecs with the frames behind `from`; 0 when the window does not hold the
 * next event, or what it holds has no bytes. */
int run_window_gather(const struct run_window *window, struct window_position from,
                      struct iovec *iov, int max);
/* The same without what is behind event `last`. */
int run_window_gather_to(const struct run_window *window, struct window_position from,
                         uint64_t last, struct iovec *iov, int max);
/* The frame of an event that the window holds. */
const uint8_t *run_window_frame(const struct run_window *window, uint64_t seq, size_t *size_out);
/* Seq of the first marked event behind `after` that the window holds; 0: none. */
uint64_t run_window_marked(const struct run_window *window, uint64_t after);
/* Where a reader at `from` is after `taken` more bytes (not more than gather gave): also past the
 * events without bytes that follow. */
struct window_position run_window_advance(const struct run_window *window,
                                          struct window_position from, size_t taken);
/* Bytes of the event behind `at` that are not taken; the window holds it. */
size_t run_window_left(const struct run_window *window, struct window_position at);

#endif
