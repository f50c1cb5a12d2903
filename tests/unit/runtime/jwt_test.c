/*
 * Tokens: each algorithm is taken as it should be, and every known way around is refused. Keys are
 * made here; what is signed is written out, so that a test can bend any part of it. R172
 */
#include "runtime/base/buffer.h"
#include "runtime/jwt.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TENANT "0198f2a0-0000-7000-8000-000000000001"
enum { NOW = 1800000000 };

static struct {
    EVP_PKEY *rsa;
    EVP_PKEY *ec;
    uint8_t ed_public[crypto_sign_PUBLICKEYBYTES];
    uint8_t ed_secret[crypto_sign_SECRETKEYBYTES];
    uint8_t hmac[32];
    struct buffer set;
    struct jwt_verifier *verifier;
} lab;

/* ---- making ---- */

static void append_base64(struct buffer *out, const void *bytes, size_t length)
{
    char text[16384];
    sodium_bin2base64(text, sizeof text, bytes, length, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    buffer_append_text(out, text);
}

static void append_number(struct buffer *out, EVP_PKEY *key, const char *name, size_t size)
{
    uint8_t bytes[1024];
    BIGNUM *number = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &number), 1);
    size_t length = size > 0 ? size : (size_t)BN_num_bytes(number);
    assert_true(BN_bn2binpad(number, bytes, (int)length) > 0);
    append_base64(out, bytes, length);
    BN_free(number);
}

static void write_set(struct buffer *out)
{
    buffer_append_text(out, "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"alg\":\"RS256\",\"n\":\"");
    append_number(out, lab.rsa, OSSL_PKEY_PARAM_RSA_N, 0);
    buffer_append_text(
        out, "\",\"e\":\"AQAB\"},{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"e\",\"x\":\"");
    append_number(out, lab.ec, OSSL_PKEY_PARAM_EC_PUB_X, 32);
    buffer_append_text(out, "\",\"y\":\"");
    append_number(out, lab.ec, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
    buffer_append_text(
        out, "\"},{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"d\",\"use\":\"sig\",\"x\":\"");
    append_base64(out, lab.ed_public, sizeof lab.ed_public);
    buffer_append_text(out, "\"},{\"kty\":\"oct\",\"kid\":\"h\",\"k\":\"");
    append_base64(out, lab.hmac, sizeof lab.hmac);
    buffer_append_text(
        out, "\"},{\"kty\":\"RSA\",\"kid\":\"enc\",\"use\":\"enc\",\"n\":\"AA\",\"e\":\"AQAB\"},"
             "{\"kty\":\"EC\",\"crv\":\"P-521\",\"kid\":\"big\"}]}");
}

static struct jwt_verifier *verifier_of(const char *keys, struct error *err)
{
    return jwt_verifier_create(&(struct jwt_rules){.keys = keys,
                                                   .issuer = "https://id.example",
                                                   .audience = "signalbox",
                                                   .tenant_claim = "tenant_id",
                                                   .scope_claim = "scope",
                                                   .leeway_s = 30},
                               err);
}

static int set_up(void **state)
{
    (void)state;
    struct error err;
    assert_true(sodium_init() >= 0);
    lab.rsa = EVP_RSA_gen(2048);
    lab.ec = EVP_EC_gen("P-256");
    crypto_sign_keypair(lab.ed_public, lab.ed_secret);
    randombytes_buf(lab.hmac, sizeof lab.hmac);
    write_set(&lab.set);
    lab.verifier = verifier_of(buffer_text(&lab.set), &err);
    assert_non_null(lab.verifier);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    jwt_verifier_destroy(&lab.verifier);
    EVP_PKEY_free(lab.rsa);
    EVP_PKEY_free(lab.ec);
    buffer_deinit(&lab.set);
    return 0;
}

static size_t sign_evp(EVP_PKEY *key, const struct buffer *text, uint8_t *out, size_t size)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(context, out, &size, text->data, text->length), 1);
    EVP_MD_CTX_free(context);
    return size;
}

