/*
 * What the files of `ready` share. From above: a tenant has lanes (its queues) and kinds (its job
 * types); a group is (lane, kind, priority) and holds its jobs sorted by run_at and id.
 *
 * A heap of jobs in every group, of groups in every lane, of lanes in every tenant, of tenants here:
 * each holds only what may run, as far as is known, and is sorted by what is best below. What cannot
 * run is taken out of the heap above it when that is found, and put back by what makes it free
 * again: a limit, a pause or a key that is used up costs nothing while it lasts.
 *
 * Ageing: between jobs that are due, priority + waited / ageing_us never changes its order, so
 * run_at - priority * ageing_us is a rank that stays.
 */
#ifndef SIGNALBOX_JOB_RUNNER_READY_INTERNAL_H
#define SIGNALBOX_JOB_RUNNER_READY_INTERNAL_H

#include "job-runner/ready.h"
#include "job-runner/ready_heap.h"
#include "job-runner/ready_items.h"
#include "runtime/base/list.h"
#include "runtime/base/map.h"
#include "runtime/gcra.h"

struct ready_node {
    struct ready_node *next;
    uint64_t hash;
};

/* A chained hash table of what embeds a ready_node first. Zero-initialised is empty. */
struct ready_table {
    struct ready_node **chains;
    size_t capacity;
    size_t count;
};

/* Never forgotten: when it had its last turn is what makes it fair. */
struct ready_tenant {
    struct uuid id;
    int64_t number; /* in the order of their coming */
    int64_t turn;   /* number of its last turn; who waits longest is next */
    unsigned weight;
    unsigned credit; /* jobs left of the turn it has begun */
    bool paused;
    bool passed; /* had nothing for the filter of the take that goes on */
    struct list link;
    struct list pass;
    struct list lanes;
    struct list kinds;
    struct ready_heap open; /* lanes that may run something */
    uint32_t place;         /* in ready.turns */
};

struct ready_lane {
    struct ready_node node;
    struct ready_tenant *tenant;
    struct list link; /* of tenant.lanes */
    struct list groups;
    struct list keys;
    bool ruled;
    struct ready_rules rules;
    struct gcra rate;
    size_t waiting;
    size_t timed; /* of them: in the heap of timers */
    size_t running;
    struct ready_heap open; /* groups that may run something */
    uint32_t place;         /* in tenant.open */
    uint32_t rate_place;    /* in ready.rates: out of rate until then */
    char queue[];
};

struct ready_kind {
    struct ready_node node;
    struct ready_tenant *tenant;
    struct list link; /* of tenant.kinds */
    struct list groups;
    bool paused;
    int64_t held_until_us;
    uint32_t hold_place; /* in ready.holds */
    char type[];
};

struct ready_group {
    struct ready_node node;
    struct ready_lane *lane;
    struct ready_kind *kind;
    struct list in_lane;
    struct list in_kind;
    struct list crowds;
    int priority;
    size_t jobs;            /* in any state */
    struct ready_heap open; /* due, not parked; may hold some whose key is used up all the same */
    uint32_t place;         /* in lane.open */
};

/* A concurrency key of a lane. While it has room, the best of each of its crowds is in the group. */
struct ready_key {
    struct ready_node node;
    struct ready_lane *lane;
    struct list link; /* of lane.keys */
    struct list crowds;
    size_t jobs; /* in any state */
    size_t running;
    char text[];
};

/* The jobs of a group that were found waiting for a key. */
struct ready_crowd {
    struct ready_key *key;
    struct ready_group *group;
    struct list in_key;
    struct list in_group;
    struct ready_heap parked;
};

struct ready {
    int64_t ageing_us;
    int64_t now_us; /* as last said */
    int64_t turn;   /* the last that was given */
    int64_t newcomer_us;
    struct ready_items items;
    struct ready_heap timers; /* jobs, by run_at */
    struct ready_heap rates;  /* lanes out of rate, by when that ends */
    struct ready_heap holds;  /* kinds, by when their hold ends */
    struct ready_heap turns;  /* tenants that may run something, by their last turn */
    struct map tenants_by_id;
    struct list tenants;
    struct ready_table lanes;
    struct ready_table kinds;
    struct ready_table groups;
    struct ready_table keys;
};

/* ---- ready_names.c: what there is, by name ---- */
struct ready_tenant *ready_find_tenant(const struct ready *ready, const struct uuid *id);
struct ready_lane *ready_find_lane(const struct ready *ready, const struct ready_tenant *tenant,
                                   const char *queue);
struct ready_kind *ready_find_kind(const struct ready *ready, const struct ready_tenant *tenant,
                                   const char *type);
/* Found or made. */
struct ready_tenant *ready_get_tenant(struct ready *ready, const struct uuid *id);
struct ready_lane *ready_get_lane(struct ready *ready, struct ready_tenant *tenant,
                                  const char *queue);
struct ready_kind *ready_get_kind(struct ready *ready, struct ready_tenant *tenant,
                                  const char *type);
struct ready_group *ready_get_group(struct ready *ready, struct ready_lane *lane,
                                    struct ready_kind *kind, int priority);
struct ready_key *ready_get_key(struct ready *ready, struct ready_lane *lane, const char *text);
/* Forgets it, and what it alone was the reason for, when nothing needs it any more. */
void ready_drop_key(struct ready *ready, struct ready_key *key);
void ready_drop_group(struct ready *ready, struct ready_group *group);
void ready_drop_lane(struct ready *ready, struct ready_lane *lane);
void ready_drop_kind(struct ready *ready, struct ready_kind *kind);
void ready_names_deinit(struct ready *ready);

/* ---- ready_limits.c: who may run something; each after a change of what it looks at ---- */
void ready_settle_tenant(struct ready *ready, struct ready_tenant *tenant);
void ready_settle_lane(struct ready *ready, struct ready_lane *lane);
void ready_settle_kind(struct ready *ready, struct ready_kind *kind);
/* Parks what it has on top for keys that are used up. */
void ready_settle_group(struct ready *ready, struct ready_group *group);
/* NULL has room. */
bool ready_key_has_room(const struct ready_key *key);
/* The key may have room now. */
void ready_settle_key(struct ready *ready, struct ready_key *key);
/* A job of the group has gone that was the best with this key: the next, if the key has room. */
void ready_unpark(struct ready_group *group, struct ready_key *key);
void ready_crowd_remove(struct ready_item *item);
/* So many jobs of the lane were taken: its rate pays. */
void ready_charge_lane(struct ready *ready, struct ready_lane *lane, int64_t cost);
/* It is now_us: what is due moves to its group, limits that time has lifted are lifted. */
void ready_tick(struct ready *ready, int64_t now_us);

/* ---- ready.c ---- */
/* It waits in its group from now on; the group is to be settled. */
void ready_open_item(struct ready_item *item);
/* The same of one that has become due: its tenant may have had nothing before. */
void ready_open_due_item(struct ready *ready, struct ready_item *item);
/* It waits, and runs from now on. */
void ready_run_item(struct ready *ready, struct ready_item *item);
/* It runs, and waits from now on. */
void ready_wait_item(struct ready *ready, struct ready_item *item);

#endif
