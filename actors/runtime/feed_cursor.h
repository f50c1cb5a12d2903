/*
 * Cursors of feeds (streams of a thread or a tenant): a log position and a tag, as text. The tag is
 * keyed per feed, so that a cursor works only where it was given out; the api, which knows the
 * secret, makes the feed's key, the streamer, which gets that key with the stream, writes one for
 * every event. Pure.
 */
#ifndef SIGNALBOX_RUNTIME_FEED_CURSOR_H
#define SIGNALBOX_RUNTIME_FEED_CURSOR_H

#include "proto/stream_kind.h"
#include "runtime/base/error.h"
#include "runtime/base/uuid.h"

#include <stddef.h>
#include <stdint.h>

enum {
    FEED_CURSOR_TEXT_SIZE = 25, /* 24 characters and NUL */
    FEED_KEY_BYTES = 16
};

struct feed_key {
    uint8_t bytes[FEED_KEY_BYTES];
};

/* What all feed keys of a tenant are made of: who has it can make those, and no other tenant's. */
void feed_tenant_key_derive(const uint8_t *secret, size_t length, const struct uuid *tenant,
                            struct feed_key *key_out);
/* `thread` is nil for the tenant's feed. The same arguments always give the same key. */
void feed_key_of(const struct feed_key *tenant_key, enum stream_kind kind,
                 const struct uuid *thread, struct feed_key *key_out);
/* Both steps. */
void feed_key_derive(const uint8_t *secret, size_t length, enum stream_kind kind,
                     const struct uuid *tenant, const struct uuid *thread,
                     struct feed_key *key_out);
void feed_cursor_encode(const struct feed_key *key, uint64_t position,
                        char text_out[FEED_CURSOR_TEXT_SIZE]);
/* -1: not a cursor of this feed. */
SB_MUST_CHECK int feed_cursor_decode(const struct feed_key *key, const char *text, size_t length,
                                     uint64_t *position_out);

#endif
