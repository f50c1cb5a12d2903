/*
 * The generated tables of the contracts: names and numbers of event types (R019),
 * entity types (R106), problem types.
 */
#include "contracts/generated/entity_types.h"
#include "contracts/generated/event_types.h"
#include "contracts/generated/problems.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_event_types(void **state)
{
    (void)state;
    enum event_type found;
    for (unsigned i = 1; i <= EVENT_TYPE_MAX; i++) {
        const char *name = event_type_name((enum event_type)i);
        assert_non_null(name);
        assert_true(strlen(name) <= EVENT_TYPE_NAME_MAX);
        assert_int_equal(event_type_find(name, strlen(name), &found), 0);
        assert_int_equal(found, i);
        assert_int_equal(event_type_find(name, strlen(name) - 1, &found), -1);
    }
    assert_int_equal(event_type_find("run_started", 11, &found), -1);
    assert_int_equal(event_type_find("", 0, &found), -1);
    assert_int_equal(event_type_find("A_NAME_LONGER_THAN_ANY_THAT_THERE_IS", 36, &found), -1);
    assert_null(event_type_name((enum event_type)0));
    assert_null(event_type_name((enum event_type)(EVENT_TYPE_MAX + 1)));
}

static void test_marks(void **state)
{
    (void)state;
    unsigned terminal = 0;
    unsigned reserved = 0;
    for (unsigned i = 1; i <= EVENT_TYPE_MAX; i++) {
        terminal += event_type_is_terminal((enum event_type)i);
        reserved += event_type_is_reserved((enum event_type)i);
    }
    assert_int_equal(terminal, 3);
    assert_int_equal(reserved, 8); /* RUN_STARTED and the seven of jobs */
    assert_true(event_type_is_terminal(EVENT_TYPE_RUN_CANCELLED));
    assert_true(event_type_is_reserved(EVENT_TYPE_RUN_STARTED));
    assert_true(event_type_is_reserved(EVENT_TYPE_JOB_RETRYING));
    assert_false(event_type_is_reserved(EVENT_TYPE_RUN_RESUMED));
}

static void test_entity_types(void **state)
{
    (void)state;
    enum entity_type found;
    for (unsigned i = 1; i <= ENTITY_TYPE_MAX; i++) {
        const char *name = entity_type_name((enum entity_type)i);
        assert_non_null(name);
        assert_int_equal(entity_type_find(name, strlen(name), &found), 0);
        assert_int_equal(found, i);
    }
    /* K8: names that were given up. */
    assert_int_equal(entity_type_find("web_page", 8, &found), 0);
    assert_int_equal(entity_type_find("web_source", 10, &found), -1);
    assert_int_equal(entity_type_find("website", 7, &found), -1);
    assert_null(entity_type_name((enum entity_type)0));
    assert_null(entity_type_name((enum entity_type)(ENTITY_TYPE_MAX + 1)));
}

static void test_problems(void **state)
{
    (void)state;
    for (unsigned i = 0; i < PROBLEM_COUNT; i++) {
        const struct problem_info *info = problem_info((enum problem)i);
        enum problem found;
        assert_non_null(info);
        assert_true(info->status >= 400 && info->status <= 599);
        assert_int_equal(problem_find(info->slug, &found), 0);
        assert_int_equal(found, i);
    }
    enum problem found;
    assert_int_equal(problem_find("no-such-problem", &found), -1);
    assert_string_equal(problem_info(PROBLEM_SEQ_CONFLICT)->slug, "seq-conflict");
    assert_int_equal(problem_info(PROBLEM_SEQ_CONFLICT)->status, 409);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_types),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_entity_types),
        cmocka_unit_test(test_problems),
    };
    return cmocka_run_group_tests_name("contracts", tests, NULL, NULL);
}
