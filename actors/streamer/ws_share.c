/* See ws_share.h. */
#include "streamer/ws_share.h"

#include "runtime/base/memory.h"

#include <assert.h>
#include <stdlib.h>

struct share {
    struct uuid tenant;
    size_t count;
    size_t bytes;
};

void ws_shares_deinit(struct ws_shares *shares)
{
    assert(shares->tenants.count == 0);
    map_deinit(&shares->tenants);
}

bool ws_shares_has_room(const struct ws_shares *shares, const struct uuid *tenant)
{
    const struct share *share = map_get(&shares->tenants, tenant);
    if (share == NULL) {
        return true;
    }
    size_t parts = shares->tenants.count + 1;
    return share->count < shares->count_max / parts && share->bytes < shares->bytes_max / parts;
}

void ws_shares_begin(struct ws_shares *shares, const struct uuid *tenant, size_t bytes)
{
    struct share *share = map_get(&shares->tenants, tenant);
    if (share == NULL) {
        share = memory_new(sizeof *share);
        share->tenant = *tenant;
        (void)map_put(&shares->tenants, tenant, share);
    }
    share->count++;
    share->bytes += bytes;
}

void ws_shares_end(struct ws_shares *shares, const struct uuid *tenant, size_t bytes)
{
    struct share *share = map_get(&shares->tenants, tenant);
    assert(share != NULL && share->bytes >= bytes);
    share->bytes -= bytes;
    if (--share->count == 0) {
        (void)map_remove(&shares->tenants, tenant);
        free(share);
    }
}
