/* See sources.h. */
#include "ops/cli/sources.h"

#include "ops/cli/files.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/number.h"

#include <confuse.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "SIGNALBOX_"

/* Names with our prefix that are not settings: what the supervisor tells its children, and what
 * tests tell each other. */
static const char *const family_names[] = {
    PREFIX "INSTANCE", PREFIX "GENERATION", PREFIX "PARENT",      PREFIX "SLOT",
    PREFIX "HOLD",     PREFIX "FDS",        PREFIX "SETTINGS_FD",
};
static const char family_prefix[] = PREFIX "TEST_";

void sources_init(struct sources *sources)
{
    *sources = (struct sources){.settings = settings_create()};
}

void sources_deinit(struct sources *sources)
{
    settings_destroy(&sources->settings);
}

int sources_set(struct sources *sources, enum setting id, const char *value, enum source from,
                struct error *err)
{
    const struct setting_info *info = setting_info(id);
    if ((info->flags & SETTING_DERIVED) != 0 && from != SOURCE_UP) {
        return error_set(err, "%s is worked out by 'signalbox up' and cannot be set", info->key);
    }
    if (settings_set(sources->settings, id, value, err) != 0) {
        return -1;
    }
    sources->from[id] = from;
    return 0;
}

/* ---- the file ---- */

/* libconfuse takes the end of the file for the end of every open section, so a file that was cut
 * off would pass. A last option of our own, known outside of sections only, tells them apart. */
#define LAST_OPTION "end-of-file"

/* libconfuse reports through a callback without an argument of ours. */
static struct error *file_err;

static void SB_PRINTF(2, 0) report(cfg_t *cfg, const char *format, va_list args)
{
    char text[256];
    vsnprintf(text, sizeof text, format, args);
    bool cut = strstr(text, LAST_OPTION) != NULL;
    error_set(file_err, "%s: line %d: %s", cfg->filename, cfg->line,
              cut ? "a section is not closed" : text);
}

struct section {
    char name[32];
    cfg_opt_t *options; /* owned, CFG_END at the end */
    size_t count;
};

static struct section *section_of(struct section *sections, size_t *count, const char *key)
{
    size_t length = (size_t)(strchr(key, '.') - key);
    for (size_t i = 0; i < *count; i++) {
        if (strlen(sections[i].name) == length && memcmp(sections[i].name, key, length) == 0) {
            return &sections[i];
        }
    }
    struct section *section = &sections[(*count)++];
    snprintf(section->name, sizeof section->name, "%.*s", (int)length, key);
    section->options = memory_array(SETTING_COUNT + 1, sizeof *section->options);
    return section;
}

/* Every option is text to libconfuse, so that all sources are checked by the same code. */
static size_t build_sections(struct section *sections)
{
    size_t count = 0;
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        const char *key = setting_info((enum setting)id)->key;
        struct section *section = section_of(sections, &count, key);
        section->options[section->count++] =
            (cfg_opt_t)CFG_STR(strchr(key, '.') + 1, NULL, CFGF_NODEFAULT);
    }
    for (size_t i = 0; i < count; i++) {
        sections[i].options[sections[i].count] = (cfg_opt_t)CFG_END();
    }
    return count;
}

static int take_values(struct sources *sources, cfg_t *cfg, const char *path, struct error *err)
{
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        const char *key = setting_info((enum setting)id)->key;
        char section[32];
        snprintf(section, sizeof section, "%.*s", (int)(strchr(key, '.') - key), key);
        cfg_t *in = cfg_size(cfg, section) == 0 ? NULL : cfg_getsec(cfg, section);
        const char *name = strchr(key, '.') + 1;
        const char *value = in == NULL || cfg_size(in, name) == 0 ? NULL : cfg_getstr(in, name);
        if (value != NULL && sources_set(sources, (enum setting)id, value, SOURCE_FILE, err) != 0) {
            return error_prefix(err, "%s", path);
        }
    }
    return 0;
}

/* `text` is the file with LAST_OPTION behind it. */
static int parse_text(struct sources *sources, cfg_opt_t *options, const char *path,
                      struct buffer *text, struct error *err)
{
    cfg_t *cfg = cfg_init(options, CFGF_NONE);
    FILE *file = fmemopen(text->data, text->length, "r");
    if (cfg == NULL || file == NULL) {
        return error_set(err, "cannot read %s: out of memory", path);
    }
    cfg_set_error_function(cfg, report);
    cfg->filename = strdup(path);
    file_err = err;
    error_set(err, "%s: a section, text or comment is not closed", path);
    int result = -1;
    if (cfg_parse_fp(cfg, file) == CFG_SUCCESS && cfg_size(cfg, LAST_OPTION) > 0) {
        result = take_values(sources, cfg, path, err);
    }
    file_err = NULL;
    fclose(file);
    cfg_free(cfg);
    return result;
}

