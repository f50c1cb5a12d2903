/*
 * `signalbox settings`: every setting with its value, as an example file, or (for the supervisor)
 * as the new flat table of a reload.
 */
#include "ops/cli/cli.h"
#include "ops/cli/location.h"
#include "ops/cli/options.h"
#include "ops/cli/secrets.h"
#include "ops/cli/sources.h"
#include "runtime/base/number.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const source_names[] = {[SOURCE_DEFAULT] = "default",
                                           [SOURCE_FILE] = "file",
                                           [SOURCE_ENVIRONMENT] = "environment",
                                           [SOURCE_FLAG] = "flag",
                                           [SOURCE_UP] = "up"};

static bool is_shown(const struct setting_info *info)
{
    return (info->flags & SETTING_DERIVED) == 0;
}

/* ---- --example ---- */

static void print_bounds(const struct setting_info *info)
{
    if (info->type == SETTING_INT) {
        printf(" (%lld to %lld)", (long long)info->min, (long long)info->max);
    }
    if ((info->flags & SETTING_RELOAD) != 0) {
        fputs(" [reload]", stdout);
    }
}

static void print_example_value(const struct setting_info *info)
{
    const char *name = strchr(info->key, '.') + 1;
    if (info->type == SETTING_TEXT) {
        printf("    # %s = \"%s\"\n", name, info->fallback);
    } else {
        printf("    # %s = %s\n", name, info->fallback);
    }
}

static int print_example(void)
{
    char section[32] = "";
    puts("# Settings of Signalbox, each at its default. Take away the '#' in front of what you "
         "change.\n"
         "# The environment wins over this file: SIGNALBOX_SERVER_LISTEN for server.listen, and so "
         "on.\n"
         "# [reload]: taken over by 'signalbox reload' without a restart of any process.");
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        const struct setting_info *info = setting_info((enum setting)id);
        if (!is_shown(info)) {
            continue;
        }
        size_t length = (size_t)(strchr(info->key, '.') - info->key);
        if (strlen(section) != length || memcmp(section, info->key, length) != 0) {
            printf("%s\n%.*s {\n", section[0] == '\0' ? "" : "}\n", (int)length, info->key);
            snprintf(section, sizeof section, "%.*s", (int)length, info->key);
        }
        printf("    # %s", info->help);
        print_bounds(info);
        putchar('\n');
        print_example_value(info);
    }
    puts("}");
    return EXIT_CODE_DONE;
}

/* ---- the table ---- */

static const char *shown_value(const struct settings *settings, enum setting id)
{
    const char *value = settings_text(settings, id);
    bool secret = (setting_info(id)->flags & SETTING_SECRET) != 0;
    return secret && value[0] != '\0' ? "(secret)" : value;
}

static void print_table(const struct sources *sources)
{
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        const struct setting_info *info = setting_info((enum setting)id);
        if (is_shown(info)) {
            printf("%s = %s\n    %s", info->key, shown_value(sources->settings, (enum setting)id),
                   info->help);
            print_bounds(info);
            printf("; default %s; from %s\n", info->fallback[0] == '\0' ? "empty" : info->fallback,
                   source_names[sources->from[id]]);
        }
    }
}

static void print_json(const struct sources *sources)
{
    json_t *document = json_object();
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        const struct setting_info *info = setting_info((enum setting)id);
        if (is_shown(info)) {
            json_object_set_new(document, info->key,
                                json_pack("{s:s,s:s,s:s,s:s,s:b}", "value",
                                          shown_value(sources->settings, (enum setting)id),
                                          "default", info->fallback, "from",
                                          source_names[sources->from[id]], "help", info->help,
                                          "reload", (info->flags & SETTING_RELOAD) != 0));
        }
    }
    json_dumpf(document, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(document);
}

/* Without --config: the file of the last `up` in DIR, if there was one. */
static int show(const struct cli *cli, const char *config)
{
    struct error err;
    struct sources sources;
    struct location location = {0};
    if (location_read(cli->dir, &location, &err) == LOCATION_FAILED) {
        return cli_fail(EXIT_CODE_FAILED, "%s", err.text);
    }
    const char *file = config == NULL ? location.config_file : config;
    sources_init(&sources);
    if ((file[0] != '\0' && sources_read_file(&sources, file, &err) != 0) ||
        sources_read_environment(&sources, environ, &err) != 0 ||
        sources_check(&sources, &err) != 0) {
        sources_deinit(&sources);
        return cli_fail(EXIT_CODE_FAILED, "%s", err.text);
    }
    (cli->json ? print_json : print_table)(&sources);
    sources_deinit(&sources);
    return EXIT_CODE_DONE;
}

