/*
 * Whether what a WebSocket's client wants to follow is there, and its own: one query for many runs,
 * one at a time for threads. Only then a run is watched, so nobody learns or disturbs anything by
 * naming what is not his.
 */
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "streamer/store.h"
#include "streamer/streamer.h"
#include "streamer/ws_internal.h"

#include <stdlib.h>

enum { RUNS_MAX = 256 };

struct question {
    struct ws_hub *hub;
    size_t count;
    uint64_t
        numbers[]; /* of subscriptions, by which they are found again if they are still there */
};

void ws_lookup_add(struct ws_subscription *subscription)
{
    struct ws_hub *hub = subscription->ws->hub;
    list_append(subscription->kind == STREAM_KIND_RUN ? &hub->lookups : &hub->feed_lookups,
                &subscription->in_lookup);
    streamer_wake(hub->streamer);
}

void ws_lookup_forget(struct ws_subscription *subscription)
{
    list_remove(&subscription->in_lookup);
    if (subscription->number != 0) {
        struct uuid key = map_number_key(subscription->number);
        (void)map_remove(&subscription->ws->hub->asked, &key);
        subscription->number = 0;
    }
}

static struct question *collect(struct ws_hub *hub, struct list *line, size_t max)
{
    struct question *question = memory_new(sizeof *question + max * sizeof question->numbers[0]);
    struct list *first;
    question->hub = hub;
    while (question->count < max && (first = list_first(line)) != NULL) {
        struct ws_subscription *subscription = LIST_ENTRY(first, struct ws_subscription, in_lookup);
        list_remove(first);
        subscription->number = ++hub->last_number;
        struct uuid key = map_number_key(subscription->number);
        (void)map_put(&hub->asked, &key, subscription);
        question->numbers[question->count++] = subscription->number;
    }
    return question;
}

static struct ws_subscription *asked(const struct question *question, size_t index)
{
    struct uuid key = map_number_key(question->numbers[index]);
    return map_get(&question->hub->asked, &key);
}

/* The answer for one: it is there, it is not, or nobody knows. */
static void answer(struct ws_subscription *subscription, enum db_status status, bool found,
                   int64_t head)
{
    ws_lookup_forget(subscription);
    if (status != DB_OK) {
        /* Asking again in this very pass would lose it again. */
        subscription->ws->hub->pause_until_ms = clock_monotonic_ms() + STREAMER_LOST_PAUSE_MS;
        ws_lookup_add(subscription);
    } else if (!found) {
        ws_subscription_fail(subscription, PROBLEM_NOT_FOUND);
    } else {
        ws_subscription_follow(subscription, (uint64_t)head);
    }
}

/* ---- runs ---- */

static void on_runs(void *arg, enum db_status status, const struct db_result *result)
{
    struct question *question = arg;
    struct ws_hub *hub = question->hub;
    hub->asking = false;
    for (size_t i = 0; i < question->count; i++) {
        struct ws_subscription *subscription = asked(question, i);
        if (subscription != NULL) {
            bool found = status == DB_OK && !db_is_null(result, (int)i, STORE_HEADS_LAST_SEQ);
            answer(subscription, status, found,
                   found ? db_int8(result, (int)i, STORE_HEADS_LAST_SEQ) : 0);
        }
    }
    free(question);
    streamer_wake(hub->streamer);
}

static void write_tenants(const struct question *question, struct db_params *params)
{
    db_array_begin(params, DB_ARRAY_UUID, question->count);
    for (size_t i = 0; i < question->count; i++) {
        db_array_uuid(params, asked(question, i)->ws->tenant.bytes);
    }
    db_array_end(params);
}

static void ask_runs(struct ws_hub *hub)
{
    struct question *question = collect(hub, &hub->lookups, RUNS_MAX);
    struct db_params params = {0};
    struct db_params scope = {0};
    db_array_begin(&params, DB_ARRAY_UUID, question->count);
    for (size_t i = 0; i < question->count; i++) {
        db_array_uuid(&params, asked(question, i)->run.bytes);
    }
    db_array_end(&params);
    write_tenants(question, &params);
    db_param_null(&scope);
    write_tenants(question, &scope);
    hub->asking = true;
    db_query_in(hub->streamer->db, &(struct db_scope){&store_scope, &scope}, &store_heads, &params,
                on_runs, question);
    db_params_deinit(&params);
    db_params_deinit(&scope);
}

/* ---- feeds ---- */

static void on_feed(void *arg, enum db_status status, const struct db_result *result)
{
    struct question *question = arg;
    struct ws_hub *hub = question->hub;
    struct ws_subscription *subscription = asked(question, 0);
    hub->feed_asking = false;
    if (subscription != NULL) {
        bool known = status == DB_OK && db_rows(result) == 1;
        answer(subscription, known ? DB_OK : DB_LOST,
               known && db_bool(result, 0, STORE_FEED_HEAD_FOUND),
               known ? db_int8(result, 0, STORE_FEED_HEAD) : 0);
    }
    free(question);
    streamer_wake(hub->streamer);
}

static void ask_feed(struct ws_hub *hub)
{
    struct question *question = collect(hub, &hub->feed_lookups, 1);
    const struct ws_subscription *subscription = asked(question, 0);
    struct db_params params = {0};
    struct db_params scope = {0};
    db_param_int4(&params, 0);
    db_param_uuid(&params, &subscription->ws->tenant);
    if (uuid_is_nil(&subscription->thread)) {
        db_param_null(&params);
    } else {
        db_param_uuid(&params, &subscription->thread);
    }
    db_param_uuid(&scope, &subscription->ws->tenant);
    db_param_null(&scope);
    hub->feed_asking = true;
    db_query_in(hub->streamer->feed_db, &(struct db_scope){&store_scope, &scope}, &store_feed_head,
                &params, on_feed, question);
    db_params_deinit(&params);
    db_params_deinit(&scope);
}

void ws_lookup_go(struct ws_hub *hub)
{
    if (clock_monotonic_ms() < hub->pause_until_ms) {
        return; /* the next tick comes back */
    }
    if (!hub->asking && !list_is_empty(&hub->lookups) && db_is_connected(hub->streamer->db)) {
        ask_runs(hub);
    }
    if (!hub->feed_asking && !list_is_empty(&hub->feed_lookups) &&
        db_is_connected(hub->streamer->feed_db)) {
        ask_feed(hub);
    }
}

static void give_up(struct list *line, int64_t now_ms)
{
    LIST_FOR_EACH(node, line)
    {
        struct ws_subscription *subscription = LIST_ENTRY(node, struct ws_subscription, in_lookup);
        if (now_ms >= subscription->asks_until_ms) {
            ws_subscription_fail(subscription, PROBLEM_UNAVAILABLE);
        }
    }
}

void ws_lookup_tick(struct ws_hub *hub, int64_t now_ms)
{
    give_up(&hub->lookups, now_ms);
    give_up(&hub->feed_lookups, now_ms);
    ws_lookup_go(hub);
}