static size_t sign_p256(const struct buffer *text, uint8_t out[64])
{
    uint8_t der[128];
    const uint8_t *at = der;
    size_t length = sign_evp(lab.ec, text, der, sizeof der);
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)length);
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + 32, 32);
    ECDSA_SIG_free(pair);
    return 64;
}

static size_t sign_hmac(const void *key, size_t key_length, const struct buffer *text, uint8_t *out)
{
    crypto_auth_hmacsha256_state hmac;
    crypto_auth_hmacsha256_init(&hmac, key, key_length);
    crypto_auth_hmacsha256_update(&hmac, text->data, text->length);
    crypto_auth_hmacsha256_final(&hmac, out);
    return 32;
}

/* Signed by the key of the kid that is named by one letter; 0: no signature at all. */
static size_t sign(char key, const struct buffer *text, uint8_t *out, size_t size)
{
    unsigned long long length = 0;
    switch (key) {
    case 'r':
        return sign_evp(lab.rsa, text, out, size);
    case 'e':
        return sign_p256(text, out);
    case 'd':
        crypto_sign_detached(out, &length, text->data, text->length, lab.ed_secret);
        return (size_t)length;
    case 'h':
        return sign_hmac(lab.hmac, sizeof lab.hmac, text, out);
    case 'P': { /* with the public key as if it were a shared secret */
        char *pem;
        BIO *bio = BIO_new(BIO_s_mem());
        i2d_PUBKEY_bio(bio, lab.rsa);
        long pem_length = BIO_get_mem_data(bio, &pem);
        size_t signed_length = sign_hmac(pem, (size_t)pem_length, text, out);
        BIO_free(bio);
        return signed_length;
    }
    default:
        return 0;
    }
}

static char *token(const char *header, const char *claims, char key)
{
    uint8_t signature[1024];
    struct buffer text = {0};
    append_base64(&text, header, strlen(header));
    buffer_append_byte(&text, '.');
    append_base64(&text, claims, strlen(claims));
    size_t length = sign(key, &text, signature, sizeof signature);
    buffer_append_byte(&text, '.');
    append_base64(&text, signature, length);
    char *copy = strdup(buffer_text(&text));
    buffer_deinit(&text);
    return copy;
}

#define REST                                                                                       \
    "\"iss\":\"https://id.example\",\"aud\":\"signalbox\",\"sub\":\"ann\",\"tenant_id\":\"" TENANT \
    "\""
#define GOOD "{" REST ",\"exp\":1800000600,\"scope\":\"read append\"}"

static int verdict_on(const char *text, size_t length, struct jwt_claims *claims)
{
    struct error err = {0};
    int result = jwt_verify(lab.verifier, NOW, text, length, claims, &err);
    assert_true(result == 0 || err.text[0] != '\0');
    return result;
}

static int verdict(const char *header, const char *claims_text, char key)
{
    struct jwt_claims claims;
    char *text = token(header, claims_text, key);
    int result = verdict_on(text, strlen(text), &claims);
    free(text);
    return result;
}

/* ---- tests ---- */

static void test_every_algorithm_is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        char key;
    } rows[] = {{"{\"alg\":\"RS256\",\"kid\":\"r\",\"typ\":\"JWT\"}", 'r'},
                {"{\"alg\":\"ES256\",\"kid\":\"e\",\"typ\":\"at+jwt\"}", 'e'},
                {"{\"alg\":\"EdDSA\",\"kid\":\"d\"}", 'd'},
                {"{\"kid\":\"h\",\"alg\":\"HS256\",\"typ\":\"jwt\"}", 'h'}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct jwt_claims claims;
        char tenant[UUID_TEXT_SIZE];
        char *text = token(rows[i].header, GOOD, rows[i].key);
        assert_true(jwt_looks_like_one(text, strlen(text)));
        assert_int_equal(verdict_on(text, strlen(text), &claims), 0);
        uuid_format(&claims.tenant, tenant);
        assert_string_equal(tenant, TENANT);
        assert_string_equal(claims.subject, "ann");
        assert_string_equal(claims.scopes, "read append");
        assert_int_equal(claims.expires_s, 1800000630);
        free(text);
    }
}

