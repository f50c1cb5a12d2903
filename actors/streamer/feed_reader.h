/* What is particular to a reader of a feed: its position is one of the log, and its next event is
 * found by that in the feed's window or in a page. Used by reader.c. */
#ifndef SIGNALBOX_STREAMER_FEED_READER_H
#define SIGNALBOX_STREAMER_FEED_READER_H

#include "runtime/base/buffer.h"
#include "runtime/base/error.h"
#include "streamer/run_window.h"

#include <stdint.h>

struct feed_window;
struct reader;

/* Where what follows the reader's position is, or NULL: a page is needed. Moves the position over
 * stretches that are known to hold no event. */
const struct feed_window *feed_reader_source(struct reader *reader);
/* See reader_unsent. */
SB_MUST_CHECK int feed_reader_unsent(struct reader *reader, struct buffer *out,
                                     uint64_t *cursor_out);
/* The position asked for is beyond the log's end: says so, and goes on from there. */
void feed_reader_reset(struct reader *reader, uint64_t head, struct buffer *out);

#endif
