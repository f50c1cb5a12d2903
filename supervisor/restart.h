/*
 * Restart policy, pure: history, limits, clock and a random number in; decision out. It starts
 * nothing and knows no process, so that a table test can walk through every rule.
 */
#ifndef SIGNALBOX_SUPERVISOR_RESTART_H
#define SIGNALBOX_SUPERVISOR_RESTART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RESTART_READY_LATE_MS = 1000,  /* a death after this long ready is late, before it early */
    RESTART_SETTLED_MS = 60000,    /* ready this long: pauses and throttling start afresh */
    RESTART_SPACING_MS = 100,      /* between two starts */
    RESTART_PAUSE_FIRST_MS = 100,  /* first pause after an early death, then doubling */
    RESTART_PAUSE_MAX_MS = 15000,  /* before jitter of +-20 % */
    RESTART_FENCED_MS = 1000,      /* after exit 70 */
    RESTART_SPAWN_FIRST_MS = 1000, /* after a failed fork, then doubling */
    RESTART_SPAWN_PAUSE_MAX_MS = 60000,
    RESTART_DEATHS_KEPT = 1024 /* a limit above this is never reached: policy switched off */
};

/* Numbers from the settings restart.*. */
struct restart_limits {
    int64_t early_deaths;
    int64_t late_deaths;
    int64_t total_deaths;
    int64_t window_ms;
    int64_t throttle_ms;
};

/* Times of the last deaths, oldest overwritten. Zero-initialised is empty. */
struct restart_deaths {
    int64_t at_ms[RESTART_DEATHS_KEPT];
    size_t next;
    size_t count;
};

/* What is remembered of one instance name. Zero-initialised is a clean slate. */
struct restart_history {
    struct restart_deaths early;
    struct restart_deaths late;
    int64_t pause_ms;       /* last pause after an early death or exit 75; 0: none yet */
    int64_t spawn_pause_ms; /* last pause after a failed fork; 0: none yet */
    bool throttled;
};

/* How a child ended. */
struct restart_exit {
    bool by_signal;
    int code;             /* exit code; meaningless when by_signal */
    int64_t ready_for_ms; /* -1: it never was ready */
    int64_t since_start_ms;
    bool permanent; /* false: a one-shot, done after exit 0 */
};

enum restart_verdict {
    RESTART_START,        /* start again after wait_ms */
    RESTART_THROTTLE,     /* the same, and the child counts as throttled */
    RESTART_UNTIL_RELOAD, /* configuration wrong: no start before a reload */
    RESTART_DONE          /* a one-shot that finished */
};

struct restart_decision {
    enum restart_verdict verdict;
    int64_t wait_ms;
    bool late; /* a late death: counts in the total of the supervisor */
};

/* Records the exit in `history` and says what to do next. `random` is any 32 random bits. */
struct restart_decision restart_next(struct restart_history *history,
                                     const struct restart_limits *limits,
                                     const struct restart_exit *exit, int64_t now_ms,
                                     uint32_t random);

/* Pause after a process could not even be made. */
int64_t restart_spawn_failed(struct restart_history *history, uint32_t random);

/* The child has been ready for RESTART_SETTLED_MS, or an operator asks for a fresh try. */
void restart_forget(struct restart_history *history);

/* Notes one late death in the total of all children; true when the limit is reached. */
bool restart_total(struct restart_deaths *total, const struct restart_limits *limits,
                   int64_t now_ms);

#endif
