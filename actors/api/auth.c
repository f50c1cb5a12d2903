/* See auth.h. What is known of keys is in key_cache.h; here are lookups and judgements. */
#include "api/auth.h"

#include "api/key_cache.h"
#include "api/scope.h"
#include "api/store_identity.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/jwt.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LOOKUPS_MAX = 256, WAITERS_MAX = 4096, CSRF_BYTES = (AUTH_CSRF_SIZE - 1) / 2 };

struct auth {
    struct store *store; /* borrowed */
    struct api_key_pepper pepper;
    uint8_t csrf_key[crypto_generichash_KEYBYTES];
    struct key_cache caches[AUTH_KINDS]; /* apart, so that no id of one kind hides another's */
    struct jwt_verifier *tokens;         /* NULL: none are taken */
    int64_t tokens_from_ms;              /* what older keys have vouched for is not believed */
    int64_t cache_ms;
    size_t lookups; /* under way */
    size_t waiters;
};

/* A request that waits for a lookup. */
struct waiter {
    struct list node;
    uint8_t hash[API_KEY_HASH_BYTES]; /* of what it came with */
    auth_done_fn *done;
    void *arg;
};

struct lookup {
    struct auth *auth;
    char public_id[API_KEY_PUBLIC_ID_SIZE];
    struct key_record token; /* AUTH_TOKEN: what holds when its tenant exists */
    enum auth_kind kind;
};

/* ---- life ---- */

static void log_left_out(const struct jwt_verifier *verifier)
{
    const char *why;
    size_t count = jwt_verifier_left_out(verifier, &why);
    if (count > 0) {
        LOG_WARN("fetched keys for tokens are left out", LOG_INT("keys", count),
                 LOG_TEXT("first", why));
    }
}

int auth_reload(struct auth *auth, const struct settings *settings, const char *fetched,
                struct error *err)
{
    struct jwt_verifier *fresh = NULL;
    const struct jwt_rules rules = {
        .keys = fetched != NULL ? fetched : settings_text(settings, SETTING_AUTH_JWKS),
        .published = fetched != NULL,
        .issuer = settings_text(settings, SETTING_AUTH_JWT_ISSUER),
        .audience = settings_text(settings, SETTING_AUTH_JWT_AUDIENCE),
        .tenant_claim = settings_text(settings, SETTING_AUTH_JWT_TENANT_CLAIM),
        .scope_claim = settings_text(settings, SETTING_AUTH_JWT_SCOPE_CLAIM),
        .leeway_s = settings_int(settings, SETTING_AUTH_JWT_LEEWAY_S),
    };
    if (rules.keys[0] != '\0') {
        fresh = jwt_verifier_create(&rules, err);
        if (fresh == NULL) {
            return -1;
        }
        log_left_out(fresh);
    }
    jwt_verifier_destroy(&auth->tokens);
    auth->tokens = fresh;
    auth->tokens_from_ms = clock_monotonic_ms();
    return 0;
}

struct auth *auth_create(struct store *store, const struct api_key_pepper *pepper,
                         const struct settings *settings, struct error *err)
{
    struct auth *auth = memory_new(sizeof *auth);
    static const char context[] = "csrf tokens";
    auth->store = store;
    auth->pepper = *pepper;
    (void)crypto_generichash(auth->csrf_key, sizeof auth->csrf_key, (const uint8_t *)context,
                             sizeof context - 1, pepper->bytes, sizeof pepper->bytes);
    auth->cache_ms = settings_int(settings, SETTING_AUTH_CACHE_MS);
    for (size_t i = 0; i < AUTH_KINDS; i++) {
        key_cache_init(&auth->caches[i]);
    }
    if (auth_reload(auth, settings, NULL, err) != 0) {
        auth_destroy(&auth);
    }
    return auth;
}

void auth_destroy(struct auth **auth)
{
    if (*auth == NULL) {
        return;
    }
    for (size_t i = 0; i < AUTH_KINDS; i++) {
        key_cache_deinit(&(*auth)->caches[i]);
    }
    jwt_verifier_destroy(&(*auth)->tokens);
    sodium_memzero(*auth, sizeof **auth);
    free(*auth);
    *auth = NULL;
}

/* ---- what a request came with ---- */

bool auth_bearer(const struct auth *auth, struct http_text authorization,
                 struct auth_credential *credential_out)
{
    static const char scheme[] = "Bearer ";
    size_t length = sizeof scheme - 1;
    if (authorization.data == NULL || authorization.length <= length ||
        strncasecmp(authorization.data, scheme, length) != 0) {
        return false;
    }
    struct http_text text = {authorization.data + length, authorization.length - length};
    credential_out->text = text;
    credential_out->kind = AUTH_KEY;
    if (api_key_parse(API_KEY, text.data, text.length, credential_out->public_id) == 0) {
        return true;
    }
    credential_out->kind = AUTH_TOKEN;
    return auth->tokens != NULL && jwt_looks_like_one(text.data, text.length);
}

