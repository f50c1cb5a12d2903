/* The restart policy against its tables: reliability of one child, of all, and every special exit.
 */
#include "supervisor/restart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Half of the range: no jitter. */
enum { NO_JITTER = 0x7fffffff, EARLY = -1, SIGNALLED = -1 };

static const struct restart_limits limits = {.early_deaths = 3,
                                             .late_deaths = 10,
                                             .total_deaths = 30,
                                             .window_ms = 60000,
                                             .throttle_ms = 30000};

struct death {
    int64_t at_ms;
    int code; /* SIGNALLED: by a signal */
    int64_t ready_for_ms;
    int64_t since_start_ms;
    enum restart_verdict verdict;
    int64_t wait_ms;
    bool late;
};

static struct restart_decision die(struct restart_history *history, const struct death *death,
                                   uint32_t random)
{
    struct restart_exit exit = {.by_signal = death->code == SIGNALLED,
                                .code = death->code == SIGNALLED ? 0 : death->code,
                                .ready_for_ms = death->ready_for_ms,
                                .since_start_ms = death->since_start_ms,
                                .permanent = true};
    return restart_next(history, &limits, &exit, death->at_ms, random);
}

static void walk(const struct death *deaths, size_t count)
{
    struct restart_history history = {0};
    for (size_t i = 0; i < count; i++) {
        struct restart_decision decision = die(&history, &deaths[i], NO_JITTER);
        if (decision.verdict != deaths[i].verdict ||
            /* one millisecond of rounding in the jitter */
            decision.wait_ms < deaths[i].wait_ms - 1 || decision.wait_ms > deaths[i].wait_ms ||
            decision.late != deaths[i].late) {
            fail_msg("row %zu: verdict %d, wait %lld ms, late %d", i, (int)decision.verdict,
                     (long long)decision.wait_ms, decision.late);
        }
    }
}
#define WALK(rows) walk(rows, sizeof(rows) / sizeof((rows)[0]))

static void late_deaths_restart_at_once(void **state)
{
    (void)state;
    static const struct death rows[] = {
        {1000, SIGNALLED, 1000, 1200, RESTART_START, 0, true},
        {3000, 1, 1500, 1600, RESTART_START, 0, true},
        {9000, 0, 5000, 5100, RESTART_START, 0, true}, /* a permanent one has no business ending */
    };
    WALK(rows);
}

static void starts_are_spaced(void **state)
{
    (void)state;
    /* Only possible when the clock of readiness and of the start disagree; the rule holds anyway.
     */
    static const struct death rows[] = {{1000, SIGNALLED, 1000, 40, RESTART_START, 60, true},
                                        {2000, SIGNALLED, 1000, 100, RESTART_START, 0, true}};
    WALK(rows);
}

static void early_deaths_pause_and_throttle(void **state)
{
    (void)state;
    static const struct death rows[] = {
        {0, 1, EARLY, 10, RESTART_START, 100, false},
        {200, 1, 999, 1010, RESTART_START, 200, false}, /* ready, but not for a second */
        {500, 1, EARLY, 10, RESTART_THROTTLE, 30000, false},
        {31000, 1, EARLY, 10, RESTART_THROTTLE, 30000, false},
        /* The window has moved on; it is throttled all the same. */
        {200000, 1, EARLY, 10, RESTART_THROTTLE, 30000, false},
        {300000, SIGNALLED, 2000, 2010, RESTART_THROTTLE, 30000, true},
        /* Settled: a clean slate, but for what died within the window. */
        {400000, SIGNALLED, 60000, 60010, RESTART_START, 0, true},
        {400100, 1, EARLY, 10, RESTART_START, 100, false},
    };
    WALK(rows);
}

static void early_deaths_far_apart_double_to_the_cap(void **state)
{
    (void)state;
    struct restart_history history = {0};
    static const int64_t pauses_ms[] = {100,  200,   400,   800,   1600, 3200,
                                        6400, 12800, 15000, 15000, 15000};
    for (size_t i = 0; i < sizeof pauses_ms / sizeof pauses_ms[0]; i++) {
        struct death death = {(int64_t)i * 40000, 1, EARLY, 10, RESTART_START, 0, false};
        struct restart_decision decision = die(&history, &death, NO_JITTER);
        assert_int_equal(decision.verdict, RESTART_START);
        assert_in_range(decision.wait_ms, pauses_ms[i] - 1, pauses_ms[i]);
    }
}

