/* See stuck.h. */
#include "sequencer/stuck.h"

#include <string.h>

static bool is_one_of(const char *sqlstate, const char *const *prefixes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strncmp(sqlstate, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    return false;
}

bool stuck_is_data(const char *sqlstate)
{
    static const char *const data[] = {"22", "23", "54"};
    return is_one_of(sqlstate, data, sizeof data / sizeof data[0]);
}

/* 08 connection, 0A and 26 plans of another schema, 25 read-only or a failed transaction, 28 and 42
 * rights and what is not there, 3D no such database, 40 serialization, 53 resources, 57P shutdown,
 * 58 the operating system, F0 configuration: it would have happened to any command. */
static bool is_surroundings(const char *sqlstate)
{
    static const char *const surroundings[] = {"08", "0A", "25", "26", "28",  "3D",
                                               "40", "42", "53", "58", "57P", "F0"};
    return sqlstate[0] == '\0' ||
           is_one_of(sqlstate, surroundings, sizeof surroundings / sizeof surroundings[0]);
}

enum stuck_step stuck_failed(struct stuck *stuck, const char *sqlstate, size_t count,
                             int64_t now_ms)
{
    if (now_ms - stuck->last_ms > STUCK_CALM_MS) {
        stuck->failures = 0;
    }
    stuck->failures++;
    stuck->last_ms = now_ms;
    if (is_surroundings(sqlstate)) {
        stuck->suspects = 0;
        stuck->blocked = stuck->failures > STUCK_TRIES;
        return STUCK_AGAIN;
    }
    if (stuck->failures <= STUCK_TRIES) {
        return STUCK_AGAIN;
    }
    if (count > 1) {
        stuck->suspects = count;
        return STUCK_SPLIT;
    }
    stuck->suspects = 0;
    stuck->failures = STUCK_TRIES - 1; /* the next one is begun again once before it is blamed */
    return STUCK_REFUSE;
}

void stuck_committed(struct stuck *stuck, int64_t now_ms)
{
    stuck->blocked = false;
    if (stuck->suspects > 0) {
        stuck->suspects--;
        stuck->failures = stuck->suspects == 0 ? 0 : stuck->failures;
    } else if (now_ms - stuck->last_ms > STUCK_CALM_MS) {
        stuck->failures = 0;
    }
}

bool stuck_narrows(const struct stuck *stuck)
{
    return stuck->suspects > 0;
}
