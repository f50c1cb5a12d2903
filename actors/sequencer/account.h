/*
 * What each tenant may use and has used: runs, events and payload bytes of a UTC day, and runs that
 * have not ended. Memory only; no I/O, no clock. quota.c reads and writes the table.
 */
#ifndef SIGNALBOX_SEQUENCER_ACCOUNT_H
#define SIGNALBOX_SEQUENCER_ACCOUNT_H

#include "proto/quota.h"
#include "runtime/base/list.h"
#include "runtime/base/map.h"
#include "runtime/base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
enum quota account_judge(const struct quota_limits *limits, const struct quota_usage *used,
                         const struct quota_usage *wanted, int64_t *limit_out, int64_t *used_out);

/* One tenant. */
struct account {
    struct accounts *accounts; /* borrowed: those it is one of */
    struct list touched;       /* in accounts.touched, while the batch under way changes it */
    struct uuid tenant;
    struct quota_limits limits; /* its own; -1: the installation's default */
    int64_t day;                /* since 1970, that `used` is of */
    struct quota_usage used;
    struct quota_usage batch; /* what the batch under way adds; runs that end count as -1 */
};

struct accounts {
    struct map by_tenant; /* struct account, owned */
    struct list touched;
    size_t touched_count;
};

void accounts_init(struct accounts *accounts);
/* Forgets everything. */
void accounts_clear(struct accounts *accounts);
/* Made when it is not there; lives until accounts_clear(). */
struct account *accounts_get(struct accounts *accounts, const struct uuid *tenant);
/* Every tenant has the installation's limits. */
void accounts_reset_limits(struct accounts *accounts);

/* From a day on: what ends with the day begins at nothing. */
void account_begin_day(struct account *account, int64_t day);
/* With what the batch under way adds. */
struct quota_usage account_usage(const struct account *account);
/* Part of the batch under way: a run that is made; an event of a run, which may be its end. */
void account_charge_run(struct account *account);
void account_charge_event(struct account *account, size_t bytes, bool ends);
/* The batch has committed; or it was dropped. */
void accounts_commit(struct accounts *accounts);
void accounts_drop(struct accounts *accounts);

#endif
