/*
 * Tokens of an identity provider: JWS compact form (RFC 7515, 7519) against a fixed set of keys
 * (RFC 7517). Pure: no I/O, the time comes in.
 *
 * The set fixes one algorithm for each key; what the token says about algorithm and key has to
 * agree and decides nothing. Strict where the standards leave room: no padding in base64url, no
 * duplicate members, no header member that points at keys, `exp`, `sub`, `iss`, `aud` required.
 */
#ifndef SIGNALBOX_RUNTIME_JWT_H
#define SIGNALBOX_RUNTIME_JWT_H

#include "runtime/base/error.h"
#include "runtime/base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JWT_BYTES_MAX = 8192, JWT_SUBJECT_SIZE = 256, JWT_SCOPES_SIZE = 512 };

struct jwt_verifier;

/* All texts are copied. */
struct jwt_rules {
    const char *keys;   /* the JWK set, JSON */
    bool published;     /* anybody can read it: a shared secret in it is none, and left out. Nobody
                                 here wrote it: a bad key, or another of the same name, is left out */
    const char *issuer; /* `iss`, exactly */
    const char *audience;     /* `aud` is it, or an array that holds it */
    const char *tenant_claim; /* names of claims: the tenant's id ... */
    const char *scope_claim;  /* ... and the scopes: words with blanks between, or an array */
    int64_t leeway_s;         /* for `exp`, `nbf`, `iat` */
};

struct jwt_claims {
    struct uuid tenant;
    char subject[JWT_SUBJECT_SIZE];
    char scopes[JWT_SCOPES_SIZE]; /* with blanks between; empty: none */
    int64_t expires_s;            /* from then on it is refused: `exp` and the leeway */
};

/* Returns, caller destroys with jwt_verifier_destroy. NULL and err: the set or the rules are wrong. */
struct jwt_verifier *jwt_verifier_create(const struct jwt_rules *rules, struct error *err);
/* How many keys of a published set were bad, and what was wrong with the first; borrowed. */
size_t jwt_verifier_left_out(const struct jwt_verifier *verifier, const char **why_out);
void jwt_verifier_destroy(struct jwt_verifier **verifier);

/* Three parts of the right characters, and not too long: worth verifying. */
bool jwt_looks_like_one(const char *text, size_t length);
/* -1 and err, for the log: the token is not to be believed. */
SB_MUST_CHECK int jwt_verify(const struct jwt_verifier *verifier, int64_t now_s, const char *text,
                             size_t length, struct jwt_claims *claims_out, struct error *err);

/* An id for what a token opens: a version 8 UUID that says itself when it ends, because there is no
 * row that could. */
struct uuid jwt_id(const struct jwt_claims *claims);
/* Whether `id` is one, and then when it ends. */
bool jwt_id_expiry(const struct uuid *id, int64_t *expires_s_out);

#endif
