/*
 * What the frames of the event bus say about themselves: whose they are and whether some were lost.
 * Pure.
 *
 * Every frame carries the sequencer's epoch and a counter of its EVENTS frames; beats repeat the
 * counter, so that even the loss of the last frame shows.
 */
#ifndef SIGNALBOX_STREAMER_PUBLISHER_H
#define SIGNALBOX_STREAMER_PUBLISHER_H

#include <stdbool.h>
#include <stdint.h>

/* Zero-initialised: nothing heard yet. */
struct publisher {
    bool known;
    uint64_t epoch;
    uint64_t counter; /* of the last EVENTS frame */
    int64_t heard_ms; /* monotonic time of the last frame, or of the last complaint about silence */
};

/* Each returns true when frames may have been lost: heads must be read. */
bool publisher_events(struct publisher *publisher, uint64_t epoch, uint64_t counter,
                      int64_t now_ms);
bool publisher_beat(struct publisher *publisher, uint64_t epoch, uint64_t counter, int64_t now_ms);
/* True once for every `limit_ms` without a frame. */
bool publisher_silent(struct publisher *publisher, int64_t limit_ms, int64_t now_ms);
/* The connection is gone: the next frame is a new beginning. */
void publisher_forget(struct publisher *publisher);

#endif
