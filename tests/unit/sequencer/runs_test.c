/* Heads and recent keys in memory: bounded, and nothing goes that somebody still needs. */
#include "sequencer/sequencer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 8, RUNS_CACHED = 16 };

static const struct uuid tenant = {{1}};

static int setup(void **state)
{
    struct sequencer *sequencer = calloc(1, sizeof *sequencer);
    sequencer->actor = calloc(1, sizeof *sequencer->actor);
    sequencer->actor->settings = settings_create();
    assert_int_equal(
        settings_set(sequencer->actor->settings, SETTING_SEQUENCER_RUNS_CACHED, "16", NULL), 0);
    list_init(&sequencer->runs_by_use);
    accounts_init(&sequencer->quotas.accounts);
    sequencer->key_capacity = KEYS;
    sequencer->key_ring = calloc(KEYS, sizeof *sequencer->key_ring);
    *state = sequencer;
    return 0;
}

static int teardown(void **state)
{
    struct sequencer *sequencer = *state;
    runs_clear(sequencer);
    accounts_clear(&sequencer->quotas.accounts);
    assert_int_equal(sequencer->runs.count, 0);
    assert_int_equal(sequencer->keys.count, 0);
    map_deinit(&sequencer->runs);
    map_deinit(&sequencer->keys);
    free(sequencer->key_ring);
    settings_destroy(&sequencer->actor->settings);
    free(sequencer->actor);
    free(sequencer);
    return 0;
}

static struct uuid number_id(uint8_t number)
{
    return (struct uuid){{0x10, number}};
}

static struct run *add(struct sequencer *sequencer, uint8_t number)
{
    struct uuid id = number_id(number);
    struct uuid thread = {{0}};
    return runs_add(sequencer, &id, &tenant, &thread, number, RUN_RUNNING);
}

static bool has(const struct sequencer *sequencer, uint8_t number)
{
    struct uuid id = number_id(number);
    return runs_get((struct sequencer *)sequencer, &id) != NULL;
}

static void test_forgets_the_least_recently_used(void **state)
{
    struct sequencer *sequencer = *state;
    for (uint8_t i = 0; i < RUNS_CACHED + 3; i++) {
        add(sequencer, i);
    }
    runs_evict(sequencer);
    assert_int_equal(sequencer->runs.count, RUNS_CACHED);
    assert_false(has(sequencer, 2));
    assert_true(has(sequencer, 3));
}

static void test_keeps_what_is_in_use(void **state)
{
    struct sequencer *sequencer = *state;
    struct run *queued = add(sequencer, 0);
    struct run *in_batch = add(sequencer, 1);
    queued->users = 1;
    in_batch->batch_head = 1;
    for (uint8_t i = 2; i < RUNS_CACHED + 2; i++) {
        add(sequencer, i);
    }
    runs_evict(sequencer);
    assert_int_equal(sequencer->runs.count, RUNS_CACHED);
    assert_true(has(sequencer, 0) && has(sequencer, 1));
    assert_false(has(sequencer, 2));
    queued->users = 0;
    in_batch->batch_head = 0;
}

static void test_forgets_nothing_while_a_query_is_under_way(void **state)
{
    struct sequencer *sequencer = *state;
    for (uint8_t i = 0; i < RUNS_CACHED + 3; i++) {
        add(sequencer, i);
    }
    sequencer->resolving = 1;
    runs_evict(sequencer);
    assert_int_equal(sequencer->runs.count, RUNS_CACHED + 3);
}

static void test_a_run_outlives_a_whole_queue(void **state)
{
    struct sequencer *sequencer = *state;
    sequencer->key_capacity = RUNS_CACHED + 10; /* twice what may wait */
    for (uint8_t i = 0; i < RUNS_CACHED + 10; i++) {
        add(sequencer, i);
    }
    runs_evict(sequencer);
    assert_int_equal(sequencer->runs.count, RUNS_CACHED + 10);
    sequencer->key_capacity = KEYS;
}

static struct key_entry key(uint8_t number)
{
    return (struct key_entry){.hash = {{0x20, number}}, .first_seq = number};
}

static const struct key_entry *find(const struct sequencer *sequencer, uint8_t number)
{
    struct uuid hash = {{0x20, number}};
    return keys_get(sequencer, &hash);
}

static void add_keys(struct sequencer *sequencer, uint8_t from, uint8_t to)
{
    for (uint8_t i = from; i <= to; i++) {
        struct key_entry entry = key(i);
        keys_add(sequencer, &entry);
    }
}

static void test_the_ring_keeps_the_newest_keys(void **state)
{
    struct sequencer *sequencer = *state;
    add_keys(sequencer, 1, KEYS + 3);
    assert_int_equal(sequencer->keys.count, KEYS);
    assert_null(find(sequencer, 3));
    for (uint8_t i = 4; i <= KEYS + 3; i++) {
        assert_int_equal(find(sequencer, i)->first_seq, i);
    }
}

static void test_keys_of_a_failed_batch_go(void **state)
{
    struct sequencer *sequencer = *state;
    add_keys(sequencer, 1, KEYS);
    size_t before = sequencer->keys_count;
    add_keys(sequencer, 50, 52); /* over the oldest three */
    keys_drop_to(sequencer, before);
    assert_int_equal(sequencer->keys_count, before);
    assert_null(find(sequencer, 50));
    assert_null(find(sequencer, 52));
    assert_int_equal(find(sequencer, KEYS)->first_seq, KEYS);
    add_keys(sequencer, 50, 52); /* tried again */
    assert_int_equal(find(sequencer, 51)->first_seq, 51);
    assert_int_equal(find(sequencer, 4)->first_seq, 4);
    assert_int_equal(sequencer->keys.count, KEYS);
}

static void test_a_failed_batch_may_be_larger_than_the_ring(void **state)
{
    struct sequencer *sequencer = *state;
    add_keys(sequencer, 1, 3);
    add_keys(sequencer, 100, 100 + 2 * KEYS);
    keys_drop_to(sequencer, 3);
    assert_int_equal(sequencer->keys.count, 0);
    add_keys(sequencer, 1, 2);
    assert_int_equal(find(sequencer, 2)->first_seq, 2);
}

/* A client may choose its run's id: also the id of a tenant that is not its own. */
static void test_keys_of_runs_and_of_tenants_do_not_meet(void **state)
{
    (void)state;
    struct message_span text = {(const uint8_t *)"key", 3};
    struct uuid append = keys_hash(KEY_OF_RUN, &tenant, text);
    struct uuid create = keys_hash(KEY_OF_TENANT, &tenant, text);
    assert_false(uuid_equal(&append, &create));
    struct uuid again = keys_hash(KEY_OF_RUN, &tenant, text);
    assert_true(uuid_equal(&append, &again));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_forgets_the_least_recently_used, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keeps_what_is_in_use, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forgets_nothing_while_a_query_is_under_way, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_run_outlives_a_whole_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_ring_keeps_the_newest_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_of_a_failed_batch_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_failed_batch_may_be_larger_than_the_ring, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_keys_of_runs_and_of_tenants_do_not_meet, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
