/*
 * Heaps of things that know their own place in them, so that each can be taken out or moved:
 * sorted by rank, then due, then id. Four children a node: shallow, and two cache lines a level.
 */
#ifndef SIGNALBOX_JOB_RUNNER_READY_HEAP_H
#define SIGNALBOX_JOB_RUNNER_READY_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ready_entry {
    int64_t rank;
    int64_t due_us;
    int64_t id;
    uint32_t *place; /* in the thing that is sorted: 1 + where it is; 0: in no heap */
};

/* Zero-initialised is empty. */
struct ready_heap {
    struct ready_entry *entries;
    uint32_t count;
    uint32_t capacity;
};

enum { READY_HEAP_CHILDREN = 4 };

/* The thing that embeds `place` as `member`. */
#define READY_HEAP_OF(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

void ready_heap_deinit(struct ready_heap *heap);
bool ready_heap_before(const struct ready_entry *a, const struct ready_entry *b);
/* NULL when empty; valid until the heap changes. */
const struct ready_entry *ready_heap_top(const struct ready_heap *heap);
/* Puts it in, or where it belongs now. */
void ready_heap_put(struct ready_heap *heap, const struct ready_entry *entry);
/* Nothing happens when it is in no heap. */
void ready_heap_remove(struct ready_heap *heap, uint32_t *place);
/* The lowest rank above `rank`; INT64_MAX: none. Looks at those up to it too. */
int64_t ready_heap_next(const struct ready_heap *heap, int64_t rank);
/* Calls back for all of at most this rank, in no order. */
typedef void ready_heap_fn(void *arg, const struct ready_entry *entry);
void ready_heap_each(const struct ready_heap *heap, int64_t rank, ready_heap_fn *each, void *arg);

#endif
