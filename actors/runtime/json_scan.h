/*
 * The pieces json.c and its tests are made of: strings and numbers of JSON text, and the keys of
 * the objects that are open. Not for others.
 */
#ifndef SIGNALBOX_RUNTIME_JSON_SCAN_H
#define SIGNALBOX_RUNTIME_JSON_SCAN_H

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
/* Writes the text of a checked string (between its quotes) without escapes to `out`, which has
 * room for `length` bytes. Returns its length. */
size_t json_unescape(const char *text, size_t length, char *out);

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
