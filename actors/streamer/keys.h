/* Api keys, sessions and tokens with open streams: how many each has, and whether it is still good. */
#ifndef SIGNALBOX_STREAMER_KEYS_H
#define SIGNALBOX_STREAMER_KEYS_H

#include "runtime/base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gcra;
struct key_use;
struct streamer;

/* One more stream of this key, which is `tenant`'s. Keeps counting until keys_release. */
struct key_use *keys_take(struct streamer *streamer, const struct uuid *id,
                          const struct uuid *tenant);
void keys_release(struct streamer *streamer, struct key_use *key);
const struct uuid *keys_id(const struct key_use *key);
/* Revoked or expired: its streams are to be broken off. */
bool keys_has_ended(const struct key_use *key);
/* What it has used up of its rate of commands (ws_command.c). Forgotten with its last stream. */
struct gcra *keys_commands(struct key_use *key);
size_t keys_streams(struct streamer *streamer, const struct uuid *id);
/* Asks about all keys in use when it is time; streams of those that are revoked or expired are
 * broken off. Tokens say themselves when they end. */
void keys_tick(struct streamer *streamer, int64_t now_ms);

#endif