static void test_headers_that_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        char key;
    } rows[] = {
        {"{\"alg\":\"none\",\"kid\":\"r\"}", 'r'},
        {"{\"alg\":\"none\",\"kid\":\"r\"}", 0},
        {"{\"alg\":\"None\",\"kid\":\"h\"}", 'h'},
        {"{\"alg\":\"NONE\",\"kid\":\"h\"}", 'h'},
        {"{\"alg\":\"nOnE\",\"kid\":\"h\"}", 'h'},
        {"{\"alg\":\"\",\"kid\":\"h\"}", 'h'},
        {"{\"alg\":null,\"kid\":\"h\"}", 'h'},
        {"{\"alg\":[\"HS256\"],\"kid\":\"h\"}", 'h'},
        {"{\"alg\":256,\"kid\":\"h\"}", 'h'},
        {"{\"kid\":\"h\"}", 'h'},
        {"{\"alg\":\"hs256\",\"kid\":\"h\"}", 'h'},
        {"{\"alg\":\"HS256 \",\"kid\":\"h\"}", 'h'},
        {"{\"alg\":\"HS512\",\"kid\":\"h\"}", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":\"r\"}", 'P'}, /* the public key as a secret */
        {"{\"alg\":\"HS256\",\"kid\":\"r\"}", 'r'},
        {"{\"alg\":\"RS256\",\"kid\":\"h\"}", 'h'},
        {"{\"alg\":\"RS512\",\"kid\":\"r\"}", 'r'},
        {"{\"alg\":\"PS256\",\"kid\":\"r\"}", 'r'},
        {"{\"alg\":\"ES256\",\"kid\":\"r\"}", 'e'},
        {"{\"alg\":\"EdDSA\",\"kid\":\"e\"}", 'd'},
        {"{\"alg\":\"HS256\",\"kid\":\"e\"}", 'h'},
        {"{\"alg\":\"HS256\"}", 'h'}, /* which of the keys? */
        {"{\"alg\":\"HS256\",\"kid\":\"\"}", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":7}", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":\"H\"}", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":\"../h\"}", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":\"h' or '1'='1\"}", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":\"/dev/null\"}", 'h'},
        {"{\"alg\":\"RS256\",\"kid\":\"enc\"}", 'r'},
        {"{\"alg\":\"HS256\",\"kid\":\"h\",\"jku\":\"https://evil.example/keys\"}", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":\"h\",\"x5u\":\"https://evil.example/cert\"}", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":\"h\",\"x5c\":[]}", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":\"h\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}}", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":\"h\",\"crit\":[\"exp\"],\"exp\":1}", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":\"h\",\"crit\":[]}", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":\"h\",\"b64\":false}", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":\"h\",\"zip\":\"DEF\"}", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":\"h\",\"enc\":\"A128GCM\"}", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":\"h\",\"cty\":\"JWT\"}", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":\"h\",\"typ\":\"JOSE\"}", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":\"h\",\"typ\":1}", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":\"h\",\"alg\":\"HS256\"}", 'h'}, /* twice */
        {"{\"alg\":\"HS256\",\"kid\":\"r\",\"kid\":\"h\"}", 'h'},
        {"[\"HS256\"]", 'h'},
        {"{\"alg\":\"HS256\",\"kid\":\"h\"} x", 'h'},
        {"{alg:\"HS256\",\"kid\":\"h\"}", 'h'},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (verdict(rows[i].header, GOOD, rows[i].key) == 0) {
            fail_msg("taken: %s", rows[i].header);
        }
    }
}

#define HS "{\"alg\":\"HS256\",\"kid\":\"h\"}"

