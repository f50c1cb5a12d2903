/* Which quota is passed, and what a batch charges to the tenants it touches; days. */
#include "sequencer/account.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct row {
    struct quota_limits limits;
    struct quota_usage used;
    struct quota_usage wanted;
    enum quota quota;
    int64_t limit;
    int64_t of_it;
};

static void test_judges_every_case(void **state)
{
    (void)state;
    const struct row rows[] = {
        /* runs, events, bytes, concurrent runs; 0: no limit */
        {{{0, 0, 0, 0}}, {{9, 9, 9, 9}}, {{1, 1, 1, 1}}, QUOTA_NONE, 0, 0},
        {{{3, 0, 0, 0}}, {{2, 9, 9, 9}}, {{1, 1, 1, 1}}, QUOTA_NONE, 0, 0},
        {{{3, 0, 0, 0}}, {{3, 9, 9, 9}}, {{1, 1, 1, 1}}, QUOTA_RUNS_PER_DAY, 3, 3},
        {{{3, 0, 0, 0}}, {{3, 9, 9, 9}}, {{0, 1, 1, 0}}, QUOTA_NONE, 0, 0},
        {{{0, 10, 0, 0}}, {{0, 8, 0, 0}}, {{0, 2, 0, 0}}, QUOTA_NONE, 0, 0},
        {{{0, 10, 0, 0}}, {{0, 8, 0, 0}}, {{0, 3, 0, 0}}, QUOTA_EVENTS_PER_DAY, 10, 8},
        {{{0, 10, 0, 0}}, {{0, 80, 0, 0}}, {{0, 1, 0, 0}}, QUOTA_EVENTS_PER_DAY, 10, 80},
        {{{0, 10, 5, 0}}, {{0, 8, 4, 0}}, {{0, 1, 2, 0}}, QUOTA_BYTES_PER_DAY, 5, 4},
        {{{0, 0, 5, 0}}, {{0, 0, 5, 0}}, {{0, 1, 0, 0}}, QUOTA_NONE, 0, 0},
        {{{0, 0, 0, 2}}, {{0, 0, 0, 2}}, {{1, 1, 2, 1}}, QUOTA_CONCURRENT_RUNS, 2, 2},
        {{{0, 0, 0, 2}}, {{0, 0, 0, 1}}, {{1, 1, 2, 1}}, QUOTA_NONE, 0, 0},
        {{{0, 0, INT64_MAX, 0}},
         {{0, 0, 1, 0}},
         {{0, 1, INT64_MAX, 0}},
         QUOTA_BYTES_PER_DAY,
         INT64_MAX,
         1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t limit = 0;
        int64_t used = 0;
        enum quota quota =
            account_judge(&rows[i].limits, &rows[i].used, &rows[i].wanted, &limit, &used);
        if (quota != rows[i].quota || limit != rows[i].limit || used != rows[i].of_it) {
            fail_msg("row %zu: quota %d", i, (int)quota);
        }
    }
}

static void test_a_dropped_batch_charges_nothing(void **state)
{
    (void)state;
    struct accounts accounts;
    const struct uuid tenant = {{7}};
    accounts_init(&accounts);
    struct account *account = accounts_get(&accounts, &tenant);
    assert_ptr_equal(accounts_get(&accounts, &tenant), account);
    account_charge_run(account);
    account_charge_event(account, 10, false);
    accounts_drop(&accounts);
    assert_int_equal(accounts.touched_count, 0);
    account_charge_run(account);
    account_charge_event(account, 2, false);
    account_charge_event(account, 3, true);
    assert_int_equal(accounts.touched_count, 1);
    const int64_t wanted[QUOTA_LIMITS] = {1, 2, 5, 0};
    const int64_t nothing[QUOTA_LIMITS] = {0};
    assert_memory_equal(account_usage(account).of, wanted, sizeof wanted);
    assert_memory_equal(account->used.of, nothing, sizeof nothing);
    accounts_commit(&accounts);
    accounts_drop(&accounts);
    assert_memory_equal(account->used.of, wanted, sizeof wanted);
    accounts_clear(&accounts);
}

static void test_a_new_day_begins_at_nothing_but_for_runs_that_go_on(void **state)
{
    (void)state;
    struct accounts accounts;
    const struct uuid tenant = {{7}};
    accounts_init(&accounts);
    struct account *account = accounts_get(&accounts, &tenant);
    account_begin_day(account, 100);
    account->used = (struct quota_usage){{5, 6, 7, 3}};
    account_begin_day(account, 100);
    account_begin_day(account, 99); /* the clock went back: the day stays */
    assert_int_equal(account->used.of[0], 5);
    account_begin_day(account, 101);
    const int64_t wanted[QUOTA_LIMITS] = {0, 0, 0, 3};
    assert_memory_equal(account->used.of, wanted, sizeof wanted);
    accounts_clear(&accounts);
}

static void test_limits_of_a_tenant_go_back_to_the_default(void **state)
{
    (void)state;
    struct accounts accounts;
    const struct uuid tenant = {{7}};
    accounts_init(&accounts);
    struct account *account = accounts_get(&accounts, &tenant);
    assert_int_equal(account->limits.of[3], -1);
    account->limits.of[3] = 0;
    accounts_reset_limits(&accounts);
    assert_int_equal(account->limits.of[3], -1);
    accounts_clear(&accounts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judges_every_case),
        cmocka_unit_test(test_a_dropped_batch_charges_nothing),
        cmocka_unit_test(test_a_new_day_begins_at_nothing_but_for_runs_that_go_on),
        cmocka_unit_test(test_limits_of_a_tenant_go_back_to_the_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
