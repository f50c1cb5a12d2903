/* See quota.h. */
#include "sequencer/quota.h"

#include "contracts/generated/event_types.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "sequencer/commands.h"
#include "sequencer/store.h"

enum { QUOTA_READ_MS = 5000 };

static const int64_t DAY_US = INT64_C(86400) * 1000 * 1000;

/* Usage is of the latest day that the table has, also when the clock is behind it: it went back, or
 * it is another host's. Counters of a day only grow. */
static int64_t day_of(const struct sequencer *sequencer, int64_t ts_us)
{
    int64_t day = ts_us / DAY_US;
    return day > sequencer->quotas.day ? day : sequencer->quotas.day;
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
    struct account *account = accounts_get(&sequencer->quotas.accounts, &command->tenant);
    int64_t now_us = clock_real_us();
    int64_t limit = 0;
    int64_t used = 0;
    now_us = now_us > sequencer->last_ts_us ? now_us : sequencer->last_ts_us;
    account_begin_day(account, day_of(sequencer, now_us));
    struct quota_limits limits = limits_of(sequencer, account);
    struct quota_usage usage = account_usage(account);
    struct quota_usage wanted = {{runs, events, bytes, runs}};
    enum quota quota = account_judge(&limits, &usage, &wanted, &limit, &used);
    if (quota == QUOTA_NONE) {
        return true;
    }
    commands_refuse(command, OUTCOME_QUOTA);
    command->result.quota = quota;
    command->result.quota_limit = (uint64_t)limit;
    command->result.quota_used = (uint64_t)used;
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

/* ---- the table ---- */

void quota_params(struct sequencer *sequencer, struct db_params *params, int64_t ts_us)
{
    const struct accounts *accounts = &sequencer->quotas.accounts;
    int64_t day = day_of(sequencer, ts_us);
    db_param_timestamptz(params, day * DAY_US);
    db_array_begin(params, DB_ARRAY_UUID, accounts->touched_count);
    LIST_FOR_EACH(node, &accounts->touched)
    {
        struct account *account = LIST_ENTRY(node, struct account, touched);
        account_begin_day(account, day);
        db_array_uuid(params, account->tenant.bytes);
    }
    db_array_end(params);
    for (int i = 0; i < QUOTA_LIMITS; i++) {
        db_array_begin(params, DB_ARRAY_INT8, accounts->touched_count);
        LIST_FOR_EACH(node, &accounts->touched)
        {
            struct quota_usage sum = account_usage(LIST_ENTRY(node, struct account, touched));
            db_array_int8(params, sum.of[i]);
        }
        db_array_end(params);
    }
}

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
        struct account *account = accounts_get(&sequencer->quotas.accounts, &tenant);
        account->day = db_int8(result, row, 1);
        if (account->day > sequencer->quotas.day) {
            sequencer->quotas.day = account->day;
        }
        for (int i = 0; i < QUOTA_LIMITS; i++) {
            account->used.of[i] = db_int8(result, row, 2 + i);
        }
    }
}

static void take_limits(struct quotas *quotas, const struct db_result *result)
{
    accounts_reset_limits(&quotas->accounts);
    for (int row = 0; row < db_rows(result); row++) {
        struct uuid tenant;
        db_uuid(result, row, 0, &tenant);
        struct account *account = accounts_get(&quotas->accounts, &tenant);
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
    accounts_clear(&sequencer->quotas.accounts);
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