static int read_and_parse(struct sources *sources, cfg_opt_t *options, const char *path,
                          struct error *err)
{
    char resolved[PATH_MAX];
    struct buffer text = {0};
    if (realpath(path, resolved) == NULL) {
        return error_set(err, "cannot read %s: %s", path, error_errno(errno));
    }
    int result = -1;
    switch (file_read(resolved, &text, err)) {
    case FILE_FOUND:
        buffer_append_text(&text, "\n" LAST_OPTION " = reached\n");
        result = parse_text(sources, options, path, &text, err);
        explicit_bzero(text.data, text.length);
        break;
    case FILE_ABSENT:
        error_set(err, "there is no %s", path);
        break;
    case FILE_FAILED:
        break;
    }
    buffer_deinit(&text);
    return result;
}

int sources_read_file(struct sources *sources, const char *path, struct error *err)
{
    struct section *sections = memory_array(SETTING_COUNT, sizeof *sections);
    size_t count = build_sections(sections);
    cfg_opt_t *options = memory_array(count + 2, sizeof *options);
    for (size_t i = 0; i < count; i++) {
        options[i] = (cfg_opt_t)CFG_SEC(sections[i].name, sections[i].options, CFGF_NODEFAULT);
    }
    options[count] = (cfg_opt_t)CFG_STR(LAST_OPTION, NULL, CFGF_NODEFAULT);
    options[count + 1] = (cfg_opt_t)CFG_END();
    int result = read_and_parse(sources, options, path, err);
    for (size_t i = 0; i < count; i++) {
        free(sections[i].options);
    }
    free(options);
    free(sections);
    return result;
}

/* ---- the environment ---- */

char *sources_environment_name(enum setting id)
{
    const char *key = setting_info(id)->key;
    size_t size = sizeof PREFIX + strlen(key);
    char *name = memory_new(size);
    snprintf(name, size, PREFIX "%s", key);
    for (char *at = name; *at != '\0'; at++) {
        *at = *at == '.' ? '_' : (char)toupper((unsigned char)*at);
    }
    return name;
}

static bool is_family_name(const char *name, size_t length)
{
    if (strncmp(name, family_prefix, sizeof family_prefix - 1) == 0) {
        return true;
    }
    for (size_t i = 0; i < sizeof family_names / sizeof family_names[0]; i++) {
        if (strlen(family_names[i]) == length && memcmp(family_names[i], name, length) == 0) {
            return true;
        }
    }
    return false;
}

static enum setting find_environment(const char *name, size_t length)
{
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        char *own = sources_environment_name((enum setting)id);
        bool same = strlen(own) == length && memcmp(own, name, length) == 0;
        free(own);
        if (same) {
            return (enum setting)id;
        }
    }
    return SETTING_COUNT;
}

static int take_variable(struct sources *sources, const char *variable, struct error *err)
{
    const char *equals = strchr(variable, '=');
    if (equals == NULL || strncmp(variable, PREFIX, sizeof PREFIX - 1) != 0) {
        return 0;
    }
    size_t length = (size_t)(equals - variable);
    if (is_family_name(variable, length)) {
        return 0;
    }
    enum setting id = find_environment(variable, length);
    if (id == SETTING_COUNT) {
        return error_set(err, "environment: %.*s is no setting", (int)length, variable);
    }
    if (sources_set(sources, id, equals + 1, SOURCE_ENVIRONMENT, err) != 0) {
        return error_prefix(err, "environment: %.*s", (int)length, variable);
    }
    return 0;
}

static int take_plain(struct sources *sources, char *const *environment, const char *name,
                      enum setting id, struct error *err)
{
    size_t length = strlen(name);
    for (char *const *at = environment; *at != NULL; at++) {
        if (strncmp(*at, name, length) == 0 && (*at)[length] == '=') {
            return sources_set(sources, id, *at + length + 1, SOURCE_ENVIRONMENT, err);
        }
    }
    return 0;
}

int sources_read_environment(struct sources *sources, char *const *environment, struct error *err)
{
    if (take_plain(sources, environment, "DATABASE_URL", SETTING_DATABASE_URL, err) != 0 ||
        take_plain(sources, environment, "REDIS_URL", SETTING_REDIS_URL, err) != 0) {
        return -1;
    }
    for (char *const *at = environment; *at != NULL; at++) {
        if (take_variable(sources, *at, err) != 0) {
            return -1;
        }
    }
    return 0;
}

void sources_hide_secrets(void)
{
    unsetenv("DATABASE_URL");
    unsetenv("REDIS_URL");
    unsetenv("PGPASSWORD");
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        if ((setting_info((enum setting)id)->flags & SETTING_SECRET) != 0) {
            char *name = sources_environment_name((enum setting)id);
            unsetenv(name);
            free(name);
        }
    }
}

