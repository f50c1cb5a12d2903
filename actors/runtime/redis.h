/* The only caller of hiredis: one connection on the event loop, made again by itself. Everything is
 * right without it. */
#ifndef SIGNALBOX_RUNTIME_REDIS_H
#define SIGNALBOX_RUNTIME_REDIS_H

#include "runtime/base/settings.h"

#include <event2/event.h>
#include <stdbool.h>

struct redis;

/* Called once. `ok`: PONG came within `timeout_ms`. */
typedef void redis_ping_fn(void *arg, bool ok);

/* Starts connecting to redis.url; never waits. Returns, caller destroys with redis_close. */
struct redis *redis_open(struct event_base *base, const struct settings *settings);
void redis_close(struct redis **redis);
void redis_ping(struct redis *redis, int64_t timeout_ms, redis_ping_fn *done, void *arg);

#endif
