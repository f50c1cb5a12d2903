/* The window of a feed: events by position, with gaps. R046, R049: any position inside it gives
 * exactly the bytes behind it. */
#include "streamer/feed_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { EVENTS = 700, IOVECS = 64, FIRST = 1000 };

static uint64_t positions[EVENTS];

/* Gaps of 1 to 9. */
static void choose_positions(void)
{
    uint64_t at = FIRST;
    for (size_t i = 0; i < EVENTS; i++) {
        at += 1 + (i * 7919) % 9;
        positions[i] = at;
    }
}

static size_t size_of(uint64_t position)
{
    return position % 97 == 0 ? 40000 : 1 + (size_t)(position * 7919 % 600);
}

static uint8_t byte_of(uint64_t position, size_t at)
{
    return (uint8_t)(position * 31 + at);
}

static void fill(struct feed_window *window, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        uint8_t *bytes = feed_window_append(window, positions[i], size_of(positions[i]));
        for (size_t k = 0; k < size_of(positions[i]); k++) {
            bytes[k] = byte_of(positions[i], k);
        }
    }
}

/* Reads on from `at`, `step` bytes at most a time; checks every byte against the events from
 * `index`. */
static void read_from(const struct feed_window *window, struct window_position at, size_t index,
                      size_t step)
{
    size_t in_event = at.skip;
    struct iovec iov[IOVECS];
    int count;
    while ((count = feed_window_gather(window, at, iov, IOVECS)) > 0) {
        size_t taken = 0;
        for (int i = 0; i < count && taken < step; i++) {
            for (size_t k = 0; k < iov[i].iov_len && taken < step; k++, taken++) {
                assert_int_equal(((uint8_t *)iov[i].iov_base)[k],
                                 byte_of(positions[index], in_event));
                if (++in_event == size_of(positions[index])) {
                    index++;
                    in_event = 0;
                }
            }
        }
        struct window_position next = feed_window_advance(window, at, taken);
        assert_int_equal(next.skip, in_event);
        assert_true(index == 0 || next.cursor == positions[index - 1] || next.cursor == at.cursor);
        if (next.skip > 0) {
            assert_int_equal(feed_window_next(window, next.cursor), positions[index]);
            assert_int_equal(feed_window_left(window, next), size_of(positions[index]) - in_event);
        }
        at = next;
    }
    assert_int_equal(index, EVENTS);
}

static void test_every_position_gives_what_is_behind_it(void **state)
{
    (void)state;
    struct feed_window window = {.from = 0};
    feed_window_start(&window, FIRST);
    fill(&window, 0, EVENTS);
    size_t index = 0;
    for (uint64_t cursor = FIRST; cursor <= positions[EVENTS - 1] + 3; cursor += 1 + cursor % 17) {
        while (index < EVENTS && positions[index] <= cursor) {
            index++;
        }
        read_from(&window, (struct window_position){cursor, 0}, index, SIZE_MAX);
        assert_int_equal(feed_window_count(&window, FIRST, cursor), index);
    }
    read_from(&window, (struct window_position){FIRST, 0}, 0, 1);
    read_from(&window, (struct window_position){FIRST + 500, 0},
              feed_window_count(&window, FIRST, FIRST + 500), 777);
    feed_window_deinit(&window);
}

static void test_what_is_dropped_moves_from(void **state)
{
    (void)state;
    struct feed_window window = {.from = 0};
    feed_window_start(&window, FIRST);
    fill(&window, 0, EVENTS / 2);
    feed_window_trim(&window, 30000);
    assert_true(window.from > FIRST);
    assert_true(feed_window_bytes(&window) < 30000 + 40000 + 16384);
    fill(&window, EVENTS / 2, EVENTS);
    size_t index = 0;
    while (positions[index] <= window.from) {
        index++;
    }
    assert_int_equal(positions[index - 1], window.from);
    read_from(&window, (struct window_position){window.from, 0}, index, SIZE_MAX);
    feed_window_clear(&window);
    assert_int_equal(window.from, positions[EVENTS - 1]);
    assert_int_equal(feed_window_bytes(&window), 0);
    assert_int_equal(feed_window_last(&window), window.from);
    feed_window_deinit(&window);
}

static void test_empty_stretches_are_known(void **state)
{
    (void)state;
    struct iovec iov;
    struct feed_window window = {.from = 0};
    feed_window_start(&window, 10);
    feed_window_reach(&window, 90);
    feed_window_reach(&window, 50);
    assert_int_equal(window.to, 90);
    assert_int_equal(window.from, 10);
    assert_int_equal(feed_window_gather(&window, (struct window_position){40, 0}, &iov, 1), 0);
    *feed_window_append(&window, 91, 1) = 'x';
    assert_int_equal(feed_window_gather(&window, (struct window_position){40, 0}, &iov, 1), 1);
    assert_int_equal(feed_window_gather(&window, (struct window_position){91, 0}, &iov, 1), 0);
    feed_window_clear(&window);
    feed_window_start(&window, 200);
    assert_int_equal(window.from, 200);
    assert_int_equal(window.to, 200);
    feed_window_deinit(&window);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_position_gives_what_is_behind_it),
        cmocka_unit_test(test_what_is_dropped_moves_from),
        cmocka_unit_test(test_empty_stretches_are_known),
    };
    choose_positions();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
