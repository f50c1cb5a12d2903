/* See cron.h. Reading is in cron_parse.c. */
#include "runtime/cron.h"

#include <assert.h>

enum { MINUTE = 60, HOUR = 3600, DAY = 86400, DAY_MINUTES = 1440, SECOND_US = 1000000 };

static const uint64_t all_hours = (UINT64_C(1) << 24) - 1;

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0 ? 1 : 0);
}

static bool has(uint64_t set, int value)
{
    return (set >> value & 1) != 0;
}

/* The lowest value of the set that is not below `from`; -1: none. */
static int first_from(uint64_t set, int from)
{
    uint64_t rest = from < 64 ? set >> from << from : 0;
    return rest == 0 ? -1 : __builtin_ctzll(rest);
}

static bool day_matches(const struct cron *cron, const struct zone_date *date, int64_t days)
{
    bool day = has(cron->days, date->day) ||
               (cron->last_day && date->day == zone_days_of_month(date->year, date->month));
    bool weekday = has(cron->weekdays, zone_weekday(days));
    return cron->any_day || cron->any_weekday ? day && weekday : day || weekday;
}

/* The first day from `days` on; INT64_MAX: none before the year 10000. */
static int64_t next_day(const struct cron *cron, int64_t days)
{
    for (;;) {
        struct zone_date date = zone_date(days);
        if (date.year > 9999) {
            return INT64_MAX;
        }
        if (!has(cron->months, date.month)) {
            days += zone_days_of_month(date.year, date.month) - date.day + 1;
        } else if (!day_matches(cron, &date, days)) {
            days++;
        } else {
            return days;
        }
    }
}

/* The first time of a day from this minute of it on; -1: none. */
static int next_of_day(const struct cron *cron, int minute)
{
    int hour = minute / MINUTE;
    int found = has(cron->hours, hour) ? first_from(cron->minutes, minute % MINUTE) : -1;
    if (found < 0) {
        hour = first_from(cron->hours, hour + 1);
        found = first_from(cron->minutes, 0);
    }
    return hour < 0 ? -1 : hour * MINUTE + found;
}

/* The first wall time that matches from `wall` (a whole minute) on; INT64_MAX: none. */
static int64_t next_wall(const struct cron *cron, int64_t wall)
{
    int64_t days = floor_div(wall, DAY);
    int minute = (int)((wall - days * DAY) / MINUTE);
    int64_t day = next_day(cron, days);
    int of_day = next_of_day(cron, day == days ? minute : 0);
    if (of_day < 0) { /* only today */
        day = next_day(cron, days + 1);
        of_day = next_of_day(cron, 0);
    }
    return day == INT64_MAX ? INT64_MAX : day * DAY + of_day * MINUTE;
}

/* Every minute that passes and whose wall time matches. */
static int64_t next_passing(const struct cron *cron, const struct zone *zone, int64_t after)
{
    struct zone_period period = zone_period(zone, after + 1);
    int64_t from = after + 1;
    for (;;) {
        int64_t wall = from + period.offset_s;
        wall = next_wall(cron, floor_div(wall + MINUTE - 1, MINUTE) * MINUTE);
        if (wall == INT64_MAX || wall - period.offset_s < period.end) {
            return wall == INT64_MAX ? INT64_MAX : wall - period.offset_s;
        }
        from = period.end;
        period = zone_period(zone, from);
    }
}

/* Every wall time that matches, once. */
static int64_t next_named(const struct cron *cron, const struct zone *zone, int64_t after)
{
    int64_t wall = after + zone_period(zone, after).offset_s;
    int64_t instant;
    do {
        wall = next_wall(cron, (floor_div(wall, MINUTE) + 1) * MINUTE);
        instant = wall == INT64_MAX ? INT64_MAX : zone_instant(zone, wall);
    } while (instant <= after); /* was there already, before the clock was put back */
    return instant;
}

int64_t cron_next_us(const struct cron *cron, const struct zone *zone, int64_t after_us)
{
    int64_t after = floor_div(after_us, SECOND_US);
    int64_t next;
    if (cron->every_s > 0) {
        next = (floor_div(after, cron->every_s) + 1) * cron->every_s;
    } else if (cron->hours == all_hours) {
        next = next_passing(cron, zone, after);
    } else {
        next = next_named(cron, zone, after);
    }
    return next == INT64_MAX ? INT64_MAX : next * SECOND_US;
}

/* Looks back twice as far each time, so that few are to be counted through. */
int64_t cron_last_us(const struct cron *cron, const struct zone *zone, int64_t after_us,
                     int64_t now_us)
{
    int64_t back_us = cron->every_s > 0 ? cron->every_s * SECOND_US : MINUTE * SECOND_US;
    int64_t next = INT64_MAX;
    for (;; back_us *= 2) {
        int64_t from = now_us - back_us > after_us ? now_us - back_us : after_us;
        next = cron_next_us(cron, zone, from);
        if (next <= now_us) {
            break;
        }
        if (from == after_us) {
            return INT64_MIN;
        }
    }
    int64_t last = next;
    while ((next = cron_next_us(cron, zone, last)) <= now_us) {
        last = next;
    }
    return last;
}
