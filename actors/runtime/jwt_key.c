/* See jwt_key.h. OpenSSL for RSA and P-256, libsodium for the others. */
#include "runtime/jwt_key.h"

#include "runtime/base/memory.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum algorithm { RS256, ES256, EDDSA, HS256 };
enum {
    ALGORITHMS = 4,
    RSA_BITS_MIN = 2048,
    RSA_BYTES_MAX = 1024,
    SECRET_BYTES_MIN = 32,
    SECRET_BYTES_MAX = 1024,
    P256_BYTES = 32,
    KEY_ID_BYTES_MAX = 255
};

static const struct {
    const char *name;
    const char *kty;
    const char *crv; /* NULL: none */
} algorithms[ALGORITHMS] = {
    [RS256] = {"RS256", "RSA", NULL},
    [ES256] = {"ES256", "EC", "P-256"},
    [EDDSA] = {"EdDSA", "OKP", "Ed25519"},
    [HS256] = {"HS256", "oct", NULL},
};

struct jwt_key {
    char *id;
    enum algorithm algorithm;
    EVP_PKEY *public_key; /* RS256, ES256 */
    uint8_t bytes[SECRET_BYTES_MAX];
    size_t length; /* EdDSA, HS256: of `bytes`; RS256: of a signature */
};

int jwt_base64(const char *text, size_t length, uint8_t *out, size_t size, size_t *length_out)
{
    return sodium_base642bin(out, size, text, length, NULL, length_out, NULL,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* ---- reading a JWK ---- */

static const char *text_of(const json_t *jwk, const char *name)
{
    return json_string_value(json_object_get(jwk, name));
}

static int bytes_of(const json_t *jwk, const char *name, uint8_t *out, size_t size,
                    size_t *length_out)
{
    const json_t *value = json_object_get(jwk, name);
    return json_is_string(value) ? jwt_base64(json_string_value(value), json_string_length(value),
                                              out, size, length_out)
                                 : -1;
}

static EVP_PKEY *make_public(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (params == NULL || context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        key = NULL;
    }
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    return key;
}

static int read_rsa(const json_t *jwk, struct jwt_key *key)
{
    uint8_t n[RSA_BYTES_MAX];
    uint8_t e[8];
    size_t n_length;
    size_t e_length;
    if (bytes_of(jwk, "n", n, sizeof n, &n_length) != 0 ||
        bytes_of(jwk, "e", e, sizeof e, &e_length) != 0) {
        return -1;
    }
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = BN_bin2bn(n, (int)n_length, NULL);
    BIGNUM *exponent = BN_bin2bn(e, (int)e_length, NULL);
    if (BN_num_bits(modulus) >= RSA_BITS_MIN && BN_is_odd(modulus) && BN_is_odd(exponent) &&
        BN_num_bits(exponent) > 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1) {
        key->public_key = make_public("RSA", build);
        key->length = (size_t)BN_num_bytes(modulus);
    }
    BN_free(modulus);
    BN_free(exponent);
    OSSL_PARAM_BLD_free(build);
    return key->public_key == NULL ? -1 : 0;
}

/* OpenSSL refuses a point that is not on the curve. */
static int read_p256(const json_t *jwk, struct jwt_key *key)
{
    uint8_t point[1 + 2 * P256_BYTES] = {POINT_CONVERSION_UNCOMPRESSED};
    size_t x;
    size_t y;
    if (bytes_of(jwk, "x", point + 1, P256_BYTES, &x) != 0 || x != P256_BYTES ||
        bytes_of(jwk, "y", point + 1 + P256_BYTES, P256_BYTES, &y) != 0 || y != P256_BYTES) {
        return -1;
    }
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) ==
            1) {
        key->public_key = make_public("EC", build);
    }
    OSSL_PARAM_BLD_free(build);
    return key->public_key == NULL ? -1 : 0;
}

static int read_material(const json_t *jwk, struct jwt_key *key)
{
    switch (key->algorithm) {
    case RS256:
        return read_rsa(jwk, key);
    case ES256:
        return read_p256(jwk, key);
    case EDDSA:
        return bytes_of(jwk, "x", key->bytes, crypto_sign_PUBLICKEYBYTES, &key->length) == 0 &&
                       key->length == crypto_sign_PUBLICKEYBYTES
                   ? 0
                   : -1;
    case HS256:
        return bytes_of(jwk, "k", key->bytes, sizeof key->bytes, &key->length) == 0 &&
                       key->length >= SECRET_BYTES_MIN
                   ? 0
                   : -1;
    }
    return -1;
}

