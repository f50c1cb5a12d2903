/*
 * UTF-8 that comes in pieces (RFC 3629): refused at the first byte after which no valid text can
 * follow, wherever it was cut.
 */
#ifndef SIGNALBOX_RUNTIME_UTF8_STREAM_H
#define SIGNALBOX_RUNTIME_UTF8_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialised is the start of a text. */
struct utf8_stream {
    uint8_t missing; /* bytes the current character still needs */
    uint8_t low;     /* the next one is at least this, */
    uint8_t high;    /* and at most this */
};

/* False when one of the bytes cannot stand where it is; the stream must not be used any more. */
bool utf8_stream_take(struct utf8_stream *stream, const uint8_t *bytes, size_t length);
/* The text may end here: no character is cut. */
bool utf8_stream_is_whole(const struct utf8_stream *stream);

#endif
