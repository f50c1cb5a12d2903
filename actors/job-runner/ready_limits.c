/* Who may run something: pauses, concurrency, rates, holds, keys and time. See ready_internal.h. */
#include "job-runner/ready_internal.h"

#include "runtime/base/memory.h"

#include <assert.h>
#include <stdlib.h>

enum { MINUTE_US = 60000000 };

/* ---- tenants ---- */

void ready_settle_tenant(struct ready *ready, struct ready_tenant *tenant)
{
    if (tenant->paused || tenant->passed || tenant->open.count == 0) {
        ready_heap_remove(&ready->turns, &tenant->place);
        return;
    }
    const struct ready_entry entry = {
        .rank = tenant->turn, .id = tenant->number, .place = &tenant->place};
    ready_heap_put(&ready->turns, &entry);
}

/* ---- queues ---- */

static struct gcra_rule rate_rule(const struct ready_rules *rules)
{
    unsigned count = rules->rate_per_minute;
    unsigned burst = rules->rate_burst;
    return (struct gcra_rule){.count = count < GCRA_COUNT_MAX ? count : GCRA_COUNT_MAX,
                              .period_us = MINUTE_US,
                              .burst = burst < 1                ? 1
                                       : burst < GCRA_BURST_MAX ? burst
                                                                : GCRA_BURST_MAX};
}

/* Whether the rate lets one through; else remembers when it will. */
static bool rate_allows(struct ready *ready, struct ready_lane *lane)
{
    if (lane->rules.rate_per_minute == 0) {
        ready_heap_remove(&ready->rates, &lane->rate_place);
        return true;
    }
    struct gcra_rule rule = rate_rule(&lane->rules);
    struct gcra_state state = gcra_look(&lane->rate, &rule, ready->now_us);
    if (state.retry_us == 0) {
        ready_heap_remove(&ready->rates, &lane->rate_place);
        return true;
    }
    const struct ready_entry entry = {.rank = ready->now_us + state.retry_us,
                                      .place = &lane->rate_place};
    ready_heap_put(&ready->rates, &entry);
    return false;
}

void ready_settle_lane(struct ready *ready, struct ready_lane *lane)
{
    const struct ready_rules *rules = &lane->rules;
    bool allowed = rate_allows(ready, lane);
    const struct ready_entry *top = ready_heap_top(&lane->open);
    if (allowed && top != NULL && !rules->paused &&
        (rules->concurrency == 0 || lane->running < rules->concurrency)) {
        struct ready_entry entry = *top;
        entry.place = &lane->place;
        ready_heap_put(&lane->tenant->open, &entry);
    } else {
        ready_heap_remove(&lane->tenant->open, &lane->place);
    }
    ready_settle_tenant(ready, lane->tenant);
}

void ready_charge_lane(struct ready *ready, struct ready_lane *lane, int64_t cost)
{
    if (lane->rules.rate_per_minute > 0) {
        struct gcra_rule rule = rate_rule(&lane->rules);
        gcra_charge(&lane->rate, &rule, ready->now_us, cost);
    }
}

/* ---- types ---- */

static bool kind_is_open(const struct ready *ready, const struct ready_kind *kind)
{
    return !kind->paused && kind->held_until_us <= ready->now_us;
}

void ready_settle_kind(struct ready *ready, struct ready_kind *kind)
{
    if (kind->held_until_us > ready->now_us) {
        const struct ready_entry entry = {.rank = kind->held_until_us, .place = &kind->hold_place};
        ready_heap_put(&ready->holds, &entry);
    } else {
        ready_heap_remove(&ready->holds, &kind->hold_place);
    }
    LIST_FOR_EACH(node, &kind->groups)
    {
        ready_settle_group(ready, LIST_ENTRY(node, struct ready_group, in_kind));
    }
}

/* ---- keys ---- */

bool ready_key_has_room(const struct ready_key *key)
{
    return key == NULL || key->lane->rules.key_concurrency == 0 ||
           key->running < key->lane->rules.key_concurrency;
}

static struct ready_crowd *crowd_find(const struct ready_group *group, const struct ready_key *key)
{
    LIST_FOR_EACH(node, &key->crowds)
    {
        struct ready_crowd *crowd = LIST_ENTRY(node, struct ready_crowd, in_key);
        if (crowd->group == group) {
            return crowd;
        }
    }
    return NULL;
}

static struct ready_crowd *crowd_get(struct ready_group *group, struct ready_key *key)
{
    struct ready_crowd *crowd = crowd_find(group, key);
    if (crowd == NULL) {
        crowd = memory_new(sizeof *crowd);
        crowd->key = key;
        crowd->group = group;
        list_append(&key->crowds, &crowd->in_key);
        list_append(&group->crowds, &crowd->in_group);
    }
    return crowd;
}

static void crowd_drop_item(struct ready_crowd *crowd, struct ready_item *item)
{
    ready_heap_remove(&crowd->parked, &item->place);
    if (crowd->parked.count == 0) {
        list_remove(&crowd->in_key);
        list_remove(&crowd->in_group);
        ready_heap_deinit(&crowd->parked);
        free(crowd);
    }
}

