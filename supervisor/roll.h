/*
 * Planned restarts, one instance at a time. Actors: the new one beside the old, then the old one
 * drains (a singleton's successor waits in HOLD until then). Services, and whatever is not running
 * well: stop, then start.
 */
#ifndef SIGNALBOX_SUPERVISOR_ROLL_H
#define SIGNALBOX_SUPERVISOR_ROLL_H

#include "runtime/base/error.h"
#include "runtime/base/list.h"

#include <stdbool.h>

struct slot;

/* Called once per ticket: err NULL when all its restarts succeeded. */
typedef void (*roll_done_fn)(void *data, const struct error *err);

struct roll_ticket;

struct roll_queue {
    struct list jobs; /* struct roll_job; only the first is under way */
};

void roll_init(struct roll_queue *queue);
bool roll_idle(const struct roll_queue *queue);

/* A ticket gathers the restarts of one request; it destroys itself after `done`. */
struct roll_ticket *roll_ticket_create(roll_done_fn done, void *data);
void roll_add(struct roll_queue *queue, struct roll_ticket *ticket, struct slot *slot);
/* All restarts are added; without any, `done` is called at once. */
void roll_ticket_close(struct roll_queue *queue, struct roll_ticket *ticket);
/* Whoever waited is gone: `done` will not be called with this data. */
void roll_forget(struct roll_queue *queue, const void *data);
/* Everything stops: all tickets fail. */
void roll_cancel(struct roll_queue *queue);

/* From slot.c: what happened to the slot. */
void roll_successor_ready(struct roll_queue *queue, struct slot *slot);
void roll_successor_ended(struct roll_queue *queue, struct slot *slot);
void roll_successor_took_over(struct roll_queue *queue, struct slot *slot);
void roll_current_ready(struct roll_queue *queue, struct slot *slot);
void roll_current_ended(struct roll_queue *queue, struct slot *slot);
void roll_current_stopped(struct roll_queue *queue, struct slot *slot);
void roll_retired(struct roll_queue *queue, struct slot *slot);

#endif
