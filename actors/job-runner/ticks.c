/* See ticks.h. */
#include "job-runner/ticks.h"

#include "runtime/base/clock.h"

#include <string.h>

enum ticks_missed ticks_missed(const char *text, size_t length)
{
    if (length == 3 && memcmp(text, "all", 3) == 0) {
        return TICKS_ALL;
    }
    return length == 4 && memcmp(text, "none", 4) == 0 ? TICKS_NONE : TICKS_SKIP;
}

/* Those that are due, the latest `most` of them, from the end of the list backwards. */
static size_t gather(const struct cron *cron, const struct zone *zone, int64_t due_us,
                     int64_t now_us, size_t most, int64_t *end)
{
    size_t count = 0;
    int64_t tick_us = now_us + 1;
    while (count < most &&
           (tick_us = cron_last_us(cron, zone, due_us - 1, tick_us - 1)) != INT64_MIN) {
        *--end = tick_us;
        count++;
    }
    return count;
}

void ticks_plan(const struct cron *cron, const struct zone *zone, enum ticks_missed missed,
                int64_t due_us, int64_t now_us, struct ticks *ticks_out)
{
    size_t most = missed == TICKS_ALL ? TICKS_MAX : 1;
    size_t count = gather(cron, zone, due_us, now_us, most, ticks_out->due_us + TICKS_MAX);
    const int64_t *first = ticks_out->due_us + TICKS_MAX - count;
    if (missed == TICKS_NONE && count > 0 && now_us - *first > TICKS_MISSED_US) {
        count = 0;
    }
    memmove(ticks_out->due_us, first, count * sizeof *first);
    ticks_out->count = count;
    ticks_out->next_us = cron_next_us(cron, zone, now_us);
}

void ticks_name(int64_t due_us, char name_out[TICKS_NAME_SIZE])
{
    char text[CLOCK_TEXT_SIZE];
    clock_format(due_us, text);
    memcpy(name_out, text, TICKS_NAME_SIZE - 2); /* ticks have no fractions */
    memcpy(name_out + TICKS_NAME_SIZE - 2, "Z", 2);
}
