/* See ready.h, and ready_internal.h for how it works. This file: jobs come, change and go; rules. */
#include "job-runner/ready.h"

#include "job-runner/ready_internal.h"
#include "runtime/base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct ready *ready_create(int64_t ageing_us)
{
    assert(ageing_us >= 0);
    struct ready *ready = memory_new(sizeof *ready);
    ready->ageing_us = ageing_us;
    list_init(&ready->tenants);
    return ready;
}

void ready_destroy(struct ready **ready)
{
    struct ready *self = *ready;
    if (self == NULL) {
        return;
    }
    ready_names_deinit(self);
    ready_items_deinit(&self->items);
    ready_heap_deinit(&self->timers);
    ready_heap_deinit(&self->rates);
    ready_heap_deinit(&self->holds);
    ready_heap_deinit(&self->turns);
    free(self);
    *ready = NULL;
}

/* ---- one job from state to state ---- */

void ready_open_item(struct ready_item *item)
{
    item->state = READY_OPEN;
    const struct ready_entry entry = {
        .rank = item->run_at_us, .due_us = item->run_at_us, .id = item->id, .place = &item->place};
    ready_heap_put(&item->group->open, &entry);
}

void ready_open_due_item(struct ready *ready, struct ready_item *item)
{
    if (item->group->lane->tenant->open.count == 0 && ready->turns.count > 0) {
        ready->newcomer_us = ready->now_us;
    }
    ready_open_item(item);
}

/* Takes it out of the heap it is in. */
static void leave_heap(struct ready *ready, struct ready_item *item)
{
    struct ready_group *group = item->group;
    switch (item->state) {
    case READY_TIMED:
        ready_heap_remove(&ready->timers, &item->place);
        group->lane->timed--;
        break;
    case READY_OPEN:
        ready_heap_remove(&group->open, &item->place);
        break;
    case READY_PARKED:
        ready_crowd_remove(item);
        break;
    case READY_RUNNING:
        break;
    }
}

void ready_run_item(struct ready *ready, struct ready_item *item)
{
    struct ready_group *group = item->group;
    assert(item->state != READY_RUNNING);
    leave_heap(ready, item);
    item->state = READY_RUNNING;
    group->lane->waiting--;
    group->lane->running++;
    if (item->key != NULL) {
        item->key->running++;
        ready_unpark(group, item->key);
    }
    ready_settle_group(ready, group);
}

/* It is in no state yet: waits from now on. */
static void begin_waiting(struct ready *ready, struct ready_item *item)
{
    struct ready_lane *lane = item->group->lane;
    lane->waiting++;
    if (item->run_at_us <= ready->now_us) {
        ready_open_due_item(ready, item);
        ready_settle_group(ready, item->group);
        return;
    }
    item->state = READY_TIMED;
    lane->timed++;
    const struct ready_entry entry = {
        .rank = item->run_at_us, .id = item->id, .place = &item->place};
    ready_heap_put(&ready->timers, &entry);
}

/* A place of its key and of its queue is free. */
static void stop_running(struct ready *ready, struct ready_item *item)
{
    struct ready_lane *lane = item->group->lane;
    lane->running--;
    if (item->key != NULL) {
        item->key->running--;
        ready_settle_key(ready, item->key);
    }
    ready_settle_lane(ready, lane);
}

void ready_wait_item(struct ready *ready, struct ready_item *item)
{
    assert(item->state == READY_RUNNING);
    stop_running(ready, item);
    begin_waiting(ready, item);
}

/* ---- jobs ---- */

static bool is_same(const struct ready_item *item, const struct ready_job *job)
{
    const struct ready_group *group = item->group;
    return item->run_at_us == job->run_at_us && group->priority == job->priority &&
           uuid_equal(&group->lane->tenant->id, &job->tenant) &&
           strcmp(group->lane->queue, job->queue) == 0 &&
           strcmp(group->kind->type, job->type) == 0 &&
           strcmp(item->key == NULL ? "" : item->key->text, job->concurrency_key) == 0;
}

/* Known, but in no state. */
static struct ready_item *add(struct ready *ready, const struct ready_job *job)
{
    struct ready_tenant *tenant = ready_get_tenant(ready, &job->tenant);
    struct ready_lane *lane = ready_get_lane(ready, tenant, job->queue);
    struct ready_kind *kind = ready_get_kind(ready, tenant, job->type);
    struct ready_item *item = ready_items_add(&ready->items, job->id);
    item->run_at_us = job->run_at_us;
    item->group = ready_get_group(ready, lane, kind, job->priority);
    item->group->jobs++;
    if (job->concurrency_key[0] != '\0') {
        item->key = ready_get_key(ready, lane, job->concurrency_key);
        item->key->jobs++;
    }
    return item;
}