/* ---- --for-reload ---- */

/* Whether `key` is in the comma-separated `list`. */
static bool is_listed(const char *list, const char *key)
{
    size_t length = strlen(key);
    for (const char *at = strstr(list, key); at != NULL; at = strstr(at + 1, key)) {
        if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

static bool is_kept(const struct settings *running, const struct sources *sources, enum setting id)
{
    const struct setting_info *info = setting_info(id);
    if ((info->flags & SETTING_DERIVED) != 0) {
        return true;
    }
    /* What `up` worked out itself (embedded URLs, the pepper), or had from an environment that is
     * hidden now. */
    return (info->flags & SETTING_SECRET) != 0 &&
           (sources->from[id] == SOURCE_DEFAULT ||
            is_listed(settings_text(running, SETTING_INSTANCE_KEPT), info->key));
}

/* Another server, or embedded instead of another one, is a new start and no reload. */
static int check_services(const struct settings *running, const struct sources *sources,
                          struct error *err)
{
    static const struct {
        enum setting url, embedded;
    } services[] = {{SETTING_DATABASE_URL, SETTING_DATABASE_EMBEDDED},
                    {SETTING_REDIS_URL, SETTING_REDIS_EMBEDDED}};
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
        enum setting id = services[i].url;
        bool kept = is_kept(running, sources, id);
        bool embedded = settings_bool(running, services[i].embedded);
        bool given =
            sources->from[id] != SOURCE_DEFAULT && settings_text(sources->settings, id)[0] != '\0';
        bool listed =
            is_listed(settings_text(running, SETTING_INSTANCE_KEPT), setting_info(id)->key);
        if ((!kept && embedded == given) || (kept && !embedded && !given && !listed)) {
            return error_set(err,
                             "%s cannot change between embedded and given by a reload: stop "
                             "and start again",
                             setting_info(id)->key);
        }
    }
    return 0;
}

static int merge_reload(const struct settings *running, struct sources *sources, struct error *err)
{
    const char *file = settings_text(running, SETTING_INSTANCE_CONFIG_FILE);
    if ((file[0] != '\0' && sources_read_file(sources, file, err) != 0) ||
        sources_read_environment(sources, environ, err) != 0 || sources_check(sources, err) != 0 ||
        check_services(running, sources, err) != 0) {
        return -1;
    }
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        if (is_kept(running, sources, (enum setting)id) &&
            sources_set(sources, (enum setting)id, settings_text(running, (enum setting)id),
                        SOURCE_UP, err) != 0) {
            return -1;
        }
    }
    return secrets_token_keys(sources, err);
}

static struct settings *read_running(struct error *err)
{
    const char *text = getenv("SIGNALBOX_SETTINGS_FD");
    int64_t fd = 0;
    if (text == NULL || number_parse(text, strlen(text), &fd) != 0 || fd > 1000000) {
        error_set(err, "SIGNALBOX_SETTINGS_FD names no descriptor");
        return NULL;
    }
    return settings_read((int)fd, err);
}

static int print_reload(void)
{
    struct error err;
    struct sources sources;
    struct buffer text = {0};
    struct settings *running = read_running(&err);
    /* Words for the supervisor, which hands them on: whoever shows them puts our name in front. */
    if (running == NULL) {
        fprintf(stderr, "%s\n", err.text);
        return EXIT_CODE_CONFIG;
    }
    sources_init(&sources);
    int code = EXIT_CODE_DONE;
    if (merge_reload(running, &sources, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        code = EXIT_CODE_CONFIG;
    } else {
        settings_write(sources.settings, &text);
        if (fwrite(text.data, 1, text.length, stdout) != text.length || fflush(stdout) != 0) {
            code = cli_fail(EXIT_CODE_FAILED, "cannot write the settings");
        }
        sodium_memzero(text.data, text.capacity);
    }
    buffer_deinit(&text);
    sources_deinit(&sources);
    settings_destroy(&running);
    return code;
}

int command_settings(const struct cli *cli, int argc, char **argv)
{
    bool example = false;
    bool reload = false;
    const char *config = NULL;
    const struct option_spec specs[] = {{"--example", NULL, &example},
                                        {"--for-reload", NULL, &reload},
                                        {"--config", &config, NULL},
                                        {0}};
    struct error err;
    if (options_parse(argc, argv, specs, 0, 0, &err) < 0) {
        return cli_usage("settings", "%s", err.text);
    }
    return example ? print_example() : reload ? print_reload() : show(cli, config);
}
