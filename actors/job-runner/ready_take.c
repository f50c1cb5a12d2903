/* Whose turn it is, and which of its jobs. See ready_internal.h. */
#include "job-runner/ready_internal.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* ---- the best group of a tenant that passes the filter ---- */

static bool is_among(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool lane_passes(const struct ready_lane *lane, const struct ready_filter *filter)
{
    return filter->queues_count == 0 || is_among(lane->queue, filter->queues, filter->queues_count);
}

/* Both searches go down a heap only where something better may be. */
static void search_groups(const struct ready_heap *groups, size_t at,
                          const struct ready_filter *filter, const struct ready_entry **best)
{
    if (at >= groups->count) {
        return;
    }
    const struct ready_entry *entry = &groups->entries[at];
    if (*best != NULL && !ready_heap_before(entry, *best)) {
        return;
    }
    const struct ready_group *group = READY_HEAP_OF(entry->place, struct ready_group, place);
    if (!is_among(group->kind->type, filter->types_never, filter->types_never_count)) {
        *best = entry;
        return;
    }
    for (size_t child = 1; child <= READY_HEAP_CHILDREN; child++) {
        search_groups(groups, at * READY_HEAP_CHILDREN + child, filter, best);
    }
}

static void search_lanes(const struct ready_heap *lanes, size_t at,
                         const struct ready_filter *filter, const struct ready_entry **best)
{
    if (at >= lanes->count) {
        return;
    }
    const struct ready_entry *entry = &lanes->entries[at];
    if (*best != NULL && !ready_heap_before(entry, *best)) {
        return;
    }
    const struct ready_lane *lane = READY_HEAP_OF(entry->place, struct ready_lane, place);
    if (lane_passes(lane, filter)) {
        search_groups(&lane->open, 0, filter, best);
    }
    for (size_t child = 1; child <= READY_HEAP_CHILDREN; child++) {
        search_lanes(lanes, at * READY_HEAP_CHILDREN + child, filter, best);
    }
}

/* The types are named: only their groups are looked at. */
static void search_kinds(const struct ready *ready, const struct ready_tenant *tenant,
                         const struct ready_filter *filter, const struct ready_entry **best)
{
    for (size_t i = 0; i < filter->types_count; i++) {
        const struct ready_kind *kind = ready_find_kind(ready, tenant, filter->types[i]);
        if (kind == NULL) {
            continue;
        }
        LIST_FOR_EACH(node, &kind->groups)
        {
            const struct ready_group *group = LIST_ENTRY(node, struct ready_group, in_kind);
            const struct ready_lane *lane = group->lane;
            if (group->place == 0 || lane->place == 0 || !lane_passes(lane, filter)) {
                continue;
            }
            const struct ready_entry *entry = &lane->open.entries[group->place - 1];
            if (*best == NULL || ready_heap_before(entry, *best)) {
                *best = entry;
            }
        }
    }
}

/* The job that is to run next. NULL: none. */
static struct ready_item *next_item(struct ready *ready, struct ready_tenant *tenant,
                                    const struct ready_filter *filter)
{
    for (;;) {
        const struct ready_entry *best = NULL;
        if (filter->types_count > 0) {
            search_kinds(ready, tenant, filter, &best);
        } else {
            search_lanes(&tenant->open, 0, filter, &best);
        }
        if (best == NULL) {
            return NULL;
        }
        struct ready_group *group = READY_HEAP_OF(best->place, struct ready_group, place);
        struct ready_item *item =
            READY_HEAP_OF(ready_heap_top(&group->open)->place, struct ready_item, place);
        if (ready_key_has_room(item->key)) {
            return item;
        }
        ready_settle_group(ready, group); /* parks it: it is met once */
    }
}

/* ---- turns ---- */

/* What a take changes beside the states of jobs: peeking puts it back. */
struct step {
    struct ready_item *item;
    struct gcra rate;
    int64_t turn;
    unsigned credit;
};

struct round {
    const struct ready_filter *filter;
    int64_t *ids_out;
    struct step *steps; /* NULL: a take, for good */
    size_t max;
    size_t taken;
};

static void take(struct ready *ready, struct round *round, struct ready_item *item)
{
    struct ready_group *group = item->group;
    if (round->steps != NULL) {
        round->steps[round->taken] = (struct step){.item = item,
                                                   .rate = group->lane->rate,
                                                   .turn = group->lane->tenant->turn,
                                                   .credit = group->lane->tenant->credit};
    }
    round->ids_out[round->taken++] = item->id;
    ready_charge_lane(ready, group->lane, 1);
    ready_run_item(ready, item);
}

/* Takes of one tenant alone are no turns: nobody else could have had these jobs. */
static void take_of_tenant(struct ready *ready, struct round *round, struct ready_tenant *tenant)
{
    while (round->taken < round->max && !tenant->paused) {
        struct ready_item *item = next_item(ready, tenant, round->filter);
        if (item == NULL) {
            break;
        }
        take(ready, round, item);
    }
}

/* Jobs of one turn, for each of the tenant's weight. Who takes many takes short ones, and turns of one
 * job would put every tenant into every commit, which costs by the tenant. */
static unsigned turn_jobs(const struct round *round)
{
    return round->max < READY_MANY ? 1 : (unsigned)(round->max / READY_TURNS);
}

/* Its turn goes on. Returns whether it had anything. */
static bool take_turn(struct ready *ready, struct round *round, struct ready_tenant *tenant)
{
    struct ready_item *item = next_item(ready, tenant, round->filter);
    if (item == NULL) {
        return false;
    }
    take(ready, round, item);
    unsigned turn = tenant->weight * turn_jobs(round);
    if (tenant->credit == 0 || tenant->credit > turn) { /* begun in a take of more */
        tenant->credit = turn;
    }
    if (--tenant->credit == 0) {
        tenant->turn = ++ready->turn;
        ready_settle_tenant(ready, tenant);
    }
    return true;
}

/* Who has nothing for this filter keeps its place for the next. */
static void take_in_turns(struct ready *ready, struct round *round)
{
    struct list passed;
    list_init(&passed);
    const struct ready_entry *top;
    while (round->taken < round->max && (top = ready_heap_top(&ready->turns)) != NULL) {
        struct ready_tenant *tenant = READY_HEAP_OF(top->place, struct ready_tenant, place);
        if (!take_turn(ready, round, tenant)) {
            tenant->passed = true;
            list_append(&passed, &tenant->pass);
            ready_settle_tenant(ready, tenant);
        }
    }
    LIST_FOR_EACH(node, &passed)
    {
        struct ready_tenant *tenant = LIST_ENTRY(node, struct ready_tenant, pass);
        list_remove(node);
        tenant->passed = false;
        ready_settle_tenant(ready, tenant);
    }
}

static void play(struct ready *ready, struct round *round, int64_t now_us)
{
    ready_tick(ready, now_us);
    if (round->filter->tenant == NULL) {
        take_in_turns(ready, round);
        return;
    }
    struct ready_tenant *tenant = ready_find_tenant(ready, round->filter->tenant);
    if (tenant != NULL) {
        take_of_tenant(ready, round, tenant);
    }
}

size_t ready_take(struct ready *ready, int64_t now_us, const struct ready_filter *filter,
                  int64_t *ids_out, size_t max)
{
    struct round round = {.filter = filter, .ids_out = ids_out, .max = max};
    play(ready, &round, now_us);
    return round.taken;
}

size_t ready_peek(struct ready *ready, int64_t now_us, const struct ready_filter *filter,
                  int64_t *ids_out, size_t max)
{
    max = max < ready->items.count ? max : ready->items.count;
    struct step *steps = memory_array(max + 1, sizeof *steps);
    struct round round = {.filter = filter, .ids_out = ids_out, .steps = steps, .max = max};
    int64_t turn = ready->turn;
    play(ready, &round, now_us);
    for (size_t i = round.taken; i > 0; i--) {
        const struct step *step = &steps[i - 1];
        struct ready_lane *lane = step->item->group->lane;
        lane->rate = step->rate;
        lane->tenant->turn = step->turn;
        lane->tenant->credit = step->credit;
        ready_wait_item(ready, step->item);
    }
    ready->turn = turn;
    free(steps);
    return round.taken;
}
