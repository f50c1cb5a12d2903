/* See restart.h. */
#include "supervisor/restart.h"

#include "runtime/base/error.h"

/* Notes a death; true when `limit` deaths lie within the window that ends now. */
static bool deaths_note(struct restart_deaths *deaths, int64_t limit, int64_t window_ms,
                        int64_t now_ms)
{
    deaths->at_ms[deaths->next] = now_ms;
    deaths->next = (deaths->next + 1) % RESTART_DEATHS_KEPT;
    if (deaths->count < RESTART_DEATHS_KEPT) {
        deaths->count++;
    }
    if (limit > (int64_t)deaths->count) {
        return false;
    }
    size_t oldest = (deaths->next + RESTART_DEATHS_KEPT - (size_t)limit) % RESTART_DEATHS_KEPT;
    return now_ms - deaths->at_ms[oldest] < window_ms;
}

/* +-20 %, so that children which died together do not come back together. */
static int64_t jitter(int64_t ms, uint32_t random)
{
    return ms * 8 / 10 + (int64_t)((uint64_t)ms * 4 / 10 * random / UINT32_MAX);
}

static int64_t doubled(int64_t last_ms, int64_t first_ms, int64_t max_ms)
{
    int64_t next_ms = last_ms == 0 ? first_ms : last_ms * 2;
    return next_ms > max_ms ? max_ms : next_ms;
}

static int64_t growing_pause(struct restart_history *history, uint32_t random)
{
    history->pause_ms = doubled(history->pause_ms, RESTART_PAUSE_FIRST_MS, RESTART_PAUSE_MAX_MS);
    return jitter(history->pause_ms, random);
}

int64_t restart_spawn_failed(struct restart_history *history, uint32_t random)
{
    history->spawn_pause_ms =
        doubled(history->spawn_pause_ms, RESTART_SPAWN_FIRST_MS, RESTART_SPAWN_PAUSE_MAX_MS);
    return jitter(history->spawn_pause_ms, random);
}

void restart_forget(struct restart_history *history)
{
    *history = (struct restart_history){0};
}

bool restart_total(struct restart_deaths *total, const struct restart_limits *limits,
                   int64_t now_ms)
{
    return deaths_note(total, limits->total_deaths, limits->window_ms, now_ms);
}

static struct restart_decision after_death(struct restart_history *history,
                                           const struct restart_limits *limits,
                                           const struct restart_exit *exit, int64_t now_ms,
                                           uint32_t random)
{
    struct restart_decision decision = {.verdict = RESTART_START};
    decision.late = exit->ready_for_ms >= RESTART_READY_LATE_MS;
    bool too_many =
        decision.late
            ? deaths_note(&history->late, limits->late_deaths, limits->window_ms, now_ms)
            : deaths_note(&history->early, limits->early_deaths, limits->window_ms, now_ms);
    /* Throttling sticks until the child has settled: one try every 30 s must not be mistaken for
     * recovery because the window has moved on. */
    if (too_many || history->throttled) {
        history->throttled = true;
        decision.verdict = RESTART_THROTTLE;
        decision.wait_ms = limits->throttle_ms;
    } else if (decision.late) {
        int64_t rest_ms = RESTART_SPACING_MS - exit->since_start_ms;
        decision.wait_ms = rest_ms > 0 ? rest_ms : 0;
    } else {
        decision.wait_ms = growing_pause(history, random);
    }
    return decision;
}

struct restart_decision restart_next(struct restart_history *history,
                                     const struct restart_limits *limits,
                                     const struct restart_exit *exit, int64_t now_ms,
                                     uint32_t random)
{
    if (exit->ready_for_ms >= RESTART_SETTLED_MS) {
        history->pause_ms = 0;
        history->throttled = false;
    }
    history->spawn_pause_ms = 0;
    if (!exit->by_signal) {
        switch (exit->code) {
        case EXIT_CODE_DONE:
            if (!exit->permanent) {
                return (struct restart_decision){.verdict = RESTART_DONE};
            }
            break;
        case EXIT_CODE_CONFIG:
            return (struct restart_decision){.verdict = RESTART_UNTIL_RELOAD};
        case EXIT_CODE_FENCED:
            return (struct restart_decision){.verdict = RESTART_START,
                                             .wait_ms = RESTART_FENCED_MS};
        case EXIT_CODE_DEPENDENCY:
            return (struct restart_decision){.verdict = RESTART_START,
                                             .wait_ms = growing_pause(history, random)};
        default:
            break;
        }
    }
    return after_death(history, limits, exit, now_ms, random);
}
