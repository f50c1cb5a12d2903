/*
 * Tenants, queues, types, groups and keys by their names. All but tenants are forgotten with the
 * last job or rule that names them: tenants choose these names.
 */
#include "job-runner/ready_internal.h"

#include "runtime/base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY_MIN = 16 };

/* ---- hash tables ---- */

/* Of what it is in and its name, keyed like all hashes of what others choose. */
static uint64_t hash_of(const void *parent, const void *bytes, size_t length)
{
    struct uuid block = {0};
    memcpy(block.bytes, &parent, sizeof parent);
    memcpy(block.bytes + 8, &length, sizeof length);
    uint64_t hash = uuid_hash(&block);
    const char *at = bytes;
    for (size_t left = length; left > 0;) {
        size_t part = left < 8 ? left : 8;
        block = (struct uuid){0};
        memcpy(block.bytes, &hash, sizeof hash);
        memcpy(block.bytes + 8, at, part);
        hash = uuid_hash(&block);
        at += part;
        left -= part;
    }
    return hash;
}

static struct ready_node *chain_of(const struct ready_table *table, uint64_t hash)
{
    return table->capacity == 0 ? NULL : table->chains[hash & (table->capacity - 1)];
}

static void grow(struct ready_table *table)
{
    struct ready_table bigger = {.capacity =
                                     table->capacity == 0 ? CAPACITY_MIN : table->capacity * 2,
                                 .count = table->count};
    bigger.chains = memory_array(bigger.capacity, sizeof(struct ready_node *));
    for (size_t i = 0; i < table->capacity; i++) {
        for (struct ready_node *node = table->chains[i]; node != NULL;) {
            struct ready_node *next = node->next;
            struct ready_node **chain = &bigger.chains[node->hash & (bigger.capacity - 1)];
            node->next = *chain;
            *chain = node;
            node = next;
        }
    }
    free(table->chains);
    *table = bigger;
}

static void table_add(struct ready_table *table, struct ready_node *node, uint64_t hash)
{
    if (table->count >= table->capacity) {
        grow(table);
    }
    struct ready_node **chain = &table->chains[hash & (table->capacity - 1)];
    node->hash = hash;
    node->next = *chain;
    *chain = node;
    table->count++;
}

static void table_remove(struct ready_table *table, struct ready_node *node)
{
    struct ready_node **link = &table->chains[node->hash & (table->capacity - 1)];
    while (*link != node) {
        link = &(*link)->next;
    }
    *link = node->next;
    table->count--;
}

/* ---- tenants ---- */

struct ready_tenant *ready_find_tenant(const struct ready *ready, const struct uuid *id)
{
    return map_get(&ready->tenants_by_id, id);
}

struct ready_tenant *ready_get_tenant(struct ready *ready, const struct uuid *id)
{
    struct ready_tenant *tenant = ready_find_tenant(ready, id);
    if (tenant != NULL) {
        return tenant;
    }
    tenant = memory_new(sizeof *tenant);
    tenant->id = *id;
    tenant->number = (int64_t)ready->tenants_by_id.count + 1;
    tenant->weight = 1;
    list_init(&tenant->pass);
    list_init(&tenant->lanes);
    list_init(&tenant->kinds);
    list_append(&ready->tenants, &tenant->link);
    map_put(&ready->tenants_by_id, id, tenant);
    return tenant;
}

/* ---- queues ---- */

static struct ready_lane *lane_find(const struct ready *ready, const struct ready_tenant *tenant,
                                    const char *queue, uint64_t hash)
{
    for (struct ready_node *node = chain_of(&ready->lanes, hash); node != NULL; node = node->next) {
        struct ready_lane *lane = (struct ready_lane *)node;
        if (node->hash == hash && lane->tenant == tenant && strcmp(lane->queue, queue) == 0) {
            return lane;
        }
    }
    return NULL;
}

