/*
 * JSON at the edge: one pass that checks the text (UTF-8 without BOM, depth, keys, no NUL, no
 * duplicate keys, numbers in range) and finds what a request needs, with the payload's own bytes as
 * spans. What is accepted is what jansson accepts with JSON_REJECT_DUPLICATES and JSON_DECODE_ANY,
 * within the limits: docs/decisions/0004-json-validation.md.
 */
#ifndef SIGNALBOX_RUNTIME_JSON_H
#define SIGNALBOX_RUNTIME_JSON_H

#include "runtime/base/buffer.h"
#include "runtime/base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_verdict {
    JSON_OK,
    JSON_MALFORMED,   /* 400 malformed-json */
    JSON_TOO_DEEP,    /* 400 malformed-json: deeper or with more keys than allowed */
    JSON_OUT_OF_RANGE /* 422 number-out-of-range: an integer beyond ±2^63 or a real beyond double */
};

struct json_limits {
    size_t depth;
    size_t keys;
};

/* A value's own bytes inside the text that was checked. data NULL: absent. */
struct json_span {
    const char *data;
    size_t length;
};

/* Checks `text` whole (any value may stand outermost). On JSON_OK *value_out is a new reference;
 * without value_out no tree is made, which costs a tenth. err says where and what otherwise. Limits
 * of depth above 512 count as 512. */
enum json_verdict json_check(const char *text, size_t length, const struct json_limits *limits,
                             json_t **value_out, struct error *err);
/* Span of member `name` (compared without escapes) of the object that begins at `object`; absent
 * when it is no object. Checked text only. */
struct json_span json_member(struct json_span object, const char *name);
/* Walks the members of an object: *cursor starts as {0}; false at the end. The name is the text
 * between its quotes, escapes and all. */
bool json_pair(struct json_span object, struct json_span *cursor, struct json_span *name_out,
               struct json_span *value_out);
/* Walks the elements of an array: *cursor starts as {0}; absent span at the end, and when it is no
 * array. Checked text only. */
struct json_span json_element(struct json_span array, struct json_span *cursor);
/* Writes the text of a string (between its quotes) without escapes to `out`, which has room for
 * `length` bytes. Returns its length. Checked text only. */
size_t json_unescape(const char *text, size_t length, char *out);
/* Replaces raw CR and LF by spaces (in valid JSON they can only stand between tokens). In place. */
void json_flatten(char *text, size_t length);

#endif
