/* See settings.h and settings.def. */
#include "runtime/base/settings.h"

#include "runtime/base/memory.h"
#include "runtime/base/number.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SETTINGS_BYTES_MAX = 1 << 20 };

struct settings {
    char *text[SETTING_COUNT]; /* owned */
    int64_t number[SETTING_COUNT];
};

/* The short names that settings.def uses. */
enum { INT = SETTING_INT, TEXT = SETTING_TEXT, BOOL = SETTING_BOOL };
enum { RELOAD = SETTING_RELOAD, SECRET = SETTING_SECRET, DERIVED = SETTING_DERIVED };

static const struct setting_info table[SETTING_COUNT] = {
#define SETTING(id, key, type, fallback, min, max, flags, owner, help) \
    [SETTING_##id] = {key, (enum setting_type)type, fallback, min, max, flags, owner, help},
#include "runtime/base/settings.def"
#undef SETTING
};

const struct setting_info *setting_info(enum setting id)
{
    assert(id < SETTING_COUNT);
    return &table[id];
}

enum setting setting_find(const char *key)
{
    unsigned id = 0;
    while (id < SETTING_COUNT && strcmp(table[id].key, key) != 0) {
        id++;
    }
    return (enum setting)id;
}

struct settings *settings_create(void)
{
    struct settings *settings = memory_new(sizeof *settings);
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        struct error err;
        int failed = settings_set(settings, (enum setting)id, table[id].fallback, &err);
        assert(failed == 0);
    }
    return settings;
}

void settings_destroy(struct settings **settings)
{
    if (*settings == NULL) {
        return;
    }
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        char *text = (*settings)->text[id];
        explicit_bzero(text, strlen(text));
        free(text);
    }
    free(*settings);
    *settings = NULL;
}

struct settings *settings_copy(const struct settings *settings)
{
    struct settings *copy = memory_new(sizeof *copy);
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        copy->text[id] = memory_string(settings->text[id]);
        copy->number[id] = settings->number[id];
    }
    return copy;
}

int settings_set(struct settings *settings, enum setting id, const char *value, struct error *err)
{
    const struct setting_info *info = setting_info(id);
    int64_t number = 0;
    switch (info->type) {
    case SETTING_INT:
        if (number_parse(value, strlen(value), &number) != 0 || number < info->min ||
            number > info->max) {
            return error_set(err, "%s must be a whole number from %lld to %lld", info->key,
                             (long long)info->min, (long long)info->max);
        }
        break;
    case SETTING_BOOL:
        number = strcmp(value, "true") == 0;
        if (number == 0 && strcmp(value, "false") != 0) {
            return error_set(err, "%s must be true or false", info->key);
        }
        break;
    case SETTING_TEXT:
        if (strpbrk(value, "\r\n") != NULL) {
            return error_set(err, "%s must not hold a line break", info->key);
        }
        break;
    }
    char *copy = memory_string(value);
    free(settings->text[id]);
    settings->text[id] = copy;
    settings->number[id] = number;
    return 0;
}

int64_t settings_int(const struct settings *settings, enum setting id)
{
    assert(table[id].type == SETTING_INT);
    return settings->number[id];
}

bool settings_bool(const struct settings *settings, enum setting id)
{
    assert(table[id].type == SETTING_BOOL);
    return settings->number[id] != 0;
}

const char *settings_text(const struct settings *settings, enum setting id)
{
    return settings->text[id];
}

void settings_write(const struct settings *settings, struct buffer *out)
{
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        buffer_append_text(out, table[id].key);
        buffer_append_byte(out, '=');
        buffer_append_text(out, settings->text[id]);
        buffer_append_byte(out, '\n');
    }
}

static int read_all(int fd, struct buffer *bytes, struct error *err)
{
    for (;;) {
        uint8_t *at = buffer_reserve(bytes, 4096);
        ssize_t got = pread(fd, at, 4096, (off_t)bytes->length);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return error_set(err, "cannot read the settings: %s", error_errno(errno));
        }
        if (got == 0) {
            return 0;
        }
        bytes->length += (size_t)got;
        if (bytes->length > SETTINGS_BYTES_MAX) {
            return error_set(err, "the settings are larger than %d bytes", SETTINGS_BYTES_MAX);
        }
    }
}

static int parse(struct settings *settings, char *text, struct error *err)
{
    for (char *line = text; *line != '\0';) {
        char *end = strchrnul(line, '\n');
        char *next = *end == '\0' ? end : end + 1;
        *end = '\0';
        char *equals = strchr(line, '=');
        if (equals == NULL) {
            return error_set(err, "a settings line has no '='");
        }
        *equals = '\0';
        enum setting id = setting_find(line);
        if (id == SETTING_COUNT) {
            return error_set(err, "unknown setting %s", line);
        }
        if (settings_set(settings, id, equals + 1, err) != 0) {
            return -1;
        }
        line = next;
    }
    return 0;
}

struct settings *settings_read(int fd, struct error *err)
{
    struct settings *settings = settings_create();
    struct buffer bytes = {0};
    if (read_all(fd, &bytes, err) != 0 || parse(settings, buffer_text(&bytes), err) != 0) {
        settings_destroy(&settings);
    }
    explicit_bzero(bytes.data, bytes.length);
    buffer_deinit(&bytes);
    return settings;
}
