/* The watchdog's ladder, rung by rung. */
#include "supervisor/watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct watch_limits limits = {.warn_ms = 3000, .abort_ms = 10000};

static void warns_once_then_aborts(void **state)
{
    (void)state;
    struct watch watch;
    watch_start(&watch, 1000);
    assert_int_equal(watch_check(&watch, &limits, 3999), WATCH_FINE);
    assert_int_equal(watch_due_ms(&watch, &limits), 4000);
    assert_int_equal(watch_check(&watch, &limits, 4000), WATCH_WARN);
    assert_int_equal(watch_check(&watch, &limits, 4001), WATCH_FINE);
    assert_int_equal(watch_due_ms(&watch, &limits), 11000);
    assert_int_equal(watch_check(&watch, &limits, 10999), WATCH_FINE);
    assert_int_equal(watch_check(&watch, &limits, 11000), WATCH_ABORT);
}

static void a_beat_starts_it_again(void **state)
{
    (void)state;
    struct watch watch;
    watch_start(&watch, 0);
    assert_int_equal(watch_beat(&watch, 1, 2000), 0);
    assert_int_equal(watch_check(&watch, &limits, 4999), WATCH_FINE);
    assert_int_equal(watch_check(&watch, &limits, 5000), WATCH_WARN);
    /* Says for how long there was none, but only after a warning. */
    assert_int_equal(watch_beat(&watch, 2, 6000), 4000);
    assert_int_equal(watch_beat(&watch, 3, 7000), 0);
    assert_int_equal(watch_check(&watch, &limits, 9999), WATCH_FINE);
    assert_int_equal(watch_check(&watch, &limits, 10000), WATCH_WARN);
}

static void an_abort_limit_below_the_warning_wins(void **state)
{
    (void)state;
    const struct watch_limits odd = {.warn_ms = 5000, .abort_ms = 1000};
    struct watch watch;
    watch_start(&watch, 0);
    assert_int_equal(watch_due_ms(&watch, &odd), 1000);
    assert_int_equal(watch_check(&watch, &odd, 1000), WATCH_ABORT);
}

static void our_own_hole_is_seen(void **state)
{
    (void)state;
    assert_false(watch_hole(1000, 1000));
    assert_false(watch_hole(1000, 3000));
    assert_true(watch_hole(1000, 3001));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warns_once_then_aborts),
        cmocka_unit_test(a_beat_starts_it_again),
        cmocka_unit_test(an_abort_limit_below_the_warning_wins),
        cmocka_unit_test(our_own_hole_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
