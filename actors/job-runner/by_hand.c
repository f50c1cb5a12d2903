/*
 * See by_hand.h. The command line, and the way to become an actor without a supervisor. What it does
 * as one is in by_hand_watch.c and dry_run.c.
 */
#include "job-runner/by_hand.h"

#include "proto/child_contract.h"
#include "runtime/base/buffer.h"
#include "runtime/base/limits.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/base/number.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    SECONDS_MAX = 600,
    JOBS_MAX = 1000000000,
    ANSWER_BYTES_MAX = 4 << 20,
    FD_SETTINGS = CHILD_FD_FIRST_NAMED,
    FD_METRICS,
    FD_FREE = 20 /* above all that has a fixed place */
};

static const char usage[] =
    "usage: signalbox-job-runner --dir DIR [--once | --max-jobs N | --dry-run]\n"
    "                            [--poll-interval S] [--stale-check-interval S]\n";

static const char help[] =
    "Works on jobs of built-in kinds beside the running server of DIR, to see what becomes of "
    "them.\n"
    "\n"
    "  --dir DIR                  where the server lives, as in 'signalbox up'\n"
    "  --once                     one job; exit 0: done, 1: failed, 3: nothing to do\n"
    "  --max-jobs N               ends after N jobs; 0: no limit\n"
    "  --dry-run                  prints, a JSON object a line, what a runner would claim now;\n"
    "                             claims nothing and changes nothing; exit 3: nothing\n"
    "  --poll-interval S          seconds between looks at the table (default: jobs.poll_ms)\n"
    "  --stale-check-interval S   seconds between looks for lost leases (default: "
    "jobs.stale_check_ms)\n"
    "  --help                     this\n"
    "\n"
    "It claims beside the server's own runners, whatever is due first, as worker manual-PID, and "
    "takes\n"
    "nothing else away from them: they look after leases, schedules and workers outside. To do "
    "all by\n"
    "hand, run the server with jobs.executors = 0: it then works on no built-in kind itself.\n"
    "Log lines go to standard error; log.level and the other settings are the server's.\n";

/* ---- the command line ---- */

/* Seconds, with up to three decimals, as milliseconds. */
static int parse_seconds(const char *text, int64_t *ms_out)
{
    const char *point = strchr(text, '.');
    size_t length = point == NULL ? strlen(text) : (size_t)(point - text);
    size_t decimals = point == NULL ? 0 : strlen(point + 1);
    int64_t seconds = 0;
    int64_t rest = 0;
    if (number_parse(text, length, &seconds) != 0 || seconds > SECONDS_MAX || decimals > 3 ||
        (point != NULL && number_parse(point + 1, decimals, &rest) != 0)) {
        return -1;
    }
    for (size_t i = decimals; i < 3; i++) {
        rest *= 10;
    }
    *ms_out = seconds * 1000 + rest;
    return *ms_out > 0 && *ms_out <= SECONDS_MAX * 1000 ? 0 : -1;
}

static int take_interval(const char *name, const char *text, int64_t *ms_out, struct error *err)
{
    return parse_seconds(text, ms_out) == 0
               ? 0
               : error_set(err, "%s wants seconds, up to %d", name, SECONDS_MAX);
}

enum flag {
    OPTION_DIR = 1,
    OPTION_ONCE,
    OPTION_MAX,
    OPTION_DRY,
    OPTION_POLL,
    OPTION_STALE,
    OPTION_HELP
};

static int take_option(struct by_hand_options *options, int option, const char *value,
                       struct error *err)
{
    switch ((enum flag)option) {
    case OPTION_DIR:
        options->dir = value;
        return 0;
    case OPTION_ONCE:
        options->once = true;
        return 0;
    case OPTION_DRY:
        options->dry_run = true;
        return 0;
    case OPTION_HELP:
        options->help = true;
        return 0;
    case OPTION_POLL:
        return take_interval("--poll-interval", value, &options->poll_ms, err);
    case OPTION_STALE:
        return take_interval("--stale-check-interval", value, &options->stale_check_ms, err);
    case OPTION_MAX:
        if (number_parse(value, strlen(value), &options->max_jobs) != 0 ||
            options->max_jobs > JOBS_MAX) {
            return error_set(err, "--max-jobs wants a number, 0 or more");
        }
        return 0;
    }
    return error_set(err, "an option is unknown or wants a value");
}

