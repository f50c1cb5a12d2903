/* See order.h. */
#include "sequencer/order.h"

#include "runtime/base/memory.h"

#include <assert.h>
#include <stdlib.h>

void order_init(struct order *order)
{
    *order = (struct order){0};
}

static void destroy_origin(struct order_origin *origin)
{
    free(origin->results);
    free(origin);
}

void order_deinit(struct order *order)
{
    size_t cursor = 0;
    struct order_origin *origin;
    while ((origin = map_next(&order->origins, &cursor)) != NULL) {
        destroy_origin(origin);
    }
    map_deinit(&order->origins);
}

struct order_origin *order_origin(struct order *order, uint64_t number)
{
    struct uuid key = map_number_key(number);
    struct order_origin *origin = map_get(&order->origins, &key);
    if (origin == NULL) {
        origin = memory_new(sizeof *origin);
        origin->origin = number;
        origin->expected = 1;
        map_put(&order->origins, &key, origin);
    }
    return origin;
}

void order_load(struct order *order, uint64_t number, uint64_t settled)
{
    struct order_origin *origin = order_origin(order, number);
    origin->settled = settled;
    origin->expected = settled + 1;
}

void order_hello(struct order_origin *origin, uint64_t oldest)
{
    if (oldest > origin->expected) {
        origin->expected = oldest;
        origin->settled = oldest - 1;
    }
    origin->nacked = false;
}

static struct order_result *slot_of(struct order_origin *origin, uint64_t number)
{
    if (origin->results == NULL) {
        origin->results = memory_array(ORDER_RESULTS, sizeof *origin->results);
    }
    return &origin->results[number % ORDER_RESULTS];
}

/* The answer kept for `number`, or NULL. */
static const struct message_result *result_of(const struct order_origin *origin, uint64_t number)
{
    const struct order_result *slot =
        origin->results == NULL ? NULL : &origin->results[number % ORDER_RESULTS];
    return slot == NULL || slot->number != number || slot->pending ? NULL : &slot->result;
}

/* Settled before this process, or its answer has been dropped. */
static enum order_verdict judge_old(struct order_origin *origin, uint64_t number, bool full)
{
    struct order_result *slot = slot_of(origin, number);
    if (slot->number == number && slot->pending) {
        return ORDER_WAIT;
    }
    if (full) {
        return ORDER_BUSY;
    }
    *slot = (struct order_result){.number = number, .pending = true};
    return ORDER_RECOVER;
}

enum order_verdict order_judge(struct order_origin *origin, uint64_t number, bool full,
                               struct message_result *result_out)
{
    if (number == origin->expected) {
        if (full) {
            return ORDER_BUSY;
        }
        origin->expected++;
        origin->nacked = false;
        return ORDER_TAKE;
    }
    if (number > origin->expected) {
        bool told = origin->nacked;
        origin->nacked = true;
        return told ? ORDER_DROP : ORDER_NACK;
    }
    if (number > origin->settled) {
        return ORDER_WAIT;
    }
    const struct message_result *kept = result_of(origin, number);
    if (kept == NULL) {
        return judge_old(origin, number, full);
    }
    *result_out = *kept;
    return ORDER_ANSWER;
}

void order_reset(struct order *order)
{
    size_t cursor = 0;
    struct order_origin *origin;
    while ((origin = map_next(&order->origins, &cursor)) != NULL) {
        origin->expected = 1;
        origin->settled = 0;
        origin->nacked = false;
        free(origin->results);
        origin->results = NULL;
    }
}

void order_settle(struct order_origin *origin, uint64_t number, const struct message_result *result)
{
    *slot_of(origin, number) = (struct order_result){.number = number, .result = *result};
    if (number > origin->settled) {
        assert(number == origin->settled + 1);
        origin->settled = number;
    }
}

static bool is_idle(const struct order_origin *origin, int64_t since_ms)
{
    return origin->users == 0 && origin->seen_ms < since_ms;
}

void order_forget(struct order *order, int64_t answers_ms, int64_t origins_ms)
{
    size_t cursor = 0;
    struct order_origin *origin;
    while ((origin = map_next(&order->origins, &cursor)) != NULL) {
        if (is_idle(origin, origins_ms)) {
            struct uuid key = map_number_key(origin->origin);
            map_remove(&order->origins, &key);
            destroy_origin(origin);
            cursor = 0; /* the map has changed */
        } else if (is_idle(origin, answers_ms)) {
            free(origin->results);
            origin->results = NULL;
        }
    }
}
