/* What is kept of api keys stays bounded, and made-up ids push out no real key. R172 */
#include "api/key_cache.h"

#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void id_of(unsigned number, char id[API_KEY_PUBLIC_ID_SIZE])
{
    snprintf(id, API_KEY_PUBLIC_ID_SIZE, "%016x", number);
}

static struct key_entry *add(struct key_cache *cache, unsigned number, bool known)
{
    struct key_record record = {.known = known, .who.expires_us = number};
    char id[API_KEY_PUBLIC_ID_SIZE];
    id_of(number, id);
    struct key_entry *entry = key_cache_use(cache, id);
    entry->loading = true;
    entry->loading_ms = number;
    key_cache_fill(cache, entry, &record);
    return entry;
}

static bool has(const struct key_cache *cache, unsigned number)
{
    char id[API_KEY_PUBLIC_ID_SIZE];
    id_of(number, id);
    return key_cache_find(cache, id) != NULL;
}

static void test_fill_and_find(void **state)
{
    (void)state;
    struct key_cache cache;
    key_cache_init(&cache);
    assert_false(has(&cache, 7));
    struct key_entry *entry = add(&cache, 7, true);
    assert_true(has(&cache, 7));
    assert_true(entry->filled);
    assert_false(entry->loading);
    assert_int_equal(entry->asked_ms, 7);
    assert_int_equal(entry->record.who.expires_us, 7);
    assert_int_equal(cache.known_count, 1);
    assert_int_equal(cache.unknown_count, 0);
    key_cache_deinit(&cache);
}

static void test_both_kinds_are_bounded(void **state)
{
    (void)state;
    struct key_cache cache;
    key_cache_init(&cache);
    for (unsigned i = 0; i < KEY_CACHE_KNOWN_MAX + 100; i++) {
        add(&cache, i, true);
    }
    for (unsigned i = 0; i < 3 * KEY_CACHE_UNKNOWN_MAX; i++) {
        add(&cache, 1000000 + i, false);
    }
    assert_int_equal(cache.known_count, KEY_CACHE_KNOWN_MAX);
    assert_int_equal(cache.unknown_count, KEY_CACHE_UNKNOWN_MAX);
    assert_int_equal(cache.entries.count, KEY_CACHE_KNOWN_MAX + KEY_CACHE_UNKNOWN_MAX);
    assert_false(has(&cache, 0));
    assert_true(has(&cache, KEY_CACHE_KNOWN_MAX + 99));
    key_cache_deinit(&cache);
}

static void test_the_least_recently_used_goes(void **state)
{
    (void)state;
    struct key_cache cache;
    char id[API_KEY_PUBLIC_ID_SIZE];
    key_cache_init(&cache);
    for (unsigned i = 0; i < KEY_CACHE_KNOWN_MAX; i++) {
        add(&cache, i, true);
    }
    id_of(0, id);
    (void)key_cache_use(&cache, id);
    add(&cache, KEY_CACHE_KNOWN_MAX, true);
    assert_true(has(&cache, 0));
    assert_false(has(&cache, 1));
    key_cache_deinit(&cache);
}

static void test_who_is_waited_for_stays(void **state)
{
    (void)state;
    struct key_cache cache;
    char id[API_KEY_PUBLIC_ID_SIZE];
    key_cache_init(&cache);
    id_of(0, id);
    key_cache_use(&cache, id)->loading = true;
    for (unsigned i = 1; i <= 2 * KEY_CACHE_UNKNOWN_MAX; i++) {
        add(&cache, i, false);
    }
    assert_true(has(&cache, 0));
    assert_int_equal(cache.unknown_count, KEY_CACHE_UNKNOWN_MAX);
    key_cache_deinit(&cache);
}

static void test_a_key_may_change_its_kind(void **state)
{
    (void)state;
    struct key_cache cache;
    key_cache_init(&cache);
    add(&cache, 1, true);
    add(&cache, 1, false);
    assert_int_equal(cache.known_count, 0);
    assert_int_equal(cache.unknown_count, 1);
    add(&cache, 1, true);
    assert_int_equal(cache.known_count, 1);
    assert_int_equal(cache.unknown_count, 0);
    key_cache_deinit(&cache);
}

static void test_failed_lookup(void **state)
{
    (void)state;
    struct key_cache cache;
    char id[API_KEY_PUBLIC_ID_SIZE];
    key_cache_init(&cache);
    struct key_entry *entry = add(&cache, 1, true);
    entry->loading = true;
    entry->loading_ms = 99;
    key_cache_fail(&cache, entry);
    assert_true(has(&cache, 1));
    assert_int_equal(entry->asked_ms, 1);
    id_of(2, id);
    entry = key_cache_use(&cache, id);
    entry->loading = true;
    key_cache_fail(&cache, entry);
    assert_false(has(&cache, 2));
    assert_int_equal(cache.unknown_count, 0);
    key_cache_deinit(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fill_and_find),
        cmocka_unit_test(test_both_kinds_are_bounded),
        cmocka_unit_test(test_the_least_recently_used_goes),
        cmocka_unit_test(test_who_is_waited_for_stays),
        cmocka_unit_test(test_a_key_may_change_its_kind),
        cmocka_unit_test(test_failed_lookup),
    };
    return cmocka_run_group_tests_name("key_cache", tests, NULL, NULL);
}
