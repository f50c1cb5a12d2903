/* See sse.h. */
#include "tests/bench/sse.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static void take_body(struct sse *sse, const char *at, size_t length, sse_line_fn line, void *arg)
{
    const char *end = at + length;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t now = (size_t)((stop != NULL ? stop : end) - at);
        size_t room = SSE_LINE_BYTES - 1 - sse->line_length;
        memcpy(sse->line + sse->line_length, at, now < room ? now : room);
        sse->line_length += now < room ? now : room;
        if (stop == NULL) {
            return;
        }
        sse->line[sse->line_length] = '\0';
        line(arg, sse);
        sse->line_length = 0;
        at = stop + 1;
    }
}

static size_t hex_number(const char *text)
{
    size_t value = 0;
    for (; isxdigit((unsigned char)*text); text++) {
        int digit = isdigit((unsigned char)*text) ? *text - '0' : (*text | 0x20) - 'a' + 10;
        value = value * 16 + (size_t)digit;
    }
    return value;
}

static void take_head_line(struct sse *sse)
{
    if (strncmp(sse->framing, "HTTP/1.1 200", 12) == 0) {
        sse->accepted = true;
    } else if (strcasecmp(sse->framing, "transfer-encoding: chunked") == 0) {
        sse->chunked = true;
    } else if (sse->framing_length == 0) {
        sse->open = sse->accepted;
        sse->part = sse->chunked ? SSE_CHUNK_SIZE : SSE_BODY;
    }
}

/* A line of the head or of the chunk framing, without its line end. */
static void take_framing(struct sse *sse)
{
    sse->framing[sse->framing_length] = '\0';
    if (sse->part == SSE_HEAD) {
        take_head_line(sse);
    } else if (sse->part == SSE_CHUNK_SIZE) {
        sse->chunk_left = hex_number(sse->framing);
        sse->part = SSE_CHUNK_BODY;
    } else {
        sse->part = SSE_CHUNK_SIZE;
    }
    sse->framing_length = 0;
}

/* Appends to the framing line what belongs to it; returns how many bytes were used. */
static size_t framing_bytes(struct sse *sse, const char *at, size_t length)
{
    const char *stop = memchr(at, '\n', length);
    size_t used = stop != NULL ? (size_t)(stop + 1 - at) : length;
    size_t room = SSE_FRAMING_BYTES - 1 - sse->framing_length;
    memcpy(sse->framing + sse->framing_length, at, used < room ? used : room);
    sse->framing_length += used < room ? used : room;
    if (stop != NULL) {
        while (sse->framing_length > 0 && sse->framing[sse->framing_length - 1] < ' ') {
            sse->framing_length--;
        }
        take_framing(sse);
    }
    return used;
}

void sse_take(struct sse *sse, const char *bytes, size_t length, sse_line_fn line, void *arg)
{
    const char *end = bytes + length;
    while (bytes < end) {
        size_t now = (size_t)(end - bytes);
        if (sse->part == SSE_BODY) {
            take_body(sse, bytes, now, line, arg);
        } else if (sse->part == SSE_CHUNK_BODY) {
            now = now < sse->chunk_left ? now : sse->chunk_left;
            take_body(sse, bytes, now, line, arg);
            sse->chunk_left -= now;
            sse->part = sse->chunk_left > 0 ? SSE_CHUNK_BODY : SSE_CHUNK_END;
        } else {
            now = framing_bytes(sse, bytes, now);
        }
        bytes += now;
    }
}
