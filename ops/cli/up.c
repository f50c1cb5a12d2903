/*
 * `signalbox up`: settings, a place to live, secrets, the embedded cluster; then this process
 * becomes the supervisor. Nothing is left to undo when it fails or is killed in the middle: every
 * step is atomic and the next start begins where this one ended.
 */
#include "ops/cli/cli.h"
#include "ops/cli/cluster.h"
#include "ops/cli/files.h"
#include "ops/cli/options.h"
#include "ops/cli/place.h"
#include "ops/cli/secrets.h"
#include "ops/cli/sources.h"
#include "runtime/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Words on the way: text for a person, else lines like the server's own log. */
static void tell(const struct settings *settings, const char *message, const char *detail)
{
    const char *format = settings_text(settings, SETTING_LOG_FORMAT);
    bool text =
        strcmp(format, "text") == 0 || (strcmp(format, "auto") == 0 && isatty(STDERR_FILENO) == 1);
    if (text) {
        fprintf(stderr, "signalbox: %s %s\n", message, detail);
    } else {
        LOG_INFO(message, LOG_TEXT("path", detail));
    }
}

static int set_derived(struct sources *sources, enum setting id, const char *value,
                       struct error *err)
{
    return sources_set(sources, id, value, SOURCE_UP, err);
}

static int set_derived_id(struct sources *sources, enum setting id, unsigned value,
                          struct error *err)
{
    char text[16];
    snprintf(text, sizeof text, "%u", value);
    return set_derived(sources, id, text, err);
}

/* Directory of this program: the rest of the family lies beside it. */
static int find_bin_dir(char out[PATH_MAX], struct error *err)
{
    ssize_t length = readlink("/proc/self/exe", out, PATH_MAX);
    if (length <= 0 || length >= PATH_MAX) {
        return error_set(err, "cannot find the programs: %s", error_errno(errno));
    }
    out[length] = '\0';
    *strrchr(out, '/') = '\0';
    return 0;
}

static int derive_place(struct sources *sources, const struct place *place, struct error *err)
{
    char bin_dir[PATH_MAX];
    const struct location *location = &place->location;
    return find_bin_dir(bin_dir, err) != 0 ||
                   set_derived(sources, SETTING_INSTANCE_DIR, location->dir, err) != 0 ||
                   set_derived(sources, SETTING_INSTANCE_RUN_DIR, location->run_dir, err) != 0 ||
                   set_derived(sources, SETTING_INSTANCE_DATA_DIR, location->data_dir, err) != 0 ||
                   set_derived(sources, SETTING_INSTANCE_BIN_DIR, bin_dir, err) != 0 ||
                   set_derived(sources, SETTING_INSTANCE_CONFIG_FILE, location->config_file, err) !=
                       0 ||
                   set_derived_id(sources, SETTING_INSTANCE_UID, place->user.uid, err) != 0 ||
                   set_derived_id(sources, SETTING_INSTANCE_GID, place->user.gid, err) != 0
               ? -1
               : 0;
}

#ifdef SB_FAULTS
static int derive_faults(struct sources *sources, struct error *err)
{
    const char *directory = getenv("SB_FAULT_DIR");
    return directory == NULL ? 0 : set_derived(sources, SETTING_INSTANCE_FAULT_DIR, directory, err);
}
#else
static int derive_faults(struct sources *sources SB_UNUSED, struct error *err SB_UNUSED)
{
    return 0;
}
#endif

/* Without a URL the embedded server's sockets are the URL. */
static int derive_services(struct sources *sources, const struct place *place, struct error *err)
{
    const char *run_dir = place->location.run_dir;
    char url[PATH_MAX];
    bool database = settings_text(sources->settings, SETTING_DATABASE_URL)[0] == '\0';
    bool redis = settings_text(sources->settings, SETTING_REDIS_URL)[0] == '\0';
    if (set_derived(sources, SETTING_DATABASE_EMBEDDED, database ? "true" : "false", err) != 0 ||
        set_derived(sources, SETTING_DATABASE_SET_ROLE, database ? "false" : "true", err) != 0 ||
        set_derived(sources, SETTING_REDIS_EMBEDDED, redis ? "true" : "false", err) != 0) {
        return -1;
    }
    snprintf(url, sizeof url, "host='%s' dbname=signalbox", run_dir);
    if (database && set_derived(sources, SETTING_DATABASE_URL, url, err) != 0) {
        return -1;
    }
    snprintf(url, sizeof url, "unix:%s/redis.sock", run_dir);
    return redis ? set_derived(sources, SETTING_REDIS_URL, url, err) : 0;
}

/* A reload reads file and environment again; what will not be in the environment then must be
 * remembered by name. */
static int derive_kept(struct sources *sources, struct error *err)
{
    struct buffer names = {0};
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        const struct setting_info *info = setting_info((enum setting)id);
        if ((info->flags & SETTING_SECRET) != 0 && sources->from[id] == SOURCE_ENVIRONMENT) {
            buffer_printf(&names, "%s%s", names.length == 0 ? "" : ",", info->key);
        }
    }
    int result = set_derived(sources, SETTING_INSTANCE_KEPT, buffer_text(&names), err);
    buffer_deinit(&names);
    return result;
}

