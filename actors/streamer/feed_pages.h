/*
 * Pages of a feed from the table, for readers that are before its window. As catch_up.h does for
 * runs: a page is read once for all that can use it and kept a moment; few are on the way at a
 * time, feed after feed in turn. They have a connection of their own: looking for a small tenant's
 * events in a long log must not hold up the runs.
 */
#ifndef SIGNALBOX_STREAMER_FEED_PAGES_H
#define SIGNALBOX_STREAMER_FEED_PAGES_H

#include "streamer/feed_window.h"

#include <stdint.h>

struct feed;
struct streamer;

/* The feed has positions that wait for a page: they are told (position_resume) when it is in memory.
 */
void feed_pages_enqueue(struct feed *feed);
/* The page that knows what is behind `cursor`, or NULL. */
const struct feed_window *feed_pages_find(struct feed *feed, uint64_t cursor);
void feed_pages_drop(struct feed *feed);
/* Sends queries as far as allowed. */
void feed_pages_go(struct streamer *streamer);
/* Drops pages that have not been used for a while. */
void feed_pages_tick(struct streamer *streamer, int64_t now_ms);

#endif
