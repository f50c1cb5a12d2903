/*
 * One instance name ("api-1") over the lives of its processes: the current one, a successor that is
 * being started beside it, and a predecessor on its way out. Applies the restart policy.
 */
#ifndef SIGNALBOX_SUPERVISOR_SLOT_H
#define SIGNALBOX_SUPERVISOR_SLOT_H

#include "supervisor/child.h"
#include "supervisor/restart.h"
#include "supervisor/roster.h"

#include <stdbool.h>
#include <stdint.h>

struct supervisor;

struct slot {
    struct supervisor *supervisor; /* borrowed */
    const struct roster_row *row;  /* borrowed */
    char name[ROSTER_NAME_SIZE];
    unsigned number;         /* among its kind, from 1 */
    unsigned index;          /* on the metrics board */
    struct child *current;   /* owned, always there */
    struct child *successor; /* owned or NULL */
    struct child *retiring;  /* owned or NULL */
    struct restart_history history;
    uint64_t restarts; /* deaths of the current process */
    uint64_t planned_restarts;
    int64_t throttled_since_ms; /* 0: not throttled */
    bool done;                  /* a one-shot that has succeeded */
    bool awaits_reload;         /* ended with "configuration wrong" */
    char last_end[512];         /* how its last process ended, for people */
};

void slot_init(struct slot *slot, struct supervisor *supervisor, const struct roster_row *row,
               unsigned number, unsigned index);
void slot_deinit(struct slot *slot);

/* First start, or a start asked for by an operator: with a clean slate. */
void slot_start(struct slot *slot);
/* The configuration has changed: a slot that ended over it may try again. */
void slot_release(struct slot *slot);
/* Starts a successor beside the current process. */
void slot_start_successor(struct slot *slot);
/* The successor becomes the current one, the old one drains. */
void slot_promote(struct slot *slot);
/* Asks all its processes to end. */
void slot_drain(struct slot *slot, int64_t budget_ms);
bool slot_gone(const struct slot *slot);
/* Ready, done, or not to be waited for. */
bool slot_settled(const struct slot *slot);
bool slot_ready(const struct slot *slot);
/* Ready, its last beat said healthy, and it beats in time. */
bool slot_healthy(const struct slot *slot);

/* From child.c. */
/* A child of a singleton that starts beside another one has to wait for GO. */
bool slot_must_hold(const struct slot *slot, const struct child *child);
void slot_child_ready(struct slot *slot, struct child *child);
void slot_child_ended(struct slot *slot, struct child *child, const struct restart_exit *exit);
void slot_child_spawn_failed(struct slot *slot, struct child *child, const struct error *err);
/* Its time to drain is over and it is killed now. */
void slot_child_overdue(struct slot *slot, struct child *child);

void slot_tick(struct slot *slot, int64_t now_ms);
int64_t slot_due_ms(const struct slot *slot);
/* The child of this slot with that pid; NULL when there is none. */
struct child *slot_find(struct slot *slot, pid_t pid);

typedef void (*slot_child_fn)(struct child *child);
/* Calls `fn` for each living process of the slot. */
void slot_each_child(struct slot *slot, slot_child_fn fn);

#endif
