/* See ws_accept.h. */
#include "runtime/ws_accept.h"

#include <openssl/sha.h>
#include <sodium.h>
#include <string.h>

enum { KEY_BYTES = 16, KEY_LENGTH = 24 };

/* The RFC's constant: a server that knows it understood what was asked. */
static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

int ws_accept(const char *key, size_t length, char out[WS_ACCEPT_SIZE])
{
    uint8_t bytes[KEY_BYTES];
    uint8_t digest[SHA_DIGEST_LENGTH];
    char text[KEY_LENGTH + sizeof guid - 1];
    size_t count = 0;
    if (length != KEY_LENGTH ||
        sodium_base642bin(bytes, sizeof bytes, key, length, NULL, &count, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        count != KEY_BYTES) {
        return -1;
    }
    memcpy(text, key, KEY_LENGTH);
    memcpy(text + KEY_LENGTH, guid, sizeof guid - 1);
    SHA1((const uint8_t *)text, sizeof text, digest);
    sodium_bin2base64(out, WS_ACCEPT_SIZE, digest, sizeof digest, sodium_base64_VARIANT_ORIGINAL);
    return 0;
}
