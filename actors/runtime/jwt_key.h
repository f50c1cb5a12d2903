/* The keys behind jwt.h: one JWK to one key with one algorithm, and its check of a signature. */
#ifndef SIGNALBOX_RUNTIME_JWT_KEY_H
#define SIGNALBOX_RUNTIME_JWT_KEY_H

#include "runtime/json.h"

#include <stdint.h>

struct jwt_key;

enum jwt_key_verdict {
    JWT_KEY_OK,
    JWT_KEY_NOT_OURS, /* for encryption, or of an algorithm not taken here: to be passed over */
    JWT_KEY_BAD
};

/* On OK *key_out is the caller's, to be destroyed with jwt_key_destroy. */
enum jwt_key_verdict jwt_key_create(const json_t *jwk, struct jwt_key **key_out, struct error *err);
void jwt_key_destroy(struct jwt_key **key);
const char *jwt_key_id(const struct jwt_key *key); /* "" when it has none */
const char *jwt_key_algorithm(const struct jwt_key *key);
bool jwt_key_verify(const struct jwt_key *key, const char *message, size_t length,
                    const uint8_t *signature, size_t signature_length);

/* base64url without padding and without spare bits; -1 otherwise, and for more than `size` bytes. */
SB_MUST_CHECK int jwt_base64(const char *text, size_t length, uint8_t *out, size_t size,
                             size_t *length_out);

#endif
