/* Reads what cron.h says. */
#include "runtime/cron.h"

#include "runtime/base/number.h"

#include <string.h>
#include <strings.h>

enum { FIELDS = 5, EVERY_MAX_S = 366 * 86400 };

static const char *const month_names[] = {"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL",
                                          "AUG", "SEP", "OCT", "NOV", "DEC", NULL};
static const char *const weekday_names[] = {"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", NULL};

enum field_place { MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS };

static const struct field {
    const char *name;
    int least;
    int most;
    const char *const *words; /* NULL: numbers only */
} fields[FIELDS] = {
    [MINUTES] = {"minute", 0, 59, NULL},
    [HOURS] = {"hour", 0, 23, NULL},
    [DAYS] = {"day of month", 1, 31, NULL},
    [MONTHS] = {"month", 1, 12, month_names},
    [WEEKDAYS] = {"day of week", 0, 7, weekday_names},
};

struct scan {
    const char *text;
    size_t length;
    size_t at;
    enum field_place place;
    struct error *err;
};

static int refuse(const struct scan *scan, size_t at, const char *why)
{
    return error_set(scan->err, "field %d (%s), character %zu: %s", (int)scan->place + 1,
                     fields[scan->place].name, at + 1, why);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static char peek(const struct scan *scan)
{
    return scan->at < scan->length ? scan->text[scan->at] : '\0';
}

static bool take(struct scan *scan, char wanted)
{
    if (scan->at < scan->length && scan->text[scan->at] == wanted) {
        scan->at++;
        return true;
    }
    return false;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A number up to 9999. */
static int take_number(struct scan *scan, int *value_out)
{
    size_t begin = scan->at;
    int value = 0;
    while (is_digit(peek(scan)) && scan->at - begin < 4) {
        value = value * 10 + (scan->text[scan->at++] - '0');
    }
    if (scan->at == begin || is_digit(peek(scan))) {
        return refuse(scan, begin, scan->at == begin ? "a value is missing" : "too many digits");
    }
    *value_out = value;
    return 0;
}

/* "MON", in any case. */
static int take_word(struct scan *scan, int *value_out)
{
    const struct field *field = &fields[scan->place];
    size_t begin = scan->at;
    while (is_letter(peek(scan))) {
        scan->at++;
    }
    for (int i = 0; field->words != NULL && field->words[i] != NULL; i++) {
        if (scan->at - begin == 3 && strncasecmp(scan->text + begin, field->words[i], 3) == 0) {
            *value_out = field->least + i;
            return 0;
        }
    }
    return refuse(scan, begin, field->words == NULL ? "not a number" : "not a name of one");
}

static int take_value(struct scan *scan, int *value_out)
{
    const struct field *field = &fields[scan->place];
    size_t begin = scan->at;
    int value = 0;
    if (is_letter(peek(scan)) ? take_word(scan, &value) != 0 : take_number(scan, &value) != 0) {
        return -1;
    }
    if (value < field->least || value > field->most) {
        return error_set(scan->err, "field %d (%s), character %zu: %d is not within %d-%d",
                         (int)scan->place + 1, field->name, begin + 1, value, field->least,
                         field->most);
    }
    *value_out = value;
    return 0;
}

/* What stands between two commas. */
static int take_part(struct scan *scan, struct cron *cron, uint64_t *set)
{
    const struct field *field = &fields[scan->place];
    size_t begin = scan->at;
    int low = field->least;
    int high = scan->place == WEEKDAYS ? 6 : field->most;
    int step = 1;
    if (scan->place == DAYS && (take(scan, 'L') || take(scan, 'l'))) {
        cron->last_day = true;
        return 0;
    }
    if (!take(scan, '*')) {
        if (take_value(scan, &low) != 0) {
            return -1;
        }
        bool range = take(scan, '-');
        if (range && take_value(scan, &high) != 0) {
            return -1;
        }
        high = range || peek(scan) == '/' ? high : low;
        high = range && scan->place == WEEKDAYS && high == 0 ? 7 : high; /* FRI-SUN */
        if (high < low && !(low == 7 && !range)) {
            return refuse(scan, begin, "the range goes backwards");
        }
        high = high < low ? low : high;
    }
    size_t step_at = scan->at + 1;
    if (take(scan, '/') && take_number(scan, &step) != 0) {
        return -1;
    }
    if (step < 1) {
        return refuse(scan, step_at, "a step is at least 1");
    }
    for (int value = low; value <= high; value += step) {
        *set |= UINT64_C(1) << (scan->place == WEEKDAYS ? value % 7 : value);
    }
    return 0;
}

static void skip_blanks(struct scan *scan)
{
    while (scan->at < scan->length && is_blank(scan->text[scan->at])) {
        scan->at++;
    }
}

static int take_field(struct scan *scan, struct cron *cron)
{
    uint64_t *const sets[FIELDS] = {&cron->minutes, &cron->hours, &cron->days, &cron->months,
                                    &cron->weekdays};
    if (scan->at == scan->length) {
        return error_set(scan->err, "field %d (%s) is missing: five are wanted",
                         (int)scan->place + 1, fields[scan->place].name);
    }
    cron->any_day = cron->any_day || (scan->place == DAYS && peek(scan) == '*');
    cron->any_weekday = cron->any_weekday || (scan->place == WEEKDAYS && peek(scan) == '*');
    do {
        if (take_part(scan, cron, sets[scan->place]) != 0) {
            return -1;
        }
    } while (take(scan, ','));
    if (scan->at < scan->length && !is_blank(peek(scan))) {
        return refuse(scan, scan->at, "not expected here");
    }
    skip_blanks(scan);
    return 0;
}

/* 31 February. */
static bool ever_comes(const struct cron *cron)
{
    if (cron->last_day || !cron->any_weekday) {
        return true;
    }
    int first = __builtin_ctzll(cron->days);
    for (int month = 1; month <= 12; month++) {
        if ((cron->months >> month & 1) != 0 && first <= zone_days_of_month(2000, month)) {
            return true;
        }
    }
    return false;
}

static int parse_fields(struct scan *scan, struct cron *cron)
{
    skip_blanks(scan);
    for (int place = 0; place < FIELDS; place++) {
        scan->place = (enum field_place)place;
        if (take_field(scan, cron) != 0) {
            return -1;
        }
    }
    if (scan->at < scan->length) {
        return error_set(scan->err, "character %zu: there is more than five fields", scan->at + 1);
    }
    if (!ever_comes(cron)) {
        scan->place = DAYS;
        return error_set(scan->err, "field 3 (day of month): never comes in these months");
    }
    return 0;
}

/* "1h30m": each unit once, the larger first. */
static int parse_every(struct scan *scan, struct cron *cron)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
    size_t next = 0;
    while (scan->at < scan->length) {
        size_t begin = scan->at;
        int64_t count = 0;
        while (is_digit(peek(scan))) {
            scan->at++;
        }
        if (scan->at - begin > 9 ||
            number_parse(scan->text + begin, scan->at - begin, &count) != 0) {
            return error_set(scan->err, "character %zu: @every wants a number and d, h, m or s",
                             begin + 1);
        }
        while (next < 4 && units[next].unit != peek(scan)) {
            next++;
        }
        if (next == 4) {
            return error_set(scan->err,
                             "character %zu: a unit is wanted: d, h, m or s, in this order",
                             scan->at + 1);
        }
        cron->every_s += count * units[next++].seconds;
        scan->at++;
    }
    if (cron->every_s < 1 || cron->every_s > EVERY_MAX_S) {
        return error_set(scan->err, "@every: from 1s to 366d");
    }
    return 0;
}

static int parse_name(struct scan *scan, struct cron *cron)
{
    static const struct {
        const char *name;
        const char *fields;
    } names[] = {{"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
                 {"@weekly", "0 0 * * 0"},  {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
                 {"@annually", "0 0 1 1 *"}};
    static const char every[] = "@every ";
    if (scan->length > sizeof every - 1 && memcmp(scan->text, every, sizeof every - 1) == 0) {
        scan->at = sizeof every - 1;
        return parse_every(scan, cron);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i].name) == scan->length &&
            memcmp(scan->text, names[i].name, scan->length) == 0) {
            *scan = (struct scan){
                .text = names[i].fields, .length = strlen(names[i].fields), .err = scan->err};
            return parse_fields(scan, cron);
        }
    }
    return error_set(scan->err, "character 1: known names are @hourly, @daily, @midnight, @weekly, "
                                "@monthly, @yearly, @annually and \"@every 90s\"");
}

int cron_parse(const char *text, size_t length, struct cron *cron_out, struct error *err)
{
    struct scan scan = {.text = text, .length = length, .err = err};
    struct cron cron = {0};
    if (length == 0 || length > CRON_TEXT_MAX) {
        return error_set(err, length == 0 ? "empty" : "longer than 256 characters");
    }
    if ((text[0] == '@' ? parse_name(&scan, &cron) : parse_fields(&scan, &cron)) != 0) {
        return -1;
    }
    *cron_out = cron;
    return 0;
}
