/* The order of things: groups of the roster come up one after the other and go down in reverse. */
#ifndef SIGNALBOX_SUPERVISOR_STAGE_H
#define SIGNALBOX_SUPERVISOR_STAGE_H

#include <stdbool.h>
#include <stdint.h>

struct supervisor;

enum stage_phase { STAGE_STARTING, STAGE_RUNNING, STAGE_DRAINING, STAGE_GONE };

struct stage {
    enum stage_phase phase;
    unsigned group;           /* under way, up or down */
    int64_t group_started_ms; /* STARTING */
    int64_t deadline_ms;      /* DRAINING: everything is gone by then */
    bool hasty;               /* DRAINING: kill, do not wait */
};

/* Starts the first group. */
void stage_start(struct supervisor *supervisor);
/* Stops everything; the supervisor ends with `exit_code`. Once begun, further calls do nothing. */
void stage_drain(struct supervisor *supervisor, int exit_code);
/* Halves what is left of the time to stop. */
void stage_halve(struct supervisor *supervisor);
/* Stops waiting: kills what is left. */
void stage_kill(struct supervisor *supervisor);
bool stage_draining(const struct stage *stage);
void stage_tick(struct supervisor *supervisor, int64_t now_ms);
int64_t stage_due_ms(const struct supervisor *supervisor);

#endif
