/*
 * The watchdog of one process: which rung of the ladder (warn, SIGABRT, SIGKILL) its silence has
 * reached. Pure: times in, rung out. A process that was busy with us not running is not to blame,
 * so a hole in the supervisor's own time restarts the clock.
 */
#ifndef SIGNALBOX_SUPERVISOR_WATCH_H
#define SIGNALBOX_SUPERVISOR_WATCH_H

#include <stdbool.h>
#include <stdint.h>

enum { WATCH_HOLE_MS = 2000 }; /* the supervisor's own turn took longer than this: a hole */

struct watch_limits {
    int64_t warn_ms;
    int64_t abort_ms;
};

struct watch {
    int64_t last_ms; /* last beat (or READY) */
    uint64_t tick;   /* of the last beat */
    bool warned;
};

enum watch_rung { WATCH_FINE, WATCH_WARN, WATCH_ABORT };

void watch_start(struct watch *watch, int64_t now_ms);
/* A beat came. Returns for how long there was none when a warning had been given, else 0. */
int64_t watch_beat(struct watch *watch, uint64_t tick, int64_t now_ms);
/* WATCH_WARN is returned once per silence. */
enum watch_rung watch_check(struct watch *watch, const struct watch_limits *limits, int64_t now_ms);
/* When to check next. */
int64_t watch_due_ms(const struct watch *watch, const struct watch_limits *limits);
/* True when the time between two turns of the supervisor was a hole. */
bool watch_hole(int64_t last_turn_ms, int64_t now_ms);

#endif
