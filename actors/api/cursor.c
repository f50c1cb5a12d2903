/* See cursor.h. Layout: version 1, time 8 bytes big-endian, id 16, tag 15: 40 bytes, 54 letters. */
#include "api/cursor.h"

#include <sodium.h>
#include <string.h>

enum {
    VERSION = 1,
    TIME_OFFSET = 1,
    ID_OFFSET = TIME_OFFSET + 8,
    TAG_OFFSET = ID_OFFSET + 16,
    TAG_BYTES = 15,
    CURSOR_BYTES = TAG_OFFSET + TAG_BYTES
};
_Static_assert(sodium_base64_ENCODED_LEN(CURSOR_BYTES, sodium_base64_VARIANT_URLSAFE_NO_PADDING) ==
                   CURSOR_TEXT_SIZE,
               "layout and text size belong together");

void cursor_key_derive(const uint8_t *secret, size_t length, struct cursor_key *key_out)
{
    static const char purpose[] = "signalbox list cursor";
    (void)crypto_generichash(key_out->bytes, sizeof key_out->bytes, (const uint8_t *)purpose,
                             sizeof purpose - 1, secret, length);
}

static void tag_of(const struct cursor_key *key, const uint8_t *bytes, const void *scope,
                   size_t scope_length, uint8_t tag_out[TAG_BYTES])
{
    uint8_t hash[crypto_generichash_BYTES];
    crypto_generichash_state state;
    (void)crypto_generichash_init(&state, key->bytes, sizeof key->bytes, sizeof hash);
    (void)crypto_generichash_update(&state, bytes, TAG_OFFSET);
    (void)crypto_generichash_update(&state, scope, scope_length);
    (void)crypto_generichash_final(&state, hash, sizeof hash);
    memcpy(tag_out, hash, TAG_BYTES);
}

void cursor_encode(const struct cursor_key *key, const struct cursor *cursor, const void *scope,
                   size_t scope_length, char text_out[CURSOR_TEXT_SIZE])
{
    uint8_t bytes[CURSOR_BYTES];
    bytes[0] = VERSION;
    for (unsigned i = 0; i < 8; i++) {
        bytes[TIME_OFFSET + i] = (uint8_t)((uint64_t)cursor->time_us >> (56 - 8 * i));
    }
    memcpy(bytes + ID_OFFSET, cursor->id.bytes, sizeof cursor->id.bytes);
    tag_of(key, bytes, scope, scope_length, bytes + TAG_OFFSET);
    (void)sodium_bin2base64(text_out, CURSOR_TEXT_SIZE, bytes, sizeof bytes,
                            sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

int cursor_decode(const struct cursor_key *key, const char *text, size_t length, const void *scope,
                  size_t scope_length, struct cursor *cursor_out)
{
    uint8_t bytes[CURSOR_BYTES];
    uint8_t tag[TAG_BYTES];
    size_t got = 0;
    const char *end = NULL;
    if (length != CURSOR_TEXT_SIZE - 1 ||
        sodium_base642bin(bytes, sizeof bytes, text, length, NULL, &got, &end,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        got != sizeof bytes || end != text + length || bytes[0] != VERSION) {
        return -1;
    }
    tag_of(key, bytes, scope, scope_length, tag);
    if (sodium_memcmp(tag, bytes + TAG_OFFSET, sizeof tag) != 0) {
        return -1;
    }
    uint64_t time_us = 0;
    for (unsigned i = 0; i < 8; i++) {
        time_us = time_us << 8 | bytes[TIME_OFFSET + i];
    }
    cursor_out->time_us = (int64_t)time_us;
    memcpy(cursor_out->id.bytes, bytes + ID_OFFSET, sizeof cursor_out->id.bytes);
    return 0;
}
