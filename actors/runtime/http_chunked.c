/* Chunked bodies, byte by byte where the framing is, in pieces where the data is. See http_parse.h.
 */
#include "runtime/http_parse.h"

enum {
    CHUNK_FIRST_DIGIT,
    CHUNK_DIGITS,
    CHUNK_LINE_FEED,
    CHUNK_DATA,
    CHUNK_DATA_RETURN,
    CHUNK_DATA_LINE_FEED,
    CHUNK_LAST_RETURN,
    CHUNK_LAST_LINE_FEED
};

void http_chunked_init(struct http_chunked *chunked)
{
    *chunked = (struct http_chunked){.state = CHUNK_FIRST_DIGIT};
}

/* One byte of a chunk's size line; false when it cannot stand there. */
static bool take_size(struct http_chunked *chunked, char byte)
{
    int digit = http_hex_value(byte);
    if (digit >= 0 && chunked->state != CHUNK_LINE_FEED &&
        chunked->line_bytes < HTTP_CHUNK_LINE_MAX) {
        uint64_t left = chunked->left;
        chunked->left = left > UINT64_MAX >> 4 ? UINT64_MAX : left * 16 + (unsigned)digit;
        chunked->line_bytes++;
        chunked->state = CHUNK_DIGITS;
        return true;
    }
    if (chunked->state == CHUNK_DIGITS && byte == '\r') {
        chunked->state = CHUNK_LINE_FEED;
        return true;
    }
    if (chunked->state == CHUNK_LINE_FEED && byte == '\n') {
        bool overflow = chunked->total > UINT64_MAX - chunked->left;
        chunked->total = overflow ? UINT64_MAX : chunked->total + chunked->left;
        chunked->state = chunked->left == 0 ? CHUNK_LAST_RETURN : CHUNK_DATA;
        return true;
    }
    return false;
}

/* A byte that ends a chunk or the body; false when it cannot stand there. */
static bool take_end(struct http_chunked *chunked, char byte)
{
    bool line_feed =
        chunked->state == CHUNK_DATA_LINE_FEED || chunked->state == CHUNK_LAST_LINE_FEED;
    if (byte != (line_feed ? '\n' : '\r')) {
        return false;
    }
    if (chunked->state == CHUNK_DATA_LINE_FEED) {
        chunked->state = CHUNK_FIRST_DIGIT;
        chunked->line_bytes = 0;
    } else {
        chunked->state++;
    }
    return true;
}

enum http_parse http_chunked_feed(struct http_chunked *chunked, const char *bytes, size_t length,
                                  size_t *used_out, struct http_range *data_out,
                                  struct http_problem *problem_out)
{
    size_t at = 0;
    *data_out = (struct http_range){0, 0};
    while (at < length) {
        if (chunked->state == CHUNK_DATA) {
            size_t size = length - at < UINT32_MAX ? length - at : UINT32_MAX;
            size = size < chunked->left ? size : chunked->left;
            *data_out = (struct http_range){(uint32_t)at, (uint32_t)size};
            chunked->left -= size;
            chunked->state = chunked->left == 0 ? CHUNK_DATA_RETURN : CHUNK_DATA;
            *used_out = at + size;
            return HTTP_PARSE_MORE;
        }
        bool last = chunked->state == CHUNK_LAST_LINE_FEED;
        bool fits = chunked->state <= CHUNK_LINE_FEED ? take_size(chunked, bytes[at])
                                                      : take_end(chunked, bytes[at]);
        if (!fits) {
            *used_out = at;
            *problem_out = (struct http_problem){
                400, "invalid-request",
                "The chunked body is malformed (extensions and trailers are not accepted)."};
            return HTTP_PARSE_BAD;
        }
        at++;
        if (last) {
            *used_out = at;
            return HTTP_PARSE_DONE;
        }
    }
    *used_out = at;
    return HTTP_PARSE_MORE;
}
