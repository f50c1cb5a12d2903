/*
 * One watched feed: all events of a tenant, or of the runs of one of its threads, by log position,
 * with the window that its readers share.
 *
 * The window holds every event in (window.from, window.to]; a reader before it reads pages. A feed
 * that has joined gets all events behind `from` from the bus, batch by batch (feed_tail.h). It lives
 * as long as it has positions.
 */
#ifndef SIGNALBOX_STREAMER_FEED_H
#define SIGNALBOX_STREAMER_FEED_H

#include "runtime/base/list.h"
#include "runtime/base/map.h"
#include "runtime/base/uuid.h"
#include "runtime/feed_cursor.h"
#include "streamer/feed_window.h"
#include "streamer/formats/native.h"

#include <stdbool.h>
#include <stdint.h>

struct position;
struct streamer;

/* Feeds of one tenant. */
struct feed_tenant {
    struct uuid id;
    struct feed *whole;
    struct map threads; /* struct feed by thread */
};

/* An event of a batch that is not complete yet; its frame lies in batch.bytes. */
struct feed_event {
    uint64_t position;
    uint32_t offset;
    uint32_t size;
};

/* What frames have brought of a batch: within it, they come run by run. */
struct feed_batch {
    struct feed_event *events; /* owned */
    size_t count;
    size_t capacity;
    uint8_t *bytes; /* owned */
    size_t used;
    size_t room;
};

struct feed {
    struct streamer *streamer;
    struct feed_tenant *tenant;
    struct uuid thread;  /* nil: the whole tenant */
    struct feed_key key; /* of its cursors */
    uint64_t serial;     /* tells this life of the feed from an earlier one */
    struct list in_all;  /* streamer->feeds */
    struct list in_tail; /* tail.filled or tail.joining */
    struct list in_changed;
    struct list in_queue;
    struct list in_recent;
    struct list positions; /* struct position */
    struct list waiting;   /* those that need a page */
    struct list pages;
    struct feed_window window;
    struct feed_batch batch;
    size_t accounted; /* bytes of `window` in the streamer's sum */
    int64_t recent_ms;
    uint64_t span;   /* positions that the next page looks at */
    size_t count;    /* positions */
    size_t unserved; /* of them, at the front of `positions`: have not seen the last change */
    unsigned holds;
    bool joined;
    bool paging;
};

/* Found, or watched from now on. A nil thread: the tenant's feed. */
struct feed *feed_watch(struct streamer *streamer, const struct uuid *tenant,
                        const struct uuid *thread, const struct feed_key *key);
/* NULL when not watched; also when `serial` is not 0 and of another life. */
struct feed *feed_find(struct streamer *streamer, const struct uuid *tenant,
                       const struct uuid *thread, uint64_t serial);
/* While held, a feed without positions stays; the last release ends it. */
void feed_hold(struct feed *feed);
void feed_release(struct feed *feed);
/* A position comes or goes; the caller releases the feed after the last one. */
void feed_add(struct feed *feed, struct position *position);
void feed_remove(struct feed *feed, struct position *position);
/* The window reaches as far as the bus has told. Call before using it. */
void feed_refresh(struct feed *feed);
/* Everything behind `position` will come by the bus, everything before it is in the table. */
void feed_restart(struct feed *feed, uint64_t position);
/* The window has grown: keeps the sums and limits; readers will be served. */
void feed_grown(struct feed *feed);
void feed_changed(struct feed *feed);
/* Serves positions on changed feeds, a bounded number of them; the rest in the next pass. */
void feed_serve_changed(struct streamer *streamer);
void feed_drop_idle_windows(struct streamer *streamer, int64_t now_ms);
/* Breaks off all streams, or those whose key has ended. */
void feed_break_off(struct streamer *streamer, bool only_ended_keys, const char *why);

/* The event's frame with its cursor as id; `cursor` and `event` must live as long as the frame. */
void feed_prepare(const struct feed *feed, uint64_t position, struct native_event *event,
                  char cursor[FEED_CURSOR_TEXT_SIZE], struct native_frame *frame_out);

#endif
