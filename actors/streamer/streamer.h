/* The state of the streamer: one struct, passed to every handler. Parts have files of their own. */
#ifndef SIGNALBOX_STREAMER_STREAMER_H
#define SIGNALBOX_STREAMER_STREAMER_H

#include "runtime/actor.h"
#include "runtime/base/buffer.h"
#include "runtime/base/list.h"
#include "runtime/base/map.h"
#include "runtime/bus.h"
#include "runtime/db.h"
#include "streamer/feed_tail.h"
#include "streamer/pool.h"
#include "streamer/publisher.h"
#include "streamer/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct handoff;
struct handover;
struct ws_hub;

enum {
    STREAMER_TICK_MAX_MS = 250,
    STREAMER_TICK_MIN_MS = 10,
    STREAMER_SILENCE_MS = 1000,   /* no frame for this long: heads are read */
    STREAMER_KEY_CHECK_MS = 4000, /* a revoked key ends its streams within 10 s */
    STREAMER_IDLE_WINDOW_MS = 2000,
    STREAMER_TRIM_MS = 5000,         /* what windows and pages have left goes back to the system */
    STREAMER_WINDOWS_MAX = 64,       /* all live windows together, in full windows of one run */
    STREAMER_PAGES_BYTES = 16 << 20, /* all pages from the table together */
    STREAMER_COMPLAINT_MS = 1000,    /* between two log lines about refused streams */
    STREAMER_LOST_PAUSE_MS =
        50, /* after a lost query, when the connection does not say so itself */
    STREAMER_REFUSED_PAUSE_MS = 1000 /* after a query that the database refused */
};

/* Settings, read once. */
struct stream_limits {
    size_t per_key;
    size_t per_process;
    int64_t ping_ms;
    int64_t stall_ms;
    int64_t page_events;
    int64_t page_bytes;
    size_t window_bytes;
    int64_t sweep_ms;
};

/* Reading the heads of runs: one query at a time, for all that need one. */
struct heads {
    struct list dirty;    /* runs to ask about */
    struct list suspects; /* runs whose head was ahead in a sweep: loss, or just not here yet */
    bool asking;
    int64_t suspects_ms;
    int64_t next_sweep_ms;
    int64_t pause_until_ms;
};

/* Reading pages of events. */
struct catch_up {
    struct list queue; /* runs that want a page, in turn */
    struct list pages; /* pages held, least recently used first */
    size_t pages_bytes;
    unsigned in_flight;
    int64_t pause_until_ms;
};

/* The same for feeds. */
struct feed_pages {
    struct list queue;
    struct list pages;
    size_t bytes;
    unsigned in_flight;
    int64_t pause_until_ms;
};

/* Every reader is in one slot; one slot a tick is pinged. */
struct wheel {
    struct list *slots;
    unsigned count;
    unsigned at;
};

struct streamer {
    struct actor *actor;
    struct db *db;
    struct db *feed_db; /* pages of feeds, which may take long, hold up nobody else */
    struct bus_socket *bus;
    int sockets; /* epoll of all readers: no memory per stream in user space for it */
    struct event *sockets_event;
    struct event *tick_event;
    bool waking;
    struct event *wake_event; /* what the callbacks of one pass left to do, done once */
    struct stream_limits limits;
    struct publisher publisher;
    bool silent;     /* and said so in the log */
    uint64_t random; /* see streamer_jitter */
    struct pool reader_pool;
    struct pool run_pool;
    struct map runs; /* the first struct run by id */
    size_t run_count;
    struct map keys; /* struct key_use by id */
    uint64_t last_serial;
    size_t readers;
    int64_t catching_up; /* readers whose next event is not in memory */
    size_t refused;      /* over a limit, since the log last said so */
    int64_t next_refused_ms;
    struct wheel wheel;
    struct list blocked; /* readers whose socket is full, longest wait first */
    struct list changed; /* runs whose readers may have something to write */
    struct list recent;  /* runs whose window holds bytes, least recently changed first */
    size_t recent_bytes;
    struct heads heads;
    struct catch_up catch_up;
    struct view_states view_states;
    struct buffer view_scratch; /* what a view is encoding */
    struct pool feed_pool;
    struct map tenants; /* struct feed_tenant by id: those with watched feeds */
    struct list feeds;  /* all of them */
    struct list changed_feeds;
    struct list recent_feeds; /* whose window holds bytes, least recently changed first */
    size_t feed_bytes;
    struct feed_tail tail;
    struct feed_pages feed_pages;
    int64_t next_trim_ms;
    bool trim_due; /* windows or pages have been dropped */
    int64_t next_key_check_ms;
    bool keys_asking;
    struct ws_hub *ws;         /* owned: the WebSockets */
    struct handover *handover; /* owned */
    struct handoff *handoff;   /* owned; NULL until draining */
};

/* Has the leftovers of this pass done after it: writing, questions to the database. What they leave is
 * done after sockets and bus have been looked at again. */
void streamer_wake(struct streamer *streamer);
/* Sets the gauges of streams: at a planned restart two processes share their place, and it is the
 * successor's; so one that drains leaves them alone, and every tick puts them right. */
void streamer_show_counts(const struct streamer *streamer);
/* Less than `below`, which is not 0; spreads what would happen at once. No secret, and no system call:
 * thousands of streams come together. */
uint32_t streamer_jitter(struct streamer *streamer, uint32_t below);

#endif
