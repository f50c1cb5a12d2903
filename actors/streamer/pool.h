/*
 * Objects of one size that live long, packed into slabs of their own.
 *
 * Streams and runs stay for hours, windows and pages for moments. Mixed on one heap, each small
 * object that stays would keep a page of memory that the passing ones have left; apart, that memory
 * goes back to the system.
 */
#ifndef SIGNALBOX_STREAMER_POOL_H
#define SIGNALBOX_STREAMER_POOL_H

#include "runtime/base/list.h"

#include <stddef.h>

struct pool {
    struct list open; /* slabs with room */
    size_t size;      /* of an object */
    size_t per_slab;
};

void pool_init(struct pool *pool, size_t object_size);
/* Every object must have been given back. */
void pool_deinit(struct pool *pool);
/* Zeroed; the caller gives it back with pool_free. */
void *pool_new(struct pool *pool) __attribute__((returns_nonnull));
void pool_free(struct pool *pool, void *object);

#endif
