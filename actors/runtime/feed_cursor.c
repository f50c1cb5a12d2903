/* See feed_cursor.h. Layout: version 1, position 8 bytes big-endian, tag 9: 18 bytes, 24 letters. */
#include "runtime/feed_cursor.h"

#include <sodium.h>
#include <string.h>

enum {
    VERSION = 1,
    POSITION_OFFSET = 1,
    TAG_OFFSET = POSITION_OFFSET + 8,
    TAG_BYTES = 9,
    CURSOR_BYTES = TAG_OFFSET + TAG_BYTES
};
_Static_assert(sodium_base64_ENCODED_LEN(CURSOR_BYTES, sodium_base64_VARIANT_URLSAFE_NO_PADDING) ==
                   FEED_CURSOR_TEXT_SIZE,
               "layout and text size belong together");
_Static_assert(FEED_KEY_BYTES >= crypto_generichash_KEYBYTES_MIN, "a key for the second step");
_Static_assert(FEED_KEY_BYTES == crypto_shorthash_siphashx24_KEYBYTES, "the tag's key");

void feed_tenant_key_derive(const uint8_t *secret, size_t length, const struct uuid *tenant,
                            struct feed_key *key_out)
{
    static const char purpose[] = "signalbox feed cursor";
    crypto_generichash_state state;
    (void)crypto_generichash_init(&state, secret, length, sizeof key_out->bytes);
    (void)crypto_generichash_update(&state, (const uint8_t *)purpose, sizeof purpose - 1);
    (void)crypto_generichash_update(&state, tenant->bytes, sizeof tenant->bytes);
    (void)crypto_generichash_final(&state, key_out->bytes, sizeof key_out->bytes);
}

void feed_key_of(const struct feed_key *tenant_key, enum stream_kind kind,
                 const struct uuid *thread, struct feed_key *key_out)
{
    uint8_t kind_byte = (uint8_t)kind;
    crypto_generichash_state state;
    (void)crypto_generichash_init(&state, tenant_key->bytes, sizeof tenant_key->bytes,
                                  sizeof key_out->bytes);
    (void)crypto_generichash_update(&state, &kind_byte, sizeof kind_byte);
    (void)crypto_generichash_update(&state, thread->bytes, sizeof thread->bytes);
    (void)crypto_generichash_final(&state, key_out->bytes, sizeof key_out->bytes);
}

void feed_key_derive(const uint8_t *secret, size_t length, enum stream_kind kind,
                     const struct uuid *tenant, const struct uuid *thread, struct feed_key *key_out)
{
    struct feed_key tenant_key;
    feed_tenant_key_derive(secret, length, tenant, &tenant_key);
    feed_key_of(&tenant_key, kind, thread, key_out);
    sodium_memzero(&tenant_key, sizeof tenant_key);
}

/* SipHash: one is written for every event, and a forged cursor shows its forger nothing new. */
static void put_tag(const struct feed_key *key, uint8_t bytes[CURSOR_BYTES])
{
    uint8_t hash[crypto_shorthash_siphashx24_BYTES];
    (void)crypto_shorthash_siphashx24(hash, bytes, TAG_OFFSET, key->bytes);
    memcpy(bytes + TAG_OFFSET, hash, TAG_BYTES);
}

void feed_cursor_encode(const struct feed_key *key, uint64_t position,
                        char text_out[FEED_CURSOR_TEXT_SIZE])
{
    uint8_t bytes[CURSOR_BYTES];
    bytes[0] = VERSION;
    for (unsigned i = 0; i < 8; i++) {
        bytes[POSITION_OFFSET + i] = (uint8_t)(position >> (56 - 8 * i));
    }
    put_tag(key, bytes);
    (void)sodium_bin2base64(text_out, FEED_CURSOR_TEXT_SIZE, bytes, sizeof bytes,
                            sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

int feed_cursor_decode(const struct feed_key *key, const char *text, size_t length,
                       uint64_t *position_out)
{
    uint8_t bytes[CURSOR_BYTES];
    uint8_t wanted[CURSOR_BYTES];
    size_t got = 0;
    const char *end = NULL;
    if (length != FEED_CURSOR_TEXT_SIZE - 1 ||
        sodium_base642bin(bytes, sizeof bytes, text, length, NULL, &got, &end,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        got != sizeof bytes || end != text + length || bytes[0] != VERSION) {
        return -1;
    }
    memcpy(wanted, bytes, sizeof wanted);
    put_tag(key, wanted);
    if (sodium_memcmp(wanted, bytes, sizeof wanted) != 0) {
        return -1;
    }
    uint64_t position = 0;
    for (unsigned i = 0; i < 8; i++) {
        position = position << 8 | bytes[POSITION_OFFSET + i];
    }
    *position_out = position;
    return 0;
}
