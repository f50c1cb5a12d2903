/*
 * Quotas of tenants, and what they have used: runs, events and payload bytes of a UTC day, and runs
 * that have not ended.
 *
 * Usage is read when the shard is taken; from then on nobody but this process changes it, so memory
 * is exact, and tenant_usage moves in the statement of each batch. Limits are read again every few
 * seconds.
 */
#ifndef SIGNALBOX_SEQUENCER_QUOTA_H
#define SIGNALBOX_SEQUENCER_QUOTA_H

#include "proto/quota.h"
#include "runtime/base/list.h"
#include "runtime/base/map.h"
#include "runtime/base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct command;
struct db_params;
struct db_result;
struct sequencer;

enum { QUOTA_LIMITS = 4 };

/* In the order of enum quota; 0: no limit. */
struct quota_limits {
    int64_t of[QUOTA_LIMITS];
};

struct quota_usage {
    int64_t of[QUOTA_LIMITS]; /* the last one, runs not ended, does not end with the day */
};

/* The first quota that `wanted` more would pass, with its limit and what is used of it. What is not
 * wanted is not judged: a tenant above its limit of runs may still append. */
enum quota quota_judge(const struct quota_limits *limits, const struct quota_usage *used,
                       const struct quota_usage *wanted, int64_t *limit_out, int64_t *used_out);

/* One tenant. */
struct account {
    struct list touched; /* in quotas.touched, while the batch under way changes it */
    struct uuid tenant;
    struct quota_limits limits; /* its own; -1: the installation's default */
    int64_t day;                /* since 1970, that `used` is of */
    struct quota_usage used;
    struct quota_usage batch; /* what the batch under way adds; runs that end count as -1 */
};

struct quotas {
    struct map accounts; /* struct account by tenant, owned */
    struct list touched;
    size_t touched_count;
    int64_t read_ms; /* when the limits were last asked for */
    bool reading;
};

void quota_init(struct quotas *quotas);
/* Forgets everything. */
void quota_clear(struct quotas *quotas);
/* Never NULL; lives until quota_clear(). */
struct account *quota_account(struct quotas *quotas, const struct uuid *tenant);

/* While the shard is being taken, on the writing connection: usage and limits. */
void quota_load(struct sequencer *sequencer);
/* Once a second, on the reading connection: limits, when they are due. */
void quota_refresh(struct sequencer *sequencer);

/* Whether the tenant may have so many more runs, events and bytes; otherwise the command's result
 * is set to OUTCOME_QUOTA. */
bool quota_admits(struct sequencer *sequencer, struct command *command, int64_t runs,
                  int64_t events, int64_t bytes);
/* The same for the events of an APPEND. The end of a run is always admitted: it makes room. */
bool quota_admits_append(struct sequencer *sequencer, struct command *command);
/* Part of the batch under way: a run that is made; an event of a run, which may be its end. */
void quota_charge_run(struct quotas *quotas, struct account *account);
void quota_charge_event(struct quotas *quotas, struct account *account, size_t bytes, bool ends);
/* The batch has committed; or it was dropped. */
void quota_commit(struct sequencer *sequencer);
void quota_drop(struct sequencer *sequencer);
/* The six parameters of record_usage (migrations/0006) behind shard and epoch, for a batch of this
 * time. */
void quota_params(struct sequencer *sequencer, struct db_params *params, int64_t ts_us);

#endif