int by_hand_parse(int argc, char **argv, struct by_hand_options *options_out, struct error *err)
{
    static const struct option names[] = {
        {"dir", required_argument, NULL, OPTION_DIR},
        {"once", no_argument, NULL, OPTION_ONCE},
        {"max-jobs", required_argument, NULL, OPTION_MAX},
        {"dry-run", no_argument, NULL, OPTION_DRY},
        {"poll-interval", required_argument, NULL, OPTION_POLL},
        {"stale-check-interval", required_argument, NULL, OPTION_STALE},
        {"help", no_argument, NULL, OPTION_HELP},
        {0}};
    *options_out = (struct by_hand_options){.max_jobs = -1};
    opterr = 0;
    optind = 0; /* from the start, whoever asked before */
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (take_option(options_out, option, optarg, err) != 0) {
            return -1;
        }
    }
    if (options_out->help) {
        return 0;
    }
    if (optind < argc) {
        return error_set(err, "%.100s is no option", argv[optind]);
    }
    if (options_out->once + options_out->dry_run + (options_out->max_jobs >= 0) > 1) {
        return error_set(err, "--once, --max-jobs and --dry-run exclude each other");
    }
    if (options_out->dir == NULL) {
        return error_set(err, "--dir is missing");
    }
    options_out->max_jobs = options_out->once             ? 1
                            : options_out->max_jobs == -1 ? 0
                                                          : options_out->max_jobs;
    return 0;
}

/* ---- the server of DIR ---- */

/* Value of run_dir in DIR/location (written by `signalbox up`). */
static int read_location(const char *dir, char run_dir[LIMIT_SOCKET_PATH_BYTES + 1],
                         struct error *err)
{
    char path[PATH_MAX];
    char line[PATH_MAX];
    bool found = false;
    int length = snprintf(path, sizeof path, "%s/location", dir);
    FILE *file = length < 0 || (size_t)length >= sizeof path ? NULL : fopen(path, "re");
    if (file == NULL) {
        return error_set(err, "no server runs in %.200s (none was ever started there)", dir);
    }
    while (!found && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        found = strncmp(line, "run_dir=/", 9) == 0 && strlen(line + 8) <= LIMIT_SOCKET_PATH_BYTES;
    }
    fclose(file);
    if (!found) {
        return error_set(err, "%.200s/location is damaged", dir);
    }
    memcpy(run_dir, line + 8, strlen(line + 8) + 1);
    return 0;
}

static int ask(int fd, const char *line, struct buffer *answer)
{
    size_t length = strlen(line);
    if (send(fd, line, length, MSG_NOSIGNAL) != (ssize_t)length) {
        return -1;
    }
    while (answer->length < ANSWER_BYTES_MAX) {
        ssize_t got = recv(fd, buffer_reserve(answer, 16384), 16384, 0);
        if (got == 0) {
            return 0;
        }
        if (got < 0 && errno != EINTR) {
            return -1;
        }
        answer->length += got > 0 ? (size_t)got : 0;
    }
    return -1;
}

/* The settings table of the running server, from its supervisor. */
static int ask_settings(const char *dir, struct buffer *table, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char run_dir[LIMIT_SOCKET_PATH_BYTES + 1];
    if (read_location(dir, run_dir, err) != 0) {
        return -1;
    }
    int length = snprintf(address.sun_path, sizeof address.sun_path, "%s/control.sock", run_dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool connected = fd >= 0 && length > 0 && (size_t)length < sizeof address.sun_path &&
                     connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    if (!connected) {
        error_set(err, "no server runs in %.200s: %s", dir, error_errno(errno));
    } else if (ask(fd, "settings\n", table) != 0 || table->length < 3 ||
               memcmp(table->data, "ok\n", 3) != 0) {
        connected = false;
        error_set(err, "the server of %.200s does not tell us its settings", dir);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (!connected) {
        return -1;
    }
    buffer_consume(table, 3);
    return 0;
}

/* ---- becoming an actor ---- */

static int memory_file(const char *name, const void *bytes, size_t length)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd >= 0 && ((bytes != NULL && write(fd, bytes, length) != (ssize_t)length) ||
                    (bytes == NULL && ftruncate(fd, (off_t)length) != 0))) {
        close(fd);
        return -1;
    }
    return fd;
}

static int apply(struct settings *settings, const struct by_hand_options *options,
                 struct error *err)
{
    char number[24];
    const struct {
        enum setting id;
        int64_t value;
    } numbers[] = {{SETTING_JOBS_MAX_JOBS, options->max_jobs},
                   {SETTING_JOBS_POLL_MS, options->poll_ms},
                   {SETTING_JOBS_STALE_CHECK_MS, options->stale_check_ms}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        snprintf(number, sizeof number, "%lld", (long long)numbers[i].value);
        if (numbers[i].value > 0 && settings_set(settings, numbers[i].id, number, err) != 0) {
            return -1;
        }
    }
    /* A server without executors is what one works beside who wants to do all jobs by hand. */
    if (settings_int(settings, SETTING_JOBS_EXECUTORS) == 0 &&
        settings_set(settings, SETTING_JOBS_EXECUTORS,
                     setting_info(SETTING_JOBS_EXECUTORS)->fallback, err) != 0) {
        return -1;
    }
    return settings_set(settings, SETTING_JOBS_BY_HAND,
                        options->dry_run ? "dry-run"
                        : options->once  ? "once"
                                         : "work",
                        err);
}

