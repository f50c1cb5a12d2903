/*
 * Time zones of the IANA database, read from the compiled files of the system (RFC 8536): what a
 * wall clock shows at an instant, and when it shows a given time. Instants are seconds since 1970,
 * UTC; wall times are seconds since 1970 as if the wall were UTC.
 *
 * Clocks that are put forward skip wall times, clocks that are put back show some twice: see
 * zone_instant().
 */
#ifndef SIGNALBOX_RUNTIME_ZONE_H
#define SIGNALBOX_RUNTIME_ZONE_H

#include "runtime/base/error.h"

#include <stddef.h>
#include <stdint.h>

struct zone;

enum { ZONE_NAME_MAX = 64 };

/* A time during which a wall clock runs evenly. */
struct zone_period {
    int64_t begin;    /* INT64_MIN: always */
    int64_t end;      /* INT64_MAX: for ever; else the first second behind it */
    int64_t offset_s; /* wall - UTC */
};

/* "Europe/Berlin". Reads a small file. Caller destroys with zone_destroy(). -1 and err: there is no
 * such zone, or no database of zones. */
SB_MUST_CHECK int zone_load(const char *name, size_t length, struct zone **zone_out,
                            struct error *err);
/* From the bytes of such a file. */
SB_MUST_CHECK int zone_parse(const uint8_t *bytes, size_t size, struct zone **zone_out,
                             struct error *err);
void zone_destroy(struct zone **zone);

/* The period that holds the instant. zone NULL: UTC. */
struct zone_period zone_period(const struct zone *zone, int64_t instant);
/* The instant at which the wall shows `wall`: the first of two, and for a wall time that is skipped
 * the first one behind the gap. Never goes down as `wall` goes up. zone NULL: UTC. */
int64_t zone_instant(const struct zone *zone, int64_t wall);

/* ---- the calendar: days since 1970 ---- */
struct zone_date {
    int64_t year;
    int month; /* 1..12 */
    int day;   /* 1..31 */
};

int64_t zone_days(int64_t year, int month, int day);
struct zone_date zone_date(int64_t days);
int zone_days_of_month(int64_t year, int month);
/* 0: Sunday. */
int zone_weekday(int64_t days);

#endif
