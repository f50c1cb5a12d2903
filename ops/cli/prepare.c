/*
 * `signalbox prepare`: one shot of the supervisor, as the service user, before the actors start.
 * Roles, database, migrations, first tenant and key; safe to run again at every start. Exit 75: the
 * database does not answer yet; 78: an administrator has to do something, which the log says.
 */
#include "ops/cli/cli.h"
#include "ops/cli/migrations.h"
#include "ops/cli/options.h"
#include "runtime/base/log.h"
#include "runtime/base/number.h"
#include "runtime/base/settings.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int exit_code(enum store_outcome outcome, const struct error *err)
{
    switch (outcome) {
    case STORE_OK:
        return EXIT_CODE_DONE;
    case STORE_UNREACHABLE:
        LOG_WARN("the database cannot be reached", LOG_TEXT("reason", err->text));
        return EXIT_CODE_DEPENDENCY;
    case STORE_REFUSED:
        break;
    }
    LOG_ERROR("the database cannot be prepared", LOG_TEXT("reason", err->text));
    return EXIT_CODE_CONFIG;
}

static void log_step(void *arg SB_UNUSED, const char *direction, int version, const char *name)
{
    LOG_INFO("migration", LOG_TEXT("direction", direction), LOG_INT("version", version),
             LOG_TEXT("name", name));
}

/* One log line a statement, so that each can be copied whole. */
static int refuse_for_administrator(struct buffer *statements)
{
    LOG_ERROR("the user of the database URL may not do all that is needed; an administrator must "
              "run these statements in this database, then start again");
    char *rest = buffer_text(statements);
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (line[0] != '\0') {
            LOG_ERROR("to be run by an administrator", LOG_TEXT("statement", line));
        }
    }
    return EXIT_CODE_CONFIG;
}

static int add_first_key(const struct store_target *target, const char *public_id,
                         const char *hash_hex)
{
    struct error err;
    struct store *store = NULL;
    enum store_key key = STORE_KEY_KNOWN;
    enum store_outcome outcome = store_open(target, NULL, STORE_OWNER, &store, &err);
    /* Two hosts that start at once on one database make one tenant. */
    outcome = outcome == STORE_OK ? store_lock_migrations(store, &err) : outcome;
    outcome =
        outcome == STORE_OK ? store_add_first_key(store, public_id, hash_hex, &key, &err) : outcome;
    store_close(&store);
    if (outcome == STORE_OK && key == STORE_KEY_OTHER_HASH) {
        LOG_ERROR(
            "the key in DIR/api-key does not fit its row: auth.pepper is not the one that the "
            "keys of this database were made with",
            LOG_TEXT("public_id", public_id));
        return EXIT_CODE_CONFIG;
    }
    if (outcome == STORE_OK && key == STORE_KEY_ADDED) {
        LOG_INFO("the key in DIR/api-key is valid now", LOG_TEXT("public_id", public_id));
    }
    return exit_code(outcome, &err);
}

/* "PUBLIC_ID:HASH", see secrets.h. */
static int first_key(const struct settings *settings, const struct store_target *target)
{
    const char *value = settings_text(settings, SETTING_AUTH_FIRST_KEY);
    const char *colon = strchr(value, ':');
    char public_id[65];
    if (colon == NULL || (size_t)(colon - value) >= sizeof public_id) {
        return EXIT_CODE_DONE;
    }
    memcpy(public_id, value, (size_t)(colon - value));
    public_id[colon - value] = '\0';
    return add_first_key(target, public_id, colon + 1);
}

static int single_user(const struct settings *settings, const struct store_target *target)
{
    struct error err;
    struct store *store = NULL;
    bool single = settings_bool(settings, SETTING_AUTH_SINGLE_USER);
    enum store_outcome outcome = store_open(target, NULL, STORE_OWNER, &store, &err);
    outcome = outcome == STORE_OK ? store_set_single_user(store, single, &err) : outcome;
    store_close(&store);
    if (outcome == STORE_REFUSED) {
        LOG_ERROR("auth.single_user: the database holds more than one tenant or user");
    }
    return exit_code(outcome, &err);
}

static int prepare(const struct settings *settings)
{
    const struct store_target target = {.url = settings_text(settings, SETTING_DATABASE_URL),
                                        .embedded =
                                            settings_bool(settings, SETTING_DATABASE_EMBEDDED)};
    const struct migration_run run = {.target = &target, .step = log_step};
    struct error err;
    struct buffer statements = {0};
    int code = exit_code(migrations_found(&target, &statements, &err), &err);
    if (code == EXIT_CODE_DONE && statements.length > 0) {
        code = refuse_for_administrator(&statements);
    }
    buffer_deinit(&statements);
    if (code == EXIT_CODE_DONE) {
        code = exit_code(migrations_up(&run, &err), &err);
    }
    if (code == EXIT_CODE_DONE) {
        code = single_user(settings, &target);
    }
    return code == EXIT_CODE_DONE ? first_key(settings, &target) : code;
}

int command_prepare(const struct cli *cli SB_UNUSED, int argc, char **argv)
{
    const char *fd_text = NULL;
    int64_t fd = 0;
    const struct option_spec specs[] = {{"--settings-fd", &fd_text, NULL}, {0}};
    struct error err;
    if (options_parse(argc, argv, specs, 0, 0, &err) < 0) {
        return cli_usage("prepare", "%s", err.text);
    }
    if (fd_text == NULL || number_parse(fd_text, strlen(fd_text), &fd) != 0 || fd > 1000000) {
        return cli_usage("prepare", "--settings-fd needs the number of a descriptor");
    }
    log_start("prepare", 0, LOG_LEVEL_INFO);
    struct settings *settings = settings_read((int)fd, &err);
    if (settings == NULL || sodium_init() < 0) {
        LOG_ERROR("the settings cannot be read", LOG_TEXT("reason", err.text));
        return EXIT_CODE_CONFIG;
    }
    int code = prepare(settings);
    settings_destroy(&settings);
    return code;
}
