/* See account.h. */
#include "sequencer/account.h"

#include "runtime/base/memory.h"

#include <stdlib.h>

enum quota account_judge(const struct quota_limits *limits, const struct quota_usage *used,
                         const struct quota_usage *wanted, int64_t *limit_out, int64_t *used_out)
{
    for (int i = 0; i < QUOTA_LIMITS; i++) {
        if (limits->of[i] > 0 && wanted->of[i] > 0 && used->of[i] > limits->of[i] - wanted->of[i]) {
            *limit_out = limits->of[i];
            *used_out = used->of[i];
            return (enum quota)(i + 1);
        }
    }
    return QUOTA_NONE;
}

/* ---- accounts ---- */

void accounts_init(struct accounts *accounts)
{
    *accounts = (struct accounts){0};
    list_init(&accounts->touched);
}

void accounts_clear(struct accounts *accounts)
{
    size_t cursor = 0;
    struct account *account;
    while ((account = map_next(&accounts->by_tenant, &cursor)) != NULL) {
        free(account);
    }
    map_deinit(&accounts->by_tenant);
    accounts_init(accounts);
}

static void reset_limits(struct account *account)
{
    for (int i = 0; i < QUOTA_LIMITS; i++) {
        account->limits.of[i] = -1;
    }
}

void accounts_reset_limits(struct accounts *accounts)
{
    size_t cursor = 0;
    struct account *account;
    while ((account = map_next(&accounts->by_tenant, &cursor)) != NULL) {
        reset_limits(account);
    }
}

struct account *accounts_get(struct accounts *accounts, const struct uuid *tenant)
{
    struct account *account = map_get(&accounts->by_tenant, tenant);
    if (account == NULL) {
        account = memory_new(sizeof *account);
        account->accounts = accounts;
        account->tenant = *tenant;
        reset_limits(account);
        list_init(&account->touched);
        map_put(&accounts->by_tenant, tenant, account);
    }
    return account;
}

void account_begin_day(struct account *account, int64_t day)
{
    if (day > account->day) {
        int64_t active = account->used.of[QUOTA_CONCURRENT_RUNS - 1];
        account->day = day;
        account->used = (struct quota_usage){0};
        account->used.of[QUOTA_CONCURRENT_RUNS - 1] = active;
    }
}

struct quota_usage account_usage(const struct account *account)
{
    struct quota_usage sum = account->used;
    for (int i = 0; i < QUOTA_LIMITS; i++) {
        sum.of[i] += account->batch.of[i];
    }
    return sum;
}

/* ---- the batch under way ---- */

static void touch(struct account *account)
{
    if (!list_is_linked(&account->touched)) {
        list_append(&account->accounts->touched, &account->touched);
        account->accounts->touched_count++;
    }
}

void account_charge_run(struct account *account)
{
    touch(account);
    account->batch.of[QUOTA_RUNS_PER_DAY - 1]++;
    account->batch.of[QUOTA_CONCURRENT_RUNS - 1]++;
}

void account_charge_event(struct account *account, size_t bytes, bool ends)
{
    touch(account);
    account->batch.of[QUOTA_EVENTS_PER_DAY - 1]++;
    account->batch.of[QUOTA_BYTES_PER_DAY - 1] += (int64_t)bytes;
    account->batch.of[QUOTA_CONCURRENT_RUNS - 1] -= ends ? 1 : 0;
}

static void let_go(struct accounts *accounts, bool used)
{
    struct list *first;
    while ((first = list_first(&accounts->touched)) != NULL) {
        struct account *account = LIST_ENTRY(first, struct account, touched);
        list_remove(first);
        if (used) {
            account->used = account_usage(account);
        }
        account->batch = (struct quota_usage){0};
    }
    accounts->touched_count = 0;
}

void accounts_commit(struct accounts *accounts)
{
    let_go(accounts, true);
}

void accounts_drop(struct accounts *accounts)
{
    let_go(accounts, false);
}
