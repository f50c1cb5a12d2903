/* See exchange.h. */
#include "api/exchange.h"

#include "api/handover.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/spans.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCRATCH_KEPT_BYTES = 256 << 10 };

/* Seconds, for everything that is over soon. */
#define RETRY_AFTER "1"

/* More than one traceparent is none. */
static void begin_trace(struct exchange *exchange)
{
    size_t count = 0;
    struct http_text field = http_request_field(exchange->request, "traceparent", &count);
    trace_begin(&exchange->trace, count == 1 ? field.data : NULL, field.length);
    exchange->trace.recorded = spans_want(exchange->api->actor->spans, &exchange->trace);
}

struct exchange *exchange_begin(struct api *api, struct http_request *request)
{
    struct list *spare = list_first(&api->spare);
    struct exchange *exchange;
    if (spare != NULL) {
        list_remove(spare);
        exchange = LIST_ENTRY(spare, struct exchange, node);
        memset(exchange, 0, sizeof *exchange);
    } else {
        exchange = memory_new(sizeof *exchange);
    }
    list_init(&exchange->node);
    exchange->api = api;
    exchange->request = request;
    exchange->number = ++api->exchanges;
    begin_trace(exchange);
    exchange->producer_seq = -1;
    exchange->lines_accepted = -1;
    exchange->holds = 1;
    api->open++;
    http_request_set_user(request, exchange);
    return exchange;
}

void exchange_hold(struct exchange *exchange)
{
    exchange->holds++;
}

/* Nothing is under way: what large requests have grown is given back. */
static void trim_scratch(struct api *api)
{
    submission_trim(&api->submission);
    if (api->text.capacity > SCRATCH_KEPT_BYTES) {
        buffer_deinit(&api->text);
    }
}

static void give_back(struct exchange *exchange)
{
    struct api *api = exchange->api;
    assert(exchange->holds > 0);
    if (--exchange->holds == 0) {
        assert(!list_is_linked(&exchange->node));
        api->open--;
        list_append(&api->spare, &exchange->node);
        if (api->open == 0) {
            trim_scratch(api);
        }
    }
}

/* The request is over. status 0: its client did not wait for an answer. */
static void tell_span(const struct exchange *exchange, int status)
{
    if (!exchange->trace.recorded) {
        return;
    }
    int64_t now_us = clock_real_us();
    int64_t took_us = clock_monotonic_us() - http_request_started_us(exchange->request);
    struct span span = {.id = exchange->trace.span,
                        .parent = exchange->trace.parent,
                        .kind = SPAN_SERVER,
                        .name = exchange->route == NULL ? "request" : NULL,
                        .start_us = now_us - took_us,
                        .end_us = now_us,
                        .status = status,
                        .failed = status >= 500};
    memcpy(span.trace, exchange->trace.id, sizeof span.trace);
    if (exchange->route != NULL) {
        span.method = exchange->route->method;
        span.route = exchange->route->pattern;
        span.run = strstr(span.route, "/runs") == NULL ? span.run : exchange->id;
    }
    spans_add(exchange->api->actor->spans, &span);
}

bool exchange_resume(struct exchange *exchange)
{
    bool waiting = exchange->request != NULL;
    give_back(exchange);
    return waiting;
}

void exchange_abandon(struct exchange *exchange)
{
    tell_span(exchange, 0);
    exchange->request = NULL;
    if (exchange->abandoned != NULL) {
        exchange->abandoned(exchange);
    }
    give_back(exchange);
}

void exchange_free_spare(struct api *api)
{
    LIST_FOR_EACH(node, &api->spare)
    {
        list_remove(node);
        free(LIST_ENTRY(node, struct exchange, node));
    }
}

static struct http_request *take_request(struct exchange *exchange)
{
    struct http_request *request = exchange->request;
    assert(request != NULL);
    exchange->request = NULL;
    http_request_set_user(request, NULL);
    return request;
}

int exchange_detach(struct exchange *exchange, struct buffer *rest)
{
    struct buffer dropped = {0};
    tell_span(exchange, 200);
    int fd = http_request_detach(take_request(exchange), rest == NULL ? &dropped : rest);
    buffer_deinit(&dropped);
    metric_add(METRIC_HTTP_REQUESTS, 1);
    give_back(exchange);
    return fd;
}

/* What the id in the path names. */
static const char *id_name(const struct exchange *exchange)
{
    const char *pattern = exchange->route == NULL ? "" : exchange->route->pattern;
    return strstr(pattern, "/runs") != NULL      ? "run_id"
           : strstr(pattern, "/threads") != NULL ? "thread_id"
                                                 : "id";
}

static struct log_field id_field(const char *name, const struct uuid *id)
{
    return uuid_is_nil(id) ? LOG_TEXT(name, NULL) : LOG_UUID(name, id);
}

