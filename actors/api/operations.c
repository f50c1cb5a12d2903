/*
 * Operations. /health says that this process answers; /ready says whether what it needs does, and
 * never takes longer than READY_MS to say so.
 */
#include "api/operations.h"

#include "api/exchange.h"
#include "api/store.h"
#include "runtime/base/metrics.h"
#include "runtime/commands.h"
#include "runtime/redis.h"

#include <string.h>

enum { READY_MS = 500, SLUG_MAX = 64 };

void operations_health(struct exchange *exchange)
{
    struct buffer *body = &exchange->api->text;
    buffer_clear(body);
    buffer_append_text(body, "{\"status\":\"ok\",\"version\":\"" SB_VERSION "\"}");
    exchange_json(exchange, 200, body);
}

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

static void ready_answer(struct exchange *exchange)
{
    struct buffer *body = &exchange->api->text;
    bool sequencer = commands_reachable(exchange->api->commands);
    bool database = exchange->ready.database;
    bool redis = exchange->ready.redis;
    bool ready = sequencer && database && redis;
    struct http_field fields[2] = {{ready ? NULL : "Retry-After", "1"}};
    event_free(exchange->ready.timer);
    exchange->ready.timer = NULL;
    buffer_clear(body);
    buffer_printf(body,
                  "{\"status\":\"%s\",\"checks\":{\"database\":%s,\"sequencer\":%s,\"redis\":%s}}",
                  ready ? "ready" : "not ready", truth(database), truth(sequencer), truth(redis));
    exchange_reply(exchange, ready ? 200 : 503, "application/json", fields, body);
}

/* One of the two answers is here. */
static void ready_told(struct exchange *exchange)
{
    if (!exchange_resume(exchange)) {
        return;
    }
    if (exchange->ready.database_told && exchange->ready.redis_told) {
        ready_answer(exchange);
    }
}

static void database_told(void *arg, enum db_status status,
                          const struct db_result *result SB_UNUSED)
{
    struct exchange *exchange = arg;
    exchange->ready.database = status == DB_OK;
    exchange->ready.database_told = true;
    ready_told(exchange);
}

static void redis_told(void *arg, bool ok)
{
    struct exchange *exchange = arg;
    exchange->ready.redis = ok;
    exchange->ready.redis_told = true;
    ready_told(exchange);
}

/* Who has not answered by now is not ready. */
static void ready_expired(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    ready_answer(arg);
}

static void ready_abandoned(struct exchange *exchange)
{
    if (exchange->ready.timer != NULL) {
        event_free(exchange->ready.timer);
        exchange->ready.timer = NULL;
    }
}

void operations_ready(struct exchange *exchange)
{
    struct api *api = exchange->api;
    struct timeval wait = {.tv_usec = READY_MS * 1000};
    exchange->abandoned = ready_abandoned;
    exchange->ready.timer = event_new(api->actor->base, -1, 0, ready_expired, exchange);
    (void)event_add(exchange->ready.timer, &wait);
    exchange_hold(exchange);
    exchange_hold(exchange);
    redis_ping(api->redis, READY_MS, redis_told, exchange);
    store_ping(api->store, database_told, exchange);
}

void operations_metrics(struct exchange *exchange)
{
    struct buffer *body = &exchange->api->text;
    buffer_clear(body);
    metrics_render(body);
    exchange_reply(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, body);
}

void operations_problem(struct exchange *exchange)
{
    struct buffer *body = &exchange->api->text;
    struct http_text segment = exchange->segment;
    char slug[SLUG_MAX + 1];
    enum problem problem;
    size_t length = segment.length > SLUG_MAX ? 0 : segment.length;
    memcpy(slug, segment.data, length);
    slug[length] = '\0';
    if (problem_find(slug, &problem) != 0) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such type of problem.", NULL);
        return;
    }
    buffer_clear(body);
    problem_page(body, problem);
    exchange_reply(exchange, 200, "text/html; charset=utf-8", NULL, body);
}
