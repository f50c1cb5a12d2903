/*
 * The wire of a server-sent event stream: the response head, HTTP chunks, pings, control events.
 *
 * Pure: bytes in, bytes out. Every event is one HTTP chunk, so that any run of events is a run of
 * bytes.
 */
#ifndef SIGNALBOX_STREAMER_SSE_H
#define SIGNALBOX_STREAMER_SSE_H

#include "runtime/base/buffer.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SSE_CHUNK_HEAD_MAX = 18, /* 16 hex digits, CR, LF */
    SSE_CHUNK_TAIL = 2,      /* CR, LF */
    SSE_LAST_CHUNK_LENGTH = 5
};

enum sse_ping {
    SSE_PING_EVENT,  /* a comment, and a `ping` event for scripts, which cannot see comments */
    SSE_PING_COMMENT /* for clients that would not understand the event */
};

/* What ends a body properly. */
extern const char sse_last_chunk[SSE_LAST_CHUNK_LENGTH + 1];

/* Writes "SIZE\r\n"; returns its length. */
size_t sse_chunk_head(char text[SSE_CHUNK_HEAD_MAX], size_t size);
/* The field Date; `now_us` is real time. */
void sse_append_date(struct buffer *out, int64_t now_us);
/* Response head of a chunked stream; `fields` are further lines, each ended by CR LF. */
void sse_append_response(struct buffer *out, int64_t now_us, const char *content_type,
                         const char *fields);
/* The retry time and a first ping, at once and not only after stream.ping_ms. */
void sse_append_hello(struct buffer *out, unsigned retry_ms, enum sse_ping ping);
/* Both, for native event streams. */
void sse_append_head(struct buffer *out, int64_t now_us, unsigned retry_ms);
void sse_append_ping(struct buffer *out, enum sse_ping ping);
/* An event without id about the stream itself: `reset`, `caught-up`, `fell-behind`. `last_seq` is
 * where its run's stream stands. */
void sse_append_control(struct buffer *out, const char *name, uint64_t last_seq);
/* The same of a feed. */
void sse_append_feed_control(struct buffer *out, const char *name, const char *cursor);
/* An event without id about something beside the log; `data` is text without line breaks. */
void sse_append_aside(struct buffer *out, const char *name, const char *data, size_t length);

#endif
