/* The deadline wheel under a clock of the test's: nothing fires early, or more than a step late. */
#include "runtime/http_deadline.h"

#include "runtime/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

#include <cmocka.h>

enum { COUNT = 2000, STEP_MS = 300 };

struct member {
    struct http_deadline deadline;
    int64_t set_ms;
    int fired;
};

struct wheel {
    struct event_base *base;
    struct http_deadlines deadlines;
    struct member members[COUNT];
    int64_t now_ms;
    int64_t last_ms; /* the step before */
    bool real;       /* the timer runs it, late by what the machine likes */
    int fired;
};

static struct wheel wheel;

static void on_expired(void *arg, struct http_deadline *deadline)
{
    struct member *member = LIST_ENTRY(deadline, struct member, deadline);
    assert_ptr_equal(arg, &wheel);
    assert_false(list_is_linked(&deadline->node));
    assert_true((wheel.real ? clock_monotonic_ms() : wheel.now_ms) >= deadline->at_ms);
    /* Due by the step before, it would have fired then, but for the rounding to ticks. */
    int64_t slack_ms = wheel.real ? 60000 : 2 * HTTP_DEADLINE_TICK_MS;
    assert_true(wheel.last_ms < deadline->at_ms + slack_ms ||
                wheel.last_ms < member->set_ms + slack_ms);
    member->fired++;
    wheel.fired++;
}

static int setup(void **state)
{
    (void)state;
    wheel = (struct wheel){.base = event_base_new(), .now_ms = clock_monotonic_ms()};
    assert_non_null(wheel.base);
    wheel.last_ms = wheel.now_ms;
    http_deadlines_init(&wheel.deadlines, wheel.base, on_expired, &wheel);
    for (int i = 0; i < COUNT; i++) {
        http_deadline_init(&wheel.members[i].deadline);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_deadlines_deinit(&wheel.deadlines);
    event_base_free(wheel.base);
    return 0;
}

static void set(struct member *member, int64_t in_ms)
{
    member->set_ms = wheel.now_ms;
    http_deadline_set(&wheel.deadlines, &member->deadline, wheel.now_ms + in_ms);
}

static void advance(int64_t step_ms)
{
    wheel.last_ms = wheel.now_ms;
    wheel.now_ms += step_ms;
    http_deadlines_advance(&wheel.deadlines, wheel.now_ms);
}

/* Up to two minutes ahead: several times around. */
static void test_all_fire_once(void **state)
{
    (void)state;
    srand(1);
    for (int i = 0; i < COUNT; i++) {
        set(&wheel.members[i], rand() % 120000);
    }
    for (int64_t end_ms = wheel.now_ms + 121000; wheel.now_ms < end_ms;) {
        advance(1 + rand() % STEP_MS);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(wheel.members[i].fired, 1);
    }
}

static void test_setting_anew_and_clearing(void **state)
{
    (void)state;
    set(&wheel.members[0], 100);
    set(&wheel.members[0], 70000);
    set(&wheel.members[1], 70000);
    set(&wheel.members[1], 100);
    set(&wheel.members[2], 100);
    http_deadline_clear(&wheel.members[2].deadline);
    http_deadline_clear(&wheel.members[2].deadline);
    advance(300);
    assert_int_equal(wheel.fired, 1);
    assert_int_equal(wheel.members[1].fired, 1);
    for (int i = 0; i < 300; i++) {
        advance(STEP_MS);
    }
    assert_int_equal(wheel.fired, 2);
    assert_int_equal(wheel.members[0].fired, 1);
}

/* A process that was stopped for long: all that is due comes at once, the rest in its time. */
static void test_a_long_pause(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        set(&wheel.members[i], i * 100);
    }
    advance(10000);
    assert_in_range(wheel.fired, 99, 101);
    advance(300000);
    assert_int_equal(wheel.fired, COUNT);
}

/* The real timer runs the wheel. */
static void test_the_timer(void **state)
{
    (void)state;
    set(&wheel.members[0], 30);
    set(&wheel.members[1], 90);
    wheel.real = true;
    while (wheel.fired < 2) {
        assert_int_equal(event_base_loop(wheel.base, EVLOOP_ONCE), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_fire_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_setting_anew_and_clearing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_long_pause, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_timer, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
