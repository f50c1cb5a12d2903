/* Which ticks of a schedule are queued, by what it says of missed ones. */
#include "job-runner/ticks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { MINUTE_US = 60000000 };

static const int64_t noon_us = INT64_C(20500) * 1440 * MINUTE_US + INT64_C(720) * MINUTE_US;

static struct ticks plan(const char *spec, enum ticks_missed missed, int64_t due_us, int64_t now_us)
{
    struct cron cron;
    struct ticks ticks;
    assert_int_equal(cron_parse(spec, strlen(spec), &cron, NULL), 0);
    ticks_plan(&cron, NULL, missed, due_us, now_us, &ticks);
    return ticks;
}

static void test_nothing_was_missed(void **state)
{
    (void)state;
    static const enum ticks_missed all[] = {TICKS_SKIP, TICKS_ALL, TICKS_NONE};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct ticks ticks = plan("*/5 * * * *", all[i], noon_us, noon_us + 20);
        assert_int_equal(ticks.count, 1);
        assert_int_equal(ticks.due_us[0], noon_us);
        assert_int_equal(ticks.next_us, noon_us + 5 * MINUTE_US);
    }
}

static void test_some_were(void **state)
{
    (void)state;
    /* Due at noon, 5 and 10 past; it is 11 past, or more than a minute later. */
    struct ticks ticks = plan("*/5 * * * *", TICKS_SKIP, noon_us, noon_us + 11 * MINUTE_US);
    assert_int_equal(ticks.count, 1);
    assert_int_equal(ticks.due_us[0], noon_us + 10 * MINUTE_US);
    assert_int_equal(ticks.next_us, noon_us + 15 * MINUTE_US);
    ticks = plan("*/5 * * * *", TICKS_ALL, noon_us, noon_us + 11 * MINUTE_US);
    assert_int_equal(ticks.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ticks.due_us[i], noon_us + (int64_t)i * 5 * MINUTE_US);
    }
    ticks = plan("*/5 * * * *", TICKS_NONE, noon_us, noon_us + 11 * MINUTE_US);
    assert_int_equal(ticks.count, 1); /* the one a minute ago is not late enough */
    assert_int_equal(ticks.due_us[0], noon_us + 10 * MINUTE_US);
    ticks = plan("*/5 * * * *", TICKS_NONE, noon_us, noon_us + 11 * MINUTE_US + 1);
    assert_int_equal(ticks.count, 0);
    assert_int_equal(ticks.next_us, noon_us + 15 * MINUTE_US);
}

static void test_very_many_were(void **state)
{
    (void)state;
    struct ticks ticks = plan("@every 1s", TICKS_ALL, noon_us, noon_us + 10000 * INT64_C(1000000));
    assert_int_equal(ticks.count, TICKS_MAX);
    for (size_t i = 0; i < TICKS_MAX; i++) {
        assert_int_equal(ticks.due_us[i], noon_us + (9901 + (int64_t)i) * 1000000);
    }
    assert_int_equal(ticks.next_us, noon_us + 10001 * INT64_C(1000000));
}

/* next_at does not have to be a tick: the spec may have been changed by hand. */
static void test_due_is_no_tick(void **state)
{
    (void)state;
    struct ticks ticks =
        plan("0 * * * *", TICKS_SKIP, noon_us + MINUTE_US, noon_us + 2 * MINUTE_US);
    assert_int_equal(ticks.count, 0);
    assert_int_equal(ticks.next_us, noon_us + 60 * INT64_C(60000000));
}

static void test_words(void **state)
{
    (void)state;
    char name[TICKS_NAME_SIZE];
    ticks_name(noon_us, name);
    assert_string_equal(name, "2026-02-16T12:00:00Z");
    assert_int_equal(ticks_missed("all", 3), TICKS_ALL);
    assert_int_equal(ticks_missed("none", 4), TICKS_NONE);
    assert_int_equal(ticks_missed("skip", 4), TICKS_SKIP);
    assert_int_equal(ticks_missed("", 0), TICKS_SKIP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_was_missed),
        cmocka_unit_test(test_some_were),
        cmocka_unit_test(test_very_many_were),
        cmocka_unit_test(test_due_is_no_tick),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
