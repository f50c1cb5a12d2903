/*
 * The typed table of settings and the checked flat table in which they travel.
 *
 * `signalbox up` reads file, environment and flags into this table; the supervisor and the actors
 * get it as lines of `key=value` on an inherited descriptor (read with pread, so a shared offset
 * does no harm).
 */
#ifndef SIGNALBOX_BASE_SETTINGS_H
#define SIGNALBOX_BASE_SETTINGS_H

#include "runtime/base/buffer.h"
#include "runtime/base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum setting {
#define SETTING(id, key, type, fallback, min, max, flags, owner, help) SETTING_##id,
#include "runtime/base/settings.def"
#undef SETTING
    SETTING_COUNT
};

enum setting_type { SETTING_INT, SETTING_TEXT, SETTING_BOOL };

enum setting_flag { SETTING_RELOAD = 1, SETTING_SECRET = 2, SETTING_DERIVED = 4 };

struct setting_info {
    const char *key;
    enum setting_type type;
    const char *fallback;
    int64_t min;
    int64_t max;
    unsigned flags;
    const char *owner;
    const char *help;
};

struct settings;

const struct setting_info *setting_info(enum setting id);
/* SETTING_COUNT when there is no such key. */
enum setting setting_find(const char *key);

/* All defaults. The caller destroys it. */
struct settings *settings_create(void);
void settings_destroy(struct settings **settings);
struct settings *settings_copy(const struct settings *settings);
/* Checks type and bounds. Text must hold no line break. */
SB_MUST_CHECK int settings_set(struct settings *settings, enum setting id, const char *value,
                               struct error *err);

int64_t settings_int(const struct settings *settings, enum setting id);
bool settings_bool(const struct settings *settings, enum setting id);
/* Borrowed from the table; never NULL. */
const char *settings_text(const struct settings *settings, enum setting id);

/* The flat table: every setting, `key=value` lines. */
void settings_write(const struct settings *settings, struct buffer *out);
/* Reads a flat table from the start of `fd` (a memfd or a file). NULL and err when a line is wrong.
 */
struct settings *settings_read(int fd, struct error *err);

#endif