void ready_crowd_remove(struct ready_item *item)
{
    struct ready_crowd *crowd = crowd_find(item->group, item->key);
    assert(crowd != NULL);
    crowd_drop_item(crowd, item);
}

static void unpark_best(struct ready_crowd *crowd)
{
    struct ready_item *item =
        READY_HEAP_OF(ready_heap_top(&crowd->parked)->place, struct ready_item, place);
    crowd_drop_item(crowd, item);
    ready_open_item(item);
}

void ready_unpark(struct ready_group *group, struct ready_key *key)
{
    if (key == NULL || !ready_key_has_room(key)) {
        return;
    }
    struct ready_crowd *crowd = crowd_find(group, key);
    if (crowd != NULL) {
        unpark_best(crowd);
    }
}

void ready_settle_key(struct ready *ready, struct ready_key *key)
{
    if (!ready_key_has_room(key)) {
        return;
    }
    LIST_FOR_EACH(node, &key->crowds)
    {
        struct ready_crowd *crowd = LIST_ENTRY(node, struct ready_crowd, in_key);
        struct ready_group *group = crowd->group;
        unpark_best(crowd);
        ready_settle_group(ready, group);
    }
}

/* ---- groups ---- */

static void park_top(struct ready_group *group, struct ready_item *item)
{
    struct ready_entry entry = *ready_heap_top(&group->open);
    ready_heap_remove(&group->open, &item->place);
    ready_heap_put(&crowd_get(group, item->key)->parked, &entry);
    item->state = READY_PARKED;
}

/* The rank of a job among all of its tenant. */
static int64_t rank_of(const struct ready *ready, int priority, int64_t run_at_us)
{
    int64_t levels = -(int64_t)priority;
    int64_t rank;
    if (ready->ageing_us == 0) {
        return levels;
    }
    if (__builtin_mul_overflow(levels, ready->ageing_us, &rank) ||
        __builtin_add_overflow(rank, run_at_us, &rank)) {
        return levels < 0 ? INT64_MIN : INT64_MAX;
    }
    return rank;
}

void ready_settle_group(struct ready *ready, struct ready_group *group)
{
    const struct ready_entry *top;
    while ((top = ready_heap_top(&group->open)) != NULL) {
        struct ready_item *item = READY_HEAP_OF(top->place, struct ready_item, place);
        if (ready_key_has_room(item->key)) {
            break;
        }
        park_top(group, item);
    }
    if (top != NULL && kind_is_open(ready, group->kind)) {
        const struct ready_entry entry = {.rank = rank_of(ready, group->priority, top->due_us),
                                          .due_us = top->due_us,
                                          .id = top->id,
                                          .place = &group->place};
        ready_heap_put(&group->lane->open, &entry);
    } else {
        ready_heap_remove(&group->lane->open, &group->place);
    }
    ready_settle_lane(ready, group->lane);
}

/* ---- time ---- */

static void tick_timers(struct ready *ready)
{
    const struct ready_entry *top;
    while ((top = ready_heap_top(&ready->timers)) != NULL && top->rank <= ready->now_us) {
        struct ready_item *item = READY_HEAP_OF(top->place, struct ready_item, place);
        ready_heap_remove(&ready->timers, &item->place);
        item->group->lane->timed--;
        ready_open_due_item(ready, item);
        ready_settle_group(ready, item->group);
    }
}

static void tick_rates(struct ready *ready)
{
    const struct ready_entry *top;
    while ((top = ready_heap_top(&ready->rates)) != NULL && top->rank <= ready->now_us) {
        ready_settle_lane(ready, READY_HEAP_OF(top->place, struct ready_lane, rate_place));
    }
}

static void tick_holds(struct ready *ready)
{
    const struct ready_entry *top;
    while ((top = ready_heap_top(&ready->holds)) != NULL && top->rank <= ready->now_us) {
        struct ready_kind *kind = READY_HEAP_OF(top->place, struct ready_kind, hold_place);
        ready_settle_kind(ready, kind);
        ready_drop_kind(ready, kind);
    }
}

/* The clock was set back: a rate must not shut anybody out for longer than its burst. */
static void clock_went_back(struct ready *ready)
{
    LIST_FOR_EACH(tenant_node, &ready->tenants)
    {
        struct ready_tenant *tenant = LIST_ENTRY(tenant_node, struct ready_tenant, link);
        LIST_FOR_EACH(node, &tenant->lanes)
        {
            struct ready_lane *lane = LIST_ENTRY(node, struct ready_lane, link);
            ready_charge_lane(ready, lane, 0); /* what is used up counts from now */
            ready_settle_lane(ready, lane);
        }
    }
}

void ready_tick(struct ready *ready, int64_t now_us)
{
    bool back = now_us < ready->now_us;
    ready->now_us = now_us;
    if (back) {
        clock_went_back(ready);
    }
    tick_timers(ready);
    tick_rates(ready);
    tick_holds(ready);
}
