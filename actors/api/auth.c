/* See auth.h. What is known of keys is in key_cache.h; here are lookups and judgements. */
#include "api/auth.h"

#include "api/key_cache.h"
#include "api/match.h"
#include "api/store.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LOOKUPS_MAX = 256, WAITERS_MAX = 4096 };

struct auth {
    struct store *store; /* borrowed */
    struct api_key_pepper pepper;
    struct key_cache cache;
    int64_t cache_ms;
    size_t lookups; /* under way */
    size_t waiters;
};

/* A request that waits for a lookup. */
struct waiter {
    struct list node;
    uint8_t hash[API_KEY_HASH_BYTES]; /* of the key it came with */
    auth_done_fn *done;
    void *arg;
};

struct lookup {
    struct auth *auth;
    char public_id[API_KEY_PUBLIC_ID_SIZE];
};

struct auth *auth_create(struct store *store, const struct api_key_pepper *pepper, int64_t cache_ms)
{
    struct auth *auth = memory_new(sizeof *auth);
    auth->store = store;
    auth->pepper = *pepper;
    auth->cache_ms = cache_ms;
    key_cache_init(&auth->cache);
    return auth;
}

void auth_destroy(struct auth **auth)
{
    if (*auth == NULL) {
        return;
    }
    key_cache_deinit(&(*auth)->cache);
    sodium_memzero(*auth, sizeof **auth);
    free(*auth);
    *auth = NULL;
}

bool auth_bearer(struct http_text authorization, struct http_text *key_out)
{
    static const char scheme[] = "Bearer ";
    size_t length = sizeof scheme - 1;
    char public_id[API_KEY_PUBLIC_ID_SIZE];
    if (authorization.data == NULL || authorization.length <= length ||
        strncasecmp(authorization.data, scheme, length) != 0) {
        return false;
    }
    *key_out = (struct http_text){authorization.data + length, authorization.length - length};
    return api_key_parse(key_out->data, key_out->length, public_id) == 0;
}

/* The same work whether the id exists or not. */
static enum auth_verdict judge(const struct key_record *record,
                               const uint8_t hash[API_KEY_HASH_BYTES], struct principal *who_out)
{
    bool same = api_key_hash_equal(record->hash, hash);
    bool valid = clock_real_us() < record->expires_us;
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

static void read_record(const struct db_result *result, const char *public_id,
                        struct key_record *record_out)
{
    struct store_key row;
    *record_out = (struct key_record){0};
    if (db_rows(result) == 0) {
        return;
    }
    store_read_key(result, &row);
    record_out->known = true;
    memcpy(record_out->hash, row.hash, sizeof record_out->hash);
    record_out->who.tenant = row.tenant;
    record_out->who.key = row.key;
    record_out->who.scopes = (row.read ? SCOPE_READ : 0U) | (row.append ? SCOPE_APPEND : 0U) |
                             (row.admin ? SCOPE_ADMIN : 0U);
    memcpy(record_out->who.public_id, public_id, API_KEY_PUBLIC_ID_SIZE);
    record_out->expires_us = row.expires_us;
}

static void looked_up(void *arg, enum db_status status, const struct db_result *result)
{
    struct lookup *lookup = arg;
    struct auth *auth = lookup->auth;
    struct key_entry *entry = key_cache_find(&auth->cache, lookup->public_id);
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
        read_record(result, lookup->public_id, &record);
        key_cache_fill(&auth->cache, entry, &record);
        tell(auth, &waiters, AUTH_REFUSED, &record);
    } else {
        key_cache_fail(&auth->cache, entry);
        tell(auth, &waiters, AUTH_UNAVAILABLE, NULL);
    }
    free(lookup);
}

static void look_up(struct auth *auth, struct key_entry *entry, int64_t now_ms)
{
    struct lookup *lookup = memory_new(sizeof *lookup);
    lookup->auth = auth;
    memcpy(lookup->public_id, entry->public_id, sizeof lookup->public_id);
    entry->loading = true;
    entry->loading_ms = now_ms;
    auth->lookups++;
    store_find_key(auth->store, entry->public_id, looked_up, lookup);
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

enum auth_verdict auth_check(struct auth *auth, struct http_text key, struct principal *who_out,
                             auth_done_fn *done, void *arg)
{
    char public_id[API_KEY_PUBLIC_ID_SIZE];
    uint8_t hash[API_KEY_HASH_BYTES];
    int64_t now_ms = clock_monotonic_ms();
    if (api_key_parse(key.data, key.length, public_id) != 0) {
        return AUTH_REFUSED;
    }
    api_key_hash(&auth->pepper, key.data, key.length, hash);
    bool room = auth->lookups < LOOKUPS_MAX;
    struct key_entry *entry = key_cache_find(&auth->cache, public_id);
    if (entry == NULL && !room) {
        return AUTH_BUSY;
    }
    entry = key_cache_use(&auth->cache, public_id);
    int64_t age_ms = now_ms - entry->asked_ms;
    bool believed = entry->filled && age_ms < auth->cache_ms;
    /* Asked again at half its time, so that a key in steady use never waits. */
    if (!entry->loading && room && (!believed || age_ms >= auth->cache_ms / 2)) {
        look_up(auth, entry, now_ms);
    }
    if (believed) {
        return judge(&entry->record, hash, who_out);
    }
    if (!entry->loading || auth->waiters >= WAITERS_MAX) {
        return AUTH_BUSY;
    }
    wait_for(auth, entry, hash, done, arg);
    return AUTH_WAIT;
}
