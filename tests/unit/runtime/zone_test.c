/* Zones of the system against the C library, walls that are skipped or shown twice, broken files. */
#include "runtime/zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static struct zone *load(const char *name)
{
    struct zone *zone = NULL;
    struct error err;
    assert_int_equal(zone_load(name, strlen(name), &zone, &err), 0);
    return zone;
}

/* 1900 to 2200, in steps that are no whole hours, and around every change on the way. */
static void test_offsets_are_those_of_the_c_library(void **state)
{
    (void)state;
    static const char *const names[] = {
        "Europe/Berlin",     "America/New_York", "Asia/Kathmandu",    "Australia/Lord_Howe",
        "Africa/Casablanca", "Pacific/Apia",     "America/Sao_Paulo", "Europe/Dublin",
        "Antarctica/Troll",  "Asia/Gaza",        "America/Nuuk",      "UTC",
        "Etc/GMT+5",         "EST5EDT",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct zone *zone = load(names[i]);
        setenv("TZ", names[i], 1);
        tzset();
        int64_t seen = INT64_MIN;
        for (time_t at = -2208988800; at < 7258118400; at += 1234567) {
            struct zone_period period = zone_period(zone, at);
            assert_true(period.begin <= at && at < period.end);
            bool changes = period.begin > seen && period.begin > -2208988800;
            int64_t instants[] = {at, changes ? period.begin : at, changes ? period.begin - 1 : at};
            for (size_t k = 0; k < 3; k++) {
                time_t instant = instants[k];
                struct tm tm;
                localtime_r(&instant, &tm);
                assert_int_equal(zone_period(zone, instant).offset_s, tm.tm_gmtoff);
                struct zone_date date =
                    zone_date((instant + tm.tm_gmtoff + 86400 * INT64_C(100000)) / 86400 - 100000);
                assert_int_equal(date.year, tm.tm_year + 1900);
                assert_int_equal(date.month, tm.tm_mon + 1);
                assert_int_equal(date.day, tm.tm_mday);
                assert_int_equal(zone_weekday(zone_days(date.year, date.month, date.day)),
                                 tm.tm_wday);
            }
            seen = period.begin;
        }
        zone_destroy(&zone);
    }
    unsetenv("TZ");
    tzset();
}

static int64_t wall(int64_t year, int month, int day, int hour, int minute)
{
    return zone_days(year, month, day) * 86400 + hour * 3600 + minute * 60;
}

static void test_walls_skipped_and_twice(void **state)
{
    (void)state;
    static const struct {
        const char *zone;
        int wall[5];
        int utc[5];
    } rows[] = {
        {"Europe/Berlin", {2026, 3, 29, 1, 59}, {2026, 3, 29, 0, 59}},
        {"Europe/Berlin", {2026, 3, 29, 2, 0}, {2026, 3, 29, 1, 0}},
        {"Europe/Berlin", {2026, 3, 29, 2, 59}, {2026, 3, 29, 1, 0}},
        {"Europe/Berlin", {2026, 3, 29, 3, 0}, {2026, 3, 29, 1, 0}},
        {"Europe/Berlin", {2026, 10, 25, 2, 0}, {2026, 10, 25, 0, 0}},
        {"Europe/Berlin", {2026, 10, 25, 2, 59}, {2026, 10, 25, 0, 59}},
        {"Europe/Berlin", {2026, 10, 25, 3, 0}, {2026, 10, 25, 2, 0}},
        {"Europe/Berlin", {2099, 3, 29, 2, 30}, {2099, 3, 29, 1, 0}},
        {"America/New_York", {2026, 3, 8, 2, 30}, {2026, 3, 8, 7, 0}},
        {"America/New_York", {2026, 11, 1, 1, 30}, {2026, 11, 1, 5, 30}},
        {"Australia/Lord_Howe", {2026, 10, 4, 2, 15}, {2026, 10, 3, 15, 30}},
        /* A whole day was skipped, midnight to midnight. */
        {"Pacific/Apia", {2011, 12, 30, 12, 0}, {2011, 12, 30, 10, 0}},
        {"UTC", {2026, 3, 29, 2, 30}, {2026, 3, 29, 2, 30}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct zone *zone = load(rows[i].zone);
        const int *w = rows[i].wall;
        const int *u = rows[i].utc;
        assert_int_equal(zone_instant(zone, wall(w[0], w[1], w[2], w[3], w[4])),
                         wall(u[0], u[1], u[2], u[3], u[4]));
        zone_destroy(&zone);
    }
    assert_int_equal(zone_instant(NULL, 17), 17);
}

static void test_names_that_are_none(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",
        "Europe/Nowhere",
        "Europe",
        "/etc/localtime",
        "../zoneinfo/UTC",
        "zone.tab",
        "right/Europe/Berlin",
        "tzdata.zi",
        "Europe//Berlin",
        "Europe/",
        "posix/UTC",
        "Europe/Berl\nin",
        "leap-seconds.list",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct zone *zone = NULL;
        struct error err = {{0}};
        assert_int_equal(zone_load(names[i], strlen(names[i]), &zone, &err), -1);
        assert_null(zone);
        assert_true(strlen(err.text) > 0);
    }
}

/* A file cut anywhere, or with any byte changed, is refused or read: nothing else. */
static void test_broken_files(void **state)
{
    (void)state;
    /* Version 2, no times in the first block; one change and two types in the second. */
    static const uint8_t file[] = "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                  "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\4"
                                  "\0\0\0\0\0\0"
                                  "UTC\0"
                                  "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                  "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\2\0\0\0\4"
                                  "\0\0\0\0\7\x53\x2c\x80"
                                  "\1"
                                  "\0\0\0\0\0\0"
                                  "\0\0\x0e\x10\0\0"
                                  "UTC\0"
                                  "\nCET-1\n";
    const size_t size = sizeof file - 1;
    struct zone *zone = NULL;
    struct error err;
    assert_int_equal(zone_parse(file, size, &zone, &err), 0);
    assert_int_equal(zone_period(zone, 0).offset_s, 0);
    assert_int_equal(zone_period(zone, INT64_C(1) << 40).offset_s, 3600);
    zone_destroy(&zone);
    for (size_t length = 0; length < size; length++) {
        uint8_t *part = malloc(length + 1);
        assert_non_null(part);
        memcpy(part, file, length);
        assert_int_equal(zone_parse(part, length, &zone, &err), -1);
        free(part);
    }
    for (size_t at = 0; at < size; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            uint8_t *other = malloc(size);
            assert_non_null(other);
            memcpy(other, file, size);
            other[at] ^= (uint8_t)(1u << bit);
            if (zone_parse(other, size, &zone, &err) == 0) {
                assert_true(zone_instant(zone, 1000000) >= 1000000 - 26 * 3600);
                zone_destroy(&zone);
            }
            free(other);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offsets_are_those_of_the_c_library),
        cmocka_unit_test(test_walls_skipped_and_twice),
        cmocka_unit_test(test_names_that_are_none),
        cmocka_unit_test(test_broken_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
