/* See jwt.h. */
#include "runtime/jwt.h"

#include "runtime/base/memory.h"
#include "runtime/jwt_key.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { KEYS_MAX = 64, KEYS_BYTES_MAX = 256 << 10, SIGNATURE_BYTES_MAX = 1024 };
static const int64_t LAST_S = 253402300799; /* the end of the year 9999 */
static const struct json_limits limits = {.depth = 16, .keys = 1000};

struct jwt_verifier {
    struct jwt_key *keys[KEYS_MAX];
    size_t count;
    char *issuer;
    char *audience;
    char *tenant_claim;
    char *scope_claim;
    int64_t leeway_s;
    size_t left_out;
    struct error why; /* the first of them was left out */
};

/* ---- the set ---- */

static int add_key(struct jwt_verifier *verifier, const json_t *jwk, bool published,
                   struct error *err)
{
    struct jwt_key *key = NULL;
    const char *kind = json_string_value(json_object_get(jwk, "kty"));
    if (published && kind != NULL && strcmp(kind, "oct") == 0) {
        return 0;
    }
    switch (jwt_key_create(jwk, &key, err)) {
    case JWT_KEY_NOT_OURS:
        return 0;
    case JWT_KEY_BAD:
        return -1;
    case JWT_KEY_OK:
        break;
    }
    bool room = verifier->count < KEYS_MAX;
    bool twice = false;
    for (size_t i = 0; i < verifier->count; i++) {
        twice = twice || strcmp(jwt_key_id(verifier->keys[i]), jwt_key_id(key)) == 0;
    }
    if (!room || twice) {
        error_set(err, twice ? "two keys have the same kid, or none" : "there are too many keys");
        jwt_key_destroy(&key);
        return -1;
    }
    verifier->keys[verifier->count++] = key;
    return 0;
}

static int read_keys(struct jwt_verifier *verifier, const struct jwt_rules *rules,
                     struct error *err)
{
    const char *text = rules->keys;
    json_t *set = NULL;
    const json_t *jwk;
    size_t index;
    int result = 0;
    if (strlen(text) > KEYS_BYTES_MAX ||
        json_check(text, strlen(text), &limits, &set, err) != JSON_OK) {
        return error_set(err, "the set of keys is not JSON, or too large");
    }
    const json_t *keys = json_object_get(set, "keys");
    if (!json_is_array(keys)) {
        result = error_set(err, "the set of keys has no array \"keys\"");
    }
    json_array_foreach(keys, index, jwk)
    {
        if (result != 0) {
            break;
        }
        result = add_key(verifier, jwk, rules->published, err);
        if (result != 0 && rules->published) {
            result = 0;
            verifier->why = verifier->left_out++ == 0 ? *err : verifier->why;
        }
    }
    if (result == 0 && verifier->count == 0) {
        result = error_set(err, "the set holds no key that could be used");
    }
    json_decref(set);
    return result;
}

struct jwt_verifier *jwt_verifier_create(const struct jwt_rules *rules, struct error *err)
{
    if (rules->issuer[0] == '\0' || rules->audience[0] == '\0' || rules->tenant_claim[0] == '\0') {
        error_set(err, "tokens need an issuer, an audience and the name of the tenant's claim");
        return NULL;
    }
    struct jwt_verifier *verifier = memory_new(sizeof *verifier);
    verifier->issuer = memory_string(rules->issuer);
    verifier->audience = memory_string(rules->audience);
    verifier->tenant_claim = memory_string(rules->tenant_claim);
    verifier->scope_claim = memory_string(rules->scope_claim);
    verifier->leeway_s = rules->leeway_s;
    if (read_keys(verifier, rules, err) != 0) {
        jwt_verifier_destroy(&verifier);
    }
    return verifier;
}

size_t jwt_verifier_left_out(const struct jwt_verifier *verifier, const char **why_out)
{
    *why_out = verifier->why.text;
    return verifier->left_out;
}

void jwt_verifier_destroy(struct jwt_verifier **verifier)
{
    if (*verifier == NULL) {
        return;
    }
    for (size_t i = 0; i < (*verifier)->count; i++) {
        jwt_key_destroy(&(*verifier)->keys[i]);
    }
    free((*verifier)->issuer);
    free((*verifier)->audience);
    free((*verifier)->tenant_claim);
    free((*verifier)->scope_claim);
    free(*verifier);
    *verifier = NULL;
}

/* ---- the parts ---- */

struct part {
    const char *data;
    size_t length;
};

static int split(const char *text, size_t length, struct part parts[3])
{
    size_t count = 0;
    size_t from = 0;
    for (size_t at = 0; at <= length; at++) {
        if (at < length && text[at] != '.') {
            continue;
        }
        if (count == 3 || at == from) {
            return -1;
        }
        parts[count++] = (struct part){text + from, at - from};
        from = at + 1;
    }
    return count == 3 ? 0 : -1;
}

