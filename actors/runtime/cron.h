/*
 * Times that come again, in the words of cron. Five fields: minute, hour, day of month, month, day of
 * week; or @hourly @daily @midnight @weekly @monthly @yearly @annually; or "@every 1h30m".
 *
 * A field: *, a value, a range a-b, each with a step /n (a/n: from a on), or a list of these. Months
 * and weekdays have names (JAN, MON), Sunday is 0 or 7, the day of month may be L, the last one. Days:
 * when both the day of month and the day of week say something (do not begin with *), a day that is
 * one of them will do.
 *
 * Where clocks are changed: a time that does not exist is run at the first instant behind the gap
 * (once, however many fall into it), one that comes twice is run the first time. What does not name
 * an hour (the hour is *) goes by minutes that pass instead: it neither rests nor doubles.
 * "@every" is counted from 1970, so that everybody who asks gets the same times.
 */
#ifndef SIGNALBOX_RUNTIME_CRON_H
#define SIGNALBOX_RUNTIME_CRON_H

#include "runtime/base/error.h"
#include "runtime/zone.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CRON_TEXT_MAX = 256 };

/* One bit a value. */
struct cron {
    int64_t every_s; /* above 0: "@every", and nothing else counts */
    uint64_t minutes;
    uint64_t hours;
    uint64_t days;
    uint64_t months;
    uint64_t weekdays; /* 0: Sunday */
    bool last_day;
    bool any_day; /* the field begins with * */
    bool any_weekday;
};

/* -1 and err, which names the field and the character, counted from 1: not in these words, or a day
 * that never comes. */
SB_MUST_CHECK int cron_parse(const char *text, size_t length, struct cron *cron_out,
                             struct error *err);
/* The first time behind `after_us` (since 1970, of 0 .. year 9999). INT64_MAX: none before the year
 * 10000. zone NULL: UTC. */
int64_t cron_next_us(const struct cron *cron, const struct zone *zone, int64_t after_us);
/* The last one that is not behind `now_us` but behind `after_us`; INT64_MIN: none. */
int64_t cron_last_us(const struct cron *cron, const struct zone *zone, int64_t after_us,
                     int64_t now_us);

#endif
