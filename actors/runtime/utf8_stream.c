/* See utf8_stream.h. */
#include "runtime/utf8_stream.h"

#include <string.h>

/* First byte at or behind `at` that is not ASCII. */
static const uint8_t *skip_ascii(const uint8_t *at, const uint8_t *end)
{
    uint64_t word;
    while ((size_t)(end - at) >= sizeof word) {
        memcpy(&word, at, sizeof word);
        if ((word & 0x8080808080808080U) != 0) {
            break;
        }
        at += sizeof word;
    }
    while (at < end && *at < 0x80) {
        at++;
    }
    return at;
}

/* The first byte of a character beyond ASCII. It says how many follow, and bounds the second: no
 * longer form than needed, no surrogates, nothing above U+10FFFF. */
static bool begin(struct utf8_stream *stream, uint8_t byte)
{
    if (byte < 0xc2 || byte > 0xf4) {
        return false;
    }
    stream->missing = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    stream->low = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
    stream->high = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    return true;
}

bool utf8_stream_take(struct utf8_stream *stream, const uint8_t *bytes, size_t length)
{
    const uint8_t *end = length == 0 ? bytes : bytes + length;
    for (const uint8_t *at = bytes; at < end; at++) {
        if (stream->missing > 0) {
            if (*at < stream->low || *at > stream->high) {
                return false;
            }
            stream->missing--;
            stream->low = 0x80;
            stream->high = 0xbf;
            continue;
        }
        at = skip_ascii(at, end);
        if (at == end) {
            break;
        }
        if (!begin(stream, *at)) {
            return false;
        }
    }
    return true;
}

bool utf8_stream_is_whole(const struct utf8_stream *stream)
{
    return stream->missing == 0;
}