bool jwt_looks_like_one(const char *text, size_t length)
{
    struct part parts[3];
    return length <= JWT_BYTES_MAX && split(text, length, parts) == 0;
}

/* The JSON object in a part; NULL and err. */
static json_t *read_part(struct part part, const char *what, struct error *err)
{
    uint8_t bytes[JWT_BYTES_MAX];
    size_t length;
    json_t *value = NULL;
    struct error why;
    if (jwt_base64(part.data, part.length, bytes, sizeof bytes, &length) != 0 ||
        json_check((const char *)bytes, length, &limits, &value, &why) != JSON_OK ||
        !json_is_object(value)) {
        error_set(err, "the %s is not a strict JSON object in base64url", what);
        json_decref(value);
        return NULL;
    }
    return value;
}

/* ---- the header ---- */

static const struct jwt_key *find_key(const struct jwt_verifier *verifier, const json_t *kid)
{
    if (kid == NULL) {
        return verifier->count == 1 ? verifier->keys[0] : NULL;
    }
    for (size_t i = 0; json_is_string(kid) && i < verifier->count; i++) {
        if (strcmp(jwt_key_id(verifier->keys[i]), json_string_value(kid)) == 0) {
            return verifier->keys[i];
        }
    }
    return NULL;
}

/* Members that say where keys are, or that something else has to be understood. */
static int check_header(const json_t *header, struct error *err)
{
    static const char *const refused[] = {"jku", "jwk", "x5u",      "x5c", "crit", "b64",
                                          "zip", "enc", "x5t#S256", "cty", "epk"};
    const json_t *typ = json_object_get(header, "typ");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (json_object_get(header, refused[i]) != NULL) {
            return error_set(err, "the header has a member %s", refused[i]);
        }
    }
    if (typ != NULL &&
        (!json_is_string(typ) || (strcasecmp(json_string_value(typ), "JWT") != 0 &&
                                  strcasecmp(json_string_value(typ), "at+jwt") != 0))) {
        return error_set(err, "the header's typ is not JWT");
    }
    return 0;
}

static int check_signature(const struct jwt_verifier *verifier, const json_t *header,
                           const struct part parts[3], struct error *err)
{
    uint8_t signature[SIGNATURE_BYTES_MAX];
    size_t signature_length;
    const struct jwt_key *key = find_key(verifier, json_object_get(header, "kid"));
    const char *alg = json_string_value(json_object_get(header, "alg"));
    if (key == NULL) {
        return error_set(err, "its key is not in the set");
    }
    if (alg == NULL || strcmp(alg, jwt_key_algorithm(key)) != 0) {
        return error_set(err, "its algorithm is not that of the key");
    }
    size_t signed_length = parts[0].length + 1 + parts[1].length;
    if (jwt_base64(parts[2].data, parts[2].length, signature, sizeof signature,
                   &signature_length) != 0 ||
        !jwt_key_verify(key, parts[0].data, signed_length, signature, signature_length)) {
        return error_set(err, "the signature is wrong");
    }
    return 0;
}

/* ---- the claims ---- */

static bool is_text(const json_t *value, const char *want)
{
    return json_is_string(value) && json_string_length(value) == strlen(want) &&
           strcmp(json_string_value(value), want) == 0;
}

static bool names(const json_t *audience, const char *want)
{
    const json_t *one;
    size_t index;
    bool found = is_text(audience, want);
    json_array_foreach(audience, index, one)
    {
        if (!json_is_string(one)) {
            return false;
        }
        found = found || is_text(one, want);
    }
    return found;
}

/* Whole seconds; absent is fine unless `required`. */
static int read_time(const json_t *claims, const char *name, bool required, int64_t *out)
{
    const json_t *value = json_object_get(claims, name);
    if (value == NULL) {
        return required ? -1 : 0;
    }
    *out = json_integer_value(value);
    return json_is_integer(value) && *out > 0 && *out <= LAST_S ? 0 : -1;
}

static int check_times(const struct jwt_verifier *verifier, const json_t *claims, int64_t now_s,
                       int64_t *expires_s_out, struct error *err)
{
    int64_t expires_s = 0;
    int64_t not_before_s = 0;
    int64_t issued_s = 0;
    if (read_time(claims, "exp", true, &expires_s) != 0 ||
        read_time(claims, "nbf", false, &not_before_s) != 0 ||
        read_time(claims, "iat", false, &issued_s) != 0) {
        return error_set(err, "exp, nbf or iat is not a time in whole seconds");
    }
    if (now_s >= expires_s + verifier->leeway_s) {
        return error_set(err, "it has expired");
    }
    if (now_s + verifier->leeway_s < not_before_s || now_s + verifier->leeway_s < issued_s) {
        return error_set(err, "it is not valid yet");
    }
    *expires_s_out = expires_s + verifier->leeway_s;
    return 0;
}

