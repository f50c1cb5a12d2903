/* `signalbox migrate up | down [N] | status`: the runner for people and scripts. */
#include "ops/cli/cli.h"
#include "ops/cli/location.h"
#include "ops/cli/migrations.h"
#include "ops/cli/options.h"
#include "ops/cli/sources.h"
#include "ops/cli/target.h"
#include "runtime/base/number.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct migrate {
    bool json;
    bool dry_run;
    char url[PATH_MAX];
    struct store_target target;
    unsigned steps;
};

static int explain(enum store_outcome outcome, const struct migrate *migrate,
                   const struct error *err)
{
    switch (outcome) {
    case STORE_OK:
        return EXIT_CODE_DONE;
    case STORE_UNREACHABLE:
        return cli_fail(migrate->target.embedded ? EXIT_CODE_NOT_RUNNING : EXIT_CODE_FAILED,
                        "cannot reach the database: %s", err->text);
    case STORE_REFUSED:
        break;
    }
    return cli_fail(EXIT_CODE_FAILED, "%s", err->text);
}

/* The server running in DIR may have been told of its database in an environment that is not ours. */
static void follow_server(struct migrate *migrate, const struct cli *cli)
{
    char *dsn = NULL;
    if (target_given_database(cli, &dsn) && strlen(dsn) < sizeof migrate->url) {
        snprintf(migrate->url, sizeof migrate->url, "%s", dsn);
        migrate->target.embedded = false;
    }
    free(dsn);
}

/* The URL of environment or file; else the database of the server running in DIR; else the embedded
 * one that the last `up` there made. */
static int find_target(struct migrate *migrate, const struct cli *cli, const char *config)
{
    const char *dir = cli->dir;
    struct error err;
    struct location location = {0};
    enum location_found found = location_read(dir, &location, &err);
    if (found == LOCATION_FAILED) {
        return cli_fail(EXIT_CODE_FAILED, "%s", err.text);
    }
    struct sources sources;
    sources_init(&sources);
    const char *file = config != NULL ? config : location.config_file;
    int result = file[0] == '\0' ? 0 : sources_read_file(&sources, file, &err);
    result = result == 0 ? sources_read_environment(&sources, environ, &err) : result;
    const char *url = settings_text(sources.settings, SETTING_DATABASE_URL);
    migrate->target.embedded = url[0] == '\0';
    int length = migrate->target.embedded
                     ? snprintf(migrate->url, sizeof migrate->url, "host='%s' dbname=%s",
                                location.run_dir, STORE_DATABASE)
                     : snprintf(migrate->url, sizeof migrate->url, "%s", url);
    migrate->target.url = migrate->url;
    sources_deinit(&sources);
    if (result != 0 || length < 0 || (size_t)length >= sizeof migrate->url) {
        return cli_fail(EXIT_CODE_FAILED, "%s", result != 0 ? err.text : "the URL is too long");
    }
    if (migrate->target.embedded) {
        follow_server(migrate, cli);
    }
    return migrate->target.embedded && found == LOCATION_ABSENT ? location_require(dir, &location)
                                                                : EXIT_CODE_DONE;
}

static void print_step(void *arg, const char *direction, int version, const char *name)
{
    struct migrate *migrate = arg;
    migrate->steps++;
    if (migrate->json) {
        json_t *line = json_pack("{s:s,s:i,s:s,s:b}", "direction", direction, "version", version,
                                 "name", name, "dry_run", migrate->dry_run);
        json_dumpf(line, stdout, JSON_COMPACT);
        json_decref(line);
        putchar('\n');
    } else {
        printf("%s %04d_%s%s\n", direction, version, name, migrate->dry_run ? " (dry run)" : "");
    }
    fflush(stdout);
}

static int migrate_up(struct migrate *migrate)
{
    struct error err;
    struct buffer statements = {0};
    const struct migration_run run = {&migrate->target, migrate->dry_run, print_step, migrate};
    enum store_outcome outcome =
        migrate->dry_run ? STORE_OK : migrations_found(&migrate->target, &statements, &err);
    int code = explain(outcome, migrate, &err);
    if (code == EXIT_CODE_DONE && statements.length > 0) {
        fputs("signalbox: an administrator must run these statements in this database first:\n",
              stderr);
        fputs(buffer_text(&statements), stderr);
        code = EXIT_CODE_FAILED;
    }
    buffer_deinit(&statements);
    if (code == EXIT_CODE_DONE) {
        code = explain(migrations_up(&run, &err), migrate, &err);
    }
    if (code == EXIT_CODE_DONE && migrate->steps == 0 && !migrate->json) {
        puts("nothing to do");
    }
    return code;
}

static int migrate_down(struct migrate *migrate, int count)
{
    struct error err;
    const struct migration_run run = {&migrate->target, migrate->dry_run, print_step, migrate};
    int code = explain(migrations_down(&run, count, &err), migrate, &err);
    if (code == EXIT_CODE_DONE && migrate->steps == 0 && !migrate->json) {
        puts("nothing to do");
    }
    return code;
}

static void print_list(const struct migration_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct migration *item = &list->items[i];
        printf("%04d  %-24s %-8s %s\n", item->version, item->name,
               migration_state_name(item->state), item->applied_at);
    }
}

static void print_list_json(const struct migration_list *list)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++) {
        const struct migration *item = &list->items[i];
        json_array_append_new(
            array, json_pack("{s:i,s:s,s:s,s:s?}", "version", item->version, "name", item->name,
                             "state", migration_state_name(item->state), "applied_at",
                             item->applied_at[0] == '\0' ? NULL : item->applied_at));
    }
    json_t *document = json_pack("{s:o}", "migrations", array);
    json_dumpf(document, stdout, JSON_COMPACT);
    json_decref(document);
    putchar('\n');
}

static int migrate_status(struct migrate *migrate)
{
    struct error err;
    struct migration_list list = {0};
    int code = explain(migrations_list(&migrate->target, &list, &err), migrate, &err);
    if (code == EXIT_CODE_DONE) {
        (migrate->json ? print_list_json : print_list)(&list);
    }
    migration_list_deinit(&list);
    return code;
}

int command_migrate(const struct cli *cli, int argc, char **argv)
{
    struct migrate migrate = {.json = cli->json};
    const char *config = NULL;
    int64_t count = 1;
    const struct option_spec specs[] = {
        {"--dry-run", NULL, &migrate.dry_run}, {"--config", &config, NULL}, {0}};
    struct error err;
    int positionals = options_parse(argc, argv, specs, 1, 2, &err);
    if (positionals < 0) {
        return cli_usage("migrate", "%s", err.text);
    }
    bool down = strcmp(argv[1], "down") == 0;
    if (!down && strcmp(argv[1], "up") != 0 && strcmp(argv[1], "status") != 0) {
        return cli_usage("migrate", "up, down or status, not %s", argv[1]);
    }
    if (positionals == 2 && (!down || number_parse(argv[2], strlen(argv[2]), &count) != 0 ||
                             count < 1 || count > 9999)) {
        return cli_usage("migrate", "unexpected argument %s", argv[2]);
    }
    int code = find_target(&migrate, cli, config);
    if (code == EXIT_CODE_DONE && sodium_init() < 0) {
        code = cli_fail(EXIT_CODE_FAILED, "libsodium does not start");
    }
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    return down                             ? migrate_down(&migrate, (int)count)
           : strcmp(argv[1], "status") == 0 ? migrate_status(&migrate)
                                            : migrate_up(&migrate);
}
