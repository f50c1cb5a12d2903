/*
 * Giving connections to streamers: each with one HANDOVER message and the socket as SCM_RIGHTS,
 * over a connection of its own to the listener of a streamers' slot, chosen by the hash of what the
 * stream shows. The listeners live with the supervisor, so a dead streamer costs a wait and no
 * stream.
 */
#ifndef SIGNALBOX_API_HANDOVER_H
#define SIGNALBOX_API_HANDOVER_H

#include "runtime/actor.h"

#include <stddef.h>

struct exchange;
struct handover;

/* Returns, caller destroys with handover_destroy (who still waits is broken off). */
struct handover *handover_create(const struct actor *actor);
void handover_destroy(struct handover **handover);
/* Takes the exchange to its end: its connection goes to a streamer, now or within seconds; failing
 * that it is answered with a longer `retry:` and broken off. */
void handover_give(struct handover *handover, struct exchange *exchange);
/* Answers so at once, with a `retry:` of at least that long: for who would never come back after any
 * other status than 200. Takes the exchange to its end. */
void handover_refuse(struct exchange *exchange, int64_t retry_ms);
size_t handover_waiting(const struct handover *handover);

#endif
