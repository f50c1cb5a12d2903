/*
 * The command line of Signalbox: the table of commands, their help, and the dispatch. To add a
 * command: declare its function in cli.h and add a row here.
 */
#include "ops/cli/cli.h"

#include "ops/cli/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct command {
    const char *name;
    command_fn *run;
    const char *arguments;
    const char *summary; /* one line; NULL: for the server's own use, not listed */
    const char *details;
};

static const struct command commands[] = {
    {"up", command_up, "[--listen HOST:PORT] [--config FILE]", "start the server in the foreground",
     "Prepares DIR, starts PostgreSQL and Redis of its own unless DATABASE_URL and REDIS_URL name\n"
     "others, applies migrations, starts every process and stays until it is stopped.\n"
     "\n"
     "  --listen HOST:PORT   public address; port 0 takes a free one (see status)\n"
     "  --config FILE        settings file; `signalbox settings --example` prints one\n"
     "\n"
     "Settings: defaults < file < environment (SIGNALBOX_SECTION_NAME, DATABASE_URL, REDIS_URL)\n"
     "< flags. The first api key is written to DIR/api-key (mode 0600). Started as root, the\n"
     "services run as user signalbox, postgres or nobody, whichever exists first; if that user\n"
     "cannot reach DIR, the data is kept in /var/lib/signalbox and DIR/location says where.\n"},
    {"status", command_status, "", "what is running, and how it is",
     "Prints a table, or with --json one JSON document.\n"},
    {"restart", command_restart, "NAME|ACTOR", "restart one process, or all of one actor",
     "NAME is an instance (api-1), ACTOR a kind (api). Returns when the successor is ready; exit "
     "1\n"
     "with the reason if the old one was kept.\n"},
    {"stop", command_stop, "", "drain and stop the server",
     "Returns when everything has stopped.\n"},
    {"reload", command_reload, "", "read file and environment again, take over what changed",
     "A wrong setting changes nothing and is shown.\n"},
    {"migrate", command_migrate, "up|down [N]|status [--dry-run] [--config FILE]",
     "change the database schema",
     "  up                   apply every migration that is missing\n"
     "  down [N]             take back the last N (default 1)\n"
     "  status               what is applied\n"
     "  --dry-run            say what would be done and change nothing\n"
     "  --config FILE        settings file that names the database\n"
     "\n"
     "Works on DATABASE_URL, else on the database in the settings file, else on that of the\n"
     "server running in DIR.\n"},
    {"replay", command_replay,
     "FILE.jsonl [--concurrency N] [--rate EVENTS_PER_S] | --check RUN_ID FILE:LINE",
     "send recorded conversations in, one run a line",
     "  --concurrency N          runs at a time (default 1)\n"
     "  --rate EVENTS_PER_S      events a second over all runs (default: as fast as acknowledged)\n"
     "  --check RUN_ID FILE:LINE rebuild the conversation from the run's log, compare it with the\n"
     "                           line, name the first difference\n"
     "\n"
     "Every request is repeated until it has a definite outcome; Idempotency-Keys make that safe.\n"
     "Gives up when nothing was answered for two minutes.\n"},
    {"tail", command_tail, "RUN_ID [--after-seq N]", "follow a run's events to its end",
     "  --after-seq N        begin after this event (default 0: from the first)\n"
     "\n"
     "Connects again by itself where it left off. With --json one event a line, as streamed.\n"},
    {"verify", command_verify, "[RUN_ID]", "check the run log in the database",
     "Dense seqs, heads, ends, positions, commands, statuses; one line a violation, then a sum.\n"
     "Reads one snapshot and may run beside a working server. Exit 1 when something is wrong.\n"},
    {"rebuild", command_rebuild, "", "replay the log and compare it with the tables made from it",
     "Makes status, times and heads of every run anew from its events, in a table of its own, and\n"
     "compares them with what the server keeps. Changes nothing, reads one snapshot and may run\n"
     "beside a working server. One line a difference, then a sum; exit 1 when there is one.\n"},
    {"doctor", command_doctor,
     "[run-stuck RUN_ID | rebuild-stream RUN_ID | reconnect-rate] [--log FILE] [--after-seq N]\n"
     "       [--through HOST:PORT]",
     "look for the cause of trouble, step by step",
     "Without a runbook: a first look at everything. Each step says ok, problem or unknown, what\n"
     "was seen, and what to do; docs/runbooks explains them. Reads only. Exit 1 when a step found\n"
     "a problem.\n"
     "\n"
     "  run-stuck RUN_ID         a run does not move\n"
     "  --log FILE               what `up` wrote, to look for errors in\n"
     "  rebuild-stream RUN_ID    a client shows something wrong\n"
     "  --after-seq N            the last event the client is sure of (default 0)\n"
     "  reconnect-rate           readers connect again and again\n"
     "  --through HOST:PORT      compare with a stream through the proxy there\n"},
    {"jobs", command_jobs,
     "list | show ID | enqueue TYPE --run RUN_ID | retry ID | retry --all | cancel ID | pause | "
     "resume | queues",
     "look at background jobs and steer them",
     "  list                 newest first\n"
     "    --status NAMES       pending, running, success, error, cancelled; several by commas\n"
     "    --queue NAME  --type TYPE  --run RUN_ID  --key JOB_KEY\n"
     "    --limit N            at most so many (default 100)\n"
     "  show ID              one job, its attempts and its events\n"
     "  enqueue TYPE         queue a job of a run; a known key is that job\n"
     "    --run RUN_ID         whose job it is\n"
     "    --queue NAME  --key JOB_KEY  --kind ARTIFACT_KIND  --payload JSON\n"
     "  retry ID             one that has failed or was cancelled waits again\n"
     "  retry --all          all that have failed, after asking with their count\n"
     "    --status error       the only ones there are\n"
     "    --queue NAME  --type TYPE  --run RUN_ID\n"
     "    --yes                do not ask\n"
     "  cancel ID            call one off; with --reason TEXT, as with retry ID\n"
     "  pause, resume        begin no more jobs, or begin them again\n"
     "    --queue NAME | --type TYPE | --all\n"
     "  queues               how the queues stand, and what is paused\n"
     "\n"
     "Asks the running server with the key in DIR/api-key. docs/jobs.md says what jobs promise.\n"},
    {"schedules", command_schedules,
     "list | show NAME | create NAME --spec SPEC --type TYPE | pause NAME | resume NAME | delete "
     "NAME",
     "look at schedules of jobs and steer them",
     "  list                 by name, with the next time of each\n"
     "  show NAME            one schedule, and how its last tick went\n"
     "  create NAME          make one, or put it in the place of the one of this name\n"
     "    --spec SPEC          when: five fields as of cron, @daily, @every 1h30m\n"
     "    --type TYPE          what job each of these times queues\n"
     "    --tz ZONE            whose clocks: Europe/Berlin (default UTC)\n"
     "    --queue NAME  --payload JSON  --priority N  --attempts N  --concurrency-key KEY\n"
     "    --missed skip|all|none  what becomes of times when nobody could queue (default skip)\n"
     "    --paused             it rests until it is resumed\n"
     "  pause, resume NAME   it rests, or goes on from now\n"
     "  delete NAME          end it; jobs that are queued stay\n"
     "\n"
     "Asks the running server with the key in DIR/api-key. docs/schedules.md says what schedules\n"
     "promise.\n"},
    {"tenants", command_tenants,
     "create NAME | list | quota ID [--runs N] [--events N] [--bytes N] [--concurrent N]",
     "make and show tenants, say what each may use",
     "  create NAME          prints the id of the new tenant; it has no key yet\n"
     "  list                 every tenant, newest first\n"
     "  quota ID             what it may use; with flags, from now on\n"
     "    --runs N             runs a day; N may be 0 (no limit) or `default` everywhere\n"
     "    --events N           events a day\n"
     "    --bytes N            bytes of payloads a day\n"
     "    --concurrent N       runs that have not ended\n"
     "\n"
     "Asks the running server with the key in DIR/api-key.\n"},
    {"keys", command_keys,
     "create --tenant ID [--scope read,append,admin] [--expires 30d] | list [--tenant ID] | revoke "
     "ID",
     "make, show and end api keys",
     "  create               prints the key, this once\n"
     "    --tenant ID          whose key it is\n"
     "    --scope NAMES        read, append, admin, operator (default read,append,admin)\n"
     "    --expires TIME       like 30d, 12h, 90m; without it the key has no end\n"
     "    --name TEXT          what it is for\n"
     "    --user TEXT          whom it speaks for (default owner)\n"
     "  list [--tenant ID]   every key, newest first; no secrets\n"
     "  revoke ID            ends the key and its streams within 10 s\n"
     "\n"
     "Asks the running server with the key in DIR/api-key.\n"},
    {"settings", command_settings, "[--example] [--config FILE]",
     "every setting, its value and meaning",
     "  --config FILE        read this settings file\n"
     "  --example            print a commented settings file instead\n"
     "\n"
     "Shows what `up` would take from file and environment. Secrets are masked.\n"},
    {"prepare", command_prepare, "--settings-fd N", NULL,
     "Run by the supervisor when the database answers: roles, migrations, first tenant and key.\n"},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_overview(FILE *out)
{
    fputs("usage: signalbox COMMAND [--dir DIR] [--json]\n\n", out);
    for (unsigned i = 0; i < COMMANDS; i++) {
        if (commands[i].summary != NULL) {
            fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
        }
    }
    fputs("\n"
          "  --dir DIR   where this installation lives, default ./var\n"
          "  --json      output for scripts\n"
          "\n"
          "'signalbox COMMAND --help' says more. Exit codes: 0 done, 1 failed, 2 wrong use,\n"
          "3 server not running, 4 not found.\n",
          out);
}

static void print_help(const struct command *command)
{
    printf("usage: signalbox %s%s%s [--dir DIR] [--json]\n\n", command->name,
           command->arguments[0] == '\0' ? "" : " ", command->arguments);
    if (command->summary != NULL) {
        printf("%s\n\n", command->summary);
    }
    fputs(command->details, stdout);
}

static const struct command *find(const char *name)
{
    for (unsigned i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

/* Help that was asked for goes to stdout and is a success. */
static int overview(const char *topic)
{
    const struct command *command = topic == NULL ? NULL : find(topic);
    if (topic != NULL && command == NULL) {
        return cli_fail(EXIT_CODE_USAGE, "there is no command %s", topic);
    }
    if (command != NULL) {
        print_help(command);
    } else {
        print_overview(stdout);
    }
    return EXIT_CODE_DONE;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct cli cli = {.dir = "var"};
    bool help = false;
    const struct option_spec common[] = {
        {"--dir", &cli.dir, NULL}, {"--json", NULL, &cli.json}, {"--help", NULL, &help}, {0}};
    struct error err;
    argc = options_take(argc, argv, common, &err);
    if (argc < 0) {
        return cli_usage(command->name, "%s", err.text);
    }
    if (cli.dir[0] == '\0') {
        return cli_usage(command->name, "--dir must not be empty");
    }
    argv[argc] = NULL;
    if (help) {
        print_help(command);
        return EXIT_CODE_DONE;
    }
    return command->run(&cli, argc, argv);
}

/* The common flags may also stand in front of the command: put the command first. */
static void command_first(int argc, char **argv)
{
    int at = 1;
    while (at < argc && strncmp(argv[at], "--", 2) == 0) {
        at += strcmp(argv[at], "--dir") == 0 ? 2 : 1;
    }
    if (at < argc && at > 1) {
        char *command = argv[at];
        memmove(&argv[2], &argv[1], (size_t)(at - 1) * sizeof *argv);
        argv[1] = command;
    }
}

int main(int argc, char **argv)
{
    command_first(argc, argv);
    const char *name = argc > 1 ? argv[1] : NULL;
    if (name == NULL) {
        print_overview(stderr);
        return EXIT_CODE_USAGE;
    }
    if (strcmp(name, "--version") == 0) {
        puts("signalbox " SB_VERSION);
        return EXIT_CODE_DONE;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        return overview(argc > 2 ? argv[2] : NULL);
    }
    const struct command *command = find(name);
    if (command == NULL) {
        fprintf(stderr, "signalbox: there is no command %s\n\n", name);
        print_overview(stderr);
        return EXIT_CODE_USAGE;
    }
    return run(command, argc - 1, argv + 1);
}
