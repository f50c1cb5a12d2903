/* See quota.h. */
#include "sequencer/quota.h"

#include "contracts/generated/event_types.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "sequencer/sequencer.h"
#include "sequencer/store.h"

#include <stdlib.h>
#include <string.h>

enum { QUOTA_READ_MS = 5000 };

static const int64_t DAY_US = INT64_C(86400) * 1000 * 1000;

enum quota quota_judge(const struct quota_limits *limits, const struct quota_usage *used,
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

void quota_init(struct quotas *quotas)
{
    *quotas = (struct quotas){0};
    list_init(&quotas->touched);
}

void quota_clear(struct quotas *quotas)
{
    size_t cursor = 0;
    struct account *account;
    while ((account = map_next(&quotas->accounts, &cursor)) != NULL) {
        free(account);
    }
    map_deinit(&quotas->accounts);
    quota_init(quotas);
}

static void set_default(struct account *account)
{
    for (int i = 0; i < QUOTA_LIMITS; i++) {
        account->limits.of[i] = -1;
    }
}

struct account *quota_account(struct quotas *quotas, const struct uuid *tenant)
{
    struct account *account = map_get(&quotas->accounts, tenant);
    if (account == NULL) {
        account = memory_new(sizeof *account);
        account->tenant = *tenant;
        set_default(account);
        list_init(&account->touched);
        map_put(&quotas->accounts, tenant, account);
    }
    return account;
}

/* A new day: what ends with the day begins at nothing. */
static void roll(struct account *account, int64_t day)
{
    if (day > account->day) {
        int64_t active = account->used.of[QUOTA_CONCURRENT_RUNS - 1];
        account->day = day;
        account->used = (struct quota_usage){0};
        account->used.of[QUOTA_CONCURRENT_RUNS - 1] = active;
    }
}

static struct quota_usage after_batch(const struct account *account)
{
    struct quota_usage sum = account->used;
    for (int i = 0; i < QUOTA_LIMITS; i++) {
        sum.of[i] += account->batch.of[i];
    }
    return sum;
}

/* ---- commands ---- */

static struct quota_limits limits_of(const struct sequencer *sequencer,
                                     const struct account *account)
{
    static const enum setting defaults[QUOTA_LIMITS] = {
        SETTING_QUOTA_RUNS_PER_DAY, SETTING_QUOTA_EVENTS_PER_DAY, SETTING_QUOTA_BYTES_PER_DAY,
        SETTING_QUOTA_CONCURRENT_RUNS};
    struct quota_limits limits = account->limits;
    for (int i = 0; i < QUOTA_LIMITS; i++) {
        if (limits.of[i] < 0) {
            limits.of[i] = settings_int(sequencer->actor->settings, defaults[i]);
        }
    }
    return limits;
}

bool quota_admits(struct sequencer *sequencer, struct command *command, int64_t runs,
                  int64_t events, int64_t bytes)
{
    struct account *account = quota_account(&sequencer->quotas, &command->tenant);
    int64_t now_us = clock_real_us();
    int64_t limit = 0;
    int64_t used = 0;
    roll(account, (now_us > sequencer->last_ts_us ? now_us : sequencer->last_ts_us) / DAY_US);
    struct quota_limits limits = limits_of(sequencer, account);
    struct quota_usage usage = after_batch(account);
    struct quota_usage wanted = {{runs, events, bytes, runs}};
    enum quota quota = quota_judge(&limits, &usage, &wanted, &limit, &used);
    if (quota == QUOTA_NONE) {
        return true;
    }
    command->result = (struct message_result){.outcome = OUTCOME_QUOTA,
                                              .quota = quota,
                                              .quota_limit = (uint64_t)limit,
                                              .quota_used = (uint64_t)used};
    memcpy(command->result.run, command->run_id.bytes, sizeof command->result.run);
    return false;
}

bool quota_admits_append(struct sequencer *sequencer, struct command *command)
{
    struct message_list events = command->message.append.events;
    struct message_append_event event;
    int64_t count = 0;
    int64_t bytes = 0;
    bool ends = false;
    while (message_append_event_next(&events, &event)) {
        count++;
        bytes += (int64_t)event.payload.length;
        ends = event_type_is_terminal((enum event_type)event.type);
    }
    return (count == 1 && ends) || quota_admits(sequencer, command, 0, count, bytes);
}

static void touch(struct quotas *quotas, struct account *account)
{
    if (!list_is_linked(&account->touched)) {
        list_append(&quotas->touched, &account->touched);
        quotas->touched_count++;
    }
}

void quota_charge_run(struct quotas *quotas, struct account *account)
{
    touch(quotas, account);
    account->batch.of[QUOTA_RUNS_PER_DAY - 1]++;
    account->batch.of[QUOTA_CONCURRENT_RUNS - 1]++;
}

void quota_charge_event(struct quotas *quotas, struct account *account, size_t bytes, bool ends)
{
    touch(quotas, account);
    account->batch.of[QUOTA_EVENTS_PER_DAY - 1]++;
    account->batch.of[QUOTA_BYTES_PER_DAY - 1] += (int64_t)bytes;
    account->batch.of[QUOTA_CONCURRENT_RUNS - 1] -= ends ? 1 : 0;
}

/* ---- the batch ---- */

static void let_go(struct quotas *quotas, bool used)
{
    struct list *first;
    while ((first = list_first(&quotas->touched)) != NULL) {
        struct account *account = LIST_ENTRY(first, struct account, touched);
        list_remove(first);
        if (used) {
            account->used = after_batch(account);
        }
        account->batch = (struct quota_usage){0};
    }
    quotas->touched_count = 0;
}

void quota_commit(struct sequencer *sequencer)
{
    let_go(&sequencer->quotas, true);
}

void quota_drop(struct sequencer *sequencer)
{
    let_go(&sequencer->quotas, false);
}

void quota_params(struct sequencer *sequencer, struct db_params *params, int64_t ts_us)
{
    const struct quotas *quotas = &sequencer->quotas;
    db_param_timestamptz(params, ts_us);
    db_array_begin(params, DB_ARRAY_UUID, quotas->touched_count);
    LIST_FOR_EACH(node, &quotas->touched)
    {
        struct account *account = LIST_ENTRY(node, struct account, touched);
        roll(account, ts_us / DAY_US);
        db_array_uuid(params, account->tenant.bytes);
    }
    db_array_end(params);
    for (int i = 0; i < QUOTA_LIMITS; i++) {
        db_array_begin(params, DB_ARRAY_INT8, quotas->touched_count);
        LIST_FOR_EACH(node, &quotas->touched)
        {
            struct quota_usage sum = after_batch(LIST_ENTRY(node, struct account, touched));
            db_array_int8(params, sum.of[i]);
        }
        db_array_end(params);
    }
}

/* ---- the table ---- */

static void on_usage(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    if (status == DB_REFUSED) {
        LOG_ERROR("usage cannot be read", LOG_TEXT("error", db_message(result)));
        db_reset(sequencer->writer); /* the take-over begins again */
    }
    if (status != DB_OK) {
        return;
    }
    for (int row = 0; row < db_rows(result); row++) {
        struct uuid tenant;
        db_uuid(result, row, 0, &tenant);
        struct account *account = quota_account(&sequencer->quotas, &tenant);
        account->day = db_int8(result, row, 1);
        for (int i = 0; i < QUOTA_LIMITS; i++) {
            account->used.of[i] = db_int8(result, row, 2 + i);
        }
    }
}

static void take_limits(struct quotas *quotas, const struct db_result *result)
{
    size_t cursor = 0;
    struct account *account;
    while ((account = map_next(&quotas->accounts, &cursor)) != NULL) {
        set_default(account);
    }
    for (int row = 0; row < db_rows(result); row++) {
        struct uuid tenant;
        db_uuid(result, row, 0, &tenant);
        account = quota_account(quotas, &tenant);
        for (int i = 0; i < QUOTA_LIMITS; i++) {
            account->limits.of[i] =
                db_is_null(result, row, 1 + i) ? -1 : db_int8(result, row, 1 + i);
        }
    }
}

static void on_limits(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    sequencer->quotas.reading = false;
    if (status == DB_OK) {
        take_limits(&sequencer->quotas, result);
    } else if (status == DB_REFUSED) {
        LOG_ERROR("quotas cannot be read", LOG_TEXT("error", db_message(result)));
    }
}

void quota_load(struct sequencer *sequencer)
{
    quota_clear(&sequencer->quotas);
    sequencer->quotas.reading = true;
    sequencer->quotas.read_ms = clock_monotonic_ms();
    db_query(sequencer->writer, &store_statements[STORE_USAGE], NULL, on_usage, sequencer);
    db_query(sequencer->writer, &store_statements[STORE_QUOTAS], NULL, on_limits, sequencer);
}

void quota_refresh(struct sequencer *sequencer)
{
    int64_t now_ms = clock_monotonic_ms();
    if (!sequencer->serving || sequencer->quotas.reading ||
        now_ms - sequencer->quotas.read_ms < QUOTA_READ_MS || !db_is_connected(sequencer->reader)) {
        return;
    }
    sequencer->quotas.reading = true;
    sequencer->quotas.read_ms = now_ms;
    db_query(sequencer->reader, &store_statements[STORE_QUOTAS], NULL, on_limits, sequencer);
}
