/*
 * One watched feed: the events of a tenant, or of the runs of one of its threads, by log position,
 * with the window that its readers share. Of some types, or of a chat, is another feed.
 *
 * The window holds every event in (window.from, window.to]; a reader before it reads pages. A feed
 * that has joined gets all events behind `from` from the bus, batch by batch (feed_tail.h). It lives
 * as long as it has positions.
 */
#ifndef SIGNALBOX_STREAMER_FEED_H
#define SIGNALBOX_STREAMER_FEED_H

#include "runtime/base/list.h"
#include "runtime/base/uuid.h"
#include "runtime/feed_cursor.h"
#include "streamer/feed_roles.h"
#include "streamer/feed_window.h"
#include "streamer/formats/native.h"

#include <stdbool.h>
#include <stdint.h>

struct feed_tenant;
struct position;
struct streamer;

/* Which events of a tenant or thread a feed shows; each has a window and pages of its own. All zero:
 * all events. */
struct feed_variant {
    uint64_t types; /* runtime/event_mask.h */
    bool chat;      /* of a thread: the assistant's messages (feed_roles.h); types is 0 then */
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
    struct uuid thread; /* nil: the whole tenant */
    struct feed_variant variant;
    struct feed *next;        /* variant of the same thread, or NULL */
    struct feed_roles *roles; /* owned; of a chat, else NULL */
    struct feed_key key;      /* of its cursors */
    uint64_t serial;          /* tells this life of the feed from an earlier one */
    struct list in_all;       /* streamer->feeds */
    struct list in_tail;      /* tail.filled or tail.joining */
    struct list in_told;      /* tail.told */
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
    uint64_t told;   /* how far the log reaches at least: see feed_tell */
    uint64_t span;   /* positions that the next page looks at */
    size_t count;    /* positions */
    size_t unserved; /* of them, at the front of `positions`: have not seen the last change */
    unsigned holds;
    bool joined;
    bool paging;
};

/* Found, or watched from now on. A nil thread: the tenant's feed. */
struct feed *feed_watch(struct streamer *streamer, const struct uuid *tenant,
                        const struct uuid *thread, const struct feed_variant *variant,
                        const struct feed_key *key);
/* NULL: that life of it is over. */
struct feed *feed_find(const struct streamer *streamer, const struct uuid *tenant,
                       const struct uuid *thread, uint64_t serial);
/* While held, a feed without positions stays; the last release ends it. */
void feed_hold(struct feed *feed);
void feed_release(struct feed *feed);
/* A position comes or goes; the caller releases the feed after the last one. */
void feed_add(struct feed *feed, struct position *position);
void feed_remove(struct feed *feed, struct position *position);
/* The window reaches as far as the bus has told. Call before using it. */
void feed_refresh(struct feed *feed);
/* Somebody knows that the log reaches this far: only then the feed has all there is. */
void feed_tell(struct feed *feed, uint64_t position);
/* The window, or what is before it in the table, reaches as far as anybody has told. */
bool feed_has_all(const struct feed *feed);
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

/* Whether the feed shows an event that the bus has brought; of a chat, they come run by run in
 * order. */
enum feed_verdict feed_judge(struct feed *feed, const struct native_event *event);
/* The event's frame with its cursor as id; `cursor` and `event` must live as long as the frame. */
void feed_prepare(const struct feed *feed, uint64_t position, struct native_event *event,
                  char cursor[FEED_CURSOR_TEXT_SIZE], struct native_frame *frame_out);

#endif
