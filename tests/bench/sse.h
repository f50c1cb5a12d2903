/* One event stream as a load tool reads it: the head of the answer, its chunks if it has any, and
 * the lines of the stream, of which only the beginning is kept. Zero-initialised is new. */
#ifndef SIGNALBOX_BENCH_SSE_H
#define SIGNALBOX_BENCH_SSE_H

#include <stdbool.h>
#include <stddef.h>

enum { SSE_FRAMING_BYTES = 80, SSE_LINE_BYTES = 320 };

enum sse_part { SSE_HEAD, SSE_CHUNK_SIZE, SSE_CHUNK_BODY, SSE_CHUNK_END, SSE_BODY };

struct sse {
    enum sse_part part;
    bool chunked;
    bool open; /* the head was a 200 and is whole */
    bool accepted;
    size_t chunk_left;
    char framing[SSE_FRAMING_BYTES]; /* of the current line of the head or a chunk's size */
    size_t framing_length;
    char line[SSE_LINE_BYTES]; /* beginning of the current line, with a NUL when it is told */
    size_t line_length;
};

/* Called for each line of the stream, without its end. */
typedef void (*sse_line_fn)(void *arg, struct sse *sse);

void sse_take(struct sse *sse, const char *bytes, size_t length, sse_line_fn line, void *arg);

#endif
