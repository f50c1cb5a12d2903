/*
 * A position on a run or a feed that waits for events, whoever takes them: a reader (reader.h), or
 * a subscription of a WebSocket. Embedded in what takes.
 *
 * Run, feed and their pages know positions only, and reach what takes through `position_taker`. What
 * takes asks a position what follows it (position_find, or position_event for one event at a time),
 * moves it on, and calls position_settle when nothing is in memory: then it is told, by pump or
 * resume, when there may be something. Whatever takes must keep to this:
 *
 *  - no handler of one position frees another one: a connection that must be closed while one of
 *    its subscriptions is pumped is closed later, outside;
 *  - `in_wait` belongs to the run's or feed's line while `waiting`, and to the taker otherwise;
 *  - a taker that cannot take now simply does nothing: it calls the same functions again later.
 */
#ifndef SIGNALBOX_STREAMER_POSITION_H
#define SIGNALBOX_STREAMER_POSITION_H

#include "runtime/base/list.h"
#include "streamer/run_window.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct feed;
struct feed_window;
struct key_use;
struct position;
struct run;
struct streamer;

/* Who takes; an index into a table in position.c. Bits instead of a pointer: idle streams are
 * counted in bytes. */
enum position_taker { POSITION_READER, POSITION_SOCKET };

struct position_taker_ops {
    /* There may be something behind it. May close this one, never another one. */
    void (*pump)(struct position *position);
    /* The page it waited for is in memory. The same rule. */
    void (*resume)(struct position *position);
    /* It cannot go on here, and its client must notice: no tidy end. */
    void (*break_off)(struct position *position, const char *why);
};

struct position {
    struct list in_shown; /* of the run or feed */
    struct list in_wait;
    union {
        struct run *run;   /* only through position_run */
        struct feed *feed; /* only through position_feed */
    } shown;
    struct key_use *key; /* whose right it is; held by the taker */
    /* Last seq taken whole. In a feed: a log position, all before it is taken or not the feed's. */
    uint64_t cursor;
    uint32_t skip; /* bytes of the event after the cursor that are taken */
    bool of_feed : 1;
    bool waiting : 1; /* for a page */
    bool behind : 1;  /* counted as catching up */
    bool
        excused : 1; /* not its own doing that it lags: the window began anew, or the process did */
    bool frozen : 1; /* nothing is done with it any more: its stream is being handed on */
    unsigned taker : 2;
};

/* Where what follows a position lies. Valid until the loop goes on. */
struct position_source {
    const struct run_window *run;
    const struct feed_window *feed; /* or this */
};

enum position_judgement {
    POSITION_KNOWN,  /* the log reaches it */
    POSITION_UNSURE, /* a head is being read, and it will be pumped then */
    POSITION_BEYOND  /* the log ends before it: it was moved to the end, the client must be told */
};

/* On nothing yet. `key` must stay as long as the position. */
void position_init(struct position *position, enum position_taker taker, struct key_use *key,
                   uint64_t cursor);
void position_follow_run(struct position *position, struct run *run);
void position_follow_feed(struct position *position, struct feed *feed);
/* Off its run or feed, which ends with its last position unless held. */
void position_leave(struct position *position);
/* NULL when it is on a feed. */
struct run *position_run(const struct position *position);
/* NULL when it is on a run. */
struct feed *position_feed(const struct position *position);
struct streamer *position_streamer(const struct position *position);

/* Of a run's position whose head is known, before looking for what follows it. */
enum position_judgement position_judge(struct position *position);
/* False: what follows is not in memory, or there is nothing. Moves a feed's position over stretches
 * that are known to hold no event. */
bool position_find(struct position *position, struct position_source *source_out);
/* Fills at most `max` iovecs with the bytes behind it, up to event `last` of a run. 0: what follows
 * has no bytes, as some events of a view. */
int position_gather(const struct position *position, const struct position_source *source,
                    uint64_t last, struct iovec *iov, int max);
/* Where it is after `taken` more bytes (not more than were gathered), and past the events without
 * bytes that follow; does not move it. */
struct window_position position_after(const struct position *position,
                                      const struct position_source *source, size_t taken);
/* Moves it there; returns how many events it passed. */
uint64_t position_move(struct position *position, const struct position_source *source,
                       struct window_position to);
/* For those who take event by event: the whole frame of the next one, whatever `skip` says (of a view
 * perhaps empty), and the position behind it. False: not in memory, or there is none. */
bool position_event(struct position *position, struct iovec *frame_out, uint64_t *next_out);
/* The run's row says that nothing follows `at`. Never of a feed. */
bool position_ends_at(const struct position *position, struct window_position at);

/* The first event behind it and behind `stop_after` where its conversation ends, as far as `source`
 * knows; 0: none. */
uint64_t position_stop(const struct position *position, const struct position_source *source,
                       uint64_t stop_after);
/* What follows has left the window (or never was in it), and comes from the table. */
bool position_lags(const struct position *position);
/* Nothing in memory follows it. True: it has had everything that is known to be committed; false: it
 * waits for a page, or for a hole or head that is being read. */
bool position_settle(struct position *position);
/* What follows must be read: it waits for a page. */
void position_want(struct position *position);
/* Does not wait any more. */
void position_unwait(struct position *position);
/* Whether it counts as one that is behind. */
void position_set_behind(struct position *position, bool behind);

/* What takes it: see position_taker_ops. */
void position_pump(struct position *position);
void position_resume(struct position *position);
void position_break_off(struct position *position, const char *why);

#endif
