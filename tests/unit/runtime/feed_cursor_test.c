/* Cursors of feeds: they come back as they went out, and only to the feed that gave them out. */
#include "runtime/feed_cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t secret[32] = {1, 2, 3};
static const struct uuid tenant_a = {{1}};
static const struct uuid tenant_b = {{2}};
static const struct uuid thread_a = {{3}};
static const struct uuid no_thread = {{0}};

static struct feed_key key_of(enum stream_kind kind, const struct uuid *tenant,
                              const struct uuid *thread)
{
    struct feed_key key;
    feed_key_derive(secret, sizeof secret, kind, tenant, thread, &key);
    return key;
}

static void test_round_trip(void **state)
{
    (void)state;
    static const uint64_t positions[] = {0, 1, 255, 256, 1ULL << 40, INT64_MAX, UINT64_MAX};
    struct feed_key key = key_of(STREAM_KIND_TENANT, &tenant_a, &no_thread);
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
        char text[FEED_CURSOR_TEXT_SIZE];
        uint64_t position = 77;
        feed_cursor_encode(&key, positions[i], text);
        assert_int_equal(strlen(text), FEED_CURSOR_TEXT_SIZE - 1);
        assert_int_equal(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                      "0123456789-_"),
                         FEED_CURSOR_TEXT_SIZE - 1);
        assert_int_equal(feed_cursor_decode(&key, text, strlen(text), &position), 0);
        assert_true(position == positions[i]);
    }
}

static void test_another_feed_refuses_it(void **state)
{
    (void)state;
    uint8_t other_secret[32] = {9};
    struct feed_key key = key_of(STREAM_KIND_THREAD, &tenant_a, &thread_a);
    struct feed_key others[] = {
        key_of(STREAM_KIND_TENANT, &tenant_a, &thread_a),
        key_of(STREAM_KIND_TENANT, &tenant_a, &no_thread),
        key_of(STREAM_KIND_THREAD, &tenant_b, &thread_a),
        key_of(STREAM_KIND_THREAD, &thread_a, &tenant_a),
        {{0}},
    };
    char text[FEED_CURSOR_TEXT_SIZE];
    uint64_t position;
    feed_key_derive(other_secret, sizeof other_secret, STREAM_KIND_THREAD, &tenant_a, &thread_a,
                    &others[4]);
    feed_cursor_encode(&key, 5, text);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(feed_cursor_decode(&others[i], text, strlen(text), &position), -1);
    }
    assert_int_equal(feed_cursor_decode(&key, text, strlen(text), &position), 0);
}

/* A streamer is given what its tenant's feeds need, and no more. */
static void test_in_two_steps(void **state)
{
    (void)state;
    struct feed_key tenant_key;
    struct feed_key key = key_of(STREAM_KIND_THREAD, &tenant_a, &thread_a);
    struct feed_key made;
    feed_tenant_key_derive(secret, sizeof secret, &tenant_a, &tenant_key);
    feed_key_of(&tenant_key, STREAM_KIND_THREAD, &thread_a, &made);
    assert_memory_equal(made.bytes, key.bytes, sizeof key.bytes);
    feed_tenant_key_derive(secret, sizeof secret, &tenant_b, &tenant_key);
    feed_key_of(&tenant_key, STREAM_KIND_THREAD, &thread_a, &made);
    assert_memory_not_equal(made.bytes, key.bytes, sizeof key.bytes);
}

static void test_what_is_not_a_cursor(void **state)
{
    (void)state;
    struct feed_key key = key_of(STREAM_KIND_TENANT, &tenant_a, &no_thread);
    char text[FEED_CURSOR_TEXT_SIZE + 2];
    uint64_t position = 0;
    feed_cursor_encode(&key, 5, text);
    for (size_t i = 0; i < FEED_CURSOR_TEXT_SIZE - 1; i++) {
        char kept = text[i];
        text[i] = kept == 'A' ? 'B' : 'A';
        assert_int_equal(feed_cursor_decode(&key, text, FEED_CURSOR_TEXT_SIZE - 1, &position), -1);
        text[i] = '*';
        assert_int_equal(feed_cursor_decode(&key, text, FEED_CURSOR_TEXT_SIZE - 1, &position), -1);
        text[i] = kept;
    }
    for (size_t length = 0; length < FEED_CURSOR_TEXT_SIZE - 1; length++) {
        assert_int_equal(feed_cursor_decode(&key, text, length, &position), -1);
    }
    text[FEED_CURSOR_TEXT_SIZE - 1] = '=';
    assert_int_equal(feed_cursor_decode(&key, text, FEED_CURSOR_TEXT_SIZE, &position), -1);
    assert_int_equal(position, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_another_feed_refuses_it),
        cmocka_unit_test(test_in_two_steps),
        cmocka_unit_test(test_what_is_not_a_cursor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
