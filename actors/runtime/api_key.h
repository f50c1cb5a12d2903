/*
 * The format of an api key and of what is stored of it, in one place for the api and the command
 * line. Needs libsodium and nothing else of the runtime; the caller has called sodium_init().
 *
 *     sbx_<public id: 16 lower-case hex>_<secret: 64 lower-case hex>_<checksum: 8 lower-case hex>
 *
 * The public id finds the row. The secret is 256 random bits. The checksum covers everything before
 * it, so that a mistyped key costs no lookup. Stored is BLAKE2b-256 of the whole text, keyed with
 * the installation's pepper.
 */
#ifndef SIGNALBOX_RUNTIME_API_KEY_H
#define SIGNALBOX_RUNTIME_API_KEY_H

#include "runtime/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    API_KEY_TEXT_SIZE = 95,      /* 94 characters and NUL */
    API_KEY_PUBLIC_ID_SIZE = 17, /* 16 characters and NUL */
    API_KEY_HASH_BYTES = 32,
    API_KEY_PEPPER_TEXT_SIZE = 65 /* 64 hex digits and NUL */
};

/* The secret of a browser session has the same form, beginning with sbs_, so that neither passes for
 * the other. */
enum api_key_kind { API_KEY, API_KEY_SESSION };

struct api_key_pepper {
    uint8_t bytes[32];
};

/* A new random pepper as setting auth.pepper wants it. */
void api_key_pepper_make(char text_out[API_KEY_PEPPER_TEXT_SIZE]);
/* `text`: 64 hex digits, NUL-terminated. */
SB_MUST_CHECK int api_key_pepper_parse(const char *text, struct api_key_pepper *pepper_out,
                                       struct error *err);

/* A new random key. The caller wipes `text_out` (sodium_memzero) after use. */
void api_key_make(enum api_key_kind kind, char text_out[API_KEY_TEXT_SIZE],
                  char public_id_out[API_KEY_PUBLIC_ID_SIZE]);
/* -1 unless `text` is exactly of the format with the right checksum. */
SB_MUST_CHECK int api_key_parse(enum api_key_kind kind, const char *text, size_t length,
                                char public_id_out[API_KEY_PUBLIC_ID_SIZE]);
/* What is stored in api_keys.hash. Any text may be hashed. */
void api_key_hash(const struct api_key_pepper *pepper, const char *text, size_t length,
                  uint8_t hash_out[API_KEY_HASH_BYTES]);
/* In constant time. */
bool api_key_hash_equal(const uint8_t a[API_KEY_HASH_BYTES], const uint8_t b[API_KEY_HASH_BYTES]);

#endif
