/*
 * What every command of `signalbox` gets and returns.
 *
 * A command is a function and a row in main.c's table. main.c takes the flags that all commands
 * share (--dir, --json, --help) out of the arguments wherever they stand; a command parses the
 * rest with options_parse(). It returns an exit code of error.h; 0, 1, 2, 3 and 4 for people and
 * scripts.
 */
#ifndef SIGNALBOX_CLI_CLI_H
#define SIGNALBOX_CLI_CLI_H

#include "runtime/base/error.h"

#include <stdbool.h>

struct cli {
    const char *dir; /* as given: --dir, default ./var */
    bool json;       /* output for scripts */
};

/* argv[0] is the command's name, the rest what the common flags left over. */
typedef int command_fn(const struct cli *cli, int argc, char **argv);

command_fn command_up, command_prepare, command_migrate, command_settings;
command_fn command_status, command_restart, command_stop, command_reload;
command_fn command_replay, command_tail, command_verify, command_rebuild, command_doctor;
command_fn command_tenants, command_keys, command_jobs, command_schedules;

/* Prints "signalbox: TEXT" to stderr and returns `code`, so that `return cli_fail(...)` reads well.
 */
int cli_fail(int code, const char *format, ...) SB_PRINTF(2, 3);
/* The same for wrong use, with a word on where the help is. */
int cli_usage(const char *command, const char *format, ...) SB_PRINTF(2, 3);

#endif