/* ---- what belongs together ---- */

static bool one_of(const char *value, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(value, *words) == 0) {
            return true;
        }
    }
    return false;
}

static int check_listen(const char *value, struct error *err)
{
    const char *colon = strrchr(value, ':');
    int64_t port = 0;
    bool bracketed = value[0] == '[' && colon != NULL && colon > value && colon[-1] == ']';
    bool plain =
        colon != NULL && colon != value && memchr(value, ':', (size_t)(colon - value)) == NULL;
    if ((!bracketed && !plain) || number_parse(colon + 1, strlen(colon + 1), &port) != 0 ||
        port > 65535) {
        return error_set(
            err, "server.listen must be HOST:PORT, an IPv6 address in brackets, not '%s'", value);
    }
    return 0;
}

/* libpq takes any other URL for the name of a database. The text is a secret, so none of it is said. */
static int check_database(const char *url, struct error *err)
{
    bool is_url = strncmp(url, "postgresql://", 13) == 0 || strncmp(url, "postgres://", 11) == 0;
    const char *equals = strchr(url, '=');
    const char *scheme = strstr(url, "://");
    bool is_pairs = equals != NULL && (scheme == NULL || equals < scheme);
    if (url[0] != '\0' && !is_url && !is_pairs) {
        return error_set(err,
                         "database.url must begin with postgresql:// or be keyword=value pairs");
    }
    return 0;
}

static int check_redis(const char *url, struct error *err)
{
    if (strncmp(url, "rediss:", 7) == 0) {
        return error_set(err, "redis.url: TLS (rediss:) is not supported, use redis: or unix:");
    }
    if (url[0] != '\0' && strncmp(url, "redis://", 8) != 0 && strncmp(url, "unix:", 5) != 0) {
        return error_set(err, "redis.url must begin with redis:// or unix:");
    }
    return 0;
}

/* Roughly: the actors look at all of it. */
static int check_collector(const char *url, struct error *err)
{
    if (url[0] != '\0' && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        return error_set(err, "trace.otlp_url must begin with http:// or https://");
    }
    return 0;
}

int sources_check(const struct sources *sources, struct error *err)
{
    static const char *const formats[] = {"auto", "json", "text", NULL};
    static const char *const seccomp_modes[] = {"off", "log", "kill", NULL};
    const struct settings *settings = sources->settings;
    const char *pepper = settings_text(settings, SETTING_AUTH_PEPPER);
    enum log_level level;
    if (log_level_parse(settings_text(settings, SETTING_LOG_LEVEL), &level) != 0) {
        return error_set(err, "log.level must be debug, info, warn or error");
    }
    if (!one_of(settings_text(settings, SETTING_SECURITY_SECCOMP), seccomp_modes)) {
        return error_set(err, "security.seccomp must be off, log or kill");
    }
    if (!one_of(settings_text(settings, SETTING_LOG_FORMAT), formats)) {
        return error_set(err, "log.format must be auto, json or text");
    }
    if (pepper[0] != '\0' &&
        (strlen(pepper) != 64 || strspn(pepper, "0123456789abcdefABCDEF") != 64)) {
        return error_set(err, "auth.pepper must be 64 hex digits");
    }
    bool file = settings_text(settings, SETTING_AUTH_JWKS_FILE)[0] != '\0';
    bool url = settings_text(settings, SETTING_AUTH_JWKS_URL)[0] != '\0';
    if ((file || url) && settings_bool(settings, SETTING_AUTH_SINGLE_USER)) {
        return error_set(err, "auth.single_user takes no tokens: auth.jwks_file and auth.jwks_url "
                              "must be empty");
    }
    if (file && (settings_text(settings, SETTING_AUTH_JWT_ISSUER)[0] == '\0' ||
                 settings_text(settings, SETTING_AUTH_JWT_AUDIENCE)[0] == '\0')) {
        return error_set(err, "auth.jwks_file needs auth.jwt_issuer and auth.jwt_audience");
    }
    if (settings_int(settings, SETTING_WATCHDOG_WARN_MS) >=
        settings_int(settings, SETTING_WATCHDOG_ABORT_MS)) {
        return error_set(err, "watchdog.warn_ms must be below watchdog.abort_ms");
    }
    if (check_listen(settings_text(settings, SETTING_SERVER_LISTEN), err) != 0) {
        return -1;
    }
    if (check_database(settings_text(settings, SETTING_DATABASE_URL), err) != 0) {
        return -1;
    }
    if (check_redis(settings_text(settings, SETTING_REDIS_URL), err) != 0) {
        return -1;
    }
    return check_collector(settings_text(settings, SETTING_TRACE_OTLP_URL), err);
}
