/* Opaque cursors: they come back as they went out, and only where they were given out. R131 */
#include "api/cursor.h"

#include <sodium.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct cursor_key key_of(const char *secret)
{
    struct cursor_key key;
    uint8_t bytes[32] = {0};
    memcpy(bytes, secret, strlen(secret));
    cursor_key_derive(bytes, sizeof bytes, &key);
    return key;
}

static void test_round_trip(void **state)
{
    (void)state;
    static const int64_t times[] = {0, 1, -1, 1763631600123456, INT64_MAX, INT64_MIN};
    struct cursor_key key = key_of("one");
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        struct cursor in = {.time_us = times[i], .id = uuid_new()};
        struct cursor out;
        char text[CURSOR_TEXT_SIZE];
        cursor_encode(&key, &in, "scope", 5, text);
        assert_int_equal(strlen(text), CURSOR_TEXT_SIZE - 1);
        assert_int_equal(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                      "0123456789-_"),
                         CURSOR_TEXT_SIZE - 1);
        assert_int_equal(cursor_decode(&key, text, strlen(text), "scope", 5, &out), 0);
        assert_int_equal(out.time_us, in.time_us);
        assert_true(uuid_equal(&out.id, &in.id));
    }
}

static void test_elsewhere_it_is_refused(void **state)
{
    (void)state;
    struct cursor_key key = key_of("one");
    struct cursor_key other = key_of("two");
    struct cursor cursor = {.time_us = 7, .id = uuid_new()};
    char text[CURSOR_TEXT_SIZE];
    cursor_encode(&key, &cursor, "scope", 5, text);
    assert_int_equal(cursor_decode(&key, text, strlen(text), "scopf", 5, &cursor), -1);
    assert_int_equal(cursor_decode(&key, text, strlen(text), "scope+", 6, &cursor), -1);
    assert_int_equal(cursor_decode(&other, text, strlen(text), "scope", 5, &cursor), -1);
}

static void test_every_changed_character_is_refused(void **state)
{
    (void)state;
    struct cursor_key key = key_of("one");
    struct cursor cursor = {.time_us = 7, .id = uuid_new()};
    char text[CURSOR_TEXT_SIZE];
    cursor_encode(&key, &cursor, "scope", 5, text);
    for (size_t i = 0; i < CURSOR_TEXT_SIZE - 1; i++) {
        char kept = text[i];
        text[i] = kept == 'A' ? 'B' : 'A';
        assert_int_equal(cursor_decode(&key, text, strlen(text), "scope", 5, &cursor), -1);
        text[i] = '!';
        assert_int_equal(cursor_decode(&key, text, strlen(text), "scope", 5, &cursor), -1);
        text[i] = kept;
    }
}

static void test_other_lengths_are_refused(void **state)
{
    (void)state;
    struct cursor_key key = key_of("one");
    struct cursor cursor = {.time_us = 7, .id = uuid_new()};
    char text[CURSOR_TEXT_SIZE + 1] = {0};
    cursor_encode(&key, &cursor, "scope", 5, text);
    text[CURSOR_TEXT_SIZE - 1] = '=';
    for (size_t length = 0; length <= CURSOR_TEXT_SIZE; length++) {
        assert_int_equal(cursor_decode(&key, text, length, "scope", 5, &cursor),
                         length == CURSOR_TEXT_SIZE - 1 ? 0 : -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_elsewhere_it_is_refused),
        cmocka_unit_test(test_every_changed_character_is_refused),
        cmocka_unit_test(test_other_lengths_are_refused),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests_name("cursor", tests, NULL, NULL);
}
