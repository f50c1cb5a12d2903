/*
 * The strict HTTP/1.1 grammar: request heads, chunked bodies, paths, queries. No I/O, no
 * allocation, no state outside the structs, so that fuzzers and tests drive it directly.
 *
 * Anything that is not in the grammar is refused. The verdict depends only on the bytes, never on
 * how they were split: a decision is taken at a byte position and looks at nothing behind it.
 */
#ifndef SIGNALBOX_RUNTIME_HTTP_PARSE_H
#define SIGNALBOX_RUNTIME_HTTP_PARSE_H

#include "runtime/base/buffer.h"
#include "runtime/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HTTP_FIELDS_MAX = 100, HTTP_CHUNK_LINE_MAX = 64 };

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS
};

enum http_parse {
    HTTP_PARSE_MORE, /* fine so far */
    HTTP_PARSE_DONE,
    HTTP_PARSE_BAD /* the problem says why; nothing more can be read from this connection */
};

/* Why a request was refused. Static texts. */
struct http_problem {
    int status;
    const char *slug;
    const char *detail;
};

struct http_limits {
    size_t request_line_bytes;
    size_t head_bytes;
};

/* A part of the bytes given to http_head_feed. */
struct http_range {
    uint32_t at;
    uint32_t length;
};

struct http_head_field {
    struct http_range name;
    struct http_range value;
};

struct http_head {
    /* Valid after HTTP_PARSE_DONE. */
    size_t length; /* of the head, blank line included */
    enum http_method method;
    struct http_range method_text;
    struct http_range path;  /* still encoded; its escapes are well-formed and hold no controls */
    struct http_range query; /* without '?' */
    struct http_head_field fields[HTTP_FIELDS_MAX];
    unsigned field_count;
    int64_t content_length; /* -1: none */
    bool chunked;
    bool closes;           /* Connection: close */
    bool expects_continue; /* Expect: 100-continue */

    /* Progress. */
    size_t scanned;
    size_t line_at;
    bool after_return; /* the byte before `scanned` is a CR */
    bool has_request_line;
    bool has_host;
    bool has_coding;
    bool has_unknown_coding;
    bool has_unknown_expectation;
};

struct http_chunked {
    uint64_t total; /* data bytes announced so far; stays at the maximum when it would overflow */
    uint64_t left;  /* data bytes of this chunk not yet seen, or the size being read */
    unsigned line_bytes;
    unsigned state;
};

void http_head_init(struct http_head *head);

/* Goes on with a head that begins at `bytes`: `length` bytes of it are there, those of the calls
 * before among them. Bytes behind the head are not looked at. */
enum http_parse http_head_feed(struct http_head *head, const char *bytes, size_t length,
                               const struct http_limits *limits, struct http_problem *problem_out);

void http_chunked_init(struct http_chunked *chunked);

/* Reads on in a chunked body up to the next piece of data or the end of `bytes`. `*used_out` bytes
 * were consumed; the piece (maybe empty) is in `*data_out`. Call again while bytes are left. */
enum http_parse http_chunked_feed(struct http_chunked *chunked, const char *bytes, size_t length,
                                  size_t *used_out, struct http_range *data_out,
                                  struct http_problem *problem_out);

/* Decodes the escapes of a path that http_head_feed let through, in place; "%2F" stays as it is, and
 * so does "%25", so that nothing else looks like it. Returns the new length. */
size_t http_path_decode(char *path, size_t length);

/* -1 when `length` bytes at `text` are not one percent-decoded value: appends nothing then. '+' is a
 * space. */
SB_MUST_CHECK int http_percent_decode(const char *text, size_t length, struct buffer *out);

/* 0..15, or -1. */
int http_hex_value(char digit);
/* Value of the escape whose '%' is at `text`, or -1 when it is malformed. */
int http_escape_value(const char *text, size_t left);

/* True when both are equal but for the case of ASCII letters. */
bool http_text_equal(const char *left, size_t left_length, const char *right, size_t right_length);

#endif
