/*
 * See redis.h.
 *
 * One connection, made again after 200 ms .. 5 s with jitter. A ping that is not answered in time
 * drops the connection, so that a frozen server can never pile up replies that are still awaited.
 * A host name is resolved by hiredis while the loop waits; a numeric address or a unix socket is
 * not.
 */
#include "runtime/redis.h"

#include "runtime/base/list.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/redis_url.h"

#include <event2/util.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

enum { RETRY_FIRST_MS = 200, RETRY_MAX_MS = 5000, CONNECT_MS = 5000 };

struct redis {
    struct event_base *base;
    struct redis_url url;
    bool usable;                /* the url could be understood */
    redisAsyncContext *context; /* owned; NULL while waiting to connect */
    bool connected;
    struct event *timer; /* next try, or the end of the patience with this one */
    int64_t retry_ms;
    struct list unsent; /* pings that are told "no" in the next turn of the loop */
};

/* Told exactly once: by its reply, which is NULL when the connection goes, or, unsent, by its
 * timer. */

struct ping {
    struct list node; /* linked: unsent */
    struct redis *redis;
    struct event *timer;
    redis_ping_fn *done;
    void *arg;
};

static void connect_now(struct redis *redis);

static void arm(struct redis *redis, int64_t ms)
{
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};
    (void)event_add(redis->timer, &wait);
}

static void retry_later(struct redis *redis)
{
    uint32_t random = 0;
    evutil_secure_rng_get_bytes(&random, sizeof random);
    int64_t jitter_ms = (int64_t)(random % (uint32_t)(redis->retry_ms / 2 + 1));
    arm(redis, redis->retry_ms / 2 + jitter_ms);
    redis->retry_ms = redis->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : redis->retry_ms * 2;
}

static void ping_finish(struct ping *ping, bool ok)
{
    redis_ping_fn *done = ping->done;
    void *arg = ping->arg;
    list_remove(&ping->node);
    event_free(ping->timer);
    free(ping);
    done(arg, ok);
}

/* Waiting pings are told. */
static void drop(struct redis *redis)
{
    if (redis->context != NULL) {
        redisAsyncContext *context = redis->context;
        redis->context = NULL;
        redis->connected = false;
        context->data = NULL;
        redisAsyncFree(context);
    }
}

static void timer_expired(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct redis *redis = arg;
    if (redis->context == NULL) {
        connect_now(redis);
    } else if (!redis->connected) {
        drop(redis);
        retry_later(redis);
    }
}

static void went_away(struct redis *redis, const char *reason)
{
    bool was_connected = redis->connected;
    redis->context = NULL; /* hiredis frees it after its callback */
    redis->connected = false;
    if (was_connected) {
        LOG_WARN("redis connection lost", LOG_TEXT("reason", reason));
    }
    retry_later(redis);
}

static void on_disconnect(const redisAsyncContext *context, int status)
{
    struct redis *redis = context->data;
    if (redis != NULL) {
        went_away(redis, status == REDIS_OK ? "closed" : context->errstr);
    }
}

static void on_connect(const redisAsyncContext *context, int status)
{
    struct redis *redis = context->data;
    if (redis == NULL) {
        return;
    }
    if (status != REDIS_OK) {
        LOG_DEBUG("redis cannot be reached", LOG_TEXT("reason", context->errstr));
        went_away(redis, context->errstr);
        return;
    }
    (void)event_del(redis->timer);
    redis->connected = true;
}

/* Answer to AUTH or SELECT. A refusal is told once here; pings then fail by themselves. */
static void on_greeting(redisAsyncContext *context, void *reply_pointer, void *arg)
{
    const redisReply *reply = reply_pointer;
    struct redis *redis = context->data;
    if (redis == NULL || reply == NULL) {
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        LOG_WARN("redis refuses us", LOG_TEXT("command", arg), LOG_TEXT("reason", reply->str));
    } else {
        redis->retry_ms = RETRY_FIRST_MS;
    }
}

