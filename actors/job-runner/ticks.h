/* Which ticks of a schedule are queued when its next one is due, and when it looks again. Pure. */
#ifndef SIGNALBOX_JOB_RUNNER_TICKS_H
#define SIGNALBOX_JOB_RUNNER_TICKS_H

#include "runtime/cron.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* TICKS_MISSED_US: later than this a tick counts as missed. */
enum { TICKS_MAX = 100, TICKS_MISSED_US = 60000000, TICKS_NAME_SIZE = 21 };

/* What becomes of ticks at whose time nobody could queue them. */
enum ticks_missed {
    TICKS_SKIP, /* the latest one is queued */
    TICKS_ALL,  /* the latest TICKS_MAX are */
    TICKS_NONE  /* none that was missed is */
};

struct ticks {
    int64_t due_us[TICKS_MAX]; /* to be queued, oldest first */
    size_t count;
    int64_t next_us; /* INT64_MAX: never again */
};

/* "skip", "all", "none"; anything else is as "skip". */
enum ticks_missed ticks_missed(const char *text, size_t length);
/* `due_us`, the next tick as it was computed last, is not behind `now_us`. */
void ticks_plan(const struct cron *cron, const struct zone *zone, enum ticks_missed missed,
                int64_t due_us, int64_t now_us, struct ticks *ticks_out);
/* "2026-11-20T09:22:00Z". */
void ticks_name(int64_t due_us, char name_out[TICKS_NAME_SIZE]);

#endif
