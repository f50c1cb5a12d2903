/*
 * The listeners of the other slots of streamers. What comes there is for their own streamer, or for
 * its successor when it has died. Only what is left waiting for half a second is taken here, so that
 * a slot without a working streamer costs its readers a moment and not their streams.
 */
#ifndef SIGNALBOX_STREAMER_NEIGHBOURS_H
#define SIGNALBOX_STREAMER_NEIGHBOURS_H

struct actor;
struct handover;
struct neighbours;

/* Returns, caller destroys with neighbours_destroy; NULL when there is no other slot. */
struct neighbours *neighbours_create(const struct actor *actor, struct handover *handover);
void neighbours_destroy(struct neighbours **neighbours);

#endif
