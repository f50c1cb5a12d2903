/* The jobs that `ready` knows, 40 bytes each in pages that never move, and where each is by its id. */
#ifndef SIGNALBOX_JOB_RUNNER_READY_ITEMS_H
#define SIGNALBOX_JOB_RUNNER_READY_ITEMS_H

#include <stddef.h>
#include <stdint.h>

struct ready_group;
struct ready_key;

enum ready_state {
    READY_TIMED,  /* in the heap of timers: not due when last looked at */
    READY_OPEN,   /* in the heap of its group */
    READY_PARKED, /* in a crowd: its concurrency key is used up */
    READY_RUNNING /* in no heap */
};

struct ready_item {
    int64_t id;
    int64_t run_at_us;
    struct ready_group *group;
    struct ready_key *key; /* NULL: none */
    uint32_t place;        /* in the heap of its state; of a free one: the next free one */
    enum ready_state state;
};

/* Zero-initialised is empty. */
struct ready_items {
    struct ready_item **pages;
    size_t pages_count;
    uint32_t free;   /* 1 + the first one that was used before; 0: none */
    uint32_t used;   /* ever */
    uint32_t *slots; /* 1 + item, by hash of the id, linear probing; 0: free */
    size_t capacity;
    size_t count;
};

void ready_items_deinit(struct ready_items *items);
/* NULL: unknown. Stays where it is until ready_items_drop(). */
struct ready_item *ready_items_find(const struct ready_items *items, int64_t id);
/* `id` must not be known. All but its id is to be filled in. */
struct ready_item *ready_items_add(struct ready_items *items, int64_t id);
void ready_items_drop(struct ready_items *items, int64_t id);

#endif
