/*
 * Rate limits of requests: per api key, per client address, and a strict one per address for logging
 * in and for wrong keys. GCRA (runtime/gcra.h).
 *
 * The state of the first two is in Redis, shared by all api processes. Requests of one client that
 * come while Redis is being asked are asked for together in the next call, so that a busy client
 * costs few calls and not one request more or less gets through. When Redis has not answered after
 * limit.redis_ms, or is gone, each process decides alone, with its share of the rate and the burst:
 * it has kept count all the time. A client that was told to wait is refused without asking until
 * then. The strict limit is always decided here.
 *
 * Addresses on loopback have no limit unless limit.loopback says so.
 */
#ifndef SIGNALBOX_API_LIMIT_H
#define SIGNALBOX_API_LIMIT_H

#include "runtime/base/buffer.h"
#include "runtime/http_server.h"

#include <stdint.h>

struct api;
struct exchange;
struct limit;

enum limit_kind { LIMIT_KEY, LIMIT_ADDRESS, LIMIT_LOGIN };
enum { LIMIT_KINDS = 3 };

/* What an answer says of the limits that were applied to its request. */
struct limit_note {
    unsigned kinds; /* bits 1 << enum limit_kind */
    int64_t free[LIMIT_KINDS];
    int64_t reset_s[LIMIT_KINDS];
    int64_t retry_s; /* above 0: refused */
};

enum { LIMIT_TEXT_SIZE = 256 };
struct limit_texts {
    char policy[LIMIT_TEXT_SIZE];
    char state[LIMIT_TEXT_SIZE];
};

/* Needs api->redis. Returns, caller destroys with limit_destroy, after Redis and the server are
 * closed. */
struct limit *limit_create(struct api *api);
void limit_destroy(struct limit **limit);

/* Who sends the exchange is known, or nobody asks. Calls `next` now or later, or answers 429. */
void limit_pass(struct exchange *exchange, void (*next)(struct exchange *exchange));
/* The exchange came with a wrong key. True: it was answered 429, because many of this address have.
 */
bool limit_wrong_key(struct exchange *exchange);

/* Appends RateLimit-Policy and RateLimit to `fields` (room for two) and returns how many. */
size_t limit_fields(const struct exchange *exchange, struct limit_texts *texts,
                    struct http_field *fields);

#endif
