/* See client_id.h. */
#include "api/client_id.h"

#include <sodium.h>
#include <string.h>

/* Names are hashed with the NUL behind them, so that where one ends is hashed too; the text, which
 * may hold anything, comes last. */
static void hash_text(crypto_hash_sha256_state *state, const char *name)
{
    (void)crypto_hash_sha256_update(state, (const uint8_t *)name, strlen(name) + 1);
}

int client_id_map(const struct uuid *tenant, const char *protocol, const char *kind,
                  const char *text, size_t length, struct uuid *id_out)
{
    if (length == 0 || length > CLIENT_ID_MAX) {
        return -1;
    }
    if (uuid_parse(text, length, id_out) == 0 && !uuid_is_nil(id_out)) {
        return 0;
    }
    uint8_t hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state state;
    (void)crypto_hash_sha256_init(&state);
    (void)crypto_hash_sha256_update(&state, tenant->bytes, sizeof tenant->bytes);
    hash_text(&state, protocol);
    hash_text(&state, kind);
    (void)crypto_hash_sha256_update(&state, (const uint8_t *)text, length);
    (void)crypto_hash_sha256_final(&state, hash);
    memcpy(id_out->bytes, hash, sizeof id_out->bytes);
    id_out->bytes[6] = (uint8_t)(0x80 | (id_out->bytes[6] & 0x0F)); /* version 8 */
    id_out->bytes[8] = (uint8_t)(0x80 | (id_out->bytes[8] & 0x3F)); /* variant */
    return 0;
}

size_t client_id_unescape(const char *text, size_t length, char *out)
{
    size_t to = 0;
    for (size_t from = 0; from < length; from++) {
        bool escaped = text[from] == '%' && length - from >= 3;
        out[to++] = !escaped ? text[from] : memcmp(text + from, "%2F", 3) == 0 ? '/' : '%';
        from += escaped ? 2 : 0;
    }
    return to;
}
