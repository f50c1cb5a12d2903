/*
 * Who sends a request: api keys, looked up by their public part, compared in constant time and
 * believed for auth.cache_ms, so that a revocation takes effect within that time and a busy key
 * costs no query.
 */
#ifndef SIGNALBOX_API_AUTH_H
#define SIGNALBOX_API_AUTH_H

#include "runtime/api_key.h"
#include "runtime/base/uuid.h"
#include "runtime/http_server.h"

struct auth;
struct api_key_pepper;
struct store;

struct principal {
    struct uuid tenant;
    struct uuid key;
    unsigned scopes; /* enum scope, or-ed */
    char public_id[API_KEY_PUBLIC_ID_SIZE];
};

enum auth_verdict {
    AUTH_OK,
    AUTH_REFUSED,     /* no key, or not a valid one: 401 */
    AUTH_BUSY,        /* too many keys are being looked up: 503 */
    AUTH_UNAVAILABLE, /* the key cannot be looked up now: 503 */
    AUTH_WAIT         /* `done` will be told one of the others */
};

/* `who` is borrowed for the call; NULL unless AUTH_OK. */
typedef void auth_done_fn(void *arg, enum auth_verdict verdict, const struct principal *who);

/* Borrows `store`. Returns, caller destroys with auth_destroy, after the store: who still waits is
 * told AUTH_UNAVAILABLE when the store goes. */
struct auth *auth_create(struct store *store, const struct api_key_pepper *pepper,
                         int64_t cache_ms);
void auth_destroy(struct auth **auth);

/* Whether an Authorization field could be one of ours at all; puts the key's text into key_out. */
SB_MUST_CHECK bool auth_bearer(struct http_text authorization, struct http_text *key_out);

/* `key` as found by auth_bearer. */
enum auth_verdict auth_check(struct auth *auth, struct http_text key, struct principal *who_out,
                             auth_done_fn *done, void *arg);

#endif
