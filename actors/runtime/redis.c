/*
 * See redis.h.
 *
 * One connection, made again after 200 ms .. 5 s with jitter. A ping that is not answered in time
 * drops the connection, so that a frozen server can never pile up replies that are still awaited. A
 * script that is not answered in time is given up first, and drops the connection when its answer is
 * still missing after FROZEN_MS.
 * A host name is resolved by hiredis while the loop waits; a numeric address or a unix socket is
 * not.
 */
#include "runtime/redis.h"

#include "runtime/base/list.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/redis_url.h"

#include <assert.h>
#include <event2/util.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RETRY_FIRST_MS = 200, RETRY_MAX_MS = 5000, CONNECT_MS = 5000, FROZEN_MS = 1000 };
enum { SHA_SIZE = 41 }; /* 40 hex digits and NUL */

struct redis {
    struct event_base *base;
    struct redis_url url;
    bool usable;                /* the url could be understood */
    redisAsyncContext *context; /* owned; NULL while waiting to connect */
    bool connected;
    uint64_t connections; /* ever made */
    struct event *timer;  /* next try, or the end of the patience with this one */
    int64_t retry_ms;
    struct list unsent;  /* pings that are told "no" in the next turn of the loop */
    struct list scripts; /* struct redis_script, owned */
};

struct redis_script {
    struct list node;
    struct redis *redis;
    const char *text;
    char sha[SHA_SIZE]; /* empty: this connection has not taken it yet */
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

/* Lives until its reply, told or not. */
struct script_call {
    struct redis_script *script;
    struct event *timer;
    redis_script_fn *done; /* NULL: was told that nothing came in time */
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

static void disconnected(struct redis *redis)
{
    redis->context = NULL;
    redis->connected = false;
    LIST_FOR_EACH(node, &redis->scripts)
    {
        LIST_ENTRY(node, struct redis_script, node)->sha[0] = '\0';
    }
}

/* Who waits is told. */
static void drop(struct redis *redis)
{
    if (redis->context != NULL) {
        redisAsyncContext *context = redis->context;
        disconnected(redis);
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
    disconnected(redis); /* hiredis frees the context after its callback */
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
    redis->connections++;
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

static void on_loaded(redisAsyncContext *context SB_UNUSED, void *reply_pointer, void *arg)
{
    const redisReply *reply = reply_pointer;
    struct redis_script *script = arg;
    if (reply == NULL) {
        return;
    }
    if (reply->type == REDIS_REPLY_STRING && reply->len == SHA_SIZE - 1) {
        memcpy(script->sha, reply->str, SHA_SIZE);
    } else {
        LOG_WARN("redis refuses a script", LOG_TEXT("reason", reply->str));
    }
}

static int load(struct redis_script *script)
{
    script->sha[0] = '\0';
    return redisAsyncCommand(script->redis->context, on_loaded, script, "SCRIPT LOAD %s",
                             script->text);
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
    LIST_FOR_EACH(node, &redis->scripts)
    {
        failed |= load(LIST_ENTRY(node, struct redis_script, node));
    }
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
    list_init(&redis->scripts);
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
    LIST_FOR_EACH(node, &(*redis)->scripts)
    {
        list_remove(node);
        free(LIST_ENTRY(node, struct redis_script, node));
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

/* ---- scripts ---- */

struct redis_script *redis_script_add(struct redis *redis, const char *text)
{
    struct redis_script *script = memory_new(sizeof *script);
    list_init(&script->node);
    list_append(&redis->scripts, &script->node);
    script->redis = redis;
    script->text = text;
    if (redis->context != NULL && load(script) != REDIS_OK) {
        LOG_WARN("redis takes no script");
    }
    return script;
}

bool redis_script_ready(const struct redis_script *script)
{
    return script->redis->connected && script->sha[0] != '\0';
}

uint64_t redis_script_connection(const struct redis_script *script)
{
    return script->redis->connections;
}

/* A server that was restarted behind our back, or told to forget, has to be told the script again. */
static void check_known(struct redis_script *script, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR) {
        LOG_WARN("redis did not run a script", LOG_TEXT("reason", reply->str));
        if (script->redis->context != NULL && strncmp(reply->str, "NOSCRIPT", 8) == 0) {
            (void)load(script);
        }
    }
}

static size_t read_numbers(const redisReply *reply, int64_t numbers[REDIS_ANSWER_MAX])
{
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements > REDIS_ANSWER_MAX) {
        return 0;
    }
    for (size_t i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type != REDIS_REPLY_INTEGER) {
            return 0;
        }
        numbers[i] = reply->element[i]->integer;
    }
    return reply->elements;
}

static void on_script_reply(redisAsyncContext *context SB_UNUSED, void *reply, void *arg)
{
    struct script_call *call = arg;
    redis_script_fn *done = call->done;
    void *done_arg = call->arg;
    int64_t numbers[REDIS_ANSWER_MAX];
    size_t count = read_numbers(reply, numbers);
    if (reply != NULL) {
        check_known(call->script, reply);
    }
    event_free(call->timer);
    free(call);
    if (done != NULL) {
        done(done_arg, count == 0 ? NULL : numbers, count);
    }
}

static void script_expired(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct script_call *call = arg;
    redis_script_fn *done = call->done;
    if (done == NULL) {
        struct redis *redis = call->script->redis;
        LOG_WARN("redis does not answer");
        drop(redis); /* `call` is gone with it */
        retry_later(redis);
        return;
    }
    call->done = NULL;
    (void)event_add(call->timer, &(struct timeval){FROZEN_MS / 1000, (FROZEN_MS % 1000) * 1000});
    done(call->arg, NULL, 0);
}

int redis_script_run(struct redis_script *script, const char *const *texts, size_t count,
                     size_t keys, int64_t timeout_ms, redis_script_fn *done, void *arg)
{
    const char *words[REDIS_ARGUMENTS_MAX + 3] = {"EVALSHA", script->sha};
    char keys_text[4];
    assert(count <= REDIS_ARGUMENTS_MAX && keys <= count);
    if (!redis_script_ready(script)) {
        return -1;
    }
    (void)snprintf(keys_text, sizeof keys_text, "%zu", keys);
    words[2] = keys_text;
    memcpy(words + 3, texts, count * sizeof *texts);
    struct script_call *call = memory_new(sizeof *call);
    *call = (struct script_call){.script = script, .done = done, .arg = arg};
    if (redisAsyncCommandArgv(script->redis->context, on_script_reply, call, (int)count + 3, words,
                              NULL) != REDIS_OK) {
        free(call);
        return -1;
    }
    call->timer = event_new(script->redis->base, -1, 0, script_expired, call);
    (void)event_add(call->timer, &(struct timeval){.tv_sec = timeout_ms / 1000,
                                                   .tv_usec = (timeout_ms % 1000) * 1000});
    return 0;
}