static void late_deaths_throttle(void **state)
{
    (void)state;
    struct restart_history history = {0};
    for (int i = 1; i <= 11; i++) {
        struct death death = {i * 5000, SIGNALLED, 1000, 1010, RESTART_START, 0, true};
        struct restart_decision decision = die(&history, &death, NO_JITTER);
        assert_int_equal(decision.verdict, i < 10 ? RESTART_START : RESTART_THROTTLE);
        assert_int_equal(decision.wait_ms, i < 10 ? 0 : 30000);
    }
}

static void late_deaths_outside_the_window_do_not(void **state)
{
    (void)state;
    struct restart_history history = {0};
    for (int i = 1; i <= 100; i++) {
        struct death death = {i * 6700, SIGNALLED, 1000, 1010, RESTART_START, 0, true};
        assert_int_equal(die(&history, &death, NO_JITTER).verdict, RESTART_START);
    }
}

static void the_window_is_open_at_its_end(void **state)
{
    (void)state;
    static const struct death outside[] = {{0, 1, EARLY, 10, RESTART_START, 100, false},
                                           {30000, 1, EARLY, 10, RESTART_START, 200, false},
                                           {60000, 1, EARLY, 10, RESTART_START, 400, false}};
    static const struct death inside[] = {{0, 1, EARLY, 10, RESTART_START, 100, false},
                                          {30000, 1, EARLY, 10, RESTART_START, 200, false},
                                          {59999, 1, EARLY, 10, RESTART_THROTTLE, 30000, false}};
    WALK(outside);
    WALK(inside);
}

static void early_and_late_are_counted_apart(void **state)
{
    (void)state;
    struct restart_history history = {0};
    for (int i = 0; i < 2; i++) {
        struct death early = {i * 100, 1, EARLY, 10, RESTART_START, 0, false};
        assert_int_equal(die(&history, &early, NO_JITTER).verdict, RESTART_START);
    }
    for (int i = 0; i < 9; i++) {
        struct death late = {1000 + i * 100, 1, 1000, 1010, RESTART_START, 0, true};
        assert_int_equal(die(&history, &late, NO_JITTER).verdict, RESTART_START);
    }
}

static void special_exits(void **state)
{
    (void)state;
    static const struct death rows[] = {
        {0, 75, EARLY, 10, RESTART_START, 100, false},
        {100, 75, EARLY, 10, RESTART_START, 200, false},
        {200, 75, 5000, 10, RESTART_START, 400, false},
        {300, 75, EARLY, 10, RESTART_START, 800, false}, /* not counted: never throttled */
        {400, 70, 5000, 5010, RESTART_START, 1000, false},
        {500, 70, 5000, 5010, RESTART_START, 1000, false},
        {600, 78, EARLY, 10, RESTART_UNTIL_RELOAD, 0, false},
        {700, 1, EARLY, 10, RESTART_START, 1600, false}, /* the first that counts */
        {800, 1, 70000, 70010, RESTART_START, 0, true},
        {900, 75, EARLY, 10, RESTART_START, 100, false}, /* ready for 60 s: pauses start again */
    };
    WALK(rows);
}

static void a_signal_is_never_a_special_exit(void **state)
{
    (void)state;
    struct restart_history history = {0};
    struct restart_exit exit = {
        .by_signal = true, .code = 78, .ready_for_ms = -1, .permanent = true};
    assert_int_equal(restart_next(&history, &limits, &exit, 0, NO_JITTER).verdict, RESTART_START);
}

static void a_one_shot_is_done(void **state)
{
    (void)state;
    struct restart_history history = {0};
    struct restart_exit exit = {.code = 0, .ready_for_ms = -1};
    assert_int_equal(restart_next(&history, &limits, &exit, 0, NO_JITTER).verdict, RESTART_DONE);
    exit.code = 75;
    assert_int_equal(restart_next(&history, &limits, &exit, 0, NO_JITTER).verdict, RESTART_START);
}

