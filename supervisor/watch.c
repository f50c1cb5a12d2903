/* See watch.h. */
#include "supervisor/watch.h"

void watch_start(struct watch *watch, int64_t now_ms)
{
    *watch = (struct watch){.last_ms = now_ms};
}

int64_t watch_beat(struct watch *watch, uint64_t tick, int64_t now_ms)
{
    int64_t silent_ms = watch->warned ? now_ms - watch->last_ms : 0;
    *watch = (struct watch){.last_ms = now_ms, .tick = tick};
    return silent_ms;
}

enum watch_rung watch_check(struct watch *watch, const struct watch_limits *limits, int64_t now_ms)
{
    int64_t silent_ms = now_ms - watch->last_ms;
    if (silent_ms >= limits->abort_ms) {
        return WATCH_ABORT;
    }
    if (silent_ms >= limits->warn_ms && !watch->warned) {
        watch->warned = true;
        return WATCH_WARN;
    }
    return WATCH_FINE;
}

int64_t watch_due_ms(const struct watch *watch, const struct watch_limits *limits)
{
    bool warn_next = !watch->warned && limits->warn_ms < limits->abort_ms;
    return watch->last_ms + (warn_next ? limits->warn_ms : limits->abort_ms);
}

bool watch_hole(int64_t last_turn_ms, int64_t now_ms)
{
    return now_ms - last_turn_ms > WATCH_HOLE_MS;
}
