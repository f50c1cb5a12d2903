/* See feed_tenants.h. */
#include "streamer/feed_tenants.h"

#include "runtime/base/memory.h"
#include "streamer/feed.h"
#include "streamer/streamer.h"

#include <stdlib.h>

struct feed_tenant *feed_tenants_find(const struct streamer *streamer, const struct uuid *id)
{
    return map_get(&streamer->tenants, id);
}

struct feed_tenant *feed_tenants_get(struct streamer *streamer, const struct uuid *id)
{
    struct feed_tenant *tenant = map_get(&streamer->tenants, id);
    if (tenant == NULL) {
        tenant = memory_new(sizeof *tenant);
        tenant->id = *id;
        map_put(&streamer->tenants, id, tenant);
    }
    return tenant;
}

struct feed *feed_tenants_first(const struct feed_tenant *tenant, const struct uuid *thread)
{
    return uuid_is_nil(thread) ? tenant->whole : map_get(&tenant->threads, thread);
}

static void set_first(struct feed_tenant *tenant, const struct uuid *thread, struct feed *feed)
{
    if (uuid_is_nil(thread)) {
        tenant->whole = feed;
    } else if (feed != NULL) {
        map_put(&tenant->threads, thread, feed);
    } else {
        map_remove(&tenant->threads, thread);
    }
}

void feed_tenants_add(struct feed *feed)
{
    feed->next = feed_tenants_first(feed->tenant, &feed->thread);
    set_first(feed->tenant, &feed->thread, feed);
}

static void forget(struct streamer *streamer, struct feed_tenant *tenant)
{
    if (tenant->whole == NULL && tenant->threads.count == 0) {
        map_remove(&streamer->tenants, &tenant->id);
        map_deinit(&tenant->threads);
        free(tenant);
    }
}

void feed_tenants_remove(struct feed *feed)
{
    struct feed_tenant *tenant = feed->tenant;
    struct feed *before = feed_tenants_first(tenant, &feed->thread);
    if (before == feed) {
        set_first(tenant, &feed->thread, feed->next);
    } else {
        while (before->next != feed) {
            before = before->next;
        }
        before->next = feed->next;
    }
    forget(feed->streamer, tenant);
}
