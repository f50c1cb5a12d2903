/* Times that come again: tables of next ones, of changes of clocks, and of what is refused. */
#include "runtime/cron.h"

#include "runtime/base/clock.h"
#include "runtime/base/number.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { SECOND_US = 1000000 };

static int part(const char *text, size_t at, size_t length)
{
    int64_t value = 0;
    assert_int_equal(number_parse(text + at, length, &value), 0);
    return (int)value;
}

/* "2026-03-29 02:30:15", UTC. */
static int64_t instant(const char *text)
{
    assert_int_equal(strlen(text), 19);
    int64_t days = zone_days(part(text, 0, 4), part(text, 5, 2), part(text, 8, 2));
    int second = part(text, 11, 2) * 3600 + part(text, 14, 2) * 60 + part(text, 17, 2);
    return (days * 86400 + second) * SECOND_US;
}

static struct cron cron_of(const char *text)
{
    struct cron cron;
    struct error err = {{0}};
    if (cron_parse(text, strlen(text), &cron, &err) != 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return cron;
}

static struct zone *zone_of(const char *name)
{
    struct zone *zone = NULL;
    struct error err;
    assert_int_equal(zone_load(name, strlen(name), &zone, &err), 0);
    return zone;
}

/* From a time on, the next ones, all in UTC. */
static const struct row {
    const char *spec;
    const char *zone;
    const char *after;
    const char *next[5];
} rows[] = {
    {"* * * * *", "UTC", "2026-11-20 19:30:00", {"2026-11-20 19:31:00", "2026-11-20 19:32:00"}},
    {"* * * * *", "UTC", "2026-11-20 19:30:59", {"2026-11-20 19:31:00"}},
    {"*/20 * * * *",
     "UTC",
     "2026-11-20 23:30:00",
     {"2026-11-20 23:40:00", "2026-11-21 00:00:00", "2026-11-21 00:20:00"}},
    {"7/20 * * * *", "UTC", "2026-11-20 23:30:00", {"2026-11-20 23:47:00", "2026-11-21 00:07:00"}},
    {"0 9-17/4 * * MON-FRI",
     "UTC",
     "2026-11-20 17:00:00",
     {"2026-11-23 09:00:00", "2026-11-23 13:00:00", "2026-11-23 17:00:00", "2026-11-24 09:00:00"}},
    {"15,45 0,12 * * *",
     "UTC",
     "2026-12-31 12:15:00",
     {"2026-12-31 12:45:00", "2027-01-01 00:15:00"}},
    {" 0\t0  1 jan,JUL * ",
     "UTC",
     "2026-11-20 00:00:00",
     {"2027-01-01 00:00:00", "2027-07-01 00:00:00"}},
    {"@hourly", "UTC", "2026-11-20 19:30:00", {"2026-11-20 20:00:00"}},
    {"@daily", "UTC", "2026-11-20 19:30:00", {"2026-11-21 00:00:00"}},
    {"@midnight", "Europe/Berlin", "2026-11-20 19:30:00", {"2026-11-20 23:00:00"}},
    {"@weekly", "UTC", "2026-11-20 19:30:00", {"2026-11-22 00:00:00", "2026-11-29 00:00:00"}},
    {"@monthly", "UTC", "2026-11-20 19:30:00", {"2026-12-01 00:00:00", "2027-01-01 00:00:00"}},
    {"@yearly", "UTC", "2026-11-20 19:30:00", {"2027-01-01 00:00:00"}},
    {"@annually", "UTC", "2026-11-20 19:30:00", {"2027-01-01 00:00:00"}},
    {"@every 90s",
     "America/New_York",
     "1970-01-01 00:01:00",
     {"1970-01-01 00:01:30", "1970-01-01 00:03:00"}},
    {"@every 1h30m", "UTC", "2026-11-20 00:00:00", {"2026-11-20 01:30:00", "2026-11-20 03:00:00"}},
    {"@every 1d", "Europe/Berlin", "2026-11-20 00:00:00", {"2026-11-21 00:00:00"}},
    /* Leap years, ends of months. */
    {"0 0 29 2 *", "UTC", "2026-11-20 00:00:00", {"2028-02-29 00:00:00", "2032-02-29 00:00:00"}},
    {"0 0 29 2 *", "UTC", "2096-03-01 00:00:00", {"2104-02-29 00:00:00"}},
    {"0 0 31 * *", "UTC", "2026-01-31 00:00:00", {"2026-03-31 00:00:00", "2026-05-31 00:00:00"}},
    {"0 12 L * *",
     "UTC",
     "2027-12-31 12:00:00",
     {"2028-01-31 12:00:00", "2028-02-29 12:00:00", "2028-03-31 12:00:00"}},
    {"0 0 15,L 2 *",
     "UTC",
     "2026-11-20 00:00:00",
     {"2027-02-15 00:00:00", "2027-02-28 00:00:00", "2028-02-15 00:00:00", "2028-02-29 00:00:00"}},
    /* Day of month or day of week, when both say something. */
    {"0 0 13 * FRI",
     "UTC",
     "2026-11-12 00:00:00",
     {"2026-11-13 00:00:00", "2026-11-20 00:00:00", "2026-11-27 00:00:00", "2026-12-04 00:00:00"}},
    {"0 0 1 * 3",
     "UTC",
     "2026-11-20 00:00:00",
     {"2026-11-25 00:00:00", "2026-12-01 00:00:00", "2026-12-02 00:00:00"}},
    {"0 0 */10 * MON",
     "UTC",
     "2026-11-20 00:00:00",
     {"2026-12-21 00:00:00", "2027-01-11 00:00:00"}},
    {"0 0 * * 7", "UTC", "2026-11-20 00:00:00", {"2026-11-22 00:00:00", "2026-11-29 00:00:00"}},
    {"0 0 * * fri-sun",
     "UTC",
     "2026-11-20 00:00:00",
     {"2026-11-21 00:00:00", "2026-11-22 00:00:00", "2026-11-27 00:00:00"}},
    {"0 0 * * 5-7", "UTC", "2026-11-20 00:00:00", {"2026-11-21 00:00:00", "2026-11-22 00:00:00"}},
    {"0 0 30 2 MON", "UTC", "2026-11-20 00:00:00", {"2027-02-01 00:00:00"}},
    /* Europe/Berlin: 2026-03-29 02:00 -> 03:00 at 01:00 UTC; 2026-10-25 03:00 -> 02:00 at 01:00 UTC. */
    {"30 2 * * *",
     "Europe/Berlin",
     "2026-03-28 00:00:00",
     {"2026-03-28 01:30:00", "2026-03-29 01:00:00", "2026-03-30 00:30:00"}},
    {"*/15 2,3 * * *",
     "Europe/Berlin",
     "2026-03-29 00:00:00",
     {"2026-03-29 01:00:00", "2026-03-29 01:15:00", "2026-03-29 01:30:00", "2026-03-29 01:45:00",
      "2026-03-30 00:00:00"}},
    {"30 2 * * *",
     "Europe/Berlin",
     "2026-10-24 12:00:00",
     {"2026-10-25 00:30:00", "2026-10-26 01:30:00"}},
    {"*/30 1-3 * * *",
     "Europe/Berlin",
     "2026-10-24 23:00:00",
     {"2026-10-24 23:30:00", "2026-10-25 00:00:00", "2026-10-25 00:30:00", "2026-10-25 02:00:00",
      "2026-10-25 02:30:00"}},
    {"0 * * * *",
     "Europe/Berlin",
     "2026-03-29 00:00:00",
     {"2026-03-29 01:00:00", "2026-03-29 02:00:00"}},
    {"30 * * * *",
     "Europe/Berlin",
     "2026-10-24 23:30:00",
     {"2026-10-25 00:30:00", "2026-10-25 01:30:00", "2026-10-25 02:30:00"}},
    {"0 0 * * *",
     "Europe/Berlin",
     "2026-03-28 22:00:00",
     {"2026-03-28 23:00:00", "2026-03-29 22:00:00"}},
    {"30 2 29 3 *", "Europe/Berlin", "2054-01-01 00:00:00", {"2054-03-29 01:00:00"}},
    /* America/New_York: 2026-03-08 02:00 -> 03:00 at 07:00 UTC; 2026-11-01 02:00 -> 01:00 at 06:00. */
    {"15 2 * * *",
     "America/New_York",
     "2026-03-07 12:00:00",
     {"2026-03-08 07:00:00", "2026-03-09 06:15:00"}},
    {"0 3 * * *", "America/New_York", "2026-03-07 12:00:00", {"2026-03-08 07:00:00"}},
    {"15 1 * * *",
     "America/New_York",
     "2026-10-31 12:00:00",
     {"2026-11-01 05:15:00", "2026-11-02 06:15:00"}},
    {"15 1 * * *", "America/New_York", "2026-11-01 06:00:00", {"2026-11-02 06:15:00"}},
    {"0 0 * * SUN",
     "America/New_York",
     "2026-10-31 12:00:00",
     {"2026-11-01 04:00:00", "2026-11-08 05:00:00"}},
    {"45 23 L * *", "Asia/Kathmandu", "2026-11-20 00:00:00", {"2026-11-30 18:00:00"}},
};

static void test_next(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        struct cron cron = cron_of(row->spec);
        struct zone *zone = zone_of(row->zone);
        int64_t at_us = instant(row->after);
        for (size_t n = 0; n < 5 && row->next[n] != NULL; n++) {
            int64_t next_us = cron_next_us(&cron, zone, at_us);
            if (next_us != instant(row->next[n])) {
                char got[CLOCK_TEXT_SIZE];
                clock_format(next_us, got);
                fail_msg("%s in %s: %s, not %s", row->spec, row->zone, got, row->next[n]);
            }
            assert_int_equal(cron_next_us(&cron, zone, next_us - 1), next_us);
            at_us = next_us;
        }
        zone_destroy(&zone);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        const char *error;
    } refused[] = {
        {"", "empty"},
        {"* * * *", "field 5 (day of week) is missing: five are wanted"},
        {"* * * * * *", "character 11: there is more than five fields"},
        {"60 * * * *", "field 1 (minute), character 1: 60 is not within 0-59"},
        {"0 24 * * *", "field 2 (hour), character 3: 24 is not within 0-23"},
        {"0 0 0 * *", "field 3 (day of month), character 5: 0 is not within 1-31"},
        {"0 0 * 13 *", "field 4 (month), character 7: 13 is not within 1-12"},
        {"0 0 * * 8", "field 5 (day of week), character 9: 8 is not within 0-7"},
        {"0 0 * foo *", "field 4 (month), character 7: not a name of one"},
        {"0 MON * * *", "field 2 (hour), character 3: not a number"},
        {"5-1 * * * *", "field 1 (minute), character 1: the range goes backwards"},
        {"*/0 * * * *", "field 1 (minute), character 3: a step is at least 1"},
        {"*/ * * * *", "field 1 (minute), character 3: a value is missing"},
        {"1, * * * *", "field 1 (minute), character 3: a value is missing"},
        {"1;2 * * * *", "field 1 (minute), character 2: not expected here"},
        {"99999 * * * *", "field 1 (minute), character 1: too many digits"},
        {"-1 * * * *", "field 1 (minute), character 1: a value is missing"},
        {"0 0 31 2,4 *", "field 3 (day of month): never comes in these months"},
        {"0 0 30-31 2 *", "field 3 (day of month): never comes in these months"},
        {"L 0 * * *", "field 1 (minute), character 1: not a number"},
        {"@noon", "character 1: known names are @hourly, @daily, @midnight, @weekly, @monthly, "
                  "@yearly, @annually and \"@every 90s\""},
        {"@every 0s", "@every: from 1s to 366d"},
        {"@every 367d", "@every: from 1s to 366d"},
        {"@every 999999999d", "@every: from 1s to 366d"},
        {"@every s", "character 8: @every wants a number and d, h, m or s"},
        {"@every 5", "character 9: a unit is wanted: d, h, m or s, in this order"},
        {"@every 5s1m", "character 11: a unit is wanted: d, h, m or s, in this order"},
        {"@every 5x", "character 9: a unit is wanted: d, h, m or s, in this order"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct cron cron;
        struct error err = {{0}};
        assert_int_equal(cron_parse(refused[i].spec, strlen(refused[i].spec), &cron, &err), -1);
        assert_string_equal(err.text, refused[i].error);
    }
    struct cron cron;
    struct error err;
    assert_int_equal(cron_parse("* * * * *\0", 10, &cron, &err), -1);
    char longer[CRON_TEXT_MAX + 2];
    memset(longer, ' ', sizeof longer);
    assert_int_equal(cron_parse(longer, CRON_TEXT_MAX + 1, &cron, &err), -1);
}

static void test_the_last_one(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        const char *after;
        const char *now;
        const char *last; /* NULL: none */
    } cases[] = {
        {"@every 1s", "2020-01-01 00:00:00", "2026-11-20 00:00:00", "2026-11-20 00:00:00"},
        {"* * * * *", "2020-01-01 00:00:00", "2026-11-20 00:00:30", "2026-11-20 00:00:00"},
        {"0 3 * * *", "2026-11-01 00:00:00", "2026-11-20 02:59:59", "2026-11-19 03:00:00"},
        {"0 0 29 2 *", "2020-01-01 00:00:00", "2026-11-20 00:00:00", "2024-02-29 00:00:00"},
        {"0 3 * * *", "2026-11-19 03:00:00", "2026-11-20 02:59:59", NULL},
        {"0 3 * * *", "2026-11-19 02:59:59", "2026-11-20 02:59:59", "2026-11-19 03:00:00"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cron cron = cron_of(cases[i].spec);
        int64_t last = cron_last_us(&cron, NULL, instant(cases[i].after), instant(cases[i].now));
        assert_int_equal(last, cases[i].last == NULL ? INT64_MIN : instant(cases[i].last));
    }
}

/* Minute by minute, in the plainest way, over a year with both changes of the clock. */
static void test_like_a_wall_clock(void **state)
{
    (void)state;
    static const char *const specs[] = {"7,37 * * * *", "*/10 1-3 * * *", "30 2 * * 0", "0 0 L * *",
                                        "59 23 1,15 */2 *"};
    static const char *const zones[] = {"Europe/Berlin", "America/New_York", "Australia/Lord_Howe"};
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        for (size_t z = 0; z < sizeof zones / sizeof zones[0]; z++) {
            struct cron cron = cron_of(specs[i]);
            struct zone *zone = zone_of(zones[z]);
            bool passing = strchr(specs[i], ' ')[1] == '*';
            int64_t next = cron_next_us(&cron, zone, instant("2026-01-01 00:00:00")) / SECOND_US;
            int64_t end = instant("2027-01-01 00:00:00") / SECOND_US;
            int64_t shown = 0; /* the wall is ahead of all it has shown */
            for (int64_t at = instant("2026-01-01 00:01:00") / SECOND_US; at < end; at += 60) {
                int64_t wall = at + zone_period(zone, at).offset_s;
                bool due = false;
                /* What the wall shows now, and what it has skipped. */
                int64_t from = passing || shown == 0 ? wall : shown + 60;
                for (int64_t w = from; w <= wall; w += 60) {
                    struct zone_date date = zone_date(w / 86400);
                    int minute = (int)(w / 60 % 60);
                    int hour = (int)(w / 3600 % 24);
                    bool day =
                        (cron.days >> date.day & 1) != 0 ||
                        (cron.last_day && date.day == zone_days_of_month(date.year, date.month));
                    due = due ||
                          ((cron.minutes >> minute & 1) != 0 && (cron.hours >> hour & 1) != 0 &&
                           day && (cron.months >> date.month & 1) != 0 &&
                           (cron.weekdays >> zone_weekday(w / 86400) & 1) != 0);
                }
                shown = wall > shown ? wall : shown;
                assert_int_equal(due, at == next);
                if (due) {
                    next = cron_next_us(&cron, zone, at * SECOND_US) / SECOND_US;
                }
            }
            zone_destroy(&zone);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_the_last_one),
        cmocka_unit_test(test_like_a_wall_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
