/* See key_cache.h. */
#include "api/key_cache.h"

#include "runtime/base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A public id is 16 hex digits: exactly the 16 bytes of a map key. */
_Static_assert(API_KEY_PUBLIC_ID_SIZE - 1 == sizeof(struct uuid), "a public id is a map key");

static struct uuid map_key_of(const char *public_id)
{
    struct uuid key;
    memcpy(key.bytes, public_id, sizeof key.bytes);
    return key;
}

void key_cache_init(struct key_cache *cache)
{
    *cache = (struct key_cache){0};
    list_init(&cache->known);
    list_init(&cache->unknown);
}

static void enlist(struct key_cache *cache, struct key_entry *entry)
{
    bool known = entry->filled && entry->record.known;
    list_append(known ? &cache->known : &cache->unknown, &entry->node);
    *(known ? &cache->known_count : &cache->unknown_count) += 1;
}

static void delist(struct key_cache *cache, struct key_entry *entry)
{
    bool known = entry->filled && entry->record.known;
    list_remove(&entry->node);
    *(known ? &cache->known_count : &cache->unknown_count) -= 1;
}

static void forget(struct key_cache *cache, struct key_entry *entry)
{
    delist(cache, entry);
    (void)map_remove(&cache->entries, &entry->map_key);
    free(entry);
}

void key_cache_deinit(struct key_cache *cache)
{
    struct list *lists[] = {&cache->known, &cache->unknown};
    for (size_t i = 0; i < 2; i++) {
        LIST_FOR_EACH(node, lists[i])
        {
            forget(cache, LIST_ENTRY(node, struct key_entry, node));
        }
    }
    map_deinit(&cache->entries);
}

struct key_entry *key_cache_find(const struct key_cache *cache, const char *public_id)
{
    struct uuid key = map_key_of(public_id);
    return map_get(&cache->entries, &key);
}

/* Pushes out the least recently used that nobody waits for. */
static void make_room(struct key_cache *cache, struct list *list, const size_t *count, size_t max)
{
    LIST_FOR_EACH(node, list)
    {
        struct key_entry *entry = LIST_ENTRY(node, struct key_entry, node);
        if (*count < max) {
            return;
        }
        if (!entry->loading) {
            forget(cache, entry);
        }
    }
}

struct key_entry *key_cache_use(struct key_cache *cache, const char *public_id)
{
    struct key_entry *entry = key_cache_find(cache, public_id);
    if (entry != NULL) {
        delist(cache, entry);
        enlist(cache, entry);
        return entry;
    }
    make_room(cache, &cache->unknown, &cache->unknown_count, KEY_CACHE_UNKNOWN_MAX);
    entry = memory_new(sizeof *entry);
    entry->map_key = map_key_of(public_id);
    memcpy(entry->public_id, public_id, API_KEY_PUBLIC_ID_SIZE);
    list_init(&entry->node);
    list_init(&entry->waiters);
    (void)map_put(&cache->entries, &entry->map_key, entry);
    enlist(cache, entry);
    return entry;
}

void key_cache_fill(struct key_cache *cache, struct key_entry *entry,
                    const struct key_record *record)
{
    assert(entry->loading);
    delist(cache, entry);
    entry->loading = false;
    entry->asked_ms = entry->loading_ms;
    entry->filled = true;
    entry->record = *record;
    if (record->known) {
        make_room(cache, &cache->known, &cache->known_count, KEY_CACHE_KNOWN_MAX);
    }
    enlist(cache, entry);
}

void key_cache_fail(struct key_cache *cache, struct key_entry *entry)
{
    assert(entry->loading);
    entry->loading = false;
    if (!entry->filled) {
        forget(cache, entry);
    }
}
