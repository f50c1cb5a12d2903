/* See run_window.h. */
#include "streamer/run_window.h"

#include "runtime/base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_FIRST_BYTES = 512, BLOCK_GROWN_BYTES = 16 << 10 };

static const uint32_t MARK = UINT32_C(1) << 31;

/* Frames grow from the start of `bytes`, the index of their ends from its end. The highest bit of an
 * end says that the event is marked. */
struct window_block {
    struct window_block *newer;
    uint64_t first;
    uint32_t count;
    uint32_t used;
    uint32_t capacity; /* multiple of 4 */
    uint32_t marks;    /* how many are */
    uint8_t bytes[];
};

static uint32_t *ends_of(const struct window_block *block)
{
    return (uint32_t *)(void *)((uint8_t *)(uintptr_t)block->bytes + block->capacity) - 1;
}

/* End of the frame of event first + index. */
static uint32_t end_of(const struct window_block *block, uint32_t index)
{
    return *(ends_of(block) - index) & ~MARK;
}

static uint32_t start_of(const struct window_block *block, uint32_t index)
{
    return index == 0 ? 0 : end_of(block, index - 1);
}

static size_t memory_of(const struct window_block *block)
{
    return sizeof *block + block->capacity;
}

static bool fits(const struct window_block *block, size_t size)
{
    size_t taken = block->used + ((size_t)block->count + 1) * sizeof(uint32_t);
    return taken <= block->capacity && size <= block->capacity - taken;
}

static bool is_marked(const struct window_block *block, uint32_t index)
{
    return (*(ends_of(block) - index) & MARK) != 0;
}

void run_window_start(struct run_window *window, uint64_t next)
{
    assert(window->oldest == NULL);
    *window = (struct run_window){.first = next, .next = next};
}

static void drop_oldest(struct run_window *window)
{
    struct window_block *block = window->oldest;
    window->oldest = block->newer;
    if (window->oldest == NULL) {
        window->newest = NULL;
    }
    window->first = block->first + block->count;
    window->bytes -= memory_of(block);
    free(block);
}

void run_window_clear(struct run_window *window)
{
    while (window->oldest != NULL) {
        drop_oldest(window);
    }
    window->first = window->next;
}

bool run_window_is_empty(const struct run_window *window)
{
    return window->oldest == NULL;
}

bool run_window_has(const struct run_window *window, uint64_t seq)
{
    return seq >= window->first && seq < window->next;
}

/* Blocks double in size, so that a run with one small event holds little and a busy one few blocks.
 */
static struct window_block *add_block(struct run_window *window, size_t size)
{
    size_t capacity =
        window->newest == NULL ? BLOCK_FIRST_BYTES : (size_t)window->newest->capacity * 2;
    size_t needed = (size + sizeof(uint32_t) + 3) & ~(size_t)3;
    if (capacity > BLOCK_GROWN_BYTES) {
        capacity = BLOCK_GROWN_BYTES;
    }
    if (capacity < needed) {
        capacity = needed;
    }
    assert(capacity < MARK);
    struct window_block *block = memory_grow(NULL, 1, sizeof *block + capacity);
    *block = (struct window_block){.first = window->next, .capacity = (uint32_t)capacity};
    if (window->newest == NULL) {
        window->oldest = block;
    } else {
        window->newest->newer = block;
    }
    window->newest = block;
    window->bytes += memory_of(block);
    return block;
}

uint8_t *run_window_append(struct run_window *window, size_t size)
{
    struct window_block *block = window->newest;
    if (block == NULL || !fits(block, size)) {
        block = add_block(window, size);
    }
    uint8_t *at = block->bytes + block->used;
    block->used += (uint32_t)size;
    *(ends_of(block) - block->count) = block->used;
    block->count++;
    window->next++;
    return at;
}

void run_window_mark(struct run_window *window)
{
    struct window_block *block = window->newest;
    assert(block != NULL && !is_marked(block, block->count - 1));
    *(ends_of(block) - (block->count - 1)) |= MARK;
    block->marks++;
}

void run_window_trim(struct run_window *window, size_t bytes)
{
    while (window->bytes > bytes && window->oldest != window->newest) {
        drop_oldest(window);
    }
}

void run_window_drop_before(struct run_window *window, uint64_t seq)
{
    while (window->oldest != NULL && window->oldest->first + window->oldest->count <= seq) {
        drop_oldest(window);
    }
}

/* The first block of `ahead` begins before the end of `window`: what is new in it goes over one by
 * one. */
