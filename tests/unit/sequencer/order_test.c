/* Order of commands per sender (R031, R041): nothing overtakes, nothing is done twice, everything
 * gets its answer. */
#include "sequencer/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct message_result answer(uint64_t first_seq)
{
    return (struct message_result){.first_seq = first_seq};
}

static int setup(void **state)
{
    static struct order order;
    order_init(&order);
    *state = &order;
    return 0;
}

static int teardown(void **state)
{
    order_deinit(*state);
    return 0;
}

static void test_takes_numbers_in_sequence(void **state)
{
    struct order_origin *origin = order_origin(*state, 7);
    struct message_result result;
    assert_int_equal(order_judge(origin, 1, &result), ORDER_TAKE);
    assert_int_equal(order_judge(origin, 2, &result), ORDER_TAKE);
    assert_ptr_equal(order_origin(*state, 7), origin);
}

static void test_says_once_what_is_missing(void **state)
{
    struct order_origin *origin = order_origin(*state, 7);
    struct message_result result;
    assert_int_equal(order_judge(origin, 2, &result), ORDER_NACK);
    assert_int_equal(order_judge(origin, 3, &result), ORDER_DROP);
    assert_int_equal(order_judge(origin, 1, &result), ORDER_TAKE);
    assert_int_equal(order_judge(origin, 3, &result), ORDER_NACK); /* a new gap is told again */
    assert_int_equal(origin->expected, 2);
}

static void test_answers_again_what_it_answered(void **state)
{
    struct order_origin *origin = order_origin(*state, 7);
    struct message_result result;
    struct message_result first = answer(11);
    assert_int_equal(order_judge(origin, 1, &result), ORDER_TAKE);
    assert_int_equal(order_judge(origin, 1, &result), ORDER_WAIT); /* taken, not settled yet */
    order_settle(origin, 1, &first);
    assert_int_equal(order_judge(origin, 1, &result), ORDER_ANSWER);
    assert_int_equal(result.first_seq, 11);
}

static void test_asks_the_table_about_what_was_before_it(void **state)
{
    struct message_result result;
    struct message_result found = answer(5);
    order_load(*state, 7, 40);
    struct order_origin *origin = order_origin(*state, 7);
    assert_int_equal(order_judge(origin, 40, &result), ORDER_RECOVER);
    assert_int_equal(order_judge(origin, 41, &result), ORDER_TAKE);
    order_settle(origin, 40, &found); /* found in the table: kept for the next time */
    assert_int_equal(order_judge(origin, 40, &result), ORDER_ANSWER);
    assert_int_equal(origin->settled, 40);
}

static void test_keeps_a_bounded_number_of_answers(void **state)
{
    struct order_origin *origin = order_origin(*state, 7);
    struct message_result result;
    for (uint64_t number = 1; number <= ORDER_RESULTS + 1; number++) {
        struct message_result one = answer(number);
        assert_int_equal(order_judge(origin, number, &result), ORDER_TAKE);
        order_settle(origin, number, &one);
    }
    assert_int_equal(order_judge(origin, 1, &result), ORDER_RECOVER);
    assert_int_equal(order_judge(origin, 2, &result), ORDER_ANSWER);
    assert_int_equal(result.first_seq, 2);
}

static void test_hello_skips_what_needs_no_answer(void **state)
{
    struct order_origin *origin = order_origin(*state, 7);
    struct message_result result;
    assert_int_equal(order_judge(origin, 500, &result), ORDER_NACK);
    order_hello(origin, 500);
    assert_int_equal(order_judge(origin, 500, &result), ORDER_TAKE);
    order_hello(origin, 3); /* older than what is known: changes nothing */
    assert_int_equal(origin->expected, 501);
}

static void test_reset_forgets_numbers_but_not_senders(void **state)
{
    struct order_origin *origin = order_origin(*state, 7);
    struct message_result result;
    struct message_result one = answer(1);
    origin->peer.length = 3;
    assert_int_equal(order_judge(origin, 1, &result), ORDER_TAKE);
    order_settle(origin, 1, &one);
    order_reset(*state);
    assert_int_equal(origin->peer.length, 3);
    assert_int_equal(order_judge(origin, 1, &result), ORDER_TAKE);
}

static void test_forgets_silent_senders(void **state)
{
    struct order_origin *loud = order_origin(*state, 1);
    order_origin(*state, 2)->seen_ms = 10;
    order_origin(*state, 3)->seen_ms = 20;
    loud->seen_ms = 1000;
    order_forget(*state, 1000);
    assert_int_equal(((struct order *)*state)->origins.count, 1);
    assert_ptr_equal(order_origin(*state, 1), loud);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_takes_numbers_in_sequence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_says_once_what_is_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_answers_again_what_it_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_asks_the_table_about_what_was_before_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_keeps_a_bounded_number_of_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hello_skips_what_needs_no_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_forgets_numbers_but_not_senders, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_forgets_silent_senders, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