struct ready_lane *ready_find_lane(const struct ready *ready, const struct ready_tenant *tenant,
                                   const char *queue)
{
    return lane_find(ready, tenant, queue, hash_of(tenant, queue, strlen(queue)));
}

struct ready_lane *ready_get_lane(struct ready *ready, struct ready_tenant *tenant,
                                  const char *queue)
{
    size_t length = strlen(queue);
    uint64_t hash = hash_of(tenant, queue, length);
    struct ready_lane *lane = lane_find(ready, tenant, queue, hash);
    if (lane != NULL) {
        return lane;
    }
    lane = memory_new(sizeof *lane + length + 1);
    lane->tenant = tenant;
    lane->rules.key_concurrency = 1;
    memcpy(lane->queue, queue, length + 1);
    list_init(&lane->groups);
    list_init(&lane->keys);
    list_append(&tenant->lanes, &lane->link);
    table_add(&ready->lanes, &lane->node, hash);
    return lane;
}

static void lane_free(struct ready *ready, struct ready_lane *lane)
{
    ready_heap_remove(&lane->tenant->open, &lane->place);
    ready_heap_remove(&ready->rates, &lane->rate_place);
    ready_heap_deinit(&lane->open);
    list_remove(&lane->link);
    table_remove(&ready->lanes, &lane->node);
    free(lane);
}

void ready_drop_lane(struct ready *ready, struct ready_lane *lane)
{
    if (list_is_empty(&lane->groups) && list_is_empty(&lane->keys) && !lane->ruled) {
        lane_free(ready, lane);
    }
}

/* ---- types ---- */

static struct ready_kind *kind_find(const struct ready *ready, const struct ready_tenant *tenant,
                                    const char *type, uint64_t hash)
{
    for (struct ready_node *node = chain_of(&ready->kinds, hash); node != NULL; node = node->next) {
        struct ready_kind *kind = (struct ready_kind *)node;
        if (node->hash == hash && kind->tenant == tenant && strcmp(kind->type, type) == 0) {
            return kind;
        }
    }
    return NULL;
}

struct ready_kind *ready_find_kind(const struct ready *ready, const struct ready_tenant *tenant,
                                   const char *type)
{
    return kind_find(ready, tenant, type, hash_of(tenant, type, strlen(type)));
}

struct ready_kind *ready_get_kind(struct ready *ready, struct ready_tenant *tenant,
                                  const char *type)
{
    size_t length = strlen(type);
    uint64_t hash = hash_of(tenant, type, length);
    struct ready_kind *kind = kind_find(ready, tenant, type, hash);
    if (kind != NULL) {
        return kind;
    }
    kind = memory_new(sizeof *kind + length + 1);
    kind->tenant = tenant;
    kind->held_until_us = INT64_MIN;
    memcpy(kind->type, type, length + 1);
    list_init(&kind->groups);
    list_append(&tenant->kinds, &kind->link);
    table_add(&ready->kinds, &kind->node, hash);
    return kind;
}

static void kind_free(struct ready *ready, struct ready_kind *kind)
{
    ready_heap_remove(&ready->holds, &kind->hold_place);
    list_remove(&kind->link);
    table_remove(&ready->kinds, &kind->node);
    free(kind);
}

void ready_drop_kind(struct ready *ready, struct ready_kind *kind)
{
    if (list_is_empty(&kind->groups) && !kind->paused && kind->hold_place == 0) {
        kind_free(ready, kind);
    }
}

/* ---- groups ---- */

struct ready_group *ready_get_group(struct ready *ready, struct ready_lane *lane,
                                    struct ready_kind *kind, int priority)
{
    struct {
        void *kind;
        int64_t priority;
    } name = {kind, priority};
    uint64_t hash = hash_of(lane, &name, sizeof name);
    for (struct ready_node *node = chain_of(&ready->groups, hash); node != NULL;
         node = node->next) {
        struct ready_group *group = (struct ready_group *)node;
        if (group->lane == lane && group->kind == kind && group->priority == priority) {
            return group;
        }
    }
    struct ready_group *group = memory_new(sizeof *group);
    group->lane = lane;
    group->kind = kind;
    group->priority = priority;
    list_init(&group->crowds);
    list_append(&lane->groups, &group->in_lane);
    list_append(&kind->groups, &group->in_kind);
    table_add(&ready->groups, &group->node, hash);
    return group;
}

