/* See zone.h. */
#include "runtime/zone.h"

#include "runtime/base/memory.h"
#include "runtime/zone_rule.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    DAY = 86400,
    OFFSET_MAX_S = 26 * 3600,
    FILE_MAX = 65536,
    HEADER_SIZE = 44,
    CHANGES_MAX = 4096
};

static const char database[] = "/usr/share/zoneinfo";

struct change {
    int64_t at;
    int64_t offset_s; /* from then on */
};

struct zone {
    int64_t first_offset_s;
    size_t changes_count;
    struct change *changes; /* growing */
    struct zone_rule rule;  /* behind the last */
};

/* ---- the calendar ---- */

/* The era of 400 years begins on 1 March: the leap day is the last of its year. */
int64_t zone_days(int64_t year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

struct zone_date zone_date(int64_t days)
{
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t of_era = shifted - era * 146097;
    int64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * years + years / 4 - years / 100);
    int64_t march = (5 * of_year + 2) / 153;
    int month = (int)(march < 10 ? march + 3 : march - 9);
    return (struct zone_date){.year = years + era * 400 + (month <= 2 ? 1 : 0),
                              .month = month,
                              .day = (int)(of_year - (153 * march + 2) / 5 + 1)};
}

int zone_days_of_month(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

int zone_weekday(int64_t days)
{
    return (int)(((days + 4) % 7 + 7) % 7);
}

/* ---- the file ---- */

struct header {
    char version;
    uint32_t ut_count;
    uint32_t standard_count;
    uint32_t leap_count;
    uint32_t time_count;
    uint32_t type_count;
    uint32_t char_count;
};

static uint32_t read_32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int64_t read_64(const uint8_t *at)
{
    return (int64_t)((uint64_t)read_32(at) << 32 | read_32(at + 4));
}

static bool read_header(const uint8_t *bytes, size_t size, struct header *header)
{
    if (size < HEADER_SIZE || memcmp(bytes, "TZif", 4) != 0) {
        return false;
    }
    *header = (struct header){.version = (char)bytes[4],
                              .ut_count = read_32(bytes + 20),
                              .standard_count = read_32(bytes + 24),
                              .leap_count = read_32(bytes + 28),
                              .time_count = read_32(bytes + 32),
                              .type_count = read_32(bytes + 36),
                              .char_count = read_32(bytes + 40)};
    return header->time_count <= CHANGES_MAX && header->type_count <= 256 &&
           header->char_count <= 256 && header->leap_count <= 256 && header->ut_count <= 256 &&
           header->standard_count <= 256;
}

static size_t block_size(const struct header *header, size_t time_size)
{
    return header->time_count * (time_size + 1) + header->type_count * (size_t)6 +
           header->char_count + header->leap_count * (time_size + 4) + header->standard_count +
           header->ut_count;
}

/* The changes in the block of 64 bit times. Leap seconds are those of another clock than ours. */
static int read_changes(struct zone *zone, const struct header *header, const uint8_t *block)
{
    const uint8_t *types = block + header->time_count * (size_t)9;
    const uint8_t *indexes = block + header->time_count * (size_t)8;
    if (header->type_count == 0 || header->leap_count != 0) {
        return -1;
    }
    zone->first_offset_s = (int32_t)read_32(types);
    zone->changes = memory_array(header->time_count + (size_t)1, sizeof *zone->changes);
    for (size_t i = 0; i < header->time_count; i++) {
        const struct change change = {
            .at = read_64(block + i * 8),
            .offset_s = indexes[i] < header->type_count
                            ? (int32_t)read_32(types + indexes[i] * (size_t)6)
                            : INT32_MAX,
        };
        bool grows = i == 0 || change.at > zone->changes[i - 1].at;
        if (!grows || change.offset_s < -OFFSET_MAX_S || change.offset_s > OFFSET_MAX_S) {
            return -1;
        }
        zone->changes[zone->changes_count++] = change;
    }
    return zone->first_offset_s < -OFFSET_MAX_S || zone->first_offset_s > OFFSET_MAX_S ? -1 : 0;
}

/* A line of its own at the end; empty: nothing changes any more. */
static int read_rule(struct zone *zone, const uint8_t *footer, size_t size)
{
    zone->rule.standard_s = zone->changes_count == 0
                                ? zone->first_offset_s
                                : zone->changes[zone->changes_count - 1].offset_s;
    if (size < 2 || footer[0] != '\n' || footer[size - 1] != '\n') {
        return -1;
    }
    return size == 2 ? 0 : zone_rule_parse((const char *)footer + 1, size - 2, &zone->rule);
}

int zone_parse(const uint8_t *bytes, size_t size, struct zone **zone_out, struct error *err)
{
    struct header first;
    struct header header;
    struct zone *zone = memory_new(sizeof *zone);
    bool whole = read_header(bytes, size, &first) && first.version >= '2' &&
                 size - HEADER_SIZE > block_size(&first, 4);
    size_t skip = whole ? HEADER_SIZE + block_size(&first, 4) : 0;
    whole = whole && read_header(bytes + skip, size - skip, &header) &&
            size - skip - HEADER_SIZE >= block_size(&header, 8);
    if (whole) {
        const uint8_t *block = bytes + skip + HEADER_SIZE;
        size_t length = block_size(&header, 8);
        whole = read_changes(zone, &header, block) == 0 &&
                read_rule(zone, block + length, size - skip - HEADER_SIZE - length) == 0;
    }
    if (!whole) {
        zone_destroy(&zone);
        return error_set(err, "not the file of a time zone");
    }
    *zone_out = zone;
    return 0;
}

void zone_destroy(struct zone **zone)
{
    if (*zone != NULL) {
        free((*zone)->changes);
        free(*zone);
        *zone = NULL;
    }
}

/* Words of letters, digits and _ + -, divided by slashes; not the copies that count leap seconds. */
static bool is_name(const char *name, size_t length)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-";
    if (length == 0 || length > ZONE_NAME_MAX || name[length - 1] == '/' ||
        (length > 6 && (memcmp(name, "right/", 6) == 0 || memcmp(name, "posix/", 6) == 0))) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        bool starts_word = i == 0 || name[i - 1] == '/';
        bool divides = name[i] == '/' && !starts_word;
        if (!divides && (name[i] == '\0' || strchr(good, name[i]) == NULL)) {
            return false;
        }
    }
    return true;
}

