/* See ready_items.h. The table of ids holds numbers of 32 bits, not pointers: it is the half. */
#include "job-runner/ready_items.h"

#include "runtime/base/memory.h"

#include <assert.h>
#include <stdlib.h>

enum { PAGE_ITEMS = 1024, CAPACITY_MIN = 64 };

_Static_assert(sizeof(struct ready_item) == 40, "a million jobs are to cost what the design says");

void ready_items_deinit(struct ready_items *items)
{
    for (size_t i = 0; i < items->pages_count; i++) {
        free(items->pages[i]);
    }
    free(items->pages);
    free(items->slots);
    *items = (struct ready_items){0};
}

static struct ready_item *item_at(const struct ready_items *items, uint32_t number)
{
    return &items->pages[number / PAGE_ITEMS][number % PAGE_ITEMS];
}

/* Ids are made by the server and grow: one multiplication spreads them. */
static size_t home(const struct ready_items *items, int64_t id)
{
    uint64_t hash = (uint64_t)id * 0x9e3779b97f4a7c15u;
    return (size_t)(hash >> 32) & (items->capacity - 1);
}

/* The slot that holds `id`, or the free one where it would go. */
static size_t find_slot(const struct ready_items *items, int64_t id)
{
    size_t at = home(items, id);
    while (items->slots[at] != 0 && item_at(items, items->slots[at] - 1)->id != id) {
        at = (at + 1) & (items->capacity - 1);
    }
    return at;
}

struct ready_item *ready_items_find(const struct ready_items *items, int64_t id)
{
    if (items->capacity == 0) {
        return NULL;
    }
    uint32_t number = items->slots[find_slot(items, id)];
    return number == 0 ? NULL : item_at(items, number - 1);
}

static void grow(struct ready_items *items)
{
    uint32_t *old = items->slots;
    size_t old_capacity = items->capacity;
    items->capacity = old_capacity == 0 ? CAPACITY_MIN : old_capacity * 2;
    assert(items->capacity <= UINT32_MAX);
    items->slots = memory_array(items->capacity, sizeof *items->slots);
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i] != 0) {
            items->slots[find_slot(items, item_at(items, old[i] - 1)->id)] = old[i];
        }
    }
    free(old);
}

/* The number of an item that is free. */
static uint32_t obtain(struct ready_items *items)
{
    if (items->free != 0) {
        uint32_t number = items->free - 1;
        items->free = item_at(items, number)->place;
        return number;
    }
    if (items->used == items->pages_count * PAGE_ITEMS) {
        items->pages = memory_grow(items->pages, items->pages_count + 1, sizeof *items->pages);
        items->pages[items->pages_count++] = memory_array(PAGE_ITEMS, sizeof **items->pages);
    }
    return items->used++;
}

struct ready_item *ready_items_add(struct ready_items *items, int64_t id)
{
    if ((items->count + 1) * 4 > items->capacity * 3) {
        grow(items);
    }
    size_t slot = find_slot(items, id);
    assert(items->slots[slot] == 0);
    uint32_t number = obtain(items);
    items->slots[slot] = number + 1;
    items->count++;
    struct ready_item *item = item_at(items, number);
    *item = (struct ready_item){.id = id};
    return item;
}

/* Closes the gap at `gap`: what stands behind it and could stand in it moves up. */
static void close_gap(struct ready_items *items, size_t gap)
{
    size_t mask = items->capacity - 1;
    for (size_t at = (gap + 1) & mask; items->slots[at] != 0; at = (at + 1) & mask) {
        size_t from_home = (at - home(items, item_at(items, items->slots[at] - 1)->id)) & mask;
        if (from_home >= ((at - gap) & mask)) {
            items->slots[gap] = items->slots[at];
            items->slots[at] = 0;
            gap = at;
        }
    }
}

void ready_items_drop(struct ready_items *items, int64_t id)
{
    size_t slot = find_slot(items, id);
    assert(items->slots[slot] != 0);
    uint32_t number = items->slots[slot] - 1;
    items->slots[slot] = 0;
    items->count--;
    close_gap(items, slot);
    *item_at(items, number) = (struct ready_item){.place = items->free};
    items->free = number + 1;
}
