/*
 * Opaque cursors of lists: base64url of version, position and a tag. The tag is keyed and covers
 * the tenant and what was listed, so that a cursor works only where it was given out. Pure.
 */
#ifndef SIGNALBOX_API_CURSOR_H
#define SIGNALBOX_API_CURSOR_H

#include "runtime/base/uuid.h"

#include <stddef.h>
#include <stdint.h>

enum {
    CURSOR_TEXT_SIZE = 55 /* 54 characters and NUL */
};

struct cursor_key {
    uint8_t bytes[32];
};

/* Position in a list that is ordered by time, then id. */
struct cursor {
    int64_t time_us;
    struct uuid id;
};

/* `secret`: what keys the installation's hashes; the same secret gives the same key. */
void cursor_key_derive(const uint8_t *secret, size_t length, struct cursor_key *key_out);
/* `scope` names tenant, list and filters: the same bytes must come to cursor_decode. */
void cursor_encode(const struct cursor_key *key, const struct cursor *cursor, const void *scope,
                   size_t scope_length, char text_out[CURSOR_TEXT_SIZE]);
/* -1: not one of ours, or from another list. */
SB_MUST_CHECK int cursor_decode(const struct cursor_key *key, const char *text, size_t length,
                                const void *scope, size_t scope_length, struct cursor *cursor_out);

#endif
