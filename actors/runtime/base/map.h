/* Hash map from a 128-bit key (a UUID, or a number in the low half) to a pointer. The map owns no
 * values. */
#ifndef SIGNALBOX_BASE_MAP_H
#define SIGNALBOX_BASE_MAP_H

#include "runtime/base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot {
    struct uuid key;
    void *value; /* NULL: free */
};

/* Zero-initialised is empty and valid. Open addressing with linear probing, at most 3/4 full. */
struct map {
    struct map_slot *slots;
    size_t capacity;
    size_t count;
};

void map_deinit(struct map *map);
/* NULL when absent. */
void *map_get(const struct map *map, const struct uuid *key);
/* `value` not NULL. Returns the value it replaced, or NULL. */
void *map_put(struct map *map, const struct uuid *key, void *value);
/* Returns the removed value, or NULL when absent. */
void *map_remove(struct map *map, const struct uuid *key);
/* Iteration: start with *cursor = 0; NULL at the end. The map must not change meanwhile. */
void *map_next(const struct map *map, size_t *cursor);
/* A key made from a number, for maps by number. */
struct uuid map_number_key(uint64_t number);

#endif
