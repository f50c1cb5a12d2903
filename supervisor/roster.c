/* See roster.h. */
#include "supervisor/roster.h"

#include "proto/child_contract.h"
#include "runtime/base/memory.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALWAYS SETTING_COUNT
#define ONE SETTING_COUNT

enum { ROSTER_ONE_SHOT_STOP_MS = 60000, ROSTER_SERVICE_STOP_MS = 15000 };

static const struct roster_row rows[] = {
    {.actor = "postgres",
     .kind = ROSTER_SERVICE,
     .group = 0,
     .count = ONE,
     .only = SETTING_DATABASE_EMBEDDED,
     .stop = SETTING_COUNT,
     .stop_ms = ROSTER_SERVICE_STOP_MS,
     .log_kind = LOG_LINE_POSTGRES},
    {.actor = "redis",
     .kind = ROSTER_SERVICE,
     .group = 0,
     .count = ONE,
     .only = SETTING_REDIS_EMBEDDED,
     .stop = SETTING_COUNT,
     .stop_ms = ROSTER_SERVICE_STOP_MS,
     .log_kind = LOG_LINE_REDIS},
    /* Roles, database, migrations, first key. Exit 75 lets the actors start meanwhile. */
    {.actor = "prepare",
     .kind = ROSTER_ONE_SHOT,
     .group = 1,
     .count = ONE,
     .only = ALWAYS,
     .stop = SETTING_COUNT,
     .stop_ms = ROSTER_ONE_SHOT_STOP_MS,
     .start_wait_ms = 60000,
     .log_kind = LOG_LINE_ONE_SHOT},
    {.actor = "sequencer",
     .kind = ROSTER_ACTOR,
     .group = 2,
     .count = ONE,
     .only = ALWAYS,
     .stop = SETTING_STOP_SEQUENCER_MS,
     .singleton = true,
     .vital = true,
     .listeners = {LISTENER_COMMANDS, LISTENER_EVENTS},
     .listener_count = 2,
     .log_kind = LOG_LINE_ACTOR},
    {.actor = "job-runner",
     .kind = ROSTER_ACTOR,
     .group = 3,
     .count = SETTING_JOB_RUNNER_COUNT,
     .only = ALWAYS,
     .stop = SETTING_STOP_JOB_RUNNER_MS,
     .gives_jobs = true,
     .log_kind = LOG_LINE_ACTOR},
    {.actor = "exporter",
     .kind = ROSTER_ACTOR,
     .group = 4,
     .count = SETTING_EXPORTER_COUNT,
     .only = ALWAYS,
     .stop = SETTING_STOP_EXPORTER_MS,
     .log_kind = LOG_LINE_ACTOR},
    {.actor = "streamer",
     .kind = ROSTER_ACTOR,
     .group = 5,
     .count = SETTING_STREAMER_COUNT,
     .only = ALWAYS,
     .stop = SETTING_STOP_STREAMER_MS,
     .takes_streams = true,
     .log_kind = LOG_LINE_ACTOR},
    /* Last, so that nobody is let in before the rest works. */
    {.actor = "api",
     .kind = ROSTER_ACTOR,
     .group = 6,
     .count = SETTING_API_COUNT,
     .only = ALWAYS,
     .stop = SETTING_STOP_API_MS,
     .vital = true,
     .listeners = {LISTENER_PUBLIC},
     .listener_count = 1,
     .log_kind = LOG_LINE_ACTOR},
};

const struct roster_row *roster_row(unsigned index)
{
    return index < sizeof rows / sizeof rows[0] ? &rows[index] : NULL;
}

unsigned roster_count(const struct roster_row *row, const struct settings *settings)
{
    if (row->only != ALWAYS && !settings_bool(settings, row->only)) {
        return 0;
    }
    return row->count == ONE ? 1 : (unsigned)settings_int(settings, row->count);
}

void roster_name(const struct roster_row *row, unsigned number, char name[ROSTER_NAME_SIZE])
{
    if (row->kind != ROSTER_ACTOR) {
        snprintf(name, ROSTER_NAME_SIZE, "%s", row->actor);
    } else {
        snprintf(name, ROSTER_NAME_SIZE, "%s-%u", row->actor, number);
    }
}

int64_t roster_stop_ms(const struct roster_row *row, const struct settings *settings)
{
    return row->stop == SETTING_COUNT ? row->stop_ms : settings_int(settings, row->stop);
}

static void add_word(char *words[ROSTER_WORDS_MAX], const char *format, ...) SB_PRINTF(2, 3);