static bool is_printable(const json_t *value, size_t length_max)
{
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    bool good = text != NULL && length > 0 && length <= length_max;
    for (size_t i = 0; good && i < length; i++) {
        good = (unsigned char)text[i] >= 0x20 && text[i] != 0x7f;
    }
    return good;
}

static int append_scope(char *scopes, const json_t *word)
{
    size_t used = strlen(scopes);
    size_t length = json_string_length(word);
    if (!json_is_string(word) || used + length + 2 > JWT_SCOPES_SIZE) {
        return -1;
    }
    if (used > 0) {
        scopes[used++] = ' ';
    }
    memcpy(scopes + used, json_string_value(word), length + 1);
    return 0;
}

/* Words in a text, or an array of words. */
static int read_scopes(const json_t *value, char scopes_out[JWT_SCOPES_SIZE])
{
    const json_t *word;
    size_t index;
    int result = 0;
    scopes_out[0] = '\0';
    if (json_is_array(value)) {
        json_array_foreach(value, index, word)
        {
            result = result == 0 ? append_scope(scopes_out, word) : result;
        }
        return result;
    }
    return value == NULL ? 0 : append_scope(scopes_out, value);
}

static int read_claims(const struct jwt_verifier *verifier, const json_t *claims, int64_t now_s,
                       struct jwt_claims *out, struct error *err)
{
    const json_t *subject = json_object_get(claims, "sub");
    const json_t *tenant = json_object_get(claims, verifier->tenant_claim);
    const json_t *scopes =
        verifier->scope_claim[0] == '\0' ? NULL : json_object_get(claims, verifier->scope_claim);
    if (!is_text(json_object_get(claims, "iss"), verifier->issuer) ||
        !names(json_object_get(claims, "aud"), verifier->audience)) {
        return error_set(err, "issuer or audience is another");
    }
    if (check_times(verifier, claims, now_s, &out->expires_s, err) != 0) {
        return -1;
    }
    if (!is_printable(subject, JWT_SUBJECT_SIZE - 1)) {
        return error_set(err, "sub is missing, too long or not printable");
    }
    if (!json_is_string(tenant) ||
        uuid_parse(json_string_value(tenant), json_string_length(tenant), &out->tenant) != 0) {
        return error_set(err, "the claim of the tenant is not an id");
    }
    if (read_scopes(scopes, out->scopes) != 0) {
        return error_set(err, "the claim of the scopes is not text");
    }
    memcpy(out->subject, json_string_value(subject), json_string_length(subject) + 1);
    return 0;
}

/* The signature first: nothing of the claims is looked at before. */
int jwt_verify(const struct jwt_verifier *verifier, int64_t now_s, const char *text, size_t length,
               struct jwt_claims *claims_out, struct error *err)
{
    struct part parts[3];
    struct jwt_claims found = {0};
    if (length > JWT_BYTES_MAX || split(text, length, parts) != 0) {
        return error_set(err, "it is not three parts, or too long");
    }
    json_t *header = read_part(parts[0], "header", err);
    json_t *claims = NULL;
    int result = header == NULL || check_header(header, err) != 0 ||
                         check_signature(verifier, header, parts, err) != 0
                     ? -1
                     : 0;
    if (result == 0) {
        claims = read_part(parts[1], "payload", err);
        result = claims == NULL ? -1 : read_claims(verifier, claims, now_s, &found, err);
    }
    if (result == 0) {
        *claims_out = found;
    }
    json_decref(header);
    json_decref(claims);
    return result;
}

/* ---- ids ---- */

enum { TIME_BYTES = 6, VERSION = 8 };

struct uuid jwt_id(const struct jwt_claims *claims)
{
    struct uuid id;
    crypto_generichash_state state;
    (void)crypto_generichash_init(&state, NULL, 0, sizeof id.bytes);
    (void)crypto_generichash_update(&state, claims->tenant.bytes, sizeof claims->tenant.bytes);
    (void)crypto_generichash_update(&state, (const uint8_t *)claims->subject,
                                    strlen(claims->subject));
    (void)crypto_generichash_final(&state, id.bytes, sizeof id.bytes);
    for (size_t i = 0; i < TIME_BYTES; i++) {
        id.bytes[i] = (uint8_t)(claims->expires_s >> (8 * (TIME_BYTES - 1 - i)));
    }
    id.bytes[6] = (uint8_t)(VERSION << 4 | (id.bytes[6] & 0x0f));
    id.bytes[8] = (uint8_t)(0x80 | (id.bytes[8] & 0x3f));
    return id;
}

bool jwt_id_expiry(const struct uuid *id, int64_t *expires_s_out)
{
    int64_t expires_s = 0;
    for (size_t i = 0; i < TIME_BYTES; i++) {
        expires_s = expires_s << 8 | id->bytes[i];
    }
    *expires_s_out = expires_s;
    return id->bytes[6] >> 4 == VERSION;
}
