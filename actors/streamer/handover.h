/*
 * How streams come: each as one packet with one socket, over a connection of its own to the
 * handover listener, from an api (HANDOVER) or from a streamer that drains (HANDOFF). Each slot
 * of streamers has a listener, kept over their deaths; the processes of one slot, old and new,
 * accept from the same one. The sender learns that the packet was taken by the connection's end.
 */
#ifndef SIGNALBOX_STREAMER_HANDOVER_H
#define SIGNALBOX_STREAMER_HANDOVER_H

#include "runtime/base/error.h"

#include <stdbool.h>

struct handover;
struct streamer;

/* Returns, caller destroys with handover_destroy. */
struct handover *handover_create(struct streamer *streamer, struct error *err);
void handover_destroy(struct handover **handover);
/* Accepts no more; what is accepted still arrives. */
void handover_stop(struct handover *handover);
/* Something accepted has not arrived yet. */
bool handover_is_pending(const struct handover *handover);

/* Takes some of what waits at a listener, ours or another slot's. */
void handover_accept(struct handover *handover, int listener);
/* A connection to the listener of our own slot, for the successor; -1 and errno. */
int handover_dial(const struct handover *handover);

#endif
