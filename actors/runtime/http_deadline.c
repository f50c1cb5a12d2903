/* See http_deadline.h. A deadline beyond the wheel's horizon waits in the farthest slot and is
 * placed again when that slot is looked at. */
#include "runtime/http_deadline.h"

#include "runtime/base/clock.h"

#include <assert.h>

static int64_t tick_of(int64_t ms)
{
    return ms / HTTP_DEADLINE_TICK_MS;
}

static void arm(struct http_deadlines *deadlines, int64_t tick)
{
    int64_t wait_ms = tick * HTTP_DEADLINE_TICK_MS - clock_monotonic_ms();
    wait_ms = wait_ms < 1 ? 1 : wait_ms;
    struct timeval wait = {wait_ms / 1000, (wait_ms % 1000) * 1000};
    deadlines->armed_tick = tick;
    int failed = event_add(deadlines->timer, &wait);
    assert(failed == 0);
}

static void place(struct http_deadlines *deadlines, struct http_deadline *deadline)
{
    int64_t tick = tick_of(deadline->at_ms) + 1;
    int64_t last = deadlines->tick + HTTP_DEADLINE_SLOTS - 1;
    tick = tick <= deadlines->tick ? deadlines->tick + 1 : tick;
    tick = tick > last ? last : tick;
    list_append(&deadlines->slots[tick % HTTP_DEADLINE_SLOTS], &deadline->node);
    if (tick < deadlines->armed_tick) {
        arm(deadlines, tick);
    }
}

static void arm_next(struct http_deadlines *deadlines)
{
    deadlines->armed_tick = INT64_MAX;
    for (int64_t tick = deadlines->tick + 1; tick < deadlines->tick + HTTP_DEADLINE_SLOTS; tick++) {
        if (!list_is_empty(&deadlines->slots[tick % HTTP_DEADLINE_SLOTS])) {
            arm(deadlines, tick);
            return;
        }
    }
}

/* Takes the members of one slot; they may be cleared, freed or set again from within `expired`. */
static void visit(struct http_deadlines *deadlines, struct list *slot, int64_t now_ms)
{
    struct list due;
    list_init(&due);
    while (!list_is_empty(slot)) {
        struct list *node = list_first(slot);
        list_remove(node);
        list_append(&due, node);
    }
    while (!list_is_empty(&due)) {
        struct http_deadline *deadline = LIST_ENTRY(list_first(&due), struct http_deadline, node);
        list_remove(&deadline->node);
        if (deadline->at_ms <= now_ms) {
            deadlines->expired(deadlines->arg, deadline);
        } else {
            place(deadlines, deadline);
        }
    }
}

void http_deadlines_advance(struct http_deadlines *deadlines, int64_t now_ms)
{
    int64_t from = deadlines->tick + 1;
    int64_t to = tick_of(now_ms);
    if (to - from >= HTTP_DEADLINE_SLOTS) {
        from = to - HTTP_DEADLINE_SLOTS + 1; /* once around is everything */
    }
    deadlines->armed_tick = INT64_MIN; /* placing does not arm meanwhile */
    deadlines->tick = to;
    for (int64_t tick = from; tick <= to; tick++) {
        visit(deadlines, &deadlines->slots[tick % HTTP_DEADLINE_SLOTS], now_ms);
    }
    arm_next(deadlines);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    http_deadlines_advance(arg, clock_monotonic_ms());
}

void http_deadlines_init(struct http_deadlines *deadlines, struct event_base *base,
                         void (*expired)(void *arg, struct http_deadline *deadline), void *arg)
{
    for (unsigned i = 0; i < HTTP_DEADLINE_SLOTS; i++) {
        list_init(&deadlines->slots[i]);
    }
    deadlines->tick = tick_of(clock_monotonic_ms());
    deadlines->armed_tick = INT64_MAX;
    deadlines->timer = evtimer_new(base, on_timer, deadlines);
    assert(deadlines->timer != NULL);
    deadlines->expired = expired;
    deadlines->arg = arg;
}

void http_deadlines_deinit(struct http_deadlines *deadlines)
{
    event_free(deadlines->timer);
}

void http_deadline_init(struct http_deadline *deadline)
{
    list_init(&deadline->node);
    deadline->at_ms = 0;
}

void http_deadline_set(struct http_deadlines *deadlines, struct http_deadline *deadline,
                       int64_t at_ms)
{
    list_remove(&deadline->node);
    deadline->at_ms = at_ms;
    place(deadlines, deadline);
}

void http_deadline_clear(struct http_deadline *deadline)
{
    list_remove(&deadline->node);
}
