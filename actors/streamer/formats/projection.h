/*
 * A projection shows one run to clients of some protocol: a pure function that takes the run's
 * events one by one from seq 1 and gives the bytes of each.
 *
 * Its state is what the protocol needs to know of earlier events (which messages are open, which
 * question waits). The same events always give the same bytes, whoever asks and wherever the log is
 * split into replay and live, so they are made once for all readers of (run, format), and a state
 * can be thrown away at any time and rebuilt from seq 1. Nothing here knows of sockets, chunks or
 * cursors.
 */
#ifndef SIGNALBOX_STREAMER_FORMATS_PROJECTION_H
#define SIGNALBOX_STREAMER_FORMATS_PROJECTION_H

#include "proto/stream_kind.h"
#include "runtime/base/buffer.h"
#include "streamer/formats/native.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct projection; /* each format has its own */

enum projection_after {
    PROJECTION_GOES_ON,
    PROJECTION_PAUSES /* the run waits for a person: a conversation's stream may end behind this */
};

struct projection_format {
    const char *name; /* for the log */
    const char *content_type;
    const char *fields;   /* further lines of the response's head, each ended by CR LF; may be "" */
    bool is_sse;          /* a comment may stand between any two events: pings, retry, caught-up */
    bool is_conversation; /* it ends where the run pauses, instead of waiting */
    bool is_stateless;    /* each event's bytes are its own: any event may be the first */
    /* The state before seq 1; `types` as in HANDOVER. Returns, caller destroys. */
    struct projection *(*create)(uint64_t types);
    /* Returns a state of its own, caller destroys. */
    struct projection *(*copy)(const struct projection *projection);
    void (*destroy)(struct projection **projection);
    /* Memory it holds, in bytes. */
    size_t (*size)(const struct projection *projection);
    /* Appends what clients are sent for the event, perhaps nothing. Events come densely, by seq. */
    enum projection_after (*take)(struct projection *projection, const struct native_event *event,
                                  struct buffer *out);
    /* Appends what brings a client here that has seen nothing: the run so far, in short. What follows
     * are the bytes of later events. PROJECTION_PAUSES: that ends with the pause, and the stream may
     * end behind it. NULL: clients of this format are always given everything. */
    enum projection_after (*join)(const struct projection *projection, struct buffer *out);
};

/* NULL: no projection, as for the native format and for numbers that mean nothing. */
const struct projection_format *projection_format(enum stream_format format);

#endif
