/* See time_text.h. */
#include "api/time_text.h"

#include <stdbool.h>

struct cursor {
    const char *at;
    const char *end;
    bool bad;
};

/* Exactly `digits` digits. */
static int64_t take_number(struct cursor *cursor, int digits)
{
    int64_t value = 0;
    for (int i = 0; i < digits; i++) {
        if (cursor->at == cursor->end || *cursor->at < '0' || *cursor->at > '9') {
            cursor->bad = true;
            return 0;
        }
        value = value * 10 + (*cursor->at++ - '0');
    }
    return value;
}

static bool next_is(const struct cursor *cursor, const char *any)
{
    for (; cursor->at < cursor->end && *any != '\0'; any++) {
        if (*cursor->at == *any) {
            return true;
        }
    }
    return false;
}

static void take_one_of(struct cursor *cursor, const char *any)
{
    if (next_is(cursor, any)) {
        cursor->at++;
    } else {
        cursor->bad = true;
    }
}

static int64_t take_fraction(struct cursor *cursor)
{
    int64_t micros = 0;
    int digits = 0;
    if (!next_is(cursor, ".")) {
        return 0;
    }
    cursor->at++;
    for (; next_is(cursor, "0123456789"); cursor->at++, digits++) {
        micros = digits < 6 ? micros * 10 + (*cursor->at - '0') : micros;
    }
    cursor->bad = cursor->bad || digits == 0;
    for (; digits < 6; digits++) {
        micros *= 10;
    }
    return micros;
}

/* Minutes east of Greenwich. */
static int64_t take_zone(struct cursor *cursor)
{
    if (next_is(cursor, "Zz")) {
        cursor->at++;
        return 0;
    }
    bool west = next_is(cursor, "-");
    take_one_of(cursor, "+-");
    int64_t hours = take_number(cursor, 2);
    take_one_of(cursor, ":");
    int64_t minutes = take_number(cursor, 2);
    cursor->bad = cursor->bad || hours > 23 || minutes > 59;
    int64_t offset = hours * 60 + minutes;
    return west ? -offset : offset;
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int64_t days_of(int64_t year, int64_t month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year) ? 1 : 0);
}

/* Days from 1970-01-01 to the first of January. */
static int64_t days_before(int64_t year)
{
    int64_t last = year - 1;
    return (year - 1970) * 365 + (last / 4 - last / 100 + last / 400) -
           (1969 / 4 - 1969 / 100 + 1969 / 400);
}

static int64_t take_days(struct cursor *cursor)
{
    int64_t year = take_number(cursor, 4);
    take_one_of(cursor, "-");
    int64_t month = take_number(cursor, 2);
    take_one_of(cursor, "-");
    int64_t day = take_number(cursor, 2);
    if (cursor->bad || year < 1970 || month < 1 || month > 12 || day < 1 ||
        day > days_of(year, month)) {
        cursor->bad = true;
        return 0;
    }
    int64_t days = days_before(year) + day - 1;
    for (int64_t before = 1; before < month; before++) {
        days += days_of(year, before);
    }
    return days;
}

static int64_t take_seconds(struct cursor *cursor)
{
    int64_t hour = take_number(cursor, 2);
    take_one_of(cursor, ":");
    int64_t minute = take_number(cursor, 2);
    take_one_of(cursor, ":");
    int64_t second = take_number(cursor, 2);
    cursor->bad = cursor->bad || hour > 23 || minute > 59 || second > 59;
    return hour * 3600 + minute * 60 + second;
}

int time_text_parse(const char *text, size_t length, int64_t *real_us_out)
{
    static const int64_t last_us = 253402300799999999; /* the end of the year 9999 */
    struct cursor cursor = {text, text + length, false};
    int64_t days = take_days(&cursor);
    take_one_of(&cursor, "Tt");
    int64_t seconds = take_seconds(&cursor);
    int64_t micros = take_fraction(&cursor);
    int64_t zone_minutes = take_zone(&cursor);
    if (cursor.bad || cursor.at != cursor.end) {
        return -1;
    }
    int64_t real_us = (days * 86400 + seconds - zone_minutes * 60) * 1000000 + micros;
    if (real_us < 0 || real_us > last_us) {
        return -1;
    }
    *real_us_out = real_us;
    return 0;
}