/* The flat table in memory; its descriptor outlives exec. */
static int settings_descriptor(const struct settings *settings, struct error *err)
{
    struct buffer text = {0};
    settings_write(settings, &text);
    int fd = memfd_create("settings", MFD_ALLOW_SEALING);
    ssize_t written = fd < 0 ? -1 : write(fd, text.data, text.length);
    bool whole = written >= 0 && (size_t)written == text.length;
    sodium_memzero(text.data, text.capacity);
    buffer_deinit(&text);
    if (!whole ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
        error_set(err, "cannot pass the settings on: %s", error_errno(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

/* Only returns when it fails. */
static int become_supervisor(const struct settings *settings, struct error *err)
{
    char program[PATH_MAX];
    char number[16];
    int fd = settings_descriptor(settings, err);
    if (fd < 0 ||
        path_join(program, sizeof program, settings_text(settings, SETTING_INSTANCE_BIN_DIR),
                  "signalbox-supervisor", err) != 0) {
        return -1;
    }
    snprintf(number, sizeof number, "%d", fd);
    sources_hide_secrets();
    char *const argv[] = {"signalbox-supervisor", "--settings-fd", number, NULL};
    execv(program, argv);
    return error_set(err, "cannot start %s: %s", program, error_errno(errno));
}

static int read_settings(struct sources *sources, const char *config_file, const char *listen,
                         struct error *err)
{
    if ((config_file[0] != '\0' && sources_read_file(sources, config_file, err) != 0) ||
        sources_read_environment(sources, environ, err) != 0 ||
        (listen != NULL &&
         sources_set(sources, SETTING_SERVER_LISTEN, listen, SOURCE_FLAG, err) != 0) ||
        sources_check(sources, err) != 0 || secrets_token_keys(sources, err) != 0) {
        return -1;
    }
    /* A reload sees no flags; as environment it does. */
    if (listen != NULL && setenv("SIGNALBOX_SERVER_LISTEN", listen, 1) != 0) {
        return error_set(err, "cannot set the environment: %s", error_errno(errno));
    }
    return 0;
}

static int make_directory(const void *arg, struct error *err)
{
    bool created = false;
    return directory_make(arg, 0700, &created, err);
}

static int prepare_place(struct sources *sources, const struct place *place, struct error *err)
{
    bool key_created = false;
    char path[PATH_MAX];
    const struct location *location = &place->location;
    const struct settings *settings = sources->settings;
    bool embedded = settings_text(settings, SETTING_DATABASE_URL)[0] == '\0';
    if (place_is_split(place)) {
        tell(settings, "data is in", location->data_dir);
        tell(settings, "sockets are in", location->run_dir);
    }
    if (embedded && !cluster_exists(place)) {
        tell(settings, "first start: making a PostgreSQL in", location->data_dir);
    }
    if (path_join(path, sizeof path, location->data_dir, "redis", err) != 0 ||
        service_user_call(&place->user, make_directory, path, err) != 0 ||
        (embedded &&
         cluster_prepare(place, settings_text(settings, SETTING_DATABASE_BIN_DIR), err) != 0) ||
        derive_kept(sources, err) != 0 || secrets_pepper(place, sources, err) != 0 ||
        secrets_first_key(place, sources, &key_created, err) != 0) {
        return -1;
    }
    if (key_created && path_join(path, sizeof path, location->dir, "api-key", err) == 0) {
        tell(settings, "the api key is in", path);
    }
    return 0;
}

static int bring_up(struct sources *sources, const char *dir, const char *config_file,
                    struct error *err)
{
    struct place place;
    if (place_prepare(dir, config_file, &place, err) != 0) {
        return -1;
    }
    int result =
        prepare_place(sources, &place, err) != 0 || derive_place(sources, &place, err) != 0 ||
                derive_services(sources, &place, err) != 0 || derive_faults(sources, err) != 0
            ? -1
            : become_supervisor(sources->settings, err);
    place_close(&place);
    return result;
}

int command_up(const struct cli *cli, int argc, char **argv)
{
    const char *listen = NULL;
    const char *config = NULL;
    char config_file[PATH_MAX] = "";
    const struct option_spec specs[] = {
        {"--listen", &listen, NULL}, {"--config", &config, NULL}, {0}};
    struct error err;
    if (options_parse(argc, argv, specs, 0, 0, &err) < 0) {
        return cli_usage("up", "%s", err.text);
    }
    if (config != NULL && realpath(config, config_file) == NULL) {
        return cli_fail(EXIT_CODE_FAILED, "cannot read %s: %s", config, error_errno(errno));
    }
    if (sodium_init() < 0) {
        return cli_fail(EXIT_CODE_FAILED, "cannot get random numbers");
    }
    struct sources sources;
    sources_init(&sources);
    if (read_settings(&sources, config_file, listen, &err) == 0) {
        log_start("signalbox", 0, LOG_LEVEL_INFO);
        (void)!bring_up(&sources, cli->dir, config_file, &err);
    }
    sources_deinit(&sources);
    return cli_fail(EXIT_CODE_FAILED, "%s", err.text);
}
