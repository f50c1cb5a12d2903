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
    assert_int_equal(order_judge(origin, 1, false, &result), ORDER_TAKE);
    assert_int_equal(order_judge(origin, 2, false, &result), ORDER_TAKE);
    assert_ptr_equal(order_origin(*state, 7), origin);
}

static void test_says_once_what_is_missing(void **state)
{
    struct order_origin *origin = order_origin(*state, 7);
    struct message_result result;
    assert_int_equal(order_judge(origin, 2, false, &result), ORDER_NACK);
    assert_int_equal(order_judge(origin, 3, false, &result), ORDER_DROP);
    assert_int_equal(order_judge(origin, 1, false, &result), ORDER_TAKE);
    assert_int_equal(order_judge(origin, 3, false, &result),
                     ORDER_NACK); /* a new gap is told again */
    assert_int_equal(origin->expected, 2);
}

static void test_answers_again_what_it_answered(void **state)
{
    struct order_origin *origin = order_origin(*state, 7);
    struct message_result result;
    struct message_result first = answer(11);
    assert_int_equal(order_judge(origin, 1, false, &result), ORDER_TAKE);
    assert_int_equal(order_judge(origin, 1, false, &result),
                     ORDER_WAIT); /* taken, not settled yet */
    order_settle(origin, 1, &first);
    assert_int_equal(order_judge(origin, 1, false, &result), ORDER_ANSWER);
    assert_int_equal(result.first_seq, 11);
}

static void test_asks_the_table_about_what_was_before_it(void **state)
{
    struct message_result result;
    struct message_result found = answer(5);
    order_load(*state, 7, 40);
    struct order_origin *origin = order_origin(*state, 7);
    assert_int_equal(order_judge(origin, 40, false, &result), ORDER_RECOVER);
    assert_int_equal(order_judge(origin, 41, false, &result), ORDER_TAKE);
    order_settle(origin, 40, &found); /* found in the table: kept for the next time */
    assert_int_equal(order_judge(origin, 40, false, &result), ORDER_ANSWER);
    assert_int_equal(origin->settled, 40);
}

static void test_keeps_a_bounded_number_of_answers(void **state)
{
    struct order_origin *origin = order_origin(*state, 7);
    struct message_result result;
    for (uint64_t number = 1; number <= ORDER_RESULTS + 1; number++) {
        struct message_result one = answer(number);
        assert_int_equal(order_judge(origin, number, false, &result), ORDER_TAKE);
        order_settle(origin, number, &one);
    }
    assert_int_equal(order_judge(origin, 1, false, &result), ORDER_RECOVER);
    assert_int_equal(order_judge(origin, 2, false, &result), ORDER_ANSWER);
    assert_int_equal(result.first_seq, 2);
}

static void test_hello_skips_what_needs_no_answer(void **state)
{
    struct order_origin *origin = order_origin(*state, 7);
    struct message_result result;
    assert_int_equal(order_judge(origin, 500, false, &result), ORDER_NACK);
    order_hello(origin, 500);
    assert_int_equal(order_judge(origin, 500, false, &result), ORDER_TAKE);
    order_hello(origin, 3); /* older than what is known: changes nothing */
    assert_int_equal(origin->expected, 501);
}

static void test_reset_forgets_numbers_but_not_senders(void **state)
{
    struct order_origin *origin = order_origin(*state, 7);
    struct message_result result;
    struct message_result one = answer(1);
    origin->peer.length = 3;
    assert_int_equal(order_judge(origin, 1, false, &result), ORDER_TAKE);
    order_settle(origin, 1, &one);
    order_reset(*state);
    assert_int_equal(origin->peer.length, 3);
    assert_int_equal(order_judge(origin, 1, false, &result), ORDER_TAKE);
}

static void test_forgets_silent_senders(void **state)
{
    struct order_origin *loud = order_origin(*state, 1);
    order_origin(*state, 2)->seen_ms = 10;
    order_origin(*state, 3)->seen_ms = 20;
    loud->seen_ms = 1000;
    order_forget(*state, 1000, 1000);
    assert_int_equal(((struct order *)*state)->origins.count, 1);
    assert_ptr_equal(order_origin(*state, 1), loud);
}

/* A process that was frozen for long asks again for what was done: it must not be done twice. */
static void test_a_silent_senders_numbers_outlive_its_answers(void **state)
{
    struct message_result result;
    order_load(*state, 7, 40);
    order_origin(*state, 7)->seen_ms = 50;
    order_forget(*state, 100, 10);
    struct order_origin *origin = order_origin(*state, 7);
    order_hello(origin, 40);
    assert_int_equal(order_judge(origin, 40, false, &result), ORDER_RECOVER);
}

static void test_a_sender_with_queued_commands_is_kept(void **state)
{
    struct order_origin *origin = order_origin(*state, 7);
    origin->seen_ms = 10;
    origin->users = 1;
    order_forget(*state, 1000, 1000);
    assert_ptr_equal(order_origin(*state, 7), origin);
    assert_int_equal(((struct order *)*state)->origins.count, 1);
}

/* Re-asked every 150 ms while the table is slow: one look-up, or a refusal of then could become two
 * appends. */
static void test_what_is_being_recovered_is_not_recovered_again(void **state)
{
    struct message_result result;
    struct message_result found = answer(5);
    order_load(*state, 7, 40);
    struct order_origin *origin = order_origin(*state, 7);
    assert_int_equal(order_judge(origin, 39, false, &result), ORDER_RECOVER);
    assert_int_equal(order_judge(origin, 40, false, &result), ORDER_RECOVER);
    assert_int_equal(order_judge(origin, 39, false, &result), ORDER_WAIT);
    order_settle(origin, 39, &found);
    assert_int_equal(order_judge(origin, 39, false, &result), ORDER_ANSWER);
    assert_int_equal(order_judge(origin, 40, false, &result), ORDER_WAIT);
    order_reset(*state);
    order_load(*state, 7, 40);
    assert_int_equal(order_judge(origin, 40, false, &result), ORDER_RECOVER);
}

static void test_nothing_new_is_taken_without_room(void **state)
{
    struct message_result result;
    struct message_result one = answer(1);
    order_load(*state, 7, 40);
    struct order_origin *origin = order_origin(*state, 7);
    assert_int_equal(order_judge(origin, 41, true, &result), ORDER_BUSY);
    assert_int_equal(order_judge(origin, 40, true, &result), ORDER_BUSY);
    assert_int_equal(order_judge(origin, 41, false, &result), ORDER_TAKE);
    assert_int_equal(order_judge(origin, 40, false, &result), ORDER_RECOVER);
    order_settle(origin, 41, &one);
    assert_int_equal(order_judge(origin, 41, true, &result), ORDER_ANSWER);
    assert_int_equal(order_judge(origin, 43, true, &result), ORDER_NACK);
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
        cmocka_unit_test_setup_teardown(test_a_silent_senders_numbers_outlive_its_answers, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_sender_with_queued_commands_is_kept, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_is_being_recovered_is_not_recovered_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_nothing_new_is_taken_without_room, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
