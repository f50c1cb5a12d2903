/*
 * Who sends a request: api keys, tokens of an identity provider (JWT), browser sessions.
 *
 * Keys are looked up by their public part, compared in constant time and believed for
 * auth.cache_ms, so that a revocation takes effect within that time and a busy key costs no query.
 * Tokens are verified and believed for as long. Sessions are looked up every time: after a logout
 * the next request is refused by every api process.
 */
#ifndef SIGNALBOX_API_AUTH_H
#define SIGNALBOX_API_AUTH_H

#include "runtime/api_key.h"
#include "runtime/base/settings.h"
#include "runtime/base/uuid.h"
#include "runtime/http_server.h"

struct auth;
struct api_key_pepper;
struct store;

enum auth_kind { AUTH_KEY, AUTH_TOKEN, AUTH_SESSION };
enum {
    AUTH_KINDS = 3,
    AUTH_USER_SIZE = 256,
    AUTH_ACTOR_SIZE = 256, /* as an id in an event may be long */
    AUTH_NAME_SIZE = AUTH_ACTOR_SIZE - 8,
    AUTH_NAME_HASH_BYTES = 16
};

struct principal {
    enum auth_kind kind;
    struct uuid tenant;
    struct uuid key; /* of the key or the session; of a token, see jwt_id() */
    unsigned scopes; /* enum scope, or-ed */
    char public_id[API_KEY_PUBLIC_ID_SIZE];
    char user[AUTH_USER_SIZE]; /* whom it speaks for */
    char actor[AUTH_ACTOR_SIZE]; /* for logs of events and audit: "key:…", "session:…", "user:…" */
    int64_t expires_us;          /* real time; INT64_MAX: never */
};

enum auth_verdict {
    AUTH_OK,
    AUTH_REFUSED,     /* no key, or not a valid one: 401 */
    AUTH_BUSY,        /* too many keys are being looked up: 503 */
    AUTH_UNAVAILABLE, /* the key cannot be looked up now: 503 */
    AUTH_WAIT         /* `done` will be told one of the others */
};

/* What a request came with; the text is borrowed from it. */
struct auth_credential {
    enum auth_kind kind;
    struct http_text text;
    char public_id[API_KEY_PUBLIC_ID_SIZE]; /* under which it is remembered */
    uint8_t hash[API_KEY_HASH_BYTES];
};

/* `who` is borrowed for the call; NULL unless AUTH_OK. */
typedef void auth_done_fn(void *arg, enum auth_verdict verdict, const struct principal *who);

/* Borrows `store`. Returns, caller destroys with auth_destroy, after the store: who still waits is
 * told AUTH_UNAVAILABLE when the store goes. NULL and err: settings on tokens are wrong. */
struct auth *auth_create(struct store *store, const struct api_key_pepper *pepper,
                         const struct settings *settings, struct error *err);
void auth_destroy(struct auth **auth);
/* New keys for tokens: a key set that was fetched (borrowed), or with NULL the one of the settings.
 * -1 and err: the old ones stay. */
SB_MUST_CHECK int auth_reload(struct auth *auth, const struct settings *settings,
                              const char *fetched, struct error *err);

/* Whether an Authorization field could be a key or a token at all; costs no cryptography. */
SB_MUST_CHECK bool auth_bearer(const struct auth *auth, struct http_text authorization,
                               struct auth_credential *credential_out);
/* A session's secret as it stands in the cookie. */
SB_MUST_CHECK bool auth_cookie(struct http_text secret, struct auth_credential *credential_out);

enum auth_verdict auth_check(struct auth *auth, struct auth_credential *credential,
                             struct principal *who_out, auth_done_fn *done, void *arg);

/* A new key or session secret and what is stored of it. The caller wipes `text_out`. */
void auth_make_secret(const struct auth *auth, enum api_key_kind kind,
                      char text_out[API_KEY_TEXT_SIZE], char public_id_out[API_KEY_PUBLIC_ID_SIZE],
                      uint8_t hash_out[API_KEY_HASH_BYTES]);
/* What a state-changing request of this session must repeat in X-CSRF-Token: a tag on the session,
 * so that the token of another one is worth nothing. */
enum { AUTH_CSRF_SIZE = 65 };
void auth_csrf_token(const struct auth *auth, const char *session_public_id,
                     char text_out[AUTH_CSRF_SIZE]);

#endif