static void test_claims_that_are_refused(void **state)
{
    (void)state;
#define IN(text) "{" REST "," text "}"
    static const char *const rows[] = {
        "{" REST "}", /* no exp */
        IN("\"exp\":\"1800000600\""),
        IN("\"exp\":1800000600.5"),
        IN("\"exp\":1.8e9"),
        IN("\"exp\":null"),
        IN("\"exp\":true"),
        IN("\"exp\":[1800000600]"),
        IN("\"exp\":0"),
        IN("\"exp\":-1"),
        IN("\"exp\":9223372036854775807"),
        IN("\"exp\":9223372036854775808"),
        IN("\"exp\":1e400"),
        IN("\"exp\":1799999970"), /* the leeway has just passed */
        IN("\"exp\":1000000000"),
        IN("\"exp\":1800000600,\"exp\":1800000600"),
        IN("\"exp\":1800000600,\"nbf\":1800000031"),
        IN("\"exp\":1800000600,\"nbf\":\"1\""),
        IN("\"exp\":1800000600,\"nbf\":1.5"),
        IN("\"exp\":1800000600,\"iat\":1800000031"),
        IN("\"exp\":1800000600,\"iat\":{}"),
        IN("\"exp\":1800000600,\"scope\":7"),
        IN("\"exp\":1800000600,\"scope\":[\"read\",7]"),
        IN("\"exp\":1800000600,\"iss\":\"https://id.example\""), /* twice */
        "{\"aud\":\"signalbox\",\"sub\":\"a\",\"tenant_id\":\"" TENANT "\",\"exp\":1800000600}",
        "{\"iss\":\"https://id.example/"
        "\",\"aud\":\"signalbox\",\"sub\":\"a\",\"tenant_id\":\"" TENANT "\",\"exp\":1800000600}",
        "{\"iss\":\"HTTPS://"
        "id.example\",\"aud\":\"signalbox\",\"sub\":\"a\",\"tenant_id\":\"" TENANT
        "\",\"exp\":1800000600}",
        "{\"iss\":\"https://id.example\",\"sub\":\"a\",\"tenant_id\":\"" TENANT
        "\",\"exp\":1800000600}",
        "{\"iss\":\"https://id.example\",\"aud\":\"other\",\"sub\":\"a\",\"tenant_id\":\"" TENANT
        "\",\"exp\":1800000600}",
        "{\"iss\":\"https://id.example\",\"aud\":[],\"sub\":\"a\",\"tenant_id\":\"" TENANT
        "\",\"exp\":1800000600}",
        "{\"iss\":\"https://"
        "id.example\",\"aud\":[\"signalbox\",1],\"sub\":\"a\",\"tenant_id\":\"" TENANT
        "\",\"exp\":1800000600}",
        "{\"iss\":\"https://"
        "id.example\",\"aud\":{\"signalbox\":1},\"sub\":\"a\",\"tenant_id\":\"" TENANT
        "\",\"exp\":1800000600}",
        "{\"iss\":\"https://"
        "id.example\",\"aud\":\"signalbox\\u0000\",\"sub\":\"a\",\"tenant_id\":\"" TENANT
        "\",\"exp\":1800000600}",
        "{\"iss\":\"https://id.example\",\"aud\":\"signalbox\",\"tenant_id\":\"" TENANT
        "\",\"exp\":1800000600}",
        "{\"iss\":\"https://id.example\",\"aud\":\"signalbox\",\"sub\":\"\",\"tenant_id\":\"" TENANT
        "\",\"exp\":1800000600}",
        "{\"iss\":\"https://id.example\",\"aud\":\"signalbox\",\"sub\":7,\"tenant_id\":\"" TENANT
        "\",\"exp\":1800000600}",
        "{\"iss\":\"https://"
        "id.example\",\"aud\":\"signalbox\",\"sub\":\"a\\nb\",\"tenant_id\":\"" TENANT
        "\",\"exp\":1800000600}",
        "{\"iss\":\"https://id.example\",\"aud\":\"signalbox\",\"sub\":\"a\",\"exp\":1800000600}",
        "{\"iss\":\"https://"
        "id.example\",\"aud\":\"signalbox\",\"sub\":\"a\",\"tenant_id\":\"x\",\"exp\":1800000600}",
        "{\"iss\":\"https://"
        "id.example\",\"aud\":\"signalbox\",\"sub\":\"a\",\"tenant_id\":[\"" TENANT
        "\"],\"exp\":1800000600}",
        "[]",
        "null",
        "{}",
        "",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (verdict(HS, rows[i], 'h') == 0) {
            fail_msg("taken: %s", rows[i]);
        }
    }
}

