/*
 * Draining: every open stream moves to another streamer, with its position and what its socket did
 * not take. When nobody takes them they are broken off, spread over a few seconds, so that the
 * clients do not all come back at once.
 */
#ifndef SIGNALBOX_STREAMER_HANDOFF_H
#define SIGNALBOX_STREAMER_HANDOFF_H

#include <stdint.h>

struct reader;
struct streamer;

/* Begins; tells the actor when no stream is left. */
void handoff_start(struct streamer *streamer, int64_t deadline_ms);
void handoff_destroy(struct streamer *streamer);
/* A stream that came while draining. */
void handoff_place(struct streamer *streamer, struct reader *reader);
/* Sends what can be sent now; nothing when not draining. */
void handoff_continue(struct streamer *streamer);

#endif