static void greet(struct redis *redis)
{
    static char auth[] = "AUTH";
    static char select[] = "SELECT";
    const struct redis_url *url = &redis->url;
    int failed = REDIS_OK;
    if (url->user[0] != '\0') {
        failed |= redisAsyncCommand(redis->context, on_greeting, auth, "AUTH %s %s", url->user,
                                    url->password);
    } else if (url->password[0] != '\0') {
        failed |= redisAsyncCommand(redis->context, on_greeting, auth, "AUTH %s", url->password);
    }
    failed |=
        redisAsyncCommand(redis->context, on_greeting, select, "%s %d", select, url->database);
    if (failed != REDIS_OK) {
        drop(redis);
        retry_later(redis);
    }
}

static void connect_now(struct redis *redis)
{
    const struct redis_url *url = &redis->url;
    redisAsyncContext *context = url->path[0] != '\0' ? redisAsyncConnectUnix(url->path)
                                                      : redisAsyncConnect(url->host, url->port);
    if (context == NULL || context->err != 0 ||
        redisLibeventAttach(context, redis->base) != REDIS_OK) {
        LOG_DEBUG("redis cannot be reached",
                  LOG_TEXT("reason", context == NULL ? "no memory" : context->errstr));
        if (context != NULL) {
            redisAsyncFree(context);
        }
        retry_later(redis);
        return;
    }
    context->data = redis;
    redis->context = context;
    (void)redisAsyncSetConnectCallback(context, on_connect);
    (void)redisAsyncSetDisconnectCallback(context, on_disconnect);
    arm(redis, CONNECT_MS);
    greet(redis);
}

struct redis *redis_open(struct event_base *base, const struct settings *settings)
{
    struct redis *redis = memory_new(sizeof *redis);
    struct error err;
    redis->base = base;
    redis->retry_ms = RETRY_FIRST_MS;
    list_init(&redis->unsent);
    redis->timer = event_new(base, -1, 0, timer_expired, redis);
    redis->usable =
        redis_url_parse(settings_text(settings, SETTING_REDIS_URL), &redis->url, &err) == 0;
    if (redis->usable) {
        connect_now(redis);
    } else {
        LOG_ERROR("redis.url cannot be used", LOG_TEXT("reason", err.text));
    }
    return redis;
}

void redis_close(struct redis **redis)
{
    if (*redis == NULL) {
        return;
    }
    drop(*redis);
    while (!list_is_empty(&(*redis)->unsent)) {
        ping_finish(LIST_ENTRY(list_first(&(*redis)->unsent), struct ping, node), false);
    }
    event_free((*redis)->timer);
    explicit_bzero(&(*redis)->url, sizeof(*redis)->url);
    free(*redis);
    *redis = NULL;
}

static void on_pong(redisAsyncContext *context SB_UNUSED, void *reply_pointer, void *arg)
{
    const redisReply *reply = reply_pointer;
    ping_finish(arg, reply != NULL && reply->type == REDIS_REPLY_STATUS &&
                         strcmp(reply->str, "PONG") == 0);
}

static void ping_expired(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct ping *ping = arg;
    struct redis *redis = ping->redis;
    if (list_is_linked(&ping->node)) {
        ping_finish(ping, false);
        return;
    }
    LOG_WARN("redis does not answer");
    drop(redis);
    retry_later(redis);
}

void redis_ping(struct redis *redis, int64_t timeout_ms, redis_ping_fn *done, void *arg)
{
    struct ping *ping = memory_new(sizeof *ping);
    struct timeval wait = {.tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000};
    list_init(&ping->node);
    ping->redis = redis;
    ping->done = done;
    ping->arg = arg;
    ping->timer = event_new(redis->base, -1, 0, ping_expired, ping);
    if (!redis->connected || redisAsyncCommand(redis->context, on_pong, ping, "PING") != REDIS_OK) {
        list_append(&redis->unsent, &ping->node);
        wait = (struct timeval){0};
    }
    (void)event_add(ping->timer, &wait);
}