/* The table of this process, in a file of memory. */
static int make_table(const struct by_hand_options *options, struct settings **settings_out,
                      struct error *err)
{
    struct buffer text = {0};
    int fd = -1;
    if (ask_settings(options->dir, &text, err) == 0) {
        fd = memory_file("settings", text.data, text.length);
        *settings_out = fd < 0 ? NULL : settings_read(fd, err);
        if (fd >= 0) {
            close(fd);
        }
        fd = -1;
    }
    if (*settings_out != NULL && apply(*settings_out, options, err) == 0) {
        buffer_clear(&text);
        settings_write(*settings_out, &text);
        fd = memory_file("settings", text.data, text.length);
        if (fd < 0) {
            error_set(err, "cannot keep the settings: %s", error_errno(errno));
        }
    }
    if (text.data != NULL) {
        explicit_bzero(text.data, text.capacity);
    }
    buffer_deinit(&text);
    return fd;
}

/* The control socket's other end stays open in this process: nobody reads it, nobody closes it. */
static int place_descriptors(int table, struct error *err)
{
    int ends[2];
    int board = memory_file("metrics", NULL, metrics_board_size());
    if (board < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return error_set(err, "cannot begin: %s", error_errno(errno));
    }
    int moved[] = {fcntl(ends[0], F_DUPFD_CLOEXEC, FD_FREE),
                   fcntl(ends[1], F_DUPFD_CLOEXEC, FD_FREE), fcntl(table, F_DUPFD_CLOEXEC, FD_FREE),
                   fcntl(board, F_DUPFD_CLOEXEC, FD_FREE)};
    (void)close_range(CHILD_FD_CONTROL, FD_FREE - 1, 0);
    if (moved[0] < 0 || dup2(moved[1], CHILD_FD_CONTROL) < 0 || dup2(moved[2], FD_SETTINGS) < 0 ||
        dup2(moved[3], FD_METRICS) < 0) {
        return error_set(err, "cannot begin: %s", error_errno(errno));
    }
    return 0;
}

static int name_ourselves(struct error *err)
{
    char name[32];
    char parent[16];
    char fds[64];
    snprintf(name, sizeof name, "manual-%d", (int)getpid());
    snprintf(parent, sizeof parent, "%d", (int)getppid());
    snprintf(fds, sizeof fds, "%s:%d,%s:%d", CHILD_FD_SETTINGS_NAME, FD_SETTINGS,
             CHILD_FD_METRICS_NAME, FD_METRICS);
    const char *const environment[][2] = {{CHILD_ENV_NAME, name},     {CHILD_ENV_GENERATION, "1"},
                                          {CHILD_ENV_PARENT, parent}, {CHILD_ENV_SLOT, "0"},
                                          {CHILD_ENV_HOLD, "0"},      {CHILD_ENV_FDS, fds}};
    for (size_t i = 0; i < sizeof environment / sizeof environment[0]; i++) {
        if (setenv(environment[i][0], environment[i][1], 1) != 0) {
            return error_set(err, "setenv: %s", error_errno(errno));
        }
    }
    return 0;
}

/* As the supervisor starts its actors. */
static int drop_rights(const struct settings *settings, struct error *err)
{
    uid_t uid = (uid_t)settings_int(settings, SETTING_INSTANCE_UID);
    gid_t gid = (gid_t)settings_int(settings, SETTING_INSTANCE_GID);
    if (geteuid() == 0 && uid != 0 &&
        (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 ||
         setresuid(uid, uid, uid) != 0)) {
        return error_set(err, "cannot become the service user: %s", error_errno(errno));
    }
    return 0;
}

static int become_actor(const struct by_hand_options *options, struct error *err)
{
    struct settings *settings = NULL;
    int table = make_table(options, &settings, err);
    int result = table < 0 || place_descriptors(table, err) != 0 || name_ourselves(err) != 0 ||
                         drop_rights(settings, err) != 0
                     ? -1
                     : 0;
    settings_destroy(&settings);
    return result;
}

int by_hand_main(int argc, char **argv, const struct actor_description *description)
{
    struct by_hand_options options;
    struct error err = {""};
    if (by_hand_parse(argc, argv, &options, &err) != 0) {
        fprintf(stderr, "signalbox-job-runner: %s\n%s", err.text, usage);
        return EXIT_CODE_USAGE;
    }
    if (options.help) {
        printf("%s\n%s", usage, help);
        return EXIT_CODE_DONE;
    }
    if (become_actor(&options, &err) != 0) {
        fprintf(stderr, "signalbox-job-runner: %s\n", err.text);
        return EXIT_CODE_NOT_RUNNING;
    }
    return actor_main(description);
}
