/* Formats of strings: see schema_value.h. */
#include "runtime/json_scan.h"
#include "runtime/schema_value.h"

#include <string.h>

/* Longer texts have no format of ours; PostgreSQL reads times up to about twice this. */
enum { FORMAT_TEXT_MAX = 64, ESCAPE_BYTES = 6 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_uuid(const char *text, size_t length)
{
    if (length != 36) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !is_hex(text[i])) {
            return false;
        }
    }
    return true;
}

/* Takes `count` digits as a number; -1 when they are none. */
static int take_number(const char **at, const char *end, int count)
{
    int number = 0;
    if (end - *at < count) {
        return -1;
    }
    for (int i = 0; i < count; i++) {
        char c = *(*at)++;
        if (!is_digit(c)) {
            return -1;
        }
        number = number * 10 + (c - '0');
    }
    return number;
}

/* Takes the byte `c`, or a letter that is `c` but for its case. */
static bool take(const char **at, const char *end, char c)
{
    bool letter = c >= 'A' && c <= 'Z';
    if (*at == end || (**at != c && !(letter && **at == c + ('a' - 'A')))) {
        return false;
    }
    (*at)++;
    return true;
}

static bool take_date(const char **at, const char *end)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = take_number(at, end, 4);
    if (year < 1 || !take(at, end, '-')) {
        return false;
    }
    int month = take_number(at, end, 2);
    if (month < 1 || month > 12 || !take(at, end, '-')) {
        return false;
    }
    int day = take_number(at, end, 2);
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day >= 1 && day <= days[month - 1] + (month == 2 && leap);
}

struct time_of_day {
    int minute;    /* since midnight */
    bool leap;     /* the second is 60 */
    bool fraction; /* other than 0 */
};

/* Digits behind a point. */
static bool take_fraction(const char **at, const char *end, struct time_of_day *time)
{
    const char *from = *at;
    for (; *at < end && is_digit(**at); (*at)++) {
        time->fraction = time->fraction || **at != '0';
    }
    return *at > from;
}

/* HH:MM:SS and a fraction. */
static bool take_time(const char **at, const char *end, struct time_of_day *time_out)
{
    int hour = take_number(at, end, 2);
    if (hour < 0 || hour > 23 || !take(at, end, ':')) {
        return false;
    }
    int minute = take_number(at, end, 2);
    if (minute < 0 || minute > 59 || !take(at, end, ':')) {
        return false;
    }
    int second = take_number(at, end, 2);
    if (second < 0 || second > 60) {
        return false;
    }
    *time_out = (struct time_of_day){.minute = hour * 60 + minute, .leap = second == 60};
    return !take(at, end, '.') || take_fraction(at, end, time_out);
}

/* Z, or +HH:MM; minutes east of Greenwich in *offset_out. */
static bool take_offset(const char **at, const char *end, int *offset_out)
{
    *offset_out = 0;
    if (take(at, end, 'Z')) {
        return true;
    }
    int sign = take(at, end, '+') ? 1 : take(at, end, '-') ? -1 : 0;
    int hour = sign == 0 ? -1 : take_number(at, end, 2);
    if (hour < 0 || hour > 15 || !take(at, end, ':')) {
        return false;
    }
    int minute = take_number(at, end, 2);
    *offset_out = sign * (hour * 60 + minute);
    return minute >= 0 && minute <= 59;
}

static bool is_date_time(const char *text, size_t length)
{
    enum { DAY_MINUTES = 24 * 60 };
    const char *end = text + length;
    struct time_of_day time;
    int offset;
    if (!take_date(&text, end) || !take(&text, end, 'T') || !take_time(&text, end, &time) ||
        !take_offset(&text, end, &offset)) {
        return false;
    }
    if (text != end || !time.leap) {
        return text == end;
    }
    /* A leap second ends a day of Greenwich. Where it ends a day of the place too, PostgreSQL takes no
     * part of it. */
    int there = (time.minute - offset + DAY_MINUTES) % DAY_MINUTES;
    return there == DAY_MINUTES - 1 && !(time.fraction && time.minute == DAY_MINUTES - 1);
}

bool schema_value_has_format(struct json_span text, enum schema_format format)
{
    char plain[FORMAT_TEXT_MAX * ESCAPE_BYTES];
    if (format == SCHEMA_NO_FORMAT || text.length > sizeof plain) {
        return format == SCHEMA_NO_FORMAT;
    }
    if (memchr(text.data, '\\', text.length) != NULL) {
        text.length = json_unescape(text.data, text.length, plain);
        text.data = plain;
    }
    if (text.length > FORMAT_TEXT_MAX) {
        return false;
    }
    switch (format) {
    case SCHEMA_NO_FORMAT:
        return true;
    case SCHEMA_UUID:
        return is_uuid(text.data, text.length);
    case SCHEMA_DATE_TIME:
        return is_date_time(text.data, text.length);
    }
    return true;
}
