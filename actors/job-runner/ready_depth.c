/* How many jobs there are, for metrics and --dry-run. See ready_internal.h. */
#include "job-runner/ready_internal.h"

#include <string.h>

static void note_oldest(struct ready_depth *depth, const struct ready_heap *heap)
{
    const struct ready_entry *top = ready_heap_top(heap);
    if (top != NULL && (depth->oldest_us == 0 || top->due_us < depth->oldest_us)) {
        depth->oldest_us = top->due_us;
    }
}

/* Without those in the heap of timers that are due by now. */
static void add_lane(struct ready_depth *depth, const struct ready_lane *lane)
{
    depth->waiting += lane->waiting;
    depth->due += lane->waiting - lane->timed;
    depth->running += lane->running;
    LIST_FOR_EACH(group_node, &lane->groups)
    {
        const struct ready_group *group = LIST_ENTRY(group_node, struct ready_group, in_lane);
        note_oldest(depth, &group->open);
        LIST_FOR_EACH(node, &group->crowds)
        {
            note_oldest(depth, &LIST_ENTRY(node, struct ready_crowd, in_group)->parked);
        }
    }
}

struct due {
    const struct uuid *tenant;
    const char *queue;
    struct ready_depth *depth;
};

static void add_due(void *arg, const struct ready_entry *entry)
{
    struct due *due = arg;
    const struct ready_item *item = READY_HEAP_OF(entry->place, struct ready_item, place);
    const struct ready_lane *lane = item->group->lane;
    if ((due->tenant == NULL || uuid_equal(due->tenant, &lane->tenant->id)) &&
        (due->queue == NULL || strcmp(due->queue, lane->queue) == 0)) {
        due->depth->due++;
        if (due->depth->oldest_us == 0 || item->run_at_us < due->depth->oldest_us) {
            due->depth->oldest_us = item->run_at_us;
        }
    }
}

static void add_tenant(struct ready_depth *depth, const struct ready *ready,
                       const struct ready_tenant *tenant, const char *queue)
{
    if (queue != NULL) {
        const struct ready_lane *lane = ready_find_lane(ready, tenant, queue);
        if (lane != NULL) {
            add_lane(depth, lane);
        }
        return;
    }
    LIST_FOR_EACH(node, &tenant->lanes)
    {
        add_lane(depth, LIST_ENTRY(node, struct ready_lane, link));
    }
}

struct ready_depth ready_depth(const struct ready *ready, const struct uuid *tenant,
                               const char *queue, int64_t now_us)
{
    struct ready_depth depth = {0};
    if (tenant != NULL) {
        const struct ready_tenant *one = ready_find_tenant(ready, tenant);
        if (one != NULL) {
            add_tenant(&depth, ready, one, queue);
        }
    } else {
        LIST_FOR_EACH(node, &ready->tenants)
        {
            add_tenant(&depth, ready, LIST_ENTRY(node, struct ready_tenant, link), queue);
        }
    }
    struct due due = {.tenant = tenant, .queue = queue, .depth = &depth};
    ready_heap_each(&ready->timers, now_us, add_due, &due);
    return depth;
}

void ready_each_queue(const struct ready *ready, int64_t now_us, ready_depth_fn *each, void *arg)
{
    LIST_FOR_EACH(tenant_node, &ready->tenants)
    {
        const struct ready_tenant *tenant = LIST_ENTRY(tenant_node, struct ready_tenant, link);
        LIST_FOR_EACH(node, &tenant->lanes)
        {
            const struct ready_lane *lane = LIST_ENTRY(node, struct ready_lane, link);
            if (lane->waiting + lane->running > 0) {
                struct ready_depth depth = ready_depth(ready, &tenant->id, lane->queue, now_us);
                each(arg, &tenant->id, lane->queue, &depth);
            }
        }
    }
}
