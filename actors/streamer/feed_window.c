/* See feed_window.h. */
#include "streamer/feed_window.h"

#include "runtime/base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { INDEX_FIRST = 64 };

static uint64_t *slot(const struct feed_window *window, uint64_t number)
{
    return &window->positions[number & (window->capacity - 1)];
}

static uint64_t count_of(const struct feed_window *window)
{
    return window->frames.next - window->frames.first;
}

void feed_window_start(struct feed_window *window, uint64_t position)
{
    run_window_clear(&window->frames);
    if (window->frames.next == 0) {
        run_window_start(&window->frames, 1);
    }
    window->from = window->to = position;
}

void feed_window_deinit(struct feed_window *window)
{
    run_window_clear(&window->frames);
    free(window->positions);
    *window = (struct feed_window){0};
}

/* The ring is full: twice as large, with every number in its new slot. */
static void grow(struct feed_window *window)
{
    size_t capacity = window->capacity == 0 ? INDEX_FIRST : window->capacity * 2;
    uint64_t *positions = memory_array(capacity, sizeof *positions);
    for (uint64_t n = window->frames.first; n < window->frames.next; n++) {
        positions[n & (capacity - 1)] = *slot(window, n);
    }
    free(window->positions);
    window->positions = positions;
    window->capacity = capacity;
}

uint8_t *feed_window_append(struct feed_window *window, uint64_t position, size_t size)
{
    assert(position > window->to && window->frames.next > 0);
    if (count_of(window) == window->capacity) {
        grow(window);
    }
    *slot(window, window->frames.next) = position;
    window->to = position;
    return run_window_append(&window->frames, size);
}

void feed_window_reach(struct feed_window *window, uint64_t position)
{
    window->to = position > window->to ? position : window->to;
}

/* The frames from `first` up to the ones that are held are gone: what was before them is not known
 * any more. */
static void forget(struct feed_window *window, uint64_t first)
{
    if (window->frames.first > first) {
        window->from = *slot(window, window->frames.first - 1);
    }
    if (run_window_is_empty(&window->frames)) {
        free(window->positions);
        window->positions = NULL;
        window->capacity = 0;
    }
}

void feed_window_trim(struct feed_window *window, size_t bytes)
{
    uint64_t first = window->frames.first;
    run_window_trim(&window->frames, bytes);
    forget(window, first);
}

void feed_window_clear(struct feed_window *window)
{
    uint64_t first = window->frames.first;
    run_window_clear(&window->frames);
    forget(window, first);
}

size_t feed_window_bytes(const struct feed_window *window)
{
    return window->frames.bytes + window->capacity * sizeof *window->positions;
}

uint64_t feed_window_last(const struct feed_window *window)
{
    return run_window_is_empty(&window->frames) ? window->from
                                                : *slot(window, window->frames.next - 1);
}

/* Number of the last frame at or before the cursor; frames.first - 1: none. Most readers are at the
 * newest one. */
static uint64_t number_at(const struct feed_window *window, uint64_t cursor)
{
    uint64_t low = window->frames.first;
    uint64_t high = window->frames.next;
    if (low < high && *slot(window, high - 1) <= cursor) {
        return high - 1;
    }
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (*slot(window, middle) <= cursor) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low - 1;
}

static struct window_position numbered(const struct feed_window *window, struct window_position at)
{
    assert(at.cursor >= window->from);
    return (struct window_position){number_at(window, at.cursor), at.skip};
}

int feed_window_gather(const struct feed_window *window, struct window_position at,
                       struct iovec *iov, int max)
{
    return run_window_gather(&window->frames, numbered(window, at), iov, max);
}

struct window_position feed_window_advance(const struct feed_window *window,
                                           struct window_position at, size_t taken)
{
    struct window_position before = numbered(window, at);
    struct window_position after = run_window_advance(&window->frames, before, taken);
    if (after.cursor == before.cursor) {
        return (struct window_position){at.cursor, after.skip};
    }
    return (struct window_position){*slot(window, after.cursor), after.skip};
}

size_t feed_window_left(const struct feed_window *window, struct window_position at)
{
    return run_window_left(&window->frames, numbered(window, at));
}

uint64_t feed_window_next(const struct feed_window *window, uint64_t cursor)
{
    uint64_t number = number_at(window, cursor) + 1;
    assert(number < window->frames.next);
    return *slot(window, number);
}

uint64_t feed_window_count(const struct feed_window *window, uint64_t after, uint64_t up_to)
{
    return number_at(window, up_to) - number_at(window, after);
}
