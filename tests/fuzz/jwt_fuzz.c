// fuzz-sources: actors/runtime/jwt.c actors/runtime/jwt_key.c actors/runtime/json.c
// fuzz-libraries: jansson libsodium libcrypto
/*
 * Tokens of any bytes: as the whole text, and as header and claims of a token that is signed as it
 * should be, so that what is behind the signature is reached too. What is taken keeps the promises
 * of jwt.h.
 */
#include "runtime/base/buffer.h"
#include "runtime/jwt.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW = 1800000000, LEEWAY = 30 };

static const uint8_t secret[32] = {1, 2, 3};

static void expect(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static struct jwt_verifier *verifier(void)
{
    static struct jwt_verifier *made;
    struct error err;
    if (made == NULL) {
        char set[256];
        char key[64];
        expect(sodium_init() >= 0, "libsodium");
        sodium_bin2base64(key, sizeof key, secret, sizeof secret,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        snprintf(set, sizeof set, "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"k\",\"k\":\"%s\"}]}", key);
        made = jwt_verifier_create(&(struct jwt_rules){.keys = set,
                                                       .issuer = "i",
                                                       .audience = "a",
                                                       .tenant_claim = "t",
                                                       .scope_claim = "s",
                                                       .leeway_s = LEEWAY},
                                   &err);
        expect(made != NULL, "the set is good");
    }
    return made;
}

static int judge(const char *text, size_t length)
{
    struct jwt_claims claims;
    struct error err = {0};
    int result = jwt_verify(verifier(), NOW, text, length, &claims, &err);
    expect(result == 0 || err.text[0] != '\0', "a refusal says why");
    if (result == 0) {
        expect(length <= JWT_BYTES_MAX && jwt_looks_like_one(text, length), "the form");
        expect(memchr(claims.subject, '\0', sizeof claims.subject) != NULL &&
                   claims.subject[0] != '\0',
               "a subject");
        expect(memchr(claims.scopes, '\0', sizeof claims.scopes) != NULL, "scopes end");
        expect(claims.expires_s > NOW, "it has not expired");
        struct uuid id = jwt_id(&claims);
        int64_t expires_s;
        expect(jwt_id_expiry(&id, &expires_s) && expires_s == claims.expires_s, "the id's time");
    }
    return result;
}

static void append_base64(struct buffer *out, const void *bytes, size_t length)
{
    size_t size = sodium_base64_ENCODED_LEN(length, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    char *text = malloc(size);
    sodium_bin2base64(text, size, bytes, length, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    buffer_append_text(out, text);
    free(text);
}

static void judge_signed(const char *header, size_t header_length, const uint8_t *claims,
                         size_t claims_length)
{
    uint8_t tag[crypto_auth_hmacsha256_BYTES];
    struct buffer text = {0};
    append_base64(&text, header, header_length);
    buffer_append_byte(&text, '.');
    append_base64(&text, claims, claims_length);
    crypto_auth_hmacsha256(tag, text.data, text.length, secret);
    buffer_append_byte(&text, '.');
    append_base64(&text, tag, sizeof tag);
    (void)judge((const char *)text.data, text.length);
    buffer_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char header[] = "{\"alg\":\"HS256\",\"kid\":\"k\"}";
    (void)verifier();
    (void)judge((const char *)data, size);
    judge_signed(header, sizeof header - 1, data, size);
    judge_signed((const char *)data, size, (const uint8_t *)"{}", 2);
    struct error err;
    char *set = strndup((const char *)data, size);
    struct jwt_verifier *other = jwt_verifier_create(
        &(struct jwt_rules){
            .keys = set, .issuer = "i", .audience = "a", .tenant_claim = "t", .scope_claim = ""},
        &err);
    jwt_verifier_destroy(&other);
    free(set);
    return 0;
}