static void add_word(char *words[ROSTER_WORDS_MAX], const char *format, ...)
{
    struct buffer text = {0};
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(size >= 0);
    va_start(args, format);
    vsnprintf((char *)buffer_reserve(&text, (size_t)size + 1), (size_t)size + 1, format, args);
    va_end(args);
    size_t count = 0;
    while (words[count] != NULL) {
        count++;
    }
    assert(count + 1 < ROSTER_WORDS_MAX);
    words[count] = (char *)text.data;
}

/* A clean environment: whatever `up` was started with, secrets included, goes no further. */
static void add_common_environment(struct roster_command *command)
{
    static const char *const kept[] = {"LANG",         "LC_ALL",        "TZ",          "TMPDIR",
                                       "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"};
    add_word(command->envp, "PATH=/usr/local/bin:/usr/bin:/bin");
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        const char *value = getenv(kept[i]);
        if (value != NULL) {
            add_word(command->envp, "%s=%s", kept[i], value);
        }
    }
}

static void add_contract(struct roster_command *command, const struct roster_instance *instance,
                         const char *fds)
{
    add_word(command->envp, CHILD_ENV_NAME "=%s", instance->name);
    add_word(command->envp, CHILD_ENV_GENERATION "=%llu", (unsigned long long)instance->generation);
    add_word(command->envp, CHILD_ENV_PARENT "=%d", (int)getpid());
    add_word(command->envp, CHILD_ENV_SLOT "=%u", instance->slot);
    add_word(command->envp, CHILD_ENV_FDS "=%s", fds);
    if (instance->hold) {
        add_word(command->envp, CHILD_ENV_HOLD "=1");
    }
}

static void postgres_command(struct roster_command *command, const struct settings *settings)
{
    add_word(command->argv, "%s/postgres", settings_text(settings, SETTING_DATABASE_BIN_DIR));
    add_word(command->argv, "-D");
    add_word(command->argv, "%s/postgres", settings_text(settings, SETTING_INSTANCE_DATA_DIR));
    add_word(command->argv, "-k");
    add_word(command->argv, "%s", settings_text(settings, SETTING_INSTANCE_RUN_DIR));
    static const char *const options[] = {
        "port=5432", "listen_addresses=", "logging_collector=off", "log_destination=stderr",
        "lc_messages=C", "log_line_prefix=[%p] ",
        /* The detail of a refused row is the row: what clients sent stays out of the log. */
        "log_error_verbosity=terse"};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        add_word(command->argv, "-c");
        add_word(command->argv, "%s", options[i]);
    }
}

static void redis_command(struct roster_command *command, const struct settings *settings)
{
    static const char *const options[] = {"--port",
                                          "0",
                                          "--unixsocketperm",
                                          "700",
                                          "--daemonize",
                                          "no",
                                          "--stop-writes-on-bgsave-error",
                                          "no"};
    add_word(command->argv, "%s", settings_text(settings, SETTING_REDIS_PROGRAM));
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        add_word(command->argv, "%s", options[i]);
    }
    add_word(command->argv, "--unixsocket");
    add_word(command->argv, "%s/redis.sock", settings_text(settings, SETTING_INSTANCE_RUN_DIR));
    add_word(command->argv, "--dir");
    add_word(command->argv, "%s/redis", settings_text(settings, SETTING_INSTANCE_DATA_DIR));
}

void roster_command(struct roster_command *command, const struct roster_row *row,
                    const struct settings *settings, const struct roster_instance *instance,
                    const char *fds)
{
    const char *bin_dir = settings_text(settings, SETTING_INSTANCE_BIN_DIR);
    *command = (struct roster_command){0};
    add_common_environment(command);
    switch (row->kind) {
    case ROSTER_ACTOR:
        add_word(command->argv, "%s/signalbox-%s", bin_dir, row->actor);
        add_contract(command, instance, fds);
        break;
    case ROSTER_ONE_SHOT:
        add_word(command->argv, "%s/signalbox", bin_dir);
        add_word(command->argv, "%s", row->actor);
        add_word(command->argv, "--settings-fd");
        add_word(command->argv, "%d", instance->settings_fd);
        break;
    case ROSTER_SERVICE:
        if (row->log_kind == LOG_LINE_POSTGRES) {
            postgres_command(command, settings);
        } else {
            redis_command(command, settings);
        }
        break;
    }
}

void roster_command_deinit(struct roster_command *command)
{
    for (size_t i = 0; i < ROSTER_WORDS_MAX; i++) {
        free(command->argv[i]);
        free(command->envp[i]);
    }
    *command = (struct roster_command){0};
}
