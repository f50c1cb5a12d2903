/* The set of open questions: asked once, answered once, bounded, as the table stores it. */
#include "sequencer/questions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <string.h>

static struct message_span text(const char *id)
{
    return (struct message_span){(const uint8_t *)id, strlen(id)};
}

static void test_asked_once_answered_once(void **state)
{
    (void)state;
    struct questions questions = {0};
    assert_false(questions_answer(&questions, text("a")));
    assert_true(questions_ask(&questions, text("a")));
    assert_false(questions_ask(&questions, text("a")));
    assert_true(questions_ask(&questions, text("b")));
    assert_true(questions_has(&questions, text("a")));
    assert_true(questions_answer(&questions, text("a")));
    assert_false(questions_has(&questions, text("a")));
    assert_false(questions_answer(&questions, text("a")));
    assert_int_equal(questions.count, 1);
    assert_true(questions_has_hash(&questions, &questions.open[0]));
}

static void test_bounded(void **state)
{
    (void)state;
    struct questions questions = {0};
    char id[2] = "a";
    for (int i = 0; i < QUESTIONS_MAX; i++) {
        assert_true(questions_ask(&questions, text(id)));
        id[0]++;
    }
    assert_false(questions_ask(&questions, text(id)));
    assert_true(questions_answer(&questions, text("c")));
    assert_true(questions_ask(&questions, text(id)));
}

static void test_ids(void **state)
{
    (void)state;
    char id[QUESTIONS_ID_BYTES + 2];
    memset(id, 'x', sizeof id);
    assert_false(questions_valid_id(text("")));
    assert_true(questions_valid_id((struct message_span){(const uint8_t *)id, QUESTIONS_ID_BYTES}));
    assert_false(
        questions_valid_id((struct message_span){(const uint8_t *)id, QUESTIONS_ID_BYTES + 1}));
}

static void test_loaded_as_stored(void **state)
{
    (void)state;
    struct questions questions = {0};
    uint8_t hashes[(QUESTIONS_MAX + 1) * QUESTIONS_HASH_BYTES] = {0};
    crypto_hash_sha256(hashes, (const uint8_t *)"one", 3);
    crypto_hash_sha256(hashes + QUESTIONS_HASH_BYTES, (const uint8_t *)"two", 3);
    questions_load(&questions, (const char *)hashes, 2 * QUESTIONS_HASH_BYTES);
    assert_int_equal(questions.count, 2);
    assert_true(questions_answer(&questions, text("two")));
    assert_true(questions_has(&questions, text("one")));
    questions_load(&questions, (const char *)hashes, sizeof hashes);
    assert_int_equal(questions.count, QUESTIONS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asked_once_answered_once),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_loaded_as_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
