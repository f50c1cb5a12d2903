// fuzz-sources: actors/runtime/http_parse.c actors/runtime/http_text.c
// actors/runtime/http_chunked.c
/*
 * The HTTP grammar on any bytes: a head, then (when it says so) a chunked body. The verdict must be
 * the same in one piece, byte by byte and split at random; what is accepted must hold what
 * http_parse.h promises. The first two bytes of the input seed the splits.
 */
#include "runtime/http_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum split { WHOLE, BYTES, RANDOM };

static const struct http_limits limits = {256, 1024};

static void expect(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static size_t next_piece(enum split split, size_t left, unsigned *seed)
{
    if (split == WHOLE || left == 0) {
        return left;
    }
    *seed = *seed * 1103515245 + 12345;
    size_t piece = split == BYTES ? 1 : 1 + (*seed >> 16) % 17;
    return piece < left ? piece : left;
}

static enum http_parse run_head(struct http_head *head, const char *bytes, size_t length,
                                enum split split, unsigned seed, struct http_problem *problem)
{
    http_head_init(head);
    enum http_parse result = HTTP_PARSE_MORE;
    for (size_t at = 0; result == HTTP_PARSE_MORE && at < length;) {
        at += next_piece(split, length - at, &seed);
        /* Exactly this much memory: a look behind it is seen. */
        char *copy = malloc(at);
        if (copy == NULL) {
            abort();
        }
        memcpy(copy, bytes, at);
        result = http_head_feed(head, copy, at, &limits, problem);
        free(copy);
    }
    return result;
}

static int is_plain(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f) {
            return 0;
        }
    }
    return 1;
}

static void check_range(const struct http_head *head, struct http_range range)
{
    expect((size_t)range.at + range.length <= head->length, "a range lies in the head");
}

static void check_head(const struct http_head *head, const char *bytes)
{
    expect(head->length <= limits.head_bytes, "the head is within its limit");
    expect(memcmp(bytes + head->length - 4, "\r\n\r\n", 4) == 0, "the head ends with a blank line");
    expect(!(head->chunked && head->content_length >= 0), "one framing");
    check_range(head, head->path);
    check_range(head, head->query);
    expect(head->path.length > 0, "there is a path");
    for (unsigned i = 0; i < head->field_count; i++) {
        struct http_range name = head->fields[i].name;
        struct http_range value = head->fields[i].value;
        check_range(head, name);
        check_range(head, value);
        expect(name.length > 0 && bytes[name.at + name.length] == ':', "a colon behind a name");
        expect(is_plain(bytes + value.at, value.length), "no controls in a value");
    }
    char *path = malloc(head->path.length);
    if (path == NULL) {
        abort();
    }
    memcpy(path, bytes + head->path.at, head->path.length);
    size_t length = http_path_decode(path, head->path.length);
    expect(length <= head->path.length && length > 0, "decoding does not lengthen");
    expect(path[0] == '/' || (length == 1 && path[0] == '*'), "the path begins with a slash");
    expect(is_plain(path, length) && memchr(path, '\t', length) == NULL, "no controls in a path");
    free(path);
}

struct body {
    enum http_parse result;
    size_t used;
    struct buffer data;
    uint64_t total;
};

static struct body run_body(const char *bytes, size_t length, enum split split, unsigned seed,
                            struct http_problem *problem)
{
    struct body body = {.result = HTTP_PARSE_MORE};
    struct http_chunked chunked;
    http_chunked_init(&chunked);
    for (size_t at = 0; body.result == HTTP_PARSE_MORE && at < length;) {
        size_t piece = next_piece(split, length - at, &seed);
        for (size_t done = 0; body.result == HTTP_PARSE_MORE && done < piece;) {
            struct http_range data;
            size_t used = 0;
            body.result =
                http_chunked_feed(&chunked, bytes + at + done, piece - done, &used, &data, problem);
            expect(used <= piece - done && (size_t)data.at + data.length <= used, "data is used");
            expect(used > 0 || body.result == HTTP_PARSE_BAD, "it goes on");
            buffer_append(&body.data, bytes + at + done + data.at, data.length);
            done += used;
            body.used += used;
        }
        at += piece;
    }
    body.total = chunked.total;
    expect(body.data.length <= body.total, "no more data than announced");
    return body;
}

static void check_body(const char *bytes, size_t length, unsigned seed)
{
    struct http_problem problem = {0};
    struct body whole = run_body(bytes, length, WHOLE, seed, &problem);
    for (enum split split = BYTES; split <= RANDOM; split++) {
        struct body other = run_body(bytes, length, split, seed, &problem);
        expect(other.result == whole.result && other.used == whole.used &&
                   other.total == whole.total && other.data.length == whole.data.length &&
                   (whole.data.length == 0 ||
                    memcmp(other.data.data, whole.data.data, whole.data.length) == 0),
               "a body reads the same however it is split");
        buffer_deinit(&other.data);
    }
    expect(whole.result != HTTP_PARSE_DONE || whole.data.length == whole.total,
           "all data is there");
    buffer_deinit(&whole.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    unsigned seed = (unsigned)data[0] << 8 | data[1];
    const char *bytes = (const char *)data + 2;
    size_t length = size - 2;
    struct http_head head;
    struct http_problem why = {0};
    enum http_parse result = run_head(&head, bytes, length, WHOLE, seed, &why);
    for (enum split split = BYTES; split <= RANDOM; split++) {
        struct http_head other;
        struct http_problem other_why = {0};
        expect(run_head(&other, bytes, length, split, seed, &other_why) == result,
               "a head reads the same however it is split");
        expect(result != HTTP_PARSE_BAD ||
                   (why.status == other_why.status && why.detail == other_why.detail),
               "a head is refused for the same reason however it is split");
        expect(result != HTTP_PARSE_DONE ||
                   (other.length == head.length && other.field_count == head.field_count &&
                    other.content_length == head.content_length),
               "a head says the same however it is split");
    }
    if (result == HTTP_PARSE_DONE) {
        check_head(&head, bytes);
        if (head.chunked) {
            check_body(bytes + head.length, length - head.length, seed);
        }
    }
    return 0;
}
