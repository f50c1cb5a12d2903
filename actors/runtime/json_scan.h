/*
 * The pieces json.c and schema.c are made of: strings and numbers of JSON text, the keys of the
 * objects that are open, steps over checked text. Not for others.
 */
#ifndef SIGNALBOX_RUNTIME_JSON_SCAN_H
#define SIGNALBOX_RUNTIME_JSON_SCAN_H

#include "runtime/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_KEYS_INLINE = 64 };

enum json_number { JSON_NUMBER_OK, JSON_NUMBER_MALFORMED, JSON_NUMBER_TOO_LARGE };

/* `at` is behind the opening quote. Returns the place of the closing one, or NULL and where it went
 * wrong in *bad_out, what in *why_out (static). *escapes_out: whether there are backslashes. */
const char *json_scan_string(const char *at, const char *end, bool *escapes_out,
                             const char **bad_out, const char **why_out);
/* The number that begins at `at`; *end_out is the first byte behind it. Integers are those without
 * fraction and exponent, and must fit 64 bits; a real must not be beyond double. */
enum json_number json_scan_number(const char *at, const char *end, const char **end_out);
/* Steps over text that json_check has let through. No byte at `end` is looked at. */

/* First byte that is no blank; there must be one. */
const char *json_skip_space(const char *at);
/* `at` is behind the opening quote; returns the closing one. */
const char *json_skip_string(const char *at, const char *end);
/* First byte behind the value that begins at `at`. */
const char *json_skip_value(const char *at, const char *end);

/* The next character of a string, escapes undone. *at is inside the string, not at its end. */
uint32_t json_next_character(const char **at);

struct json_key {
    const char *text; /* unescaped; borrowed from the document or the arena */
    uint32_t length;
    uint32_t hash;
};

/* The keys of all open objects, innermost last. */
struct json_keys {
    struct json_key *keys; /* `first` or owned */
    size_t count;
    size_t capacity;
    char *arena; /* owned; unescaped keys */
    size_t arena_used;
    struct json_key first[JSON_KEYS_INLINE];
};

void json_keys_init(struct json_keys *keys);
void json_keys_deinit(struct json_keys *keys);
/* Adds a key of the object whose keys begin at index `from`. `document_bytes` bounds all keys
 * together. False when it is surely there already; json_keys_close decides. */
bool json_keys_add(struct json_keys *keys, size_t from, const char *text, size_t length,
                   bool escapes, size_t document_bytes);
/* Removes the object's keys. False when two of them were equal. */
bool json_keys_close(struct json_keys *keys, size_t from);

#endif
