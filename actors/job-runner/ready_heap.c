/* See ready_heap.h. */
#include "job-runner/ready_heap.h"

#include "runtime/base/memory.h"

#include <assert.h>
#include <stdlib.h>

enum { CAPACITY_MIN = 4 };

void ready_heap_deinit(struct ready_heap *heap)
{
    free(heap->entries);
    *heap = (struct ready_heap){0};
}

bool ready_heap_before(const struct ready_entry *a, const struct ready_entry *b)
{
    if (a->rank != b->rank) {
        return a->rank < b->rank;
    }
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->id < b->id;
}

const struct ready_entry *ready_heap_top(const struct ready_heap *heap)
{
    return heap->count == 0 ? NULL : &heap->entries[0];
}

static void resize(struct ready_heap *heap, size_t capacity)
{
    assert(capacity < UINT32_MAX);
    heap->entries = memory_grow(heap->entries, capacity, sizeof *heap->entries);
    heap->capacity = (uint32_t)capacity;
}

static void set(struct ready_heap *heap, uint32_t at, const struct ready_entry *entry)
{
    heap->entries[at] = *entry;
    *entry->place = at + 1;
}

/* `entry` goes to `at`, which is free, or above it. */
static void rise(struct ready_heap *heap, uint32_t at, const struct ready_entry *entry)
{
    while (at > 0) {
        uint32_t parent = (at - 1) / READY_HEAP_CHILDREN;
        if (!ready_heap_before(entry, &heap->entries[parent])) {
            break;
        }
        set(heap, at, &heap->entries[parent]);
        at = parent;
    }
    set(heap, at, entry);
}

/* `entry` goes to `at`, which is free, or below it. */
static void sink(struct ready_heap *heap, uint32_t at, const struct ready_entry *entry)
{
    for (;;) {
        size_t first = (size_t)at * READY_HEAP_CHILDREN + 1;
        size_t end = first + READY_HEAP_CHILDREN;
        const struct ready_entry *least = entry;
        for (size_t child = first; child < end && child < heap->count; child++) {
            if (ready_heap_before(&heap->entries[child], least)) {
                least = &heap->entries[child];
            }
        }
        if (least == entry) {
            break;
        }
        uint32_t next = (uint32_t)(least - heap->entries);
        set(heap, at, least);
        at = next;
    }
    set(heap, at, entry);
}

static void settle(struct ready_heap *heap, uint32_t at, const struct ready_entry *entry)
{
    if (at > 0 && ready_heap_before(entry, &heap->entries[(at - 1) / READY_HEAP_CHILDREN])) {
        rise(heap, at, entry);
    } else {
        sink(heap, at, entry);
    }
}

void ready_heap_put(struct ready_heap *heap, const struct ready_entry *entry)
{
    struct ready_entry moved = *entry;
    if (*entry->place != 0) {
        assert(*entry->place <= heap->count);
        settle(heap, *entry->place - 1, &moved);
        return;
    }
    if (heap->count == heap->capacity) {
        size_t half = heap->capacity / 2;
        resize(heap, heap->capacity + (half < CAPACITY_MIN ? CAPACITY_MIN : half));
    }
    rise(heap, heap->count++, &moved);
}

void ready_heap_remove(struct ready_heap *heap, uint32_t *place)
{
    if (*place == 0) {
        return;
    }
    assert(*place <= heap->count);
    uint32_t at = *place - 1;
    *place = 0;
    struct ready_entry last = heap->entries[--heap->count];
    if (at < heap->count) {
        settle(heap, at, &last);
    }
    if (heap->capacity > 4 * CAPACITY_MIN && heap->count < heap->capacity / 4) {
        resize(heap, heap->capacity / 2);
    }
}

static int64_t next_below(const struct ready_heap *heap, size_t at, int64_t rank)
{
    if (at >= heap->count) {
        return INT64_MAX;
    }
    if (heap->entries[at].rank > rank) {
        return heap->entries[at].rank;
    }
    int64_t least = INT64_MAX;
    for (size_t child = 1; child <= READY_HEAP_CHILDREN; child++) {
        int64_t next = next_below(heap, at * READY_HEAP_CHILDREN + child, rank);
        least = next < least ? next : least;
    }
    return least;
}

int64_t ready_heap_next(const struct ready_heap *heap, int64_t rank)
{
    return next_below(heap, 0, rank);
}

static void each_below(const struct ready_heap *heap, size_t at, int64_t rank, ready_heap_fn *each,
                       void *arg)
{
    if (at >= heap->count || heap->entries[at].rank > rank) {
        return;
    }
    each(arg, &heap->entries[at]);
    for (size_t child = 1; child <= READY_HEAP_CHILDREN; child++) {
        each_below(heap, at * READY_HEAP_CHILDREN + child, rank, each, arg);
    }
}

void ready_heap_each(const struct ready_heap *heap, int64_t rank, ready_heap_fn *each, void *arg)
{
    each_below(heap, 0, rank, each, arg);
}
