/* How a zone goes on behind the last change its file lists: a rule in the words of POSIX TZ, such as
 * "CET-1CEST,M3.5.0,M10.5.0/3". */
#ifndef SIGNALBOX_RUNTIME_ZONE_RULE_H
#define SIGNALBOX_RUNTIME_ZONE_RULE_H

#include "runtime/zone.h"

#include <stdbool.h>

enum zone_day_kind {
    ZONE_DAY_OF_WEEK, /* week 1..5 (5: the last) of month, weekday */
    ZONE_DAY_JULIAN,  /* 1..365, 29 February is never counted */
    ZONE_DAY_OF_YEAR  /* 0..365 */
};

/* A day of every year, and a time of it in seconds of the wall. */
struct zone_change {
    enum zone_day_kind kind;
    int month;
    int week;
    int day;
    int64_t time_s;
};

struct zone_rule {
    int64_t standard_s; /* wall - UTC */
    int64_t summer_s;
    bool has_summer;
    struct zone_change begin; /* of summer time */
    struct zone_change end;
};

/* 0, or -1 when it is malformed. */
SB_MUST_CHECK int zone_rule_parse(const char *text, size_t length, struct zone_rule *rule_out);
struct zone_period zone_rule_period(const struct zone_rule *rule, int64_t instant);

#endif
