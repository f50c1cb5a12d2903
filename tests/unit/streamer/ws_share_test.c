/* Shares of the window of commands: no tenant has it all, and one that comes finds room. */
#include "streamer/ws_share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { WINDOW = 256, BYTES = 4 << 20 };

static struct uuid tenant(uint64_t number)
{
    return map_number_key(number);
}

/* Commands until there is no more room; returns how many. */
static size_t fill(struct ws_shares *shares, uint64_t number, size_t bytes)
{
    struct uuid id = tenant(number);
    size_t count = 0;
    for (; ws_shares_has_room(shares, &id); count++) {
        assert_true(count <= WINDOW);
        ws_shares_begin(shares, &id, bytes);
    }
    return count;
}

static void end(struct ws_shares *shares, uint64_t number, size_t bytes, size_t count)
{
    struct uuid id = tenant(number);
    for (size_t i = 0; i < count; i++) {
        ws_shares_end(shares, &id, bytes);
    }
}

static void test_one_tenant_leaves_half(void **state)
{
    (void)state;
    struct ws_shares shares = {.count_max = WINDOW, .bytes_max = BYTES};
    assert_int_equal(fill(&shares, 1, 100), WINDOW / 2);
    assert_int_equal(fill(&shares, 2, 100), WINDOW / 3);
    struct uuid first = tenant(1);
    assert_false(ws_shares_has_room(&shares, &first));
    end(&shares, 2, 100, WINDOW / 3);
    assert_false(ws_shares_has_room(&shares, &first));
    end(&shares, 1, 100, 1);
    assert_int_equal(fill(&shares, 1, 100), 1);
    end(&shares, 1, 100, WINDOW / 2);
    ws_shares_deinit(&shares);
}

static void test_bytes_count_too(void **state)
{
    (void)state;
    struct ws_shares shares = {.count_max = WINDOW, .bytes_max = BYTES};
    assert_int_equal(fill(&shares, 1, BYTES / 8), 4);
    assert_int_equal(fill(&shares, 2, BYTES), 1);
    end(&shares, 1, BYTES / 8, 4);
    end(&shares, 2, BYTES, 1);
    ws_shares_deinit(&shares);
}

/* However many there are, each may have one. */
static void test_one_is_always_allowed(void **state)
{
    (void)state;
    struct ws_shares shares = {.count_max = 1, .bytes_max = 1};
    for (uint64_t number = 1; number <= 100; number++) {
        assert_int_equal(fill(&shares, number, 1000), 1);
    }
    for (uint64_t number = 1; number <= 100; number++) {
        end(&shares, number, 1000, 1);
    }
    ws_shares_deinit(&shares);
}

/* Those who are there go back to their shares as their commands end. */
static void test_shares_become_even(void **state)
{
    (void)state;
    enum { TENANTS = 7 };
    struct ws_shares shares = {.count_max = WINDOW, .bytes_max = BYTES};
    size_t under_way[TENANTS + 1] = {0};
    for (uint64_t number = 1; number <= TENANTS; number++) {
        under_way[number] = fill(&shares, number, 10);
        assert_true(under_way[number] > 0);
    }
    for (int round = 0; round < WINDOW; round++) {
        for (uint64_t number = 1; number <= TENANTS; number++) {
            if (under_way[number] > 1) {
                end(&shares, number, 10, 1);
                under_way[number]--;
            }
            under_way[number] += fill(&shares, number, 10);
        }
    }
    for (uint64_t number = 1; number <= TENANTS; number++) {
        assert_int_equal(under_way[number], WINDOW / (TENANTS + 1));
        end(&shares, number, 10, under_way[number]);
    }
    ws_shares_deinit(&shares);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_tenant_leaves_half),
        cmocka_unit_test(test_bytes_count_too),
        cmocka_unit_test(test_one_is_always_allowed),
        cmocka_unit_test(test_shares_become_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