static void jitter_stays_within_a_fifth(void **state)
{
    (void)state;
    static const uint32_t bits[] = {0, 1, 0x12345678, 0x7fffffff, 0xfffffffe, UINT32_MAX};
    int64_t lowest_ms = INT64_MAX;
    int64_t highest_ms = 0;
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        struct restart_history history = {.pause_ms = RESTART_PAUSE_MAX_MS};
        struct death death = {0, 1, EARLY, 10, RESTART_START, 0, false};
        int64_t wait_ms = die(&history, &death, bits[i]).wait_ms;
        assert_in_range(wait_ms, 12000, 18000);
        lowest_ms = wait_ms < lowest_ms ? wait_ms : lowest_ms;
        highest_ms = wait_ms > highest_ms ? wait_ms : highest_ms;
    }
    assert_int_equal(lowest_ms, 12000);
    assert_int_equal(highest_ms, 18000);
}

static void the_total_ends_the_supervisor(void **state)
{
    (void)state;
    struct restart_deaths total = {0};
    for (int i = 1; i <= 30; i++) {
        assert_int_equal(restart_total(&total, &limits, i * 2000), i == 30);
    }
    struct restart_deaths slow = {0};
    for (int i = 1; i <= 200; i++) {
        assert_false(restart_total(&slow, &limits, i * 2100));
    }
}

static void a_limit_beyond_the_memory_is_off(void **state)
{
    (void)state;
    struct restart_limits off = limits;
    struct restart_history history = {0};
    struct restart_exit exit = {.by_signal = true, .ready_for_ms = 1000, .permanent = true};
    off.late_deaths = 1000000;
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(restart_next(&history, &off, &exit, 1, NO_JITTER).verdict, RESTART_START);
    }
    off.late_deaths = RESTART_DEATHS_KEPT;
    assert_int_equal(restart_next(&history, &off, &exit, 1, NO_JITTER).verdict, RESTART_THROTTLE);
}

static void failed_spawns_pause_longer_and_longer(void **state)
{
    (void)state;
    struct restart_history history = {0};
    static const int64_t pauses_ms[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    for (size_t i = 0; i < sizeof pauses_ms / sizeof pauses_ms[0]; i++) {
        assert_in_range(restart_spawn_failed(&history, NO_JITTER), pauses_ms[i] - 1, pauses_ms[i]);
    }
    struct death death = {0, 1, EARLY, 10, RESTART_START, 0, false};
    assert_in_range(die(&history, &death, NO_JITTER).wait_ms, 99, 100);
    assert_in_range(restart_spawn_failed(&history, NO_JITTER), 999, 1000);
}

static void forgetting_is_a_clean_slate(void **state)
{
    (void)state;
    struct restart_history history = {0};
    struct death death = {0, 1, EARLY, 10, RESTART_START, 0, false};
    for (int i = 0; i < 5; i++) {
        die(&history, &death, NO_JITTER);
    }
    assert_true(history.throttled);
    restart_forget(&history);
    struct restart_decision decision = die(&history, &death, NO_JITTER);
    assert_int_equal(decision.verdict, RESTART_START);
    assert_in_range(decision.wait_ms, 99, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_deaths_restart_at_once),
        cmocka_unit_test(starts_are_spaced),
        cmocka_unit_test(early_deaths_pause_and_throttle),
        cmocka_unit_test(early_deaths_far_apart_double_to_the_cap),
        cmocka_unit_test(late_deaths_throttle),
        cmocka_unit_test(late_deaths_outside_the_window_do_not),
        cmocka_unit_test(the_window_is_open_at_its_end),
        cmocka_unit_test(early_and_late_are_counted_apart),
        cmocka_unit_test(special_exits),
        cmocka_unit_test(a_signal_is_never_a_special_exit),
        cmocka_unit_test(a_one_shot_is_done),
        cmocka_unit_test(jitter_stays_within_a_fifth),
        cmocka_unit_test(the_total_ends_the_supervisor),
        cmocka_unit_test(a_limit_beyond_the_memory_is_off),
        cmocka_unit_test(failed_spawns_pause_longer_and_longer),
        cmocka_unit_test(forgetting_is_a_clean_slate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