static void test_claims_at_the_edge_are_taken(void **state)
{
    (void)state;
    static const char *const rows[] = {
        IN("\"exp\":1799999971"), /* within the leeway */
        IN("\"exp\":1800000600,\"nbf\":1800000030,\"iat\":1800000030"),
        IN("\"exp\":1800000600,\"scope\":[\"read\",\"append\"]"),
        IN("\"exp\":1800000600,\"other\":{\"deep\":[1,2,3]}"),
        "{\"iss\":\"https://"
        "id.example\",\"aud\":[\"x\",\"signalbox\"],\"sub\":\"a\",\"tenant_id\":\"" TENANT
        "\",\"exp\":1800000600}",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (verdict(HS, rows[i], 'h') != 0) {
            fail_msg("refused: %s", rows[i]);
        }
    }
}

/* Every change of one character of a good token makes it a bad one: no spare bits, no slack. */
static void test_no_character_may_change(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        char key;
    } rows[] = {{HS, 'h'},
                {"{\"alg\":\"ES256\",\"kid\":\"e\"}", 'e'},
                {"{\"alg\":\"EdDSA\",\"kid\":\"d\"}", 'd'}};
    struct jwt_claims claims;
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        char *text = token(rows[row].header, GOOD, rows[row].key);
        size_t length = strlen(text);
        for (size_t i = 0; i < length; i++) {
            char kept = text[i];
            for (const char *other = "AQgwB-_.=+/ "; *other != '\0'; other++) {
                text[i] = *other;
                if (*other != kept && verdict_on(text, length, &claims) == 0) {
                    fail_msg("taken with %c at %zu: %s", *other, i, text);
                }
            }
            text[i] = kept;
        }
        assert_int_equal(verdict_on(text, length, &claims), 0);
        free(text);
    }
}

static void test_forms_that_are_refused(void **state)
{
    (void)state;
    struct jwt_claims claims;
    char *good = token(HS, GOOD, 'h');
    size_t length = strlen(good);
    char *text = malloc(length + 8);
    for (size_t cut = 0; cut < length; cut++) { /* every beginning of it */
        assert_int_not_equal(verdict_on(good, cut, &claims), 0);
    }
    static const char *const behind[] = {"=", "==", ".", "A", " ", ".AAAA", "\n"};
    for (size_t i = 0; i < sizeof behind / sizeof *behind; i++) {
        snprintf(text, length + 8, "%s%s", good, behind[i]);
        assert_int_not_equal(verdict_on(text, strlen(text), &claims), 0);
    }
    static const char *const whole[] = {"",       ".",     "..",       "...",       "a.b.c",
                                        "eyJ9..", ".e30.", "e30.e30.", "e30.e30.AA"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        assert_int_not_equal(verdict_on(whole[i], strlen(whole[i]), &claims), 0);
    }
    free(text);
    free(good);
}

/* Tokens above the bound are refused whatever is in them; just below it they are read. */
static void test_the_length_is_bounded(void **state)
{
    (void)state;
    for (size_t filler = 5000; filler <= 64000; filler *= 2) {
        struct buffer claims_text = {0};
        struct jwt_claims claims;
        buffer_append_text(&claims_text, "{" REST ",\"exp\":1800000600,\"pad\":\"");
        for (size_t i = 0; i < filler && i < 11000; i++) {
            buffer_append_byte(&claims_text, 'x');
        }
        buffer_append_text(&claims_text, "\"}");
        char *text = token(HS, buffer_text(&claims_text), 'h');
        bool fits = strlen(text) <= JWT_BYTES_MAX;
        assert_int_equal(verdict_on(text, strlen(text), &claims) == 0, fits);
        assert_int_equal(jwt_looks_like_one(text, strlen(text)), fits);
        free(text);
        buffer_deinit(&claims_text);
    }
}

