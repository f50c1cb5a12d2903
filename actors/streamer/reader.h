/*
 * One open stream. It owns a socket and a position; never a queue of events.
 *
 * What it gets next is found by its position (position.h): in memory, or it waits for a page. When
 * its socket is full it is left alone until the socket drains. reader.c is its life,
 * reader_write.c what it writes, reader_socket.c what its socket says.
 */
#ifndef SIGNALBOX_STREAMER_READER_H
#define SIGNALBOX_STREAMER_READER_H

#include "runtime/base/buffer.h"
#include "runtime/base/error.h"
#include "runtime/base/list.h"
#include "runtime/base/uuid.h"
#include "proto/stream_kind.h"
#include "runtime/feed_cursor.h"
#include "streamer/formats/projection.h"
#include "streamer/position.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct streamer;

/* Bytes that are nobody else's: response head, ping, what a predecessor could not write. */
struct reader_rest {
    size_t length;
    size_t taken;
    uint8_t bytes[];
};

/* Memory per idle stream is a promise: this struct is all there is of it besides its run. */
struct reader {
    struct position at;
    struct list in_slot;      /* of the wheel; while draining, of the hand-off */
    struct reader_rest *rest; /* owned; NULL: none */
    uint64_t stop_after;      /* a conversation ends where the run pauses behind this seq */
    int fd;
    uint32_t blocked_ms; /* when the socket last took something; the clock's low bits */
    uint32_t queued;     /* bytes in the socket then */
    bool blocked : 1;    /* its socket is full; `at.in_wait` is in streamer->blocked */
    bool ending : 1;     /* nothing follows `rest` */
    bool live : 1;       /* it has been told that it is caught up */
};

/* How a stream comes. */
struct reader_opening {
    enum stream_kind kind;
    struct uuid tenant;
    struct uuid key;
    struct uuid run;
    struct uuid thread;
    struct feed_key signing;   /* of a feed's cursors */
    enum stream_format format; /* of a run */
    uint64_t types;
    uint64_t stop_after;
    uint64_t cursor; /* of a run perhaps STREAM_AFTER_JOIN */
    uint64_t head;   /* of a feed: the log reaches at least this far */
    int fd;
    bool handed_off; /* head already written by the predecessor */
    bool ended;
    bool live;
    const uint8_t *unsent; /* borrowed */
    size_t unsent_length;
};

enum reader_close {
    READER_CLOSE_ENDED,   /* all delivered, ended properly */
    READER_CLOSE_GONE,    /* by the client */
    READER_CLOSE_STALLED, /* it took nothing for too long */
    READER_CLOSE_BROKEN,  /* by us: no last chunk */
    READER_CLOSE_HANDED   /* the successor has it */
};

/* Takes the descriptor, whatever comes of it. */
void reader_open(struct streamer *streamer, const struct reader_opening *opening);
/* Frees the reader; its run too, when it was the last and nobody holds it. `why` is for the log. */
void reader_close(struct reader *reader, enum reader_close how, const char *why);
/* Writes what there is. May close the reader, never another one. */
void reader_pump(struct reader *reader);
/* The page it waited for is in memory. */
void reader_resume(struct reader *reader);
void reader_ping(struct reader *reader);
/* Whole chunks that are no part of what it follows and may be left out: written if it is caught up
 * and takes them at once. May close the reader, never another one. */
void reader_mention(struct reader *reader, const struct buffer *chunks);
/* Closes it when its last ping, or what was sent since, has been unanswered for most of a period. */
void reader_check_alive(struct reader *reader);
/* Bytes that go out before anything else; there are none yet. */
void reader_set_rest(struct reader *reader, const void *bytes, size_t length);
/* From now on nothing happens to it but reader_leave and reader_close by the caller. */
void reader_freeze(struct reader *reader);
/* What the successor gets. */
struct reader_left {
    struct buffer unsent; /* owned: goes out before anything else */
    uint64_t cursor;      /* behind that */
    bool ended;           /* nothing follows */
};
/* -1: not in memory. */
SB_MUST_CHECK int reader_leave(struct reader *reader, struct reader_left *left_out);
/* What it is shown as; NULL: native. */
const struct projection_format *reader_format(const struct reader *reader);
/* Bytes for the start of its response: head, and what comes before any event. */
void reader_append_head(const struct reader *reader, struct buffer *out);
/* The event behind which its conversation ends, as far as `source` knows; 0: none. */
uint64_t reader_stop(const struct reader *reader, const struct position_source *source);
/* Its socket takes bytes again. */
void reader_unblock(struct reader *reader);
/* -1 with errno: its socket cannot be watched. */
SB_MUST_CHECK int reader_watch_socket(struct reader *reader);
/* Events of the sockets. */
void reader_on_sockets(int fd, short what, void *arg);
/* Closes those that have taken nothing for too long. */
void reader_check_stalled(struct streamer *streamer, int64_t now_ms);

static inline struct reader *reader_of(struct position *position)
{
    return LIST_ENTRY(position, struct reader, at);
}

extern const struct position_taker_ops reader_taker;

#endif
