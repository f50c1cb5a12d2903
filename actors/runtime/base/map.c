/* See map.h. */
#include "runtime/base/map.h"

#include "runtime/base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void map_deinit(struct map *map)
{
    free(map->slots);
    *map = (struct map){0};
}

/* The slot that holds `key`, or the free slot where it would go. */
static struct map_slot *find(const struct map *map, const struct uuid *key)
{
    size_t mask = map->capacity - 1;
    size_t at = uuid_hash(key) & mask;
    while (map->slots[at].value != NULL && !uuid_equal(&map->slots[at].key, key)) {
        at = (at + 1) & mask;
    }
    return &map->slots[at];
}

void *map_get(const struct map *map, const struct uuid *key)
{
    return map->capacity == 0 ? NULL : find(map, key)->value;
}

static void grow(struct map *map)
{
    struct map bigger = {.capacity = map->capacity == 0 ? 16 : map->capacity * 2,
                         .count = map->count};
    bigger.slots = memory_array(bigger.capacity, sizeof *bigger.slots);
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->slots[i].value != NULL) {
            *find(&bigger, &map->slots[i].key) = map->slots[i];
        }
    }
    free(map->slots);
    *map = bigger;
}

void *map_put(struct map *map, const struct uuid *key, void *value)
{
    assert(value != NULL);
    if ((map->count + 1) * 4 > map->capacity * 3) {
        grow(map);
    }
    struct map_slot *slot = find(map, key);
    void *old = slot->value;
    if (old == NULL) {
        slot->key = *key;
        map->count++;
    }
    slot->value = value;
    return old;
}

void *map_remove(struct map *map, const struct uuid *key)
{
    if (map->capacity == 0) {
        return NULL;
    }
    struct map_slot *slot = find(map, key);
    void *old = slot->value;
    if (old == NULL) {
        return NULL;
    }
    /* Close the gap (Knuth 6.4 algorithm R): move back every later entry that may not stay behind
     * it. */
    size_t mask = map->capacity - 1;
    size_t hole = (size_t)(slot - map->slots);
    for (size_t at = (hole + 1) & mask; map->slots[at].value != NULL; at = (at + 1) & mask) {
        size_t home = uuid_hash(&map->slots[at].key) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    map->slots[hole].value = NULL;
    map->count--;
    return old;
}

void *map_next(const struct map *map, size_t *cursor)
{
    while (*cursor < map->capacity) {
        void *value = map->slots[(*cursor)++].value;
        if (value != NULL) {
            return value;
        }
    }
    return NULL;
}

struct uuid map_number_key(uint64_t number)
{
    struct uuid key = {{0}};
    memcpy(key.bytes, &number, sizeof number);
    return key;
}