/* By the kind of the key; an `alg` beside it has to agree. */
static int find_algorithm(const json_t *jwk, enum algorithm *algorithm_out)
{
    const char *kty = text_of(jwk, "kty");
    const char *crv = text_of(jwk, "crv");
    const char *use = text_of(jwk, "use");
    const json_t *alg = json_object_get(jwk, "alg");
    if (kty == NULL || (use != NULL && strcmp(use, "sig") != 0)) {
        return -1;
    }
    for (size_t i = 0; i < ALGORITHMS; i++) {
        bool curve =
            algorithms[i].crv == NULL || (crv != NULL && strcmp(crv, algorithms[i].crv) == 0);
        if (strcmp(kty, algorithms[i].kty) == 0 && curve) {
            *algorithm_out = (enum algorithm)i;
            return alg == NULL || (json_is_string(alg) &&
                                   strcmp(json_string_value(alg), algorithms[i].name) == 0)
                       ? 0
                       : -1;
        }
    }
    return -1;
}

enum jwt_key_verdict jwt_key_create(const json_t *jwk, struct jwt_key **key_out, struct error *err)
{
    enum algorithm algorithm;
    const json_t *id = json_object_get(jwk, "kid");
    if (!json_is_object(jwk) ||
        (id != NULL && (!json_is_string(id) || json_string_length(id) > KEY_ID_BYTES_MAX))) {
        error_set(err, "a key is not an object, or its kid is not a short text");
        return JWT_KEY_BAD;
    }
    if (find_algorithm(jwk, &algorithm) != 0) {
        return JWT_KEY_NOT_OURS;
    }
    struct jwt_key *key = memory_new(sizeof *key);
    key->algorithm = algorithm;
    key->id = memory_string(id == NULL ? "" : json_string_value(id));
    if (read_material(jwk, key) != 0) {
        error_set(err, "key '%s' (%s) is malformed or too weak", key->id,
                  algorithms[algorithm].name);
        jwt_key_destroy(&key);
        return JWT_KEY_BAD;
    }
    *key_out = key;
    return JWT_KEY_OK;
}

void jwt_key_destroy(struct jwt_key **key)
{
    if (*key == NULL) {
        return;
    }
    EVP_PKEY_free((*key)->public_key);
    free((*key)->id);
    sodium_memzero(*key, sizeof **key);
    free(*key);
    *key = NULL;
}

const char *jwt_key_id(const struct jwt_key *key)
{
    return key->id;
}

const char *jwt_key_algorithm(const struct jwt_key *key)
{
    return algorithms[key->algorithm].name;
}

/* ---- signatures ---- */

static bool verify_evp(const struct jwt_key *key, const char *message, size_t length,
                       const uint8_t *signature, size_t signature_length)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    /* RSA keys verify with PKCS #1 v1.5 padding by default, which is what RS256 means. */
    bool good = EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key->public_key) == 1 &&
                EVP_DigestVerify(context, signature, signature_length, (const uint8_t *)message,
                                 length) == 1;
    EVP_MD_CTX_free(context);
    return good;
}

/* r and s as two numbers of 32 bytes each; OpenSSL refuses those not in 1 .. n-1. It wants DER. */
static bool verify_p256(const struct jwt_key *key, const char *message, size_t length,
                        const uint8_t *signature, size_t signature_length)
{
    uint8_t *der = NULL;
    if (signature_length != 2 * P256_BYTES) {
        return false;
    }
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature, P256_BYTES, NULL);
    BIGNUM *s = BN_bin2bn(signature + P256_BYTES, P256_BYTES, NULL);
    bool good = false;
    if (ECDSA_SIG_set0(pair, r, s) == 1) {
        int der_length = i2d_ECDSA_SIG(pair, &der);
        good = der_length > 0 && verify_evp(key, message, length, der, (size_t)der_length);
    }
    OPENSSL_free(der);
    ECDSA_SIG_free(pair);
    return good;
}

static bool verify_hmac(const struct jwt_key *key, const char *message, size_t length,
                        const uint8_t *signature, size_t signature_length)
{
    uint8_t tag[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;
    (void)crypto_auth_hmacsha256_init(&state, key->bytes, key->length);
    (void)crypto_auth_hmacsha256_update(&state, (const uint8_t *)message, length);
    (void)crypto_auth_hmacsha256_final(&state, tag);
    return signature_length == sizeof tag && sodium_memcmp(tag, signature, sizeof tag) == 0;
}

bool jwt_key_verify(const struct jwt_key *key, const char *message, size_t length,
                    const uint8_t *signature, size_t signature_length)
{
    switch (key->algorithm) {
    case RS256:
        return signature_length == key->length &&
               verify_evp(key, message, length, signature, signature_length);
    case ES256:
        return verify_p256(key, message, length, signature, signature_length);
    case EDDSA:
        return signature_length == crypto_sign_BYTES &&
               crypto_sign_verify_detached(signature, (const uint8_t *)message, length,
                                           key->bytes) == 0;
    case HS256:
        return verify_hmac(key, message, length, signature, signature_length);
    }
    return false;
}