static void group_free(struct ready *ready, struct ready_group *group)
{
    ready_heap_remove(&group->lane->open, &group->place);
    ready_heap_deinit(&group->open);
    list_remove(&group->in_lane);
    list_remove(&group->in_kind);
    table_remove(&ready->groups, &group->node);
    free(group);
}

void ready_drop_group(struct ready *ready, struct ready_group *group)
{
    if (group->jobs > 0) {
        return;
    }
    struct ready_lane *lane = group->lane;
    struct ready_kind *kind = group->kind;
    group_free(ready, group);
    ready_drop_kind(ready, kind);
    ready_drop_lane(ready, lane);
}

/* ---- concurrency keys ---- */

struct ready_key *ready_get_key(struct ready *ready, struct ready_lane *lane, const char *text)
{
    size_t length = strlen(text);
    uint64_t hash = hash_of(lane, text, length);
    for (struct ready_node *node = chain_of(&ready->keys, hash); node != NULL; node = node->next) {
        struct ready_key *key = (struct ready_key *)node;
        if (node->hash == hash && key->lane == lane && strcmp(key->text, text) == 0) {
            return key;
        }
    }
    struct ready_key *key = memory_new(sizeof *key + length + 1);
    key->lane = lane;
    memcpy(key->text, text, length + 1);
    list_init(&key->crowds);
    list_append(&lane->keys, &key->link);
    table_add(&ready->keys, &key->node, hash);
    return key;
}

static void key_free(struct ready *ready, struct ready_key *key)
{
    list_remove(&key->link);
    table_remove(&ready->keys, &key->node);
    free(key);
}

void ready_drop_key(struct ready *ready, struct ready_key *key)
{
    if (key->jobs == 0) {
        assert(key->running == 0 && list_is_empty(&key->crowds));
        key_free(ready, key);
    }
}

/* ---- the end ---- */

static void group_deinit(struct ready *ready, struct ready_group *group)
{
    LIST_FOR_EACH(node, &group->crowds)
    {
        struct ready_crowd *crowd = LIST_ENTRY(node, struct ready_crowd, in_group);
        list_remove(&crowd->in_group);
        list_remove(&crowd->in_key);
        ready_heap_deinit(&crowd->parked);
        free(crowd);
    }
    group_free(ready, group);
}

static void tenant_deinit(struct ready *ready, struct ready_tenant *tenant)
{
    LIST_FOR_EACH(node, &tenant->lanes)
    {
        struct ready_lane *lane = LIST_ENTRY(node, struct ready_lane, link);
        LIST_FOR_EACH(group, &lane->groups)
        {
            group_deinit(ready, LIST_ENTRY(group, struct ready_group, in_lane));
        }
        LIST_FOR_EACH(key, &lane->keys)
        {
            key_free(ready, LIST_ENTRY(key, struct ready_key, link));
        }
        lane_free(ready, lane);
    }
    LIST_FOR_EACH(node, &tenant->kinds)
    {
        kind_free(ready, LIST_ENTRY(node, struct ready_kind, link));
    }
    ready_heap_deinit(&tenant->open);
    list_remove(&tenant->link);
    free(tenant);
}

void ready_names_deinit(struct ready *ready)
{
    LIST_FOR_EACH(node, &ready->tenants)
    {
        tenant_deinit(ready, LIST_ENTRY(node, struct ready_tenant, link));
    }
    map_deinit(&ready->tenants_by_id);
    free(ready->lanes.chains);
    free(ready->kinds.chains);
    free(ready->groups.chains);
    free(ready->keys.chains);
}
