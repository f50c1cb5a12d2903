/* A batch refused for no data of it: what is tried, whom it costs, and when it is over. */
#include "sequencer/stuck.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_whose_fault(void **state)
{
    (void)state;
    static const char *const data[] = {"22P02", "23505", "54000"};
    static const char *const others[] = {"SB002", "57014", "53100", "40001", ""};
    for (size_t i = 0; i < sizeof data / sizeof data[0]; i++) {
        assert_true(stuck_is_data(data[i]));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(stuck_is_data(others[i]));
    }
}

static void test_one_command_is_refused_in_the_end(void **state)
{
    (void)state;
    static const char *const blamed[] = {"SB002", "57014", "55P03", "P0001", "XX001", "39000"};
    for (size_t i = 0; i < sizeof blamed / sizeof blamed[0]; i++) {
        struct stuck stuck = {0};
        assert_int_equal(stuck_failed(&stuck, blamed[i], 9, 1000), STUCK_AGAIN);
        assert_int_equal(stuck_failed(&stuck, blamed[i], 7, 2000), STUCK_AGAIN);
        assert_false(stuck_narrows(&stuck));
        assert_int_equal(stuck_failed(&stuck, blamed[i], 7, 3000), STUCK_SPLIT);
        assert_true(stuck_narrows(&stuck));
        stuck_committed(&stuck, 3010);
        stuck_committed(&stuck, 3020);
        assert_true(stuck_narrows(&stuck));
        assert_int_equal(stuck_failed(&stuck, blamed[i], 1, 3030), STUCK_REFUSE);
        assert_false(stuck_narrows(&stuck) || stuck.blocked);
        /* The next one gets a fresh start of its own. */
        assert_int_equal(stuck_failed(&stuck, blamed[i], 1, 3040), STUCK_AGAIN);
        assert_int_equal(stuck_failed(&stuck, blamed[i], 1, 3050), STUCK_REFUSE);
    }
}

static void test_surroundings_refuse_nobody(void **state)
{
    (void)state;
    static const char *const places[] = {"53100", "53200", "57P01", "25006", "42501",
                                         "40P01", "58030", "08006", ""};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct stuck stuck = {0};
        for (int64_t n = 1; n <= 100; n++) {
            assert_int_equal(stuck_failed(&stuck, places[i], 1, n), STUCK_AGAIN);
            assert_int_equal(stuck.blocked, n > STUCK_TRIES);
        }
        stuck_committed(&stuck, 101);
        assert_false(stuck.blocked);
    }
}

static void test_it_passes(void **state)
{
    (void)state;
    struct stuck stuck = {0};
    for (int64_t n = 0; n < 3; n++) {
        (void)stuck_failed(&stuck, "57014", 2, n);
    }
    assert_true(stuck_narrows(&stuck));
    stuck_committed(&stuck, 10);
    stuck_committed(&stuck, 11); /* both were innocent */
    assert_false(stuck_narrows(&stuck));
    assert_int_equal(stuck.failures, 0);
    /* Rare failures are none in a row. */
    for (int64_t n = 1; n < 10; n++) {
        int64_t now_ms = n * (STUCK_CALM_MS + 1000);
        assert_int_equal(stuck_failed(&stuck, "SB002", 1, now_ms), STUCK_AGAIN);
        stuck_committed(&stuck, now_ms + 1);
        assert_int_equal(stuck.failures, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whose_fault),
        cmocka_unit_test(test_one_command_is_refused_in_the_end),
        cmocka_unit_test(test_surroundings_refuse_nobody),
        cmocka_unit_test(test_it_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
