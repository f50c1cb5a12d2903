/*
 * Parser of an event stream (text/event-stream), bytes in, events out, no I/O. Lines may end with
 * LF, CR or CRLF and be cut anywhere. An event that is cut off before its empty line is dropped, as
 * the format demands.
 */
#ifndef SIGNALBOX_CLI_SSE_H
#define SIGNALBOX_CLI_SSE_H

#include "runtime/base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One dispatched event; texts are valid for the call. */
struct sse_event {
    const char *type; /* "message" when the stream names none */
    const char *id;   /* of this very event; NULL: it carries none */
    const char *data;
    size_t data_length;
};

typedef void sse_event_fn(void *arg, const struct sse_event *event);

/* Embedded by its user; begin with sse_init. */
struct sse {
    sse_event_fn *event;
    void *arg;
    struct buffer line;
    struct buffer type;
    struct buffer id;
    struct buffer data;
    bool has_id;
    bool has_data;
    bool after_cr;
    int64_t retry_ms; /* last `retry:` value; -1: none yet. Survives sse_reset. */
};

enum { SSE_EVENT_BYTES_MAX = 8 << 20 };

void sse_init(struct sse *sse, sse_event_fn *event, void *arg);
void sse_deinit(struct sse *sse);
/* Forgets half an event: a new connection begins. */
void sse_reset(struct sse *sse);
/* -1 when a line or an event is larger than SSE_EVENT_BYTES_MAX. */
SB_MUST_CHECK int sse_feed(struct sse *sse, const void *bytes, size_t length, struct error *err);

#endif
