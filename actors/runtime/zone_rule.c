/* See zone_rule.h. */
#include "runtime/zone_rule.h"

#include <string.h>

enum { MINUTE = 60, HOUR = 3600, DAY = 86400, OFFSET_HOURS_MAX = 24, TIME_HOURS_MAX = 167 };

struct scan {
    const char *at;
    const char *end;
    bool bad;
};

static bool take(struct scan *scan, char wanted)
{
    if (scan->at < scan->end && *scan->at == wanted) {
        scan->at++;
        return true;
    }
    return false;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "CET" or "<+03>": what it is called does not matter here. */
static void take_name(struct scan *scan)
{
    const char *begin = scan->at;
    if (take(scan, '<')) {
        while (scan->at < scan->end && *scan->at != '>') {
            scan->at++;
        }
        scan->bad = scan->bad || !take(scan, '>');
        return;
    }
    while (scan->at < scan->end && is_letter(*scan->at)) {
        scan->at++;
    }
    scan->bad = scan->bad || scan->at - begin < 3;
}

static int take_number(struct scan *scan, int least, int most)
{
    int value = 0;
    const char *begin = scan->at;
    while (scan->at < scan->end && scan->at - begin < 3 && *scan->at >= '0' && *scan->at <= '9') {
        value = value * 10 + (*scan->at++ - '0');
    }
    scan->bad = scan->bad || scan->at == begin || value < least || value > most;
    return value;
}

/* [+-]hh[:mm[:ss]] */
static int64_t take_time(struct scan *scan, int hours_max)
{
    bool minus = take(scan, '-');
    if (!minus) {
        take(scan, '+');
    }
    int64_t seconds = take_number(scan, 0, hours_max) * HOUR;
    if (take(scan, ':')) {
        seconds += take_number(scan, 0, 59) * MINUTE;
        if (take(scan, ':')) {
            seconds += take_number(scan, 0, 59);
        }
    }
    return minus ? -seconds : seconds;
}

static struct zone_change take_change(struct scan *scan)
{
    struct zone_change change = {.kind = ZONE_DAY_OF_YEAR, .time_s = 2 * HOUR};
    scan->bad = scan->bad || !take(scan, ',');
    if (take(scan, 'M')) {
        change.kind = ZONE_DAY_OF_WEEK;
        change.month = take_number(scan, 1, 12);
        scan->bad = scan->bad || !take(scan, '.');
        change.week = take_number(scan, 1, 5);
        scan->bad = scan->bad || !take(scan, '.');
        change.day = take_number(scan, 0, 6);
    } else if (take(scan, 'J')) {
        change.kind = ZONE_DAY_JULIAN;
        change.day = take_number(scan, 1, 365);
    } else {
        change.day = take_number(scan, 0, 365);
    }
    if (take(scan, '/')) {
        change.time_s = take_time(scan, TIME_HOURS_MAX);
    }
    return change;
}

int zone_rule_parse(const char *text, size_t length, struct zone_rule *rule_out)
{
    struct scan scan = {text, text + length, false};
    struct zone_rule rule = {0};
    take_name(&scan);
    rule.standard_s = -take_time(&scan, OFFSET_HOURS_MAX);
    if (scan.at < scan.end) {
        rule.has_summer = true;
        take_name(&scan);
        rule.summer_s = rule.standard_s + HOUR;
        if (scan.at < scan.end && *scan.at != ',') {
            rule.summer_s = -take_time(&scan, OFFSET_HOURS_MAX);
        }
        rule.begin = take_change(&scan);
        rule.end = take_change(&scan);
    }
    if (scan.bad || scan.at != scan.end) {
        return -1;
    }
    *rule_out = rule;
    return 0;
}

/* In seconds of the wall. */
static int64_t change_in(const struct zone_change *change, int64_t year)
{
    int64_t days = zone_days(year, 1, 1);
    switch (change->kind) {
    case ZONE_DAY_OF_WEEK: {
        int64_t first = zone_days(year, change->month, 1);
        int64_t day = first + (change->day - zone_weekday(first) + 7) % 7 + (change->week - 1) * 7;
        days = day < first + zone_days_of_month(year, change->month) ? day : day - 7;
        break;
    }
    case ZONE_DAY_JULIAN:
        days += change->day - 1;
        days += zone_days_of_month(year, 2) == 29 && change->day >= 60 ? 1 : 0;
        break;
    case ZONE_DAY_OF_YEAR:
        days += change->day;
        break;
    }
    return days * DAY + change->time_s;
}

struct zone_period zone_rule_period(const struct zone_rule *rule, int64_t instant)
{
    struct zone_period period = {INT64_MIN, INT64_MAX, rule->standard_s};
    if (!rule->has_summer) {
        return period;
    }
    int64_t day = (instant + rule->standard_s) / DAY;
    int64_t year = zone_date(day).year;
    for (int64_t y = year - 1; y <= year + 1; y++) {
        const struct {
            int64_t at;
            int64_t offset_s;
        } changes[] = {
            {change_in(&rule->begin, y) - rule->standard_s, rule->summer_s},
            {change_in(&rule->end, y) - rule->summer_s, rule->standard_s},
        };
        for (int i = 0; i < 2; i++) {
            if (changes[i].at <= instant && changes[i].at >= period.begin) {
                period.begin = changes[i].at;
                period.offset_s = changes[i].offset_s;
            }
            if (changes[i].at > instant && changes[i].at < period.end) {
                period.end = changes[i].at;
            }
        }
    }
    return period;
}
