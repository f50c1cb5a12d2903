/* The shared window: appending, gathering, positions, trimming, joining. R046, R049: any position
 * inside it gives exactly the bytes behind it. */
#include "streamer/run_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { IOVECS = 64 };

/* Sizes from 1 byte to beyond a grown block, different for neighbours. */
static size_t size_of(uint64_t seq)
{
    return seq % 97 == 0 ? 40000 : 1 + (size_t)(seq * 7919 % 600);
}

static uint8_t byte_of(uint64_t seq, size_t at)
{
    return (uint8_t)(seq * 31 + at);
}

static void append(struct run_window *window)
{
    uint64_t seq = window->next;
    uint8_t *bytes = run_window_append(window, size_of(seq));
    for (size_t i = 0; i < size_of(seq); i++) {
        bytes[i] = byte_of(seq, i);
    }
}

static void fill(struct run_window *window, uint64_t first, uint64_t next)
{
    *window = (struct run_window){0};
    run_window_start(window, first);
    while (window->next < next) {
        append(window);
    }
}

/* Reads on from `at`, at most `step` bytes at a time, and checks every byte. */
static struct window_position read_through(const struct run_window *window,
                                           struct window_position at, size_t step)
{
    struct iovec iov[IOVECS];
    int count;
    while ((count = run_window_gather(window, at, iov, 3)) > 0) {
        size_t taken = 0;
        struct window_position check = at;
        for (int i = 0; i < count && taken < step; i++) {
            const uint8_t *bytes = iov[i].iov_base;
            for (size_t j = 0; j < iov[i].iov_len && taken < step; j++, taken++) {
                assert_int_equal(bytes[j], byte_of(check.cursor + 1, check.skip));
                if (++check.skip == size_of(check.cursor + 1)) {
                    check = (struct window_position){check.cursor + 1, 0};
                }
            }
        }
        at = run_window_advance(window, at, taken);
        assert_int_equal(at.cursor, check.cursor);
        assert_int_equal(at.skip, check.skip);
    }
    return at;
}

static void test_every_position(void **state)
{
    (void)state;
    struct run_window window;
    static const size_t steps[] = {1, 7, 499, 65536, SIZE_MAX};
    fill(&window, 5, 205);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        for (uint64_t from = steps[i] == 1 ? 195 : 4; from < 204; from++) {
            struct window_position end =
                read_through(&window, (struct window_position){from, 0}, steps[i]);
            assert_int_equal(end.cursor, 204);
            assert_int_equal(end.skip, 0);
        }
    }
    run_window_clear(&window);
    assert_int_equal(window.bytes, 0);
}

static void test_outside(void **state)
{
    (void)state;
    struct run_window window;
    struct iovec iov[IOVECS];
    fill(&window, 10, 20);
    assert_false(run_window_has(&window, 9));
    assert_true(run_window_has(&window, 10));
    assert_true(run_window_has(&window, 19));
    assert_false(run_window_has(&window, 20));
    assert_int_equal(run_window_gather(&window, (struct window_position){8, 0}, iov, IOVECS), 0);
    assert_int_equal(run_window_gather(&window, (struct window_position){19, 0}, iov, IOVECS), 0);
    assert_int_equal(run_window_left(&window, (struct window_position){9, 1}), size_of(10) - 1);
    run_window_clear(&window);
    assert_true(run_window_is_empty(&window));
    assert_int_equal(window.first, 20);
    assert_int_equal(window.next, 20);
    append(&window);
    assert_int_equal(read_through(&window, (struct window_position){19, 0}, 3).cursor, 20);
    run_window_clear(&window);
}

static void test_trim(void **state)
{
    (void)state;
    struct run_window window;
    fill(&window, 1, 1000);
    run_window_trim(&window, 60000);
    assert_true(window.bytes <= 60000);
    assert_true(window.first > 1);
    assert_int_equal(window.next, 1000);
    assert_int_equal(
        read_through(&window, (struct window_position){window.first - 1, 0}, 1000).cursor, 999);
    run_window_trim(&window, 0);
    assert_false(run_window_is_empty(&window));
    run_window_clear(&window);
}

static void join_case(uint64_t window_next, uint64_t ahead_first, uint64_t ahead_next)
{
    struct run_window window;
    struct run_window ahead;
    fill(&window, 1, window_next);
    fill(&ahead, ahead_first, ahead_next);
    bool joined = run_window_join(&window, &ahead);
    assert_int_equal(joined, ahead_first <= window_next);
    if (joined) {
        uint64_t next = ahead_next > window_next ? ahead_next : window_next;
        assert_true(run_window_is_empty(&ahead));
        assert_int_equal(ahead.bytes, 0);
        assert_int_equal(window.next, next);
        if (window_next > 1) {
            assert_int_equal(read_through(&window, (struct window_position){0, 0}, SIZE_MAX).cursor,
                             next - 1);
        }
        append(&window);
    }
    run_window_clear(&window);
    run_window_clear(&ahead);
    assert_int_equal(window.bytes, 0);
}

