/* Which feeds are watched: by tenant, by thread, and of each of these the variants, chained. */
#ifndef SIGNALBOX_STREAMER_FEED_TENANTS_H
#define SIGNALBOX_STREAMER_FEED_TENANTS_H

#include "runtime/base/map.h"
#include "runtime/base/uuid.h"

struct feed;
struct streamer;

/* Feeds of one tenant. */
struct feed_tenant {
    struct uuid id;
    struct feed *whole; /* first variant of the tenant's own feed */
    struct map threads; /* first variant by thread */
};

/* NULL: none of its feeds is watched. */
struct feed_tenant *feed_tenants_find(const struct streamer *streamer, const struct uuid *id);
/* Found or made; there until its last feed is removed. */
struct feed_tenant *feed_tenants_get(struct streamer *streamer, const struct uuid *id);
/* The first variant of a thread, or for nil of the tenant; the others follow by `next`. NULL: none
 * is watched. */
struct feed *feed_tenants_first(const struct feed_tenant *tenant, const struct uuid *thread);
/* In and out of feed->tenant. */
void feed_tenants_add(struct feed *feed);
void feed_tenants_remove(struct feed *feed);

#endif
