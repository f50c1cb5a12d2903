/*
 * Heads of runs, read from their rows: at the start of a watch, after any sign of a loss, at the
 * end of a run, and slowly for all as the last net. However many runs need it, one query at a time
 * asks for them.
 */
#ifndef SIGNALBOX_STREAMER_HEADS_H
#define SIGNALBOX_STREAMER_HEADS_H

#include <stdbool.h>
#include <stdint.h>

struct run;
struct streamer;

/* The head of this run will be read, by a query that starts after this call. */
void heads_ask(struct run *run);
/* The same for every watched run. */
void heads_ask_all(struct streamer *streamer);
/* An answer that was asked for has not come yet. */
bool heads_is_pending(const struct run *run);
/* run->suspect was ahead of the window in a sweep: looked at again a moment later. */
void heads_suspect(struct run *run);
/* Sends the next question, if there is one and none is on the way. */
void heads_go(struct streamer *streamer);
/* Suspects and sweeps that are due. */
void heads_tick(struct streamer *streamer, int64_t now_ms);

#endif