static void copy_rest(struct run_window *window, const struct window_block *block)
{
    for (uint32_t i = (uint32_t)(window->next - block->first); i < block->count; i++) {
        uint32_t start = start_of(block, i);
        size_t size = end_of(block, i) - start;
        memcpy(run_window_append(window, size), block->bytes + start, size);
        if (is_marked(block, i)) {
            run_window_mark(window);
        }
    }
}

bool run_window_join(struct run_window *window, struct run_window *ahead)
{
    if (run_window_is_empty(ahead) || ahead->first > window->next) {
        return false;
    }
    run_window_drop_before(ahead, window->next);
    if (ahead->oldest != NULL && ahead->oldest->first < window->next) {
        copy_rest(window, ahead->oldest);
        drop_oldest(ahead);
    }
    if (ahead->oldest != NULL) {
        if (window->newest == NULL) {
            window->oldest = ahead->oldest;
        } else {
            window->newest->newer = ahead->oldest;
        }
        window->newest = ahead->newest;
        window->next = ahead->next;
        window->bytes += ahead->bytes;
    }
    *ahead = (struct run_window){.first = window->next, .next = window->next};
    return true;
}

/* The block that holds `seq`; most readers are at the newest one. */
static const struct window_block *find(const struct run_window *window, uint64_t seq)
{
    if (!run_window_has(window, seq)) {
        return NULL;
    }
    if (seq >= window->newest->first) {
        return window->newest;
    }
    const struct window_block *block = window->oldest;
    while (seq >= block->first + block->count) {
        block = block->newer;
    }
    return block;
}

int run_window_gather(const struct run_window *window, struct window_position from,
                      struct iovec *iov, int max)
{
    return run_window_gather_to(window, from, UINT64_MAX, iov, max);
}

int run_window_gather_to(const struct run_window *window, struct window_position from,
                         uint64_t last, struct iovec *iov, int max)
{
    const struct window_block *block = find(window, from.cursor + 1);
    if (block == NULL || last <= from.cursor) {
        return 0;
    }
    size_t start = start_of(block, (uint32_t)(from.cursor + 1 - block->first)) + from.skip;
    int count = 0;
    for (; block != NULL && count < max && block->first <= last; block = block->newer, start = 0) {
        bool whole = last >= block->first + block->count;
        size_t end = whole ? block->used : end_of(block, (uint32_t)(last - block->first));
        if (end > start) {
            iov[count].iov_base = (uint8_t *)(uintptr_t)block->bytes + start;
            iov[count].iov_len = end - start;
            count++;
        }
    }
    return count;
}

const uint8_t *run_window_frame(const struct run_window *window, uint64_t seq, size_t *size_out)
{
    const struct window_block *block = find(window, seq);
    assert(block != NULL);
    uint32_t index = (uint32_t)(seq - block->first);
    uint32_t start = start_of(block, index);
    *size_out = end_of(block, index) - start;
    return block->bytes + start;
}

uint64_t run_window_marked(const struct run_window *window, uint64_t after)
{
    uint64_t seq = after < window->first ? window->first : after + 1;
    for (const struct window_block *block = find(window, seq); block != NULL;
         block = block->newer, seq = block == NULL ? 0 : block->first) {
        for (uint32_t i = (uint32_t)(seq - block->first); block->marks > 0 && i < block->count;
             i++) {
            if (is_marked(block, i)) {
                return block->first + i;
            }
        }
    }
    return 0;
}

/* Index of the first frame of the block that ends behind `at`; block->count when all of it is
 * taken. */
static uint32_t frame_at(const struct window_block *block, uint32_t low, size_t at)
{
    uint32_t high = block->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (end_of(block, middle) <= at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct window_position run_window_advance(const struct run_window *window,
                                          struct window_position from, size_t taken)
{
    const struct window_block *block = find(window, from.cursor + 1);
    assert(block != NULL);
    uint32_t index = (uint32_t)(from.cursor + 1 - block->first);
    size_t at = start_of(block, index) + from.skip + taken;
    while (at >= block->used && block->newer != NULL) {
        at -= block->used;
        block = block->newer;
        index = 0;
    }
    assert(at <= block->used);
    index = frame_at(block, index, at);
    return (struct window_position){block->first + index - 1, at - start_of(block, index)};
}

size_t run_window_left(const struct run_window *window, struct window_position at)
{
    size_t size;
    (void)run_window_frame(window, at.cursor + 1, &size);
    return size > at.skip ? size - at.skip : 0;
}