void ready_put(struct ready *ready, const struct ready_job *job)
{
    struct ready_item *item = ready_items_find(&ready->items, job->id);
    if (item != NULL && is_same(item, job)) {
        if (item->state == READY_RUNNING) {
            ready_wait_item(ready, item);
        }
        return;
    }
    ready_remove(ready, job->id);
    begin_waiting(ready, add(ready, job));
}

int64_t ready_newcomer_us(const struct ready *ready)
{
    return ready->newcomer_us;
}

void ready_put_running(struct ready *ready, const struct ready_job *job)
{
    struct ready_item *item = ready_items_find(&ready->items, job->id);
    if (item == NULL || !is_same(item, job)) {
        ready_remove(ready, job->id);
        item = add(ready, job);
        item->state = READY_OPEN;
        item->group->lane->waiting++;
    }
    if (item->state != READY_RUNNING) {
        ready_run_item(ready, item);
    }
}

void ready_remove(struct ready *ready, int64_t id)
{
    struct ready_item *item = ready_items_find(&ready->items, id);
    if (item == NULL) {
        return;
    }
    struct ready_group *group = item->group;
    struct ready_key *key = item->key;
    if (item->state == READY_RUNNING) {
        stop_running(ready, item);
    } else {
        bool was_open = item->state == READY_OPEN;
        leave_heap(ready, item);
        group->lane->waiting--;
        if (was_open) {
            ready_unpark(group, key);
            ready_settle_group(ready, group);
        }
    }
    ready_items_drop(&ready->items, id);
    if (key != NULL) {
        key->jobs--;
        ready_drop_key(ready, key);
    }
    group->jobs--;
    ready_drop_group(ready, group);
}

bool ready_is_waiting(const struct ready *ready, int64_t id)
{
    const struct ready_item *item = ready_items_find(&ready->items, id);
    return item != NULL && item->state != READY_RUNNING;
}

int64_t ready_next_us(const struct ready *ready, int64_t now_us)
{
    int64_t next = ready_heap_next(&ready->timers, now_us);
    int64_t rate = ready_heap_next(&ready->rates, now_us);
    int64_t hold = ready_heap_next(&ready->holds, now_us);
    next = rate < next ? rate : next;
    return hold < next ? hold : next;
}

/* ---- rules ---- */

static bool rules_equal(const struct ready_rules *a, const struct ready_rules *b)
{
    return a->paused == b->paused && a->concurrency == b->concurrency &&
           a->key_concurrency == b->key_concurrency && a->rate_per_minute == b->rate_per_minute &&
           a->rate_burst == b->rate_burst;
}

void ready_set_rules(struct ready *ready, const struct uuid *tenant, const char *queue,
                     const struct ready_rules *rules)
{
    static const struct ready_rules none = {.key_concurrency = 1};
    struct ready_lane *lane = ready_get_lane(ready, ready_get_tenant(ready, tenant), queue);
    struct ready_rules old = lane->rules;
    lane->ruled = rules != NULL;
    lane->rules = rules != NULL ? *rules : none;
    if (rules == NULL) {
        lane->rate = (struct gcra){0};
    }
    if (!rules_equal(&old, &lane->rules)) {
        if (old.rate_per_minute != lane->rules.rate_per_minute) {
            lane->rate.rest = 0; /* in units of the old rate */
        }
        LIST_FOR_EACH(node, &lane->keys)
        {
            ready_settle_key(ready, LIST_ENTRY(node, struct ready_key, link));
        }
        ready_settle_lane(ready, lane);
    }
    ready_drop_lane(ready, lane);
}

void ready_pause_type(struct ready *ready, const struct uuid *tenant, const char *type, bool paused)
{
    struct ready_tenant *whom = ready_get_tenant(ready, tenant);
    if (type[0] == '\0') {
        whom->paused = paused;
        ready_settle_tenant(ready, whom);
        return;
    }
    struct ready_kind *kind = ready_get_kind(ready, whom, type);
    if (kind->paused != paused) {
        kind->paused = paused;
        ready_settle_kind(ready, kind);
    }
    ready_drop_kind(ready, kind);
}

void ready_set_weight(struct ready *ready, const struct uuid *tenant, unsigned weight)
{
    ready_get_tenant(ready, tenant)->weight = weight < 1 ? 1 : weight;
}

void ready_hold_type(struct ready *ready, const struct uuid *tenant, const char *type,
                     int64_t until_us)
{
    struct ready_kind *kind = ready_get_kind(ready, ready_get_tenant(ready, tenant), type);
    kind->held_until_us = until_us;
    ready_settle_kind(ready, kind);
    ready_drop_kind(ready, kind);
}
