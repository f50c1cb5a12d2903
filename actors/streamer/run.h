/*
 * One watched run in one format: what is known of its log, its shared window of encoded events, and
 * the positions on it.
 *
 * A run that is shown in several formats, or filtered in several ways, is watched once for each:
 * frames and heads go to all of these, and each has its own window and pages. run.c is a run's life
 * and how its positions are served, run_tail.c how it follows its log.
 *
 * The window is [first, next): `next` is the seq expected from the bus. Frames beyond it wait in
 * `ahead` while the hole is read from the table (of a view: as they came, see aside.h). A run lives as long as it has positions (position.h); nothing is
 * remembered after it.
 */
#ifndef SIGNALBOX_STREAMER_RUN_H
#define SIGNALBOX_STREAMER_RUN_H

#include "proto/messages.h"
#include "proto/stream_kind.h"
#include "runtime/base/list.h"
#include "runtime/base/uuid.h"
#include "streamer/formats/native.h"
#include "streamer/run_window.h"

#include <stdbool.h>
#include <stdint.h>

struct position;
struct streamer;
struct view;

struct run {
    struct streamer *streamer;
    struct uuid id;
    struct uuid tenant;
    struct run *variant; /* the next one with this id */
    struct view *view;   /* owned; NULL: the native format */
    uint64_t serial; /* tells this life of the run from an earlier one when an answer comes late */
    struct list positions; /* struct position */
    struct list waiting;   /* those that need a page */
    struct list pages;     /* struct page */
    struct list in_changed;
    struct list in_dirty; /* heads.dirty or heads.suspects */
    struct list in_queue;
    struct list in_recent;
    struct run_window window;
    struct run_window ahead;
    size_t accounted; /* bytes of `window` in the streamer's sum */
    uint64_t head;    /* highest last_seq read from the run's row */
    uint64_t target;  /* highest seq known to be committed */
    uint64_t told;    /* highest seq that anybody knew of when opening a stream: see run_tell */
    uint64_t suspect; /* head seen in a sweep while among the suspects, else 0 */
    int64_t recent_ms;
    size_t count;    /* of positions */
    size_t unserved; /* of them, at the front of `positions`: have not seen the last change */
    unsigned holds;
    bool known;       /* the head has been read since the run is watched */
    bool closed;      /* by its row: nothing follows `head` */
    bool asking;      /* a query for its head is on the way */
    bool sweep;       /* it is dirty only because of a sweep */
    bool judging;     /* a reader waits to hear whether it is beyond the head */
    bool paging;      /* a page query is on the way */
    bool filled_last; /* the last page was for the window, not for a reader */
    bool gone;        /* it has no row: its readers are being broken off */
};

/* What a run is shown as. */
struct run_form {
    enum stream_format format;
    uint64_t types; /* as in HANDOVER; of the native format 0 */
};

/* Found, or watched from now on: its frames are taken at once, its head is asked for. The format must
 * be known. */
struct run *run_watch(struct streamer *streamer, const struct uuid *id, const struct uuid *tenant,
                      struct run_form form);
/* The first of the runs watched with this id, or NULL; the others by run->variant. */
struct run *run_find(struct streamer *streamer, const struct uuid *id);
/* Same life of the run, or NULL. */
struct run *run_find_life(struct streamer *streamer, const struct uuid *id, uint64_t serial);
/* Every watched run once: start with *cursor = {0}; NULL at the end. None may begin or end meanwhile.
 */
struct run_cursor {
    size_t at;
    struct run *next;
};
struct run *run_next(struct streamer *streamer, struct run_cursor *cursor);
struct run_form run_form(const struct run *run);
/* A position comes or goes; the caller releases the run after the last one. */
void run_add(struct run *run, struct position *position);
void run_remove(struct run *run, struct position *position);
/* While held, a run without positions stays; the last release ends it. */
void run_hold(struct run *run);
void run_release(struct run *run);
/* All its positions will be served soon. */
void run_changed(struct run *run);
/* Serves positions of changed runs, in turn and a bounded number of them; the rest in the next pass.
 */
void run_serve_changed(struct streamer *streamer);

/* Somebody knows that the run has an event with this seq: before it is here, no position has had
 * everything. Nothing is read for that; it is on its way. */
void run_tell(struct run *run, uint64_t seq);
/* Everything is here that is known to be committed, and was told. */
bool run_has_all(const struct run *run);
/* A frame of the bus. */
void run_take_frame(struct run *run, const struct message_events *frame);
/* Rows of the table, one by one: only the next expected one is taken. */
void run_take_row(struct run *run, const struct native_event *event);
/* All rows of a page are taken: what waited ahead joins. */
void run_rows_taken(struct run *run);
/* What its row said. `sweep`: nothing hinted at a loss, so what is missing may just not be here
 * yet. */
void run_learn(struct run *run, uint64_t last_seq, bool closed, bool sweep);
/* Events are missing between the window and what is committed. */
bool run_has_hole(const struct run *run);
/* Reads the hole from the table. */
void run_repair(struct run *run, const char *why);
/* Drops windows that nobody needs any more. */
void run_drop_idle_windows(struct streamer *streamer, int64_t now_ms);

/* Appends one event in the native format to a window. */
void run_encode(struct run_window *window, const struct native_event *event);
/* Drops the window's events; goes on expecting the same next one. */
void run_drop_window(struct run *run);

#endif