bool auth_cookie(struct http_text secret, struct auth_credential *credential_out)
{
    credential_out->kind = AUTH_SESSION;
    credential_out->text = secret;
    return api_key_parse(API_KEY_SESSION, secret.data, secret.length, credential_out->public_id) ==
           0;
}

void auth_make_secret(const struct auth *auth, enum api_key_kind kind,
                      char text_out[API_KEY_TEXT_SIZE], char public_id_out[API_KEY_PUBLIC_ID_SIZE],
                      uint8_t hash_out[API_KEY_HASH_BYTES])
{
    api_key_make(kind, text_out, public_id_out);
    api_key_hash(&auth->pepper, text_out, strlen(text_out), hash_out);
}

void auth_csrf_token(const struct auth *auth, const char *session_public_id,
                     char text_out[AUTH_CSRF_SIZE])
{
    uint8_t tag[CSRF_BYTES];
    (void)crypto_generichash(tag, sizeof tag, (const uint8_t *)session_public_id,
                             strlen(session_public_id), auth->csrf_key, sizeof auth->csrf_key);
    (void)sodium_bin2hex(text_out, AUTH_CSRF_SIZE, tag, sizeof tag);
}

/* ---- judging ---- */

/* The same work whether the id exists or not. */
static enum auth_verdict judge(const struct key_record *record,
                               const uint8_t hash[API_KEY_HASH_BYTES], struct principal *who_out)
{
    bool same = api_key_hash_equal(record->hash, hash);
    bool valid = clock_real_us() < record->who.expires_us;
    if (!same || !valid || !record->known) {
        return AUTH_REFUSED;
    }
    *who_out = record->who;
    return AUTH_OK;
}

static void tell(struct auth *auth, struct list *waiters, enum auth_verdict failure,
                 const struct key_record *record)
{
    LIST_FOR_EACH(node, waiters)
    {
        struct waiter *waiter = LIST_ENTRY(node, struct waiter, node);
        struct principal who = {0};
        enum auth_verdict verdict = record == NULL ? failure : judge(record, waiter->hash, &who);
        list_remove(node);
        auth->waiters--;
        waiter->done(waiter->arg, verdict, verdict == AUTH_OK ? &who : NULL);
        free(waiter);
    }
}

/* What an event says in `by` has at most 255 bytes: of a longer name the beginning, cut between two
 * characters, and a hash of all of it. */
static void shorten(const char *name, char out[AUTH_NAME_SIZE])
{
    uint8_t hash[AUTH_NAME_HASH_BYTES];
    char hex[2 * sizeof hash + 1];
    size_t length = strlen(name);
    if (length >= AUTH_NAME_SIZE) {
        length = AUTH_NAME_SIZE - 1 - sizeof hex;
        while (length > 0 && ((unsigned char)name[length] & 0xc0) == 0x80) {
            length--;
        }
        crypto_generichash(hash, sizeof hash, (const uint8_t *)name, strlen(name), NULL, 0);
        sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
        snprintf(out, AUTH_NAME_SIZE, "%.*s~%s", (int)length, name, hex);
        return;
    }
    memcpy(out, name, length + 1);
}

static void set_actor(struct principal *who)
{
    static const char *const kinds[] = {
        [AUTH_KEY] = "key", [AUTH_TOKEN] = "user", [AUTH_SESSION] = "session"};
    char name[AUTH_NAME_SIZE];
    shorten(who->kind == AUTH_TOKEN ? who->user : who->public_id, name);
    snprintf(who->actor, sizeof who->actor, "%s:%s", kinds[who->kind], name);
}

static void read_record(const struct db_result *result, const struct lookup *lookup,
                        struct key_record *record_out)
{
    struct store_credential row;
    struct principal *who = &record_out->who;
    *record_out = (struct key_record){0};
    if (db_rows(result) == 0) {
        return;
    }
    if (lookup->kind == AUTH_TOKEN) {
        *record_out = lookup->token;
        return;
    }
    store_read_credential(result, &row);
    record_out->known = true;
    memcpy(record_out->hash, row.hash, sizeof record_out->hash);
    who->kind = lookup->kind;
    who->tenant = row.tenant;
    who->key = row.id;
    who->scopes = scope_parse_list(row.scopes, row.scopes_length, ',');
    who->expires_us = row.expires_us;
    memcpy(who->public_id, lookup->public_id, API_KEY_PUBLIC_ID_SIZE);
    snprintf(who->user, sizeof who->user, "%.*s", (int)row.user_length, row.user);
    set_actor(who);
}

/* ---- looking up ---- */

static void looked_up(void *arg, enum db_status status, const struct db_result *result)
{
    struct lookup *lookup = arg;
    struct auth *auth = lookup->auth;
    struct key_cache *cache = &auth->caches[lookup->kind];
    struct key_entry *entry = key_cache_find(cache, lookup->public_id);
    struct list waiters;
    list_init(&waiters);
    LIST_FOR_EACH(node, &entry->waiters)
    {
        list_remove(node);
        list_append(&waiters, node);
    }
    auth->lookups--;
    if (status == DB_OK) {
        struct key_record record;
        read_record(result, lookup, &record);
        key_cache_fill(cache, entry, &record);
        tell(auth, &waiters, AUTH_REFUSED, &record);
    } else {
        key_cache_fail(cache, entry);
        tell(auth, &waiters, AUTH_UNAVAILABLE, NULL);
    }
    free(lookup);
}