/* r and s must lie in 1 .. n-1; DER is another form. */
static void test_signatures_of_ecdsa(void **state)
{
    (void)state;
    static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
                                      0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    struct jwt_claims claims;
    struct buffer text = {0};
    uint8_t good[64];
    uint8_t bad[6][64] = {{0}};
    append_base64(&text, "{\"alg\":\"ES256\",\"kid\":\"e\"}", 25);
    buffer_append_byte(&text, '.');
    append_base64(&text, GOOD, strlen(GOOD));
    size_t signed_length = text.length;
    (void)sign_p256(&text, good);
    for (size_t i = 0; i < 6; i++) {
        memcpy(bad[i], good, sizeof good);
    }
    memset(bad[0], 0, 64);
    memset(bad[1], 0, 32);
    memset(bad[2] + 32, 0, 32);
    memcpy(bad[3], order, 32);
    memcpy(bad[4] + 32, order, 32);
    memset(bad[5], 0xff, 64);
    for (size_t i = 0; i < 6; i++) {
        text.length = signed_length;
        buffer_append_byte(&text, '.');
        append_base64(&text, bad[i], 64);
        assert_int_not_equal(verdict_on((char *)text.data, text.length, &claims), 0);
    }
    uint8_t der[128];
    text.length = signed_length;
    size_t der_length = sign_evp(lab.ec, &text, der, sizeof der);
    buffer_append_byte(&text, '.');
    append_base64(&text, der, der_length);
    assert_int_not_equal(verdict_on((char *)text.data, text.length, &claims), 0);
    buffer_deinit(&text);
}

static void test_sets_that_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "[]",
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":[]}",
        "{\"keys\":[7]}",
        "{\"keys\":[{}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"c2hvcnQ\"}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\"}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"kid\":7,\"k\":"
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"RS256\",\"k\":"
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\",\"x\":"
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
        "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}", /* not on the curve */
        "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"AAAA\"}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":"
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"},"
        "{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]"
        "}", /* one id for two */
        "{\"keys\":[],\"keys\":[]}",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err = {0};
        if (verifier_of(rows[i], &err) != NULL) {
            fail_msg("taken: %s", rows[i]);
        }
        assert_true(err.text[0] != '\0');
    }
}

static void test_one_key_needs_no_name(void **state)
{
    (void)state;
    struct error err;
    struct jwt_claims claims;
    struct buffer set = {0};
    buffer_append_text(&set, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"");
    append_base64(&set, lab.hmac, sizeof lab.hmac);
    buffer_append_text(&set, "\"}]}");
    struct jwt_verifier *verifier = verifier_of(buffer_text(&set), &err);
    char *text = token("{\"alg\":\"HS256\"}", GOOD, 'h');
    assert_non_null(verifier);
    assert_int_equal(jwt_verify(verifier, NOW, text, strlen(text), &claims, &err), 0);
    free(text);
    jwt_verifier_destroy(&verifier);
    buffer_deinit(&set);
}

/* Whoever can fetch a set could sign with the secrets in it. */
static void test_secrets_of_a_published_set_are_none(void **state)
{
    (void)state;
    static const char alone[] = "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"h\",\"k\":"
                                "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}]}";
    struct error err;
    struct jwt_claims claims;
    struct jwt_rules rules = {.keys = buffer_text(&lab.set),
                              .published = true,
                              .issuer = "https://id.example",
                              .audience = "signalbox",
                              .tenant_claim = "tenant_id",
                              .scope_claim = "scope"};
    struct jwt_verifier *verifier = jwt_verifier_create(&rules, &err);
    assert_non_null(verifier);
    char *secret = token("{\"alg\":\"HS256\",\"kid\":\"h\"}", GOOD, 'h');
    char *pair = token("{\"alg\":\"RS256\",\"kid\":\"r\"}", GOOD, 'r');
    assert_int_equal(jwt_verify(lab.verifier, NOW, secret, strlen(secret), &claims, &err), 0);
    assert_int_equal(jwt_verify(verifier, NOW, secret, strlen(secret), &claims, &err), -1);
    assert_int_equal(jwt_verify(verifier, NOW, pair, strlen(pair), &claims, &err), 0);
    free(secret);
    free(pair);
    jwt_verifier_destroy(&verifier);
    rules.keys = alone;
    assert_null(jwt_verifier_create(&rules, &err));
    rules.published = false;
    verifier = jwt_verifier_create(&rules, &err);
    assert_non_null(verifier);
    jwt_verifier_destroy(&verifier);
}

