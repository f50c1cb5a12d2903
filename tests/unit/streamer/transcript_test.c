/* The records that copies of a projection's state share. */
#include "streamer/formats/transcript.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { BOUND = 40000 };

static void add(struct transcript *transcript, unsigned number)
{
    char text[600];
    int length = snprintf(text, sizeof text, "%0*u", (int)(number % 500) + 8, number);
    transcript_add(transcript, BOUND, number % 250, (struct json_span){"id", number % 3},
                   (struct json_span){text, (size_t)length});
}

/* Whether it holds the records up to number `last`, and no other; returns the first. */
static unsigned check(const struct transcript *transcript, unsigned last)
{
    struct transcript_cursor cursor = {0};
    struct transcript_record record;
    size_t count = 0;
    size_t bytes = 0;
    while (transcript_next(transcript, &cursor, &record)) {
        count++;
    }
    unsigned number = last + 1 - (unsigned)count;
    unsigned first = number;
    cursor = (struct transcript_cursor){0};
    while (transcript_next(transcript, &cursor, &record)) {
        char text[600];
        int length = snprintf(text, sizeof text, "%0*u", (int)(number % 500) + 8, number);
        assert_int_equal(record.kind, number % 250);
        assert_int_equal(record.name.length, number % 3);
        assert_int_equal(record.text.length, length);
        assert_memory_equal(record.text.data, text, record.text.length);
        bytes += record.text.length + record.name.length;
        number++;
    }
    assert_int_equal(number, last + 1);
    assert_true(bytes <= BOUND);
    return first;
}

static void test_order_and_bound(void **state)
{
    (void)state;
    struct transcript transcript = {0};
    for (unsigned i = 1; i <= 1000; i++) {
        add(&transcript, i);
        unsigned first = check(&transcript, i);
        assert_true(transcript.cut == (first > 1));
    }
    assert_true(transcript.cut);
    transcript_deinit(&transcript);
}

/* A copy stays where it was, whatever is added to the other one, and catches up with the same records. */
static void test_copies(void **state)
{
    (void)state;
    struct transcript front = {0};
    struct transcript back = {0};
    for (unsigned i = 1; i <= 600; i++) {
        add(&front, i);
        if (i % 100 == 30) {
            transcript_deinit(&back);
            transcript_copy(&back, &front);
        }
        if (i % 100 == 80) {
            (void)check(&back, i - 50);
            for (unsigned j = i - 49; j <= i; j++) {
                add(&back, j);
            }
            assert_int_equal(check(&back, i), check(&front, i));
            assert_ptr_equal(back.last, front.last);
        }
    }
    assert_true(transcript_size(&front) < front.total || back.first != front.first);
    transcript_deinit(&front);
    (void)check(&back, 580);
    transcript_deinit(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_bound),
        cmocka_unit_test(test_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
