/*
 * The wire of a server-sent event stream: the response head, HTTP chunks, pings, `reset`.
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

/* What ends a body properly. */
extern const char sse_last_chunk[SSE_LAST_CHUNK_LENGTH + 1];

/* Writes "SIZE\r\n"; returns its length. */
size_t sse_chunk_head(char text[SSE_CHUNK_HEAD_MAX], size_t size);
/* Response head, the retry time and a first comment. `now_us` is real time, for Date. */
void sse_append_head(struct buffer *out, int64_t now_us, unsigned retry_ms);
/* A comment, and a `ping` event for scripts, which cannot see comments. */
void sse_append_ping(struct buffer *out);
/* The position asked for is beyond the log, which ends at `head`. */
void sse_append_reset(struct buffer *out, uint64_t head);
/* The same for a feed. */
void sse_append_feed_reset(struct buffer *out, const char *cursor);

#endif
