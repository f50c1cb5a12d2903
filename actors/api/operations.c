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

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { READY_MS = 500, SLUG_MAX = 64, REASON_BYTES = 128 };

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

static void add_reason(struct buffer *reasons, const char *format, ...) SB_PRINTF(2, 3);

static void add_reason(struct buffer *reasons, const char *format, ...)
{
    char text[REASON_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buffer_append_text(reasons, reasons->length == 0 ? "" : ",");
    buffer_append_json(reasons, text, strlen(text));
}

/* The actors as the supervisor sees them, from the board. False: nobody delivers streams. One
 * actor that misses something is a reason to look, not to send clients elsewhere. */
static bool describe_actors(struct buffer *actors, struct buffer *reasons)
{
    struct metrics_supervised state;
    unsigned streamers = 0;
    unsigned streamers_ready = 0;
    for (unsigned slot = 0; slot < METRICS_SLOTS - 1; slot++) {
        const char *name = metrics_supervised(slot, &state);
        if (name == NULL) {
            continue;
        }
        buffer_append_text(actors, actors->length == 0 ? "" : ",");
        buffer_append_json(actors, name, strlen(name));
        buffer_printf(actors, ":%s", truth(state.healthy));
        if (strncmp(name, "streamer-", 9) == 0) {
            streamers++;
            streamers_ready += state.ready ? 1 : 0;
        }
        if (!state.ready) {
            add_reason(reasons, "%s is not running; it died %lld times", name,
                       (long long)state.restarts);
        } else if (!state.healthy) {
            add_reason(reasons, "%s runs, but misses what it needs or does not answer", name);
        }
    }
    return streamers == 0 || streamers_ready > 0;
}

static void describe_dependencies(const struct exchange *exchange, bool sequencer,
                                  struct buffer *reasons)
{
    if (!exchange->ready.database) {
        add_reason(reasons, "the database gave no answer within %d ms", READY_MS);
    }
    if (!sequencer) {
        add_reason(reasons, "the sequencer does not answer");
    }
    if (!exchange->ready.redis) {
        add_reason(reasons, "Redis gave no answer within %d ms", READY_MS);
    }
}

static void ready_answer(struct exchange *exchange)
{
    struct buffer *body = &exchange->api->text;
    struct buffer actors = {0};
    struct buffer reasons = {0};
    bool sequencer = commands_reachable(exchange->api->commands);
    bool database = exchange->ready.database;
    bool redis = exchange->ready.redis;
    describe_dependencies(exchange, sequencer, &reasons);
    bool streams = describe_actors(&actors, &reasons);
    bool ready = sequencer && database && redis && streams;
    struct http_field fields[2] = {{ready ? NULL : "Retry-After", "1"}};
    event_free(exchange->ready.timer);
    exchange->ready.timer = NULL;
    buffer_clear(body);
    buffer_printf(body,
                  "{\"status\":\"%s\",\"checks\":{\"database\":%s,\"sequencer\":%s,\"redis\":%s},"
                  "\"actors\":{%s},\"reasons\":[%s]}",
                  ready ? "ready" : "not ready", truth(database), truth(sequencer), truth(redis),
                  buffer_text(&actors), buffer_text(&reasons));
    buffer_deinit(&actors);
    buffer_deinit(&reasons);
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
