/*
 * Deadlines of many connections on one timer: a wheel of lists. Setting and clearing are O(1) and
 * allocate nothing; a deadline fires up to one tick late, never early.
 */
#ifndef SIGNALBOX_RUNTIME_HTTP_DEADLINE_H
#define SIGNALBOX_RUNTIME_HTTP_DEADLINE_H

#include "runtime/base/list.h"

#include <event2/event.h>
#include <stdint.h>

enum { HTTP_DEADLINE_TICK_MS = 20, HTTP_DEADLINE_SLOTS = 1024 };

/* Embedded in what has a deadline. */
struct http_deadline {
    struct list node;
    int64_t at_ms; /* monotonic */
};

struct http_deadlines {
    struct list slots[HTTP_DEADLINE_SLOTS];
    int64_t tick;        /* the last one looked at */
    int64_t armed_tick;  /* INT64_MAX: the timer is off */
    struct event *timer; /* owned */
    void (*expired)(void *arg, struct http_deadline *deadline);
    void *arg;
};

/* `expired` is called with the deadline already cleared; it may set or clear any other. */
void http_deadlines_init(struct http_deadlines *deadlines, struct event_base *base,
                         void (*expired)(void *arg, struct http_deadline *deadline), void *arg);
void http_deadlines_deinit(struct http_deadlines *deadlines);
/* What the timer does: everything due by `now_ms` expires. Time does not go backwards. */
void http_deadlines_advance(struct http_deadlines *deadlines, int64_t now_ms);

void http_deadline_init(struct http_deadline *deadline);
/* Replaces an earlier setting. */
void http_deadline_set(struct http_deadlines *deadlines, struct http_deadline *deadline,
                       int64_t at_ms);
void http_deadline_clear(struct http_deadline *deadline);

#endif
