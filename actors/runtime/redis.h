/* The only caller of hiredis: one connection on the event loop, made again by itself. Everything is
 * right without it. */
#ifndef SIGNALBOX_RUNTIME_REDIS_H
#define SIGNALBOX_RUNTIME_REDIS_H

#include "runtime/base/settings.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

struct redis;
struct redis_script;

enum { REDIS_ANSWER_MAX = 16, REDIS_ARGUMENTS_MAX = 16 };

/* Called once. `ok`: PONG came within `timeout_ms`. */
typedef void redis_ping_fn(void *arg, bool ok);
/* Called once. The integers a script answered; NULL when no such answer came in time. */
typedef void redis_script_fn(void *arg, const int64_t *numbers, size_t count);

/* Starts connecting to redis.url; never waits. Returns, caller destroys with redis_close (who still
 * waits is told that nothing came). */
struct redis *redis_open(struct event_base *base, const struct settings *settings);
void redis_close(struct redis **redis);
void redis_ping(struct redis *redis, int64_t timeout_ms, redis_ping_fn *done, void *arg);

/* Loads `text` (kept a reference to) now and on every new connection. The script lives as long as
 * `redis`. */
struct redis_script *redis_script_add(struct redis *redis, const char *text);
/* The connection is up and has taken the script. */
bool redis_script_ready(const struct redis_script *script);
/* Grows with every new connection: what was there before may be gone. 0: never connected. */
uint64_t redis_script_connection(const struct redis_script *script);
/* Runs it with the first `keys` of `count` texts as keys, the others as arguments. 0: `done` will
 * be called, never from within this call; the server may carry the script out even when the answer
 * comes too late. -1: not ready, nothing was sent. */
SB_MUST_CHECK int redis_script_run(struct redis_script *script, const char *const *texts,
                                   size_t count, size_t keys, int64_t timeout_ms,
                                   redis_script_fn *done, void *arg);

#endif
