/* The rate algorithm by itself: bursts, rates that do not divide a second, clocks that jump. */
#include "runtime/gcra.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { SECOND_US = 1000000 };

static int64_t take(struct gcra *gcra, const struct gcra_rule *rule, int64_t now_us)
{
    int64_t free = gcra_look(gcra, rule, now_us).free;
    gcra_charge(gcra, rule, now_us, 1);
    return free > 0 ? 1 : 0;
}

static void test_a_burst_and_then_the_rate(void **state)
{
    (void)state;
    const struct gcra_rule rule = {.count = 10, .period_us = SECOND_US, .burst = 5};
    struct gcra gcra = {0};
    int64_t taken = 0;
    for (int i = 0; i < 9; i++) {
        taken += take(&gcra, &rule, 1000);
    }
    assert_int_equal(taken, 5);
    struct gcra_state now = gcra_look(&gcra, &rule, 1000);
    assert_int_equal(now.free, 0);
    assert_int_equal(now.retry_us, 100000);
    assert_int_equal(now.reset_us, 500000);
    assert_int_equal(gcra_look(&gcra, &rule, 1000 + 99999).retry_us, 1);
    assert_int_equal(take(&gcra, &rule, 1000 + 99999), 0);
    assert_int_equal(take(&gcra, &rule, 1000 + 100000), 1);
    assert_int_equal(gcra_look(&gcra, &rule, 1000 + 10 * SECOND_US).free, 5);
}

/* Asked far too often for 100 s, the number let through is exact, whatever the rate. */
static void test_no_rate_drifts(void **state)
{
    (void)state;
    static const int64_t rates[] = {1, 3, 7, 60, 333, 7000, 30011};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        const struct gcra_rule rule = {.count = rates[i], .period_us = SECOND_US, .burst = 10};
        struct gcra gcra = {0};
        int64_t taken = 0;
        for (int64_t at_us = 0; at_us <= 100 * (int64_t)SECOND_US; at_us += 20) {
            taken += take(&gcra, &rule, at_us);
        }
        assert_in_range(taken, 10 + 100 * rates[i] - 1, 10 + 100 * rates[i] + 1);
    }
}

static void test_a_share_of_the_rate(void **state)
{
    (void)state;
    const struct gcra_rule share = {.count = 7, .period_us = 3 * SECOND_US, .burst = 1};
    struct gcra gcra = {0};
    int64_t taken = 0;
    for (int64_t at_us = 0; at_us < 300 * (int64_t)SECOND_US; at_us += 1000) {
        taken += take(&gcra, &share, at_us);
    }
    assert_in_range(taken, 698, 701);
}

static void test_a_charge_takes_no_more_than_there_is(void **state)
{
    (void)state;
    const struct gcra_rule rule = {.count = 1, .period_us = SECOND_US, .burst = 10};
    struct gcra gcra = {0};
    gcra_charge(&gcra, &rule, 0, 1000000);
    assert_int_equal(gcra_look(&gcra, &rule, 0).retry_us, SECOND_US);
    assert_int_equal(gcra_look(&gcra, &rule, 0).reset_us, 10 * SECOND_US);
}

static void test_a_clock_that_went_back_shuts_nobody_out(void **state)
{
    (void)state;
    const struct gcra_rule rule = {.count = 1, .period_us = SECOND_US, .burst = 3};
    struct gcra gcra = {0};
    (void)take(&gcra, &rule, (int64_t)1 << 50);
    assert_int_equal(gcra_look(&gcra, &rule, SECOND_US).retry_us, SECOND_US);
    assert_int_equal(gcra_look(&gcra, &rule, SECOND_US).reset_us, 3 * SECOND_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_burst_and_then_the_rate),
        cmocka_unit_test(test_no_rate_drifts),
        cmocka_unit_test(test_a_share_of_the_rate),
        cmocka_unit_test(test_a_charge_takes_no_more_than_there_is),
        cmocka_unit_test(test_a_clock_that_went_back_shuts_nobody_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
