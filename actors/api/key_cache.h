/*
 * What the api knows of api keys, for a while: records by public id, also of ids that do not exist.
 * Bounded: known and unknown ids have room of their own, so that made-up ids push out no real key.
 * Time comes in as an argument; no I/O.
 */
#ifndef SIGNALBOX_API_KEY_CACHE_H
#define SIGNALBOX_API_KEY_CACHE_H

#include "api/auth.h"
#include "runtime/base/list.h"
#include "runtime/base/map.h"

enum { KEY_CACHE_KNOWN_MAX = 10000, KEY_CACHE_UNKNOWN_MAX = 1000 };

/* What a lookup found. */
struct key_record {
    bool known; /* false: there is no such id; the rest is zero */
    uint8_t hash[API_KEY_HASH_BYTES];
    struct principal who;
};

struct key_entry {
    struct list node; /* in one of the cache's lists; oldest use first */
    struct uuid map_key;
    char public_id[API_KEY_PUBLIC_ID_SIZE];
    bool filled; /* `record` was set at least once */
    struct key_record record;
    int64_t asked_ms;    /* when the lookup that filled it began */
    bool loading;        /* a lookup is under way: never pushed out */
    int64_t loading_ms;  /* when it began */
    struct list waiters; /* the owner's */
};

struct key_cache {
    struct map entries;
    struct list known;
    struct list unknown; /* and those not filled yet */
    size_t known_count;
    size_t unknown_count;
};

void key_cache_init(struct key_cache *cache);
/* Frees all entries, without looking at their waiters. */
void key_cache_deinit(struct key_cache *cache);
/* NULL when nothing is known. */
struct key_entry *key_cache_find(const struct key_cache *cache, const char *public_id);
/* The entry of that id, made when there is none. Marks it as just used. */
struct key_entry *key_cache_use(struct key_cache *cache, const char *public_id);
/* A lookup has ended. */
void key_cache_fill(struct key_cache *cache, struct key_entry *entry,
                    const struct key_record *record);
/* A lookup has failed: what was known before stays; an entry never filled goes. */
void key_cache_fail(struct key_cache *cache, struct key_entry *entry);

#endif