static void test_join(void **state)
{
    (void)state;
    for (uint64_t next = 1; next < 140; next += 3) {
        for (uint64_t first = 1; first < 150; first += 7) {
            join_case(next, first, first + 1);
            join_case(next, first, first + 30);
            join_case(next, first, 300);
        }
    }
    struct run_window window;
    struct run_window empty = {0};
    fill(&window, 1, 5);
    assert_false(run_window_join(&window, &empty));
    run_window_clear(&window);
}

/* A run with one small event must not hold a large block. */
static void test_small(void **state)
{
    (void)state;
    struct run_window window;
    fill(&window, 1, 2);
    assert_true(window.bytes < 1024);
    run_window_clear(&window);
}

/* Events without bytes between others, and marks on some. */
static void fill_sparsely(struct run_window *window, uint64_t next)
{
    *window = (struct run_window){0};
    run_window_start(window, 1);
    while (window->next < next) {
        uint64_t seq = window->next;
        if (seq % 5 == 0 || seq > 400) {
            append(window);
        } else {
            (void)run_window_append(window, 0);
        }
        if (seq % 33 == 0) {
            run_window_mark(window);
        }
    }
}

static void test_events_without_bytes(void **state)
{
    (void)state;
    struct run_window window;
    struct iovec iov[IOVECS];
    size_t size;
    fill_sparsely(&window, 600);
    for (uint64_t at = 0; at < 400; at++) {
        const struct window_position past =
            run_window_advance(&window, (struct window_position){at, 0}, 0);
        assert_int_equal(past.cursor, at - at % 5 + 4);
        assert_int_equal(past.skip, 0);
        (void)run_window_frame(&window, at + 1, &size);
        assert_int_equal(size, (at + 1) % 5 == 0 ? size_of(at + 1) : 0);
    }
    assert_int_equal(
        run_window_gather_to(&window, (struct window_position){10, 0}, 14, iov, IOVECS), 0);
    assert_int_equal(
        run_window_gather_to(&window, (struct window_position){10, 0}, 10, iov, IOVECS), 0);
    assert_true(run_window_gather_to(&window, (struct window_position){10, 3}, 15, iov, IOVECS) >
                0);
    run_window_clear(&window);
    run_window_start(&window, 600);
    for (int i = 0; i < 5000; i++) {
        (void)run_window_append(&window, 0);
    }
    assert_int_equal(run_window_gather(&window, (struct window_position){599, 0}, iov, IOVECS), 0);
    assert_int_equal(run_window_advance(&window, (struct window_position){599, 0}, 0).cursor, 5599);
    run_window_clear(&window);
}

static void test_marks(void **state)
{
    (void)state;
    struct run_window window;
    struct run_window ahead;
    fill_sparsely(&window, 600);
    for (uint64_t after = 0; after < 600; after++) {
        uint64_t want = (after / 33 + 1) * 33;
        assert_int_equal(run_window_marked(&window, after), want < 600 ? want : 0);
    }
    size_t bytes = 0;
    struct iovec iov[IOVECS];
    int count = run_window_gather_to(&window, (struct window_position){430, 7}, 462, iov, IOVECS);
    for (int i = 0; i < count; i++) {
        bytes += iov[i].iov_len;
    }
    const struct window_position end =
        run_window_advance(&window, (struct window_position){430, 7}, bytes);
    assert_int_equal(end.cursor, 462);
    assert_int_equal(end.skip, 0);
    fill(&ahead, 590, 640);
    run_window_mark(&ahead);
    assert_true(run_window_join(&window, &ahead));
    assert_int_equal(run_window_marked(&window, 600), 639);
    run_window_trim(&window, 60000);
    uint64_t first = (window.first + 32) / 33 * 33;
    assert_true(window.first > 33);
    assert_int_equal(run_window_marked(&window, 0), first < 600 ? first : 639);
    run_window_clear(&window);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_position), cmocka_unit_test(test_outside),
        cmocka_unit_test(test_trim),           cmocka_unit_test(test_join),
        cmocka_unit_test(test_small),          cmocka_unit_test(test_events_without_bytes),
        cmocka_unit_test(test_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
