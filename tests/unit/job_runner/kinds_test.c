/* Which kinds there are, and which are enabled. R073, R088, K33 */
#include "job-runner/kinds/kinds.h"

#include "fakes.h"

static void begin(struct attempt *attempt)
{
    (void)attempt;
}

/* K33, R088: a kind that does not say why it may run twice is none. */
static void test_a_kind_says_why_it_may_run_twice(void **state)
{
    (void)state;
    struct kind kind = {.type = "t", .does = "d", .idempotency = "i", .begin = begin};
    assert_true(kinds_may_register(&kind));
    kind.idempotency = "";
    assert_false(kinds_may_register(&kind));
    kind.idempotency = NULL;
    assert_false(kinds_may_register(&kind));
    kind = (struct kind){.type = "t", .does = "d", .idempotency = "i"};
    assert_false(kinds_may_register(&kind));
    for (size_t i = 0; i < kinds_count; i++) {
        assert_true(kinds_may_register(kinds[i]));
        assert_true(i == 0 || strcmp(kinds[i - 1]->type, kinds[i]->type) < 0);
    }
}

/* R073 */
static void test_what_is_enabled(void **state)
{
    (void)state;
    const char *types[KINDS_MAX];
    struct error err = {""};
    assert_int_equal(kinds_check("all", &err), 0);
    assert_int_equal(kinds_enabled("all", types), kinds_count);
    assert_int_equal(kinds_check(" noop ,", &err), 0);
    assert_int_equal(kinds_enabled("noop,", types), 1);
    assert_string_equal(types[0], "noop");
    assert_non_null(kinds_find("all", "noop"));
    assert_null(kinds_find("all", "noo"));
    assert_null(kinds_find("", "noop"));
    assert_int_equal(kinds_check("", &err), -1);
    assert_non_null(strstr(err.text, "enables no kind"));
    assert_int_equal(kinds_check(" , ", &err), -1);
    assert_int_equal(kinds_check("noop,unknown", &err), -1);
    assert_non_null(strstr(err.text, "unknown"));
}

/* The process says so and ends with a code that is not started again. */
static void test_without_a_kind_there_are_no_executors(void **state)
{
    (void)state;
    struct error err = {""};
    fake_set(SETTING_JOBS_KINDS, "");
    assert_int_equal(executors_create(&fake.runner, &err), -1);
    assert_int_equal(fake.actor.exit_code, EXIT_CODE_CONFIG);
    assert_non_null(strstr(err.text, "jobs.kinds"));
    assert_null(fake.runner.executors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_without_a_kind_there_are_no_executors, fake_open,
                                        fake_close),
        cmocka_unit_test(test_a_kind_says_why_it_may_run_twice),
        cmocka_unit_test(test_what_is_enabled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
