/* See api_key.h. */
#include "runtime/api_key.h"

#include <sodium.h>
#include <string.h>

enum {
    PUBLIC_ID_BYTES = 8,
    SECRET_BYTES = 32,
    CHECKSUM_BYTES = 4,
    PREFIX_LENGTH = 4, /* "sbx_", "sbs_" */
    PUBLIC_ID_LENGTH = 2 * PUBLIC_ID_BYTES,
    SECRET_OFFSET = PREFIX_LENGTH + PUBLIC_ID_LENGTH + 1,
    CHECKSUM_OFFSET = SECRET_OFFSET + 2 * SECRET_BYTES + 1,
    TEXT_LENGTH = CHECKSUM_OFFSET + 2 * CHECKSUM_BYTES
};
_Static_assert(TEXT_LENGTH + 1 == API_KEY_TEXT_SIZE, "the format and its size belong together");
_Static_assert(PUBLIC_ID_LENGTH + 1 == API_KEY_PUBLIC_ID_SIZE, "likewise");

/* By enum api_key_kind. */
static const char PREFIXES[][PREFIX_LENGTH + 1] = {"sbx_", "sbs_"};

static void checksum_of(const char *text, char checksum_out[2 * CHECKSUM_BYTES + 1])
{
    uint8_t hash[crypto_generichash_BYTES_MIN];
    (void)crypto_generichash(hash, sizeof hash, (const uint8_t *)text, CHECKSUM_OFFSET, NULL, 0);
    (void)sodium_bin2hex(checksum_out, 2 * CHECKSUM_BYTES + 1, hash, CHECKSUM_BYTES);
}

static bool is_lower_hex(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return true;
}

void api_key_pepper_make(char text_out[API_KEY_PEPPER_TEXT_SIZE])
{
    uint8_t bytes[(API_KEY_PEPPER_TEXT_SIZE - 1) / 2];
    randombytes_buf(bytes, sizeof bytes);
    (void)sodium_bin2hex(text_out, API_KEY_PEPPER_TEXT_SIZE, bytes, sizeof bytes);
    sodium_memzero(bytes, sizeof bytes);
}

int api_key_pepper_parse(const char *text, struct api_key_pepper *pepper_out, struct error *err)
{
    struct api_key_pepper pepper;
    size_t length = 0;
    if (strlen(text) != 2 * sizeof pepper.bytes ||
        sodium_hex2bin(pepper.bytes, sizeof pepper.bytes, text, 2 * sizeof pepper.bytes, NULL,
                       &length, NULL) != 0 ||
        length != sizeof pepper.bytes) {
        sodium_memzero(&pepper, sizeof pepper);
        return error_set(err, "auth.pepper must be 64 hex digits");
    }
    *pepper_out = pepper;
    sodium_memzero(&pepper, sizeof pepper);
    return 0;
}

void api_key_make(enum api_key_kind kind, char text_out[API_KEY_TEXT_SIZE],
                  char public_id_out[API_KEY_PUBLIC_ID_SIZE])
{
    uint8_t random[PUBLIC_ID_BYTES + SECRET_BYTES];
    randombytes_buf(random, sizeof random);
    memcpy(text_out, PREFIXES[kind], PREFIX_LENGTH);
    (void)sodium_bin2hex(text_out + PREFIX_LENGTH, PUBLIC_ID_LENGTH + 1, random, PUBLIC_ID_BYTES);
    text_out[SECRET_OFFSET - 1] = '_';
    (void)sodium_bin2hex(text_out + SECRET_OFFSET, 2 * SECRET_BYTES + 1, random + PUBLIC_ID_BYTES,
                         SECRET_BYTES);
    text_out[CHECKSUM_OFFSET - 1] = '_';
    checksum_of(text_out, text_out + CHECKSUM_OFFSET);
    memcpy(public_id_out, text_out + PREFIX_LENGTH, PUBLIC_ID_LENGTH);
    public_id_out[PUBLIC_ID_LENGTH] = '\0';
    sodium_memzero(random, sizeof random);
}

int api_key_parse(enum api_key_kind kind, const char *text, size_t length,
                  char public_id_out[API_KEY_PUBLIC_ID_SIZE])
{
    if (length != TEXT_LENGTH || memcmp(text, PREFIXES[kind], PREFIX_LENGTH) != 0 ||
        !is_lower_hex(text + PREFIX_LENGTH, PUBLIC_ID_LENGTH) || text[SECRET_OFFSET - 1] != '_' ||
        !is_lower_hex(text + SECRET_OFFSET, 2 * SECRET_BYTES) || text[CHECKSUM_OFFSET - 1] != '_') {
        return -1;
    }
    char checksum[2 * CHECKSUM_BYTES + 1];
    checksum_of(text, checksum);
    if (memcmp(checksum, text + CHECKSUM_OFFSET, 2 * CHECKSUM_BYTES) != 0) {
        return -1;
    }
    memcpy(public_id_out, text + PREFIX_LENGTH, PUBLIC_ID_LENGTH);
    public_id_out[PUBLIC_ID_LENGTH] = '\0';
    return 0;
}

void api_key_hash(const struct api_key_pepper *pepper, const char *text, size_t length,
                  uint8_t hash_out[API_KEY_HASH_BYTES])
{
    (void)crypto_generichash(hash_out, API_KEY_HASH_BYTES, (const uint8_t *)text, length,
                             pepper->bytes, sizeof pepper->bytes);
}

bool api_key_hash_equal(const uint8_t a[API_KEY_HASH_BYTES], const uint8_t b[API_KEY_HASH_BYTES])
{
    return sodium_memcmp(a, b, API_KEY_HASH_BYTES) == 0;
}
