/* The wheel of pings: every reader sits in one slot, one slot a tick is pinged, so pings are spread
 * evenly and cost one timer in all. */
#ifndef SIGNALBOX_STREAMER_PINGS_H
#define SIGNALBOX_STREAMER_PINGS_H

#include <stdint.h>

struct reader;
struct streamer;

void pings_start(struct streamer *streamer);
void pings_stop(struct streamer *streamer);
/* Milliseconds between two ticks. */
int64_t pings_tick_ms(const struct streamer *streamer);
void pings_place(struct streamer *streamer, struct reader *reader);
void pings_tick(struct streamer *streamer);

#endif