static void look_up(struct auth *auth, const struct auth_credential *credential,
                    const struct key_record *token, struct key_entry *entry, int64_t now_ms)
{
    struct lookup *lookup = memory_new(sizeof *lookup);
    lookup->auth = auth;
    lookup->kind = credential->kind;
    memcpy(lookup->public_id, credential->public_id, sizeof lookup->public_id);
    entry->loading = true;
    entry->loading_ms = now_ms;
    auth->lookups++;
    switch (credential->kind) {
    case AUTH_KEY:
        store_find_key(auth->store, lookup->public_id, looked_up, lookup);
        return;
    case AUTH_SESSION:
        store_find_session(auth->store, lookup->public_id, looked_up, lookup);
        return;
    case AUTH_TOKEN:
        lookup->token = *token;
        store_find_tenant(auth->store, &token->who.tenant, looked_up, lookup);
        return;
    }
}

static void wait_for(struct auth *auth, struct key_entry *entry,
                     const uint8_t hash[API_KEY_HASH_BYTES], auth_done_fn *done, void *arg)
{
    struct waiter *waiter = memory_new(sizeof *waiter);
    list_init(&waiter->node);
    memcpy(waiter->hash, hash, sizeof waiter->hash);
    waiter->done = done;
    waiter->arg = arg;
    list_append(&entry->waiters, &waiter->node);
    auth->waiters++;
}

/* ---- tokens ---- */

/* A token is remembered under a part of its hash. */
static void name_token(struct auth_credential *credential)
{
    (void)sodium_bin2hex(credential->public_id, sizeof credential->public_id, credential->hash,
                         (sizeof credential->public_id - 1) / 2);
}

static int read_token(const struct auth *auth, const struct auth_credential *credential,
                      struct key_record *record_out)
{
    struct jwt_claims claims;
    struct error err;
    struct principal *who = &record_out->who;
    if (jwt_verify(auth->tokens, clock_real_us() / 1000000, credential->text.data,
                   credential->text.length, &claims, &err) != 0) {
        LOG_INFO("token refused", LOG_TEXT("reason", err.text));
        return -1;
    }
    *record_out = (struct key_record){.known = true};
    memcpy(record_out->hash, credential->hash, sizeof record_out->hash);
    who->kind = AUTH_TOKEN;
    who->tenant = claims.tenant;
    who->key = jwt_id(&claims);
    /* Tenants are above what an identity provider has a say in. */
    who->scopes = scope_parse_list(claims.scopes, strlen(claims.scopes), ' ') & SCOPE_TENANT;
    who->expires_us = claims.expires_s * 1000000;
    memcpy(who->public_id, credential->public_id, sizeof who->public_id);
    snprintf(who->user, sizeof who->user, "%s", claims.subject);
    set_actor(who);
    return 0;
}

/* ---- asking ---- */

static bool is_believed(const struct auth *auth, enum auth_kind kind, const struct key_entry *entry,
                        int64_t age_ms)
{
    return entry->filled && age_ms < auth->cache_ms && kind != AUTH_SESSION &&
           (kind != AUTH_TOKEN || entry->asked_ms >= auth->tokens_from_ms);
}

enum auth_verdict auth_check(struct auth *auth, struct auth_credential *credential,
                             struct principal *who_out, auth_done_fn *done, void *arg)
{
    struct key_cache *cache = &auth->caches[credential->kind];
    struct key_record token;
    int64_t now_ms = clock_monotonic_ms();
    api_key_hash(&auth->pepper, credential->text.data, credential->text.length, credential->hash);
    if (credential->kind == AUTH_TOKEN) {
        name_token(credential);
    }
    bool room = auth->lookups < LOOKUPS_MAX;
    struct key_entry *entry = key_cache_find(cache, credential->public_id);
    if (entry == NULL && !room) {
        return AUTH_BUSY;
    }
    int64_t age_ms = entry == NULL ? INT64_MAX : now_ms - entry->asked_ms;
    bool believed = entry != NULL && is_believed(auth, credential->kind, entry, age_ms);
    /* Asked again at half its time, so that a key in steady use never waits. */
    bool ask =
        (entry == NULL || !entry->loading) && room && (!believed || age_ms >= auth->cache_ms / 2);
    /* Only what is signed as it should be is remembered or looked for. */
    if (ask && credential->kind == AUTH_TOKEN && read_token(auth, credential, &token) != 0) {
        return AUTH_REFUSED;
    }
    entry = key_cache_use(cache, credential->public_id);
    if (ask) {
        look_up(auth, credential, &token, entry, now_ms);
    }
    if (believed) {
        return judge(&entry->record, credential->hash, who_out);
    }
    if (!entry->loading || auth->waiters >= WAITERS_MAX) {
        return AUTH_BUSY;
    }
    wait_for(auth, entry, credential->hash, done, arg);
    return AUTH_WAIT;
}
