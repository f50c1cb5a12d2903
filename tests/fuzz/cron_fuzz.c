// fuzz-sources: actors/runtime/cron.c actors/runtime/cron_parse.c actors/runtime/zone.c actors/runtime/zone_rule.c actors/runtime/base/error.c actors/runtime/base/memory.c actors/runtime/base/number.c
/*
 * Times that come again, with any words, any time zone file, from any time on: what is accepted has
 * next times that only grow, each is found again from just before it and from anywhere between, the
 * last one is the one before the next, and without a zone it is what the fields say.
 *
 * Bytes 0..3: the time to begin at, in units of 64 s since 1970; byte 4: length of the words; the
 * words; the rest, if any, is the file of a zone.
 */
#include "runtime/cron.h"

#include <stdio.h>
#include <stdlib.h>

enum { SECOND_US = 1000000, STEPS = 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

/* In UTC the wall is the instant. */
static void check_fields(const struct cron *cron, int64_t next_us)
{
    int64_t next = next_us / SECOND_US;
    if (cron->every_s > 0) {
        expect(next % cron->every_s == 0, "a multiple of every");
        return;
    }
    struct zone_date date = zone_date(next / 86400);
    expect(next % 60 == 0, "a whole minute");
    expect((cron->minutes >> (next / 60 % 60) & 1) != 0, "the minute");
    expect((cron->hours >> (next / 3600 % 24) & 1) != 0, "the hour");
    expect((cron->months >> date.month & 1) != 0, "the month");
    bool day = (cron->days >> date.day & 1) != 0 ||
               (cron->last_day && date.day == zone_days_of_month(date.year, date.month));
    bool weekday = (cron->weekdays >> zone_weekday(next / 86400) & 1) != 0;
    expect(cron->any_day || cron->any_weekday ? day && weekday : day || weekday, "the day");
}

static void check(const struct cron *cron, const struct zone *zone, int64_t at_us)
{
    for (int i = 0; i < STEPS; i++) {
        int64_t next_us = cron_next_us(cron, zone, at_us);
        if (next_us == INT64_MAX) {
            return;
        }
        expect(next_us > at_us, "next is behind");
        expect(cron_next_us(cron, zone, next_us - 1) == next_us, "found again from just before");
        expect(cron_next_us(cron, zone, at_us + (next_us - at_us) / 2) == next_us,
               "found again from between");
        expect(cron_last_us(cron, zone, at_us, next_us) == next_us,
               "it is the last when it is now");
        expect(cron_last_us(cron, zone, at_us, next_us - 1) == INT64_MIN, "nothing between");
        if (zone == NULL) {
            check_fields(cron, next_us);
        }
        at_us = next_us;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cron cron;
    struct error err;
    if (size < 5 || size - 5 < data[4]) {
        return 0;
    }
    int64_t at_us =
        ((int64_t)data[0] << 24 | data[1] << 16 | data[2] << 8 | data[3]) * 64 * SECOND_US;
    size_t length = data[4];
    if (cron_parse((const char *)data + 5, length, &cron, &err) != 0) {
        return 0;
    }
    struct zone *zone = NULL;
    if (size - 5 > length && zone_parse(data + 5 + length, size - 5 - length, &zone, &err) != 0) {
        return 0;
    }
    check(&cron, zone, at_us);
    zone_destroy(&zone);
    return 0;
}
