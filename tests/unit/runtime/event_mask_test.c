/* Filters of event types, from text and back. */
#include "runtime/event_mask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_names_make_a_mask(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t mask;
    } cases[] = {
        {"RUN_STARTED", 1U << EVENT_TYPE_RUN_STARTED},
        {"CUSTOM,RUN_STARTED", 1U << EVENT_TYPE_CUSTOM | 1U << EVENT_TYPE_RUN_STARTED},
        {"CUSTOM,CUSTOM", 1U << EVENT_TYPE_CUSTOM},
        {"WARNING", UINT64_C(1) << EVENT_TYPE_WARNING},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t mask = 0;
        assert_int_equal(event_mask_parse(cases[i].text, strlen(cases[i].text), &mask), 0);
        assert_true(mask == cases[i].mask);
        assert_true(event_mask_is_sound(mask));
    }
}

static void test_other_names_do_not(void **state)
{
    (void)state;
    static const char *const cases[] = {"",
                                        ",",
                                        "CUSTOM,",
                                        ",CUSTOM",
                                        "custom",
                                        " CUSTOM",
                                        "CUSTOM, PING",
                                        "CUSTOM;WARNING",
                                        "CUSTOMER",
                                        "CUSTOM\t,",
                                        "17"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t mask = 99;
        assert_int_equal(event_mask_parse(cases[i], strlen(cases[i]), &mask), -1);
        assert_true(mask == 99);
    }
}

static void test_no_mask_has_everything(void **state)
{
    (void)state;
    assert_true(event_mask_has(0, EVENT_TYPE_CUSTOM));
    assert_true(event_mask_has(1U << EVENT_TYPE_CUSTOM, EVENT_TYPE_CUSTOM));
    assert_false(event_mask_has(1U << EVENT_TYPE_CUSTOM, EVENT_TYPE_WARNING));
    assert_true(event_mask_is_sound(0));
    assert_false(event_mask_is_sound(1));
    assert_false(event_mask_is_sound(UINT64_C(1) << 63));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_make_a_mask),
        cmocka_unit_test(test_other_names_do_not),
        cmocka_unit_test(test_no_mask_has_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