static ssize_t read_all(int fd, uint8_t *bytes, size_t size)
{
    size_t length = 0;
    ssize_t got;
    while ((got = read(fd, bytes + length, size - length)) > 0) {
        length += (size_t)got;
    }
    return got < 0 ? -1 : (ssize_t)length;
}

int zone_load(const char *name, size_t length, struct zone **zone_out, struct error *err)
{
    char relative[ZONE_NAME_MAX + 1];
    if (!is_name(name, length)) {
        return error_set(err, "not the name of a time zone");
    }
    memcpy(relative, name, length);
    relative[length] = '\0';
    int folder = open(database, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        return error_set(err, "this machine has no time zones: package tzdata is missing");
    }
    int fd = openat(folder, relative, O_RDONLY | O_CLOEXEC);
    close(folder);
    if (fd < 0) {
        return error_set(err, "there is no time zone \"%s\"", relative);
    }
    uint8_t *bytes = memory_new(FILE_MAX);
    ssize_t size = read_all(fd, bytes, FILE_MAX);
    close(fd);
    int rc = size < 0 ? -1 : zone_parse(bytes, (size_t)size, zone_out, err);
    free(bytes);
    return rc == 0 ? 0 : error_set(err, "there is no time zone \"%s\"", relative);
}

/* ---- instants and walls ---- */

/* How many changes are not behind the instant. */
static size_t changes_before(const struct zone *zone, int64_t instant)
{
    size_t low = 0;
    size_t high = zone->changes_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->changes[middle].at <= instant) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct zone_period zone_period(const struct zone *zone, int64_t instant)
{
    if (zone == NULL) {
        return (struct zone_period){INT64_MIN, INT64_MAX, 0};
    }
    size_t count = changes_before(zone, instant);
    int64_t begin = count == 0 ? INT64_MIN : zone->changes[count - 1].at;
    if (count == zone->changes_count) {
        struct zone_period period = zone_rule_period(&zone->rule, instant);
        period.begin = period.begin > begin ? period.begin : begin;
        return period;
    }
    return (struct zone_period){.begin = begin,
                                .end = zone->changes[count].at,
                                .offset_s = count == 0 ? zone->first_offset_s
                                                       : zone->changes[count - 1].offset_s};
}

int64_t zone_instant(const struct zone *zone, int64_t wall)
{
    struct zone_period period = zone_period(zone, wall - OFFSET_MAX_S);
    while (period.end != INT64_MAX && wall - period.offset_s >= period.end) {
        period = zone_period(zone, period.end);
    }
    int64_t instant = wall - period.offset_s;
    return instant > period.begin ? instant : period.begin;
}