/* The provider's mistake with one key costs that key. */
static void test_bad_keys_of_a_published_set_are_left_out(void **state)
{
    (void)state;
    struct error err;
    struct jwt_claims claims;
    struct buffer set = {0};
    const char *good = strchr(buffer_text(&lab.set), '[') + 1;
    buffer_printf(&set,
                  "{\"keys\":[7,{\"kty\":\"RSA\",\"kid\":\"weak\",\"n\":\"AQAB\","
                  "\"e\":\"AQAB\"},%.*s,{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
                  "\"kid\":\"r\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}",
                  (int)(strrchr(good, ']') - good), good);
    struct jwt_rules rules = {.keys = buffer_text(&set),
                              .published = true,
                              .issuer = "https://id.example",
                              .audience = "signalbox",
                              .tenant_claim = "tenant_id",
                              .scope_claim = "scope"};
    struct jwt_verifier *verifier = jwt_verifier_create(&rules, &err);
    const char *why;
    assert_non_null(verifier);
    assert_int_equal(jwt_verifier_left_out(verifier, &why), 3);
    assert_non_null(strstr(why, "not an object"));
    char *text = token("{\"alg\":\"RS256\",\"kid\":\"r\"}", GOOD, 'r');
    assert_int_equal(jwt_verify(verifier, NOW, text, strlen(text), &claims, &err), 0);
    free(text);
    jwt_verifier_destroy(&verifier);
    rules.published = false; /* our own file: better said than passed over */
    assert_null(jwt_verifier_create(&rules, &err));
    buffer_deinit(&set);
}

static void test_rules_must_be_whole(void **state)
{
    (void)state;
    struct error err;
    struct jwt_rules rules = {.keys = buffer_text(&lab.set),
                              .issuer = "a",
                              .audience = "",
                              .tenant_claim = "t",
                              .scope_claim = ""};
    assert_null(jwt_verifier_create(&rules, &err));
    rules.audience = "b";
    rules.issuer = "";
    assert_null(jwt_verifier_create(&rules, &err));
}

static void test_ids_say_when_they_end(void **state)
{
    (void)state;
    struct jwt_claims claims = {.subject = "ann", .expires_s = 1800000630};
    struct uuid id = jwt_id(&claims);
    struct uuid key = uuid_new();
    int64_t expires_s = 0;
    assert_true(jwt_id_expiry(&id, &expires_s));
    assert_int_equal(expires_s, 1800000630);
    assert_false(jwt_id_expiry(&key, &expires_s));
    claims.subject[0] = 'b';
    struct uuid other = jwt_id(&claims);
    assert_false(uuid_equal(&id, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_algorithm_is_taken),
        cmocka_unit_test(test_headers_that_are_refused),
        cmocka_unit_test(test_claims_that_are_refused),
        cmocka_unit_test(test_claims_at_the_edge_are_taken),
        cmocka_unit_test(test_no_character_may_change),
        cmocka_unit_test(test_forms_that_are_refused),
        cmocka_unit_test(test_the_length_is_bounded),
        cmocka_unit_test(test_signatures_of_ecdsa),
        cmocka_unit_test(test_sets_that_are_refused),
        cmocka_unit_test(test_one_key_needs_no_name),
        cmocka_unit_test(test_secrets_of_a_published_set_are_none),
        cmocka_unit_test(test_bad_keys_of_a_published_set_are_left_out),
        cmocka_unit_test(test_rules_must_be_whole),
        cmocka_unit_test(test_ids_say_when_they_end),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