static void log_answer(const struct exchange *exchange, int status)
{
    enum log_level level = status >= 500 ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG;
    if (!log_enabled(level)) {
        return;
    }
    int64_t took_us = clock_monotonic_us() - http_request_started_us(exchange->request);
    LOG_AT(level, status >= 500 ? "request failed" : "request answered",
           LOG_INT("request", exchange->number), LOG_TRACE("trace_id", exchange->trace.id),
           LOG_TEXT("route", exchange->route == NULL ? NULL : exchange->route->pattern),
           LOG_INT("status", status), LOG_TEXT("problem", exchange->problem),
           id_field("tenant_id", &exchange->who.tenant), id_field(id_name(exchange), &exchange->id),
           LOG_INT("took_us", took_us));
}

void exchange_reply(struct exchange *exchange, int status, const char *content_type,
                    const struct http_field *fields, const struct buffer *body)
{
    struct http_field all[EXCHANGE_FIELDS_MAX + 5] = {{"Cache-Control", "no-store"},
                                                      {"X-Content-Type-Options", "nosniff"}};
    struct limit_texts texts;
    size_t count = 2 + limit_fields(exchange, &texts, all + 2);
    for (size_t i = 0; fields != NULL && fields[i].name != NULL; i++) {
        assert(i < EXCHANGE_FIELDS_MAX);
        all[count++] = fields[i];
    }
    log_answer(exchange, status);
    tell_span(exchange, status);
    http_reply(take_request(exchange), status, content_type, all, body == NULL ? NULL : body->data,
               body == NULL ? 0 : body->length);
    give_back(exchange);
}

void exchange_json(struct exchange *exchange, int status, const struct buffer *body)
{
    exchange_reply(exchange, status, "application/json", NULL, body);
}

/* Asked for as a browser's EventSource does, which gives up for good on every status but 200. */
static bool is_event_source(const struct exchange *exchange)
{
    static const char wanted[] = "text/event-stream";
    size_t count = 0;
    struct http_text method = http_request_method(exchange->request);
    struct http_text accept = http_request_field(exchange->request, "Accept", &count);
    return exchange->route != NULL && exchange->route->is_stream && method.length == 3 &&
           accept.length > 0 &&
           memmem(accept.data, accept.length, wanted, sizeof wanted - 1) != NULL;
}

static void reply_problem(struct exchange *exchange, enum problem problem,
                          const struct buffer *body)
{
    int status = problem_info(problem)->status;
    struct http_field fields[2] = {{0}};
    char seconds[24] = RETRY_AFTER;
    int64_t retry_s =
        exchange->limit.retry_s > 0 ? exchange->limit.retry_s : exchange->retry_after_s;
    if (retry_s > 0) {
        (void)snprintf(seconds, sizeof seconds, "%lld", (long long)retry_s);
    }
    if (status == 401) {
        fields[0] = (struct http_field){"WWW-Authenticate", "Bearer realm=\"signalbox\""};
    } else if (status == 503 || status == 429) {
        fields[0] = (struct http_field){"Retry-After", seconds};
    }
    exchange->problem = problem_info(problem)->slug;
    if ((status == 503 || status == 429) && is_event_source(exchange)) {
        log_answer(exchange, status);
        handover_refuse(exchange, retry_s * 1000);
        return;
    }
    exchange_reply(exchange, status, PROBLEM_MEDIA_TYPE, fields, body);
}

void exchange_problem(struct exchange *exchange, enum problem problem, const char *detail,
                      const struct problem_extra *extra)
{
    struct exchange_deferred *deferred = exchange->deferred;
    struct problem_extra all = {0};
    struct buffer body = {0};
    if (extra != NULL) {
        all = *extra;
    }
    if (exchange->lines_accepted >= 0) {
        all.third_name = "lines_accepted";
        all.third = exchange->lines_accepted;
    }
    problem_write(&body, problem, detail, &all);
    if (deferred != NULL) {
        assert(!deferred->given);
        *deferred = (struct exchange_deferred){true, problem, body};
        return;
    }
    reply_problem(exchange, problem, &body);
    buffer_deinit(&body);
}

void exchange_refuse(struct exchange *exchange, const struct refusal *refusal)
{
    exchange->retry_after_s = refusal->retry_after_s;
    exchange_problem(exchange, refusal->problem, (const char *)refusal->detail.data,
                     &refusal->extra);
}

void exchange_reply_deferred(struct exchange *exchange, struct exchange_deferred *deferred)
{
    reply_problem(exchange, deferred->problem, &deferred->body);
}

void exchange_unavailable(struct exchange *exchange)
{
    exchange_problem(exchange, PROBLEM_UNAVAILABLE,
                     "The database cannot be reached now. Nothing was done.", NULL);
}
