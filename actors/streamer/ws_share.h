/*
 * How much of the way to the sequencer each tenant may use for the commands of its WebSockets. The
 * window of commands (command.window, command.window_bytes) is one for the whole process: of it a
 * tenant has one part in n + 1, n being the tenants with commands under way, so that one more tenant
 * finds room. One command of each tenant is always allowed. Who has no room waits unread. While shares
 * shrink, because tenants come faster than commands are answered, the window itself may be full: then
 * a command is refused as busy, as over HTTP.
 */
#ifndef SIGNALBOX_STREAMER_WS_SHARE_H
#define SIGNALBOX_STREAMER_WS_SHARE_H

#include "runtime/base/map.h"
#include "runtime/base/uuid.h"

#include <stdbool.h>
#include <stddef.h>

/* Zero-initialised but for the two bounds. */
struct ws_shares {
    size_t count_max; /* of all tenants together */
    size_t bytes_max;
    struct map tenants; /* those with commands under way; owned */
};

/* Nothing may be under way. */
void ws_shares_deinit(struct ws_shares *shares);
/* One more command of the tenant may go. */
bool ws_shares_has_room(const struct ws_shares *shares, const struct uuid *tenant);
/* A command with so many bytes goes, room or not; ws_shares_end says the same when it is over. */
void ws_shares_begin(struct ws_shares *shares, const struct uuid *tenant, size_t bytes);
void ws_shares_end(struct ws_shares *shares, const struct uuid *tenant, size_t bytes);

#endif
