/* See claim.h. */
#include "job-runner/claim.h"

#include "job-runner/changes.h"
#include "job-runner/claim_internal.h"
#include "job-runner/pages.h"
#include "job-runner/rules.h"
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { GATHER_MAX = 256, UNDER_WAY_MAX = 512, TIMER_MAX_MS = 60000, NOT_YET_MS = 100 };

/* ---- demands ---- */

static const char **copy_names(const char *const *names, size_t count)
{
    const char **copy = memory_array(count + 1, sizeof *copy);
    for (size_t i = 0; i < count; i++) {
        copy[i] = memory_string(names[i]);
    }
    return copy;
}

static void free_names(const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free((char *)(uintptr_t)names[i]);
    }
    free((void *)(uintptr_t)names);
}

struct claim_demand *claim_open(struct claim *claim, const struct claim_terms *terms)
{
    struct claim_demand *demand = memory_new(sizeof *demand);
    struct ready_filter *filter = &demand->terms.filter;
    demand->claim = claim;
    demand->terms = *terms;
    demand->terms.worker = memory_string(terms->worker);
    filter->queues = copy_names(filter->queues, filter->queues_count);
    filter->types = copy_names(filter->types, filter->types_count);
    filter->types_never = copy_names(filter->types_never, filter->types_never_count);
    if (filter->tenant != NULL) {
        filter->tenant = memory_copy(filter->tenant, sizeof *filter->tenant);
    }
    list_append(&claim->demands, &demand->node);
    return demand;
}

void claim_free_demand(struct claim_demand *demand)
{
    const struct ready_filter *filter = &demand->terms.filter;
    list_remove(&demand->node);
    free_names(filter->queues, filter->queues_count);
    free_names(filter->types, filter->types_count);
    free_names(filter->types_never, filter->types_never_count);
    free((struct uuid *)(uintptr_t)filter->tenant);
    free((char *)(uintptr_t)demand->terms.worker);
    free(demand);
}

void claim_close(struct claim_demand **demand)
{
    if (*demand == NULL) {
        return;
    }
    (*demand)->closed = true;
    (*demand)->room = 0;
    if ((*demand)->under_way == 0) {
        claim_free_demand(*demand);
    }
    *demand = NULL;
}

void claim_set_room(struct claim_demand *demand, size_t room)
{
    bool more = room > demand->room;
    demand->room = room > demand->under_way ? room : demand->under_way;
    if (more) {
        claim_kick(demand->claim);
    }
}

void claim_stop(struct claim_demand *demand)
{
    demand->stopped = true;
}

/* ---- taking ---- */

/* For one demand, at most `max`. Returns how many. */
static size_t serve(struct claim_demand *demand, int64_t now_us, size_t max)
{
    struct job_runner *runner = demand->claim->runner;
    int64_t ids[GATHER_MAX];
    size_t wanted = demand->room > demand->under_way ? demand->room - demand->under_way : 0;
    if (wanted > max) {
        wanted = max;
    }
    if (wanted == 0 || demand->stopped) {
        return 0;
    }
    size_t count = ready_take(runner->ready, now_us, &demand->terms.filter, ids, wanted);
    for (size_t i = 0; i < count; i++) {
        struct job *job = jobs_by_number(runner->jobs, ids[i]);
        struct uuid key = map_number_key((uint64_t)ids[i]);
        assert(job != NULL); /* what leaves the memory leaves ready */
        if (map_get(&demand->claim->by_number, &key) != NULL) {
            jobs_doubt(runner->jobs, ids[i]); /* its shard was lost and came back meanwhile */
        } else {
            claim_take(demand, job);
        }
    }
    return count;
}

static void set_timer(struct claim *claim, int64_t now_us)
{
    int64_t next_us = ready_next_us(claim->runner->ready, now_us);
    int64_t wait_us = next_us == INT64_MAX ? INT64_MAX : next_us - now_us;
    if (wait_us > (int64_t)TIMER_MAX_MS * 1000) {
        wait_us = (int64_t)TIMER_MAX_MS * 1000;
    } else if (wait_us < 1000) {
        wait_us = 1000; /* what is due now and not taken waits for something else */
    }
    event_add(claim->timer, &(struct timeval){wait_us / 1000000, wait_us % 1000000});
}

static bool may_claim(const struct claim *claim)
{
    const struct job_runner *runner = claim->runner;
    return rules_are_known(runner->rules) && db_is_connected(pages_db(runner->pages)) &&
           commands_reachable(runner->links.commands);
}

void claim_gather(struct claim *claim)
{
    int64_t now_us = clock_real_us();
    size_t left = GATHER_MAX;
    if (!claim->kicked || claim->runner->actor->draining) {
        return;
    }
    if (!may_claim(claim)) {
        event_add(claim->timer, &(struct timeval){0, NOT_YET_MS * 1000});
        return;
    }
    claim->kicked = false;
    if (claim->by_number.count + left > UNDER_WAY_MAX) {
        left = UNDER_WAY_MAX - claim->by_number.count;
    }
    struct list *last = claim->demands.previous;
    for (struct list *node = claim->demands.next; node != &claim->demands && left > 0;) {
        struct claim_demand *demand = LIST_ENTRY(node, struct claim_demand, node);
        struct list *next = node->next;
        bool was_last = node == last;
        size_t got = serve(demand, now_us, left);
        left -= got;
        if (got > 0) {
            list_remove(node); /* who got something comes behind the others next time */
            list_append(&claim->demands, node);
        }
        if (was_last) {
            break;
        }
        node = next;
    }
    claim_read_payloads(claim);
    set_timer(claim, now_us);
}

bool claim_is_idle(const struct claim_demand *demand)
{
    const struct claim *claim = demand->claim;
    return demand->under_way == 0 && (demand->stopped || !claim->kicked || !may_claim(claim));
}

void claim_kick(struct claim *claim)
{
    claim->kicked = true;
    changes_wake(claim->runner->changes);
}

static void on_timer(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    claim_kick(arg);
}

size_t claim_under_way(const struct claim *claim)
{
    return claim->by_number.count;
}

/* ---- life ---- */

static void on_again(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    claim_read_payloads(arg);
}

struct claim *claim_create(struct job_runner *runner)
{
    struct claim *claim = memory_new(sizeof *claim);
    claim->runner = runner;
    list_init(&claim->demands);
    list_init(&claim->taken);
    claim->timer = event_new(runner->actor->base, -1, 0, on_timer, claim);
    claim->again = event_new(runner->actor->base, -1, 0, on_again, claim);
    event_add(claim->timer, &(struct timeval){0, 100000});
    return claim;
}

void claim_destroy(struct claim **claim)
{
    if (*claim == NULL) {
        return;
    }
    LIST_FOR_EACH(node, &(*claim)->taken)
    {
        claim_forget(*claim, LIST_ENTRY(node, struct taken, node));
    }
    while (!list_is_empty(&(*claim)->demands)) {
        claim_free_demand(LIST_ENTRY((*claim)->demands.next, struct claim_demand, node));
    }
    map_deinit(&(*claim)->by_number);
    event_free((*claim)->timer);
    event_free((*claim)->again);
    free(*claim);
    *claim = NULL;
}
