/* Names as they come in paths and queries. */
#include "api/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_sound_names(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "default", "a b/c", "\xc3\xa4", "\xf0\x9f\x90\xa2"};
    static const char *const bad[] = {"", "\xff", "\xc3", "a\xc0\xaf", "\xed\xa0\x80"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(names_are_sound(good[i], strlen(good[i]), NAMES_BYTES_MAX));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(names_are_sound(bad[i], strlen(bad[i]), NAMES_BYTES_MAX));
    }
    assert_false(names_are_sound("a\0b", 3, NAMES_BYTES_MAX));
    assert_true(names_are_sound("abc", 3, 3));
    assert_false(names_are_sound("abc", 3, 2));
}

static void test_paths(void **state)
{
    (void)state;
    char name[NAMES_BYTES_MAX + 1];
    char text[3 * NAMES_BYTES_MAX + 4];
    assert_int_equal(names_from_path("a%2Fb%25c", 9, name), 0);
    assert_string_equal(name, "a/b%c");
    memset(text, 'x', sizeof text);
    assert_int_equal(names_from_path(text, NAMES_BYTES_MAX, name), 0);
    assert_int_equal(strlen(name), NAMES_BYTES_MAX);
    assert_int_equal(names_from_path(text, NAMES_BYTES_MAX + 1, name), -1);
    assert_int_equal(names_from_path(text, sizeof text, name), -1);
    for (size_t i = 0; i < NAMES_BYTES_MAX; i++) {
        memcpy(text + 3 * i, "%2F", 3);
    }
    assert_int_equal(names_from_path(text, 3 * NAMES_BYTES_MAX, name), 0);
    assert_int_equal(strspn(name, "/"), NAMES_BYTES_MAX);
    assert_int_equal(names_from_path("\xff", 1, name), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_names),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
