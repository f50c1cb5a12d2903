/* See pool.h. A slab lies at a multiple of its size, so an object finds its slab by its address. */
#include "streamer/pool.h"

#include "runtime/base/error.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SLAB_BYTES = 64 << 10 };

struct free_object {
    struct free_object *next;
};

struct slab {
    struct list node; /* of pool->open, while there is room */
    struct free_object *free;
    size_t used;
};

void pool_init(struct pool *pool, size_t object_size)
{
    pool->size = (object_size + 15) & ~(size_t)15;
    pool->per_slab = (SLAB_BYTES - sizeof(struct slab)) / pool->size;
    assert(pool->per_slab > 1);
    list_init(&pool->open);
}

void pool_deinit(struct pool *pool)
{
    LIST_FOR_EACH(node, &pool->open)
    {
        struct slab *slab = LIST_ENTRY(node, struct slab, node);
        assert(slab->used == 0);
        list_remove(node);
        free(slab);
    }
}

#ifdef __SANITIZE_ADDRESS__

/* Under the sanitizer every object is an allocation of its own, so that it sees what is used after
 * its end. */
void *pool_new(struct pool *pool)
{
    return memory_new(pool->size);
}

void pool_free(struct pool *pool, void *object)
{
    (void)pool;
    free(object);
}

#else

static struct slab *add_slab(struct pool *pool)
{
    struct slab *slab = aligned_alloc(SLAB_BYTES, SLAB_BYTES);
    if (slab == NULL) {
        LOG_ERROR("out of memory");
        exit(EXIT_CODE_MEMORY);
    }
    uint8_t *end = (uint8_t *)slab + SLAB_BYTES;
    *slab = (struct slab){.used = 0};
    for (size_t i = 0; i < pool->per_slab; i++) {
        end -= pool->size;
        struct free_object *object = (struct free_object *)(void *)end;
        object->next = slab->free;
        slab->free = object;
    }
    list_init(&slab->node);
    list_append(&pool->open, &slab->node);
    return slab;
}

void *pool_new(struct pool *pool)
{
    struct list *first = list_first(&pool->open);
    struct slab *slab = first == NULL ? add_slab(pool) : LIST_ENTRY(first, struct slab, node);
    struct free_object *object = slab->free;
    slab->free = object->next;
    slab->used++;
    if (slab->free == NULL) {
        list_remove(&slab->node);
    }
    memset(object, 0, pool->size);
    return object;
}

void pool_free(struct pool *pool, void *object)
{
    struct slab *slab = (struct slab *)((uintptr_t)object & ~(uintptr_t)(SLAB_BYTES - 1));
    struct free_object *freed = object;
    freed->next = slab->free;
    slab->free = freed;
    slab->used--;
    if (!list_is_linked(&slab->node)) {
        list_append(&pool->open, &slab->node);
    }
    /* One empty slab stays, for the next stream that comes. */
    if (slab->used == 0 && pool->open.next != pool->open.previous) {
        list_remove(&slab->node);
        free(slab);
    }
}

#endif
