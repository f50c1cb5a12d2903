/*
 * signalbox-supervisor: owns every listening socket, starts, watches and restarts the processes of
 * the house, and knows nothing else. Started by `signalbox up`, which has checked the settings.
 *
 *     signalbox-supervisor --settings-fd N [--ready-text FILE]
 *
 * Receives: records of its actors, admin requests, signals. On its death every actor sees
 * end-of-file on its control socket and ends; the next supervisor sweeps what is left.
 */
#include "supervisor/supervisor.h"

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/base/number.h"
#include "supervisor/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SUPERVISOR_TURN_MS = 1000,
    SUPERVISOR_READY_TEXT_BYTES = 4096,
    SUPERVISOR_ORPHAN_ROUNDS = 100,
    SUPERVISOR_ORPHAN_WAIT_MS = 10
};

/* log.h writes through a function without an argument; this is its sink. */
static struct output *log_output;

static void on_log_line(const char *line, size_t length)
{
    output_line(log_output, line, length);
}

/* ---- shared with the other files ---- */

int supervisor_make_memfd(const char *name, const void *bytes, size_t size, struct error *err)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    size_t done = 0;
    while (fd >= 0 && done < size) {
        ssize_t put = write(fd, (const char *)bytes + done, size - done);
        if (put < 0 && errno != EINTR) {
            error_set(err, "cannot fill a memory file: %s", error_errno(errno));
            close(fd);
            return -1;
        }
        done += put > 0 ? (size_t)put : 0;
    }
    /* Whoever inherits it could open it anew for writing. */
    if (fd < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
        error_set(err, "cannot make a memory file: %s", error_errno(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

int supervisor_make_table(const struct settings *settings, struct error *err)
{
    struct buffer text = {0};
    settings_write(settings, &text);
    int fd = supervisor_make_memfd("settings", text.data, text.length, err);
    explicit_bzero(text.data, text.length);
    buffer_deinit(&text);
    return fd;
}

int supervisor_settings_fd(const struct supervisor *supervisor, struct error *err)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", supervisor->settings_fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 ? fd : error_set(err, "cannot open the settings: %s", error_errno(errno));
}

void supervisor_note_children(struct supervisor *supervisor)
{
    struct state_child *children = memory_array(supervisor->slot_count * 3, sizeof *children);
    size_t count = 0;
    for (size_t i = 0; i < supervisor->slot_count; i++) {
        const struct slot *slot = &supervisor->slots[i];
        const struct child *const own[] = {slot->retiring, slot->current, slot->successor};
        for (size_t j = 0; j < 3; j++) {
            if (own[j] != NULL && child_alive(own[j])) {
                children[count++] = (struct state_child){slot->name, own[j]->pid};
            }
        }
    }
    state_note_children(&supervisor->state, children, count);
    free(children);
}

void supervisor_announce(struct supervisor *supervisor)
{
    const struct settings *settings = supervisor->settings;
    const char *run_dir = settings_text(settings, SETTING_INSTANCE_RUN_DIR);
    const char *data_dir = settings_text(settings, SETTING_INSTANCE_DATA_DIR);
    struct buffer text = {0};
    char key_file[PATH_MAX];
    snprintf(key_file, sizeof key_file, "%s/api-key",
             settings_text(settings, SETTING_INSTANCE_DIR));
    LOG_INFO("signalbox is ready", LOG_TEXT("listen", supervisor->listeners.address),
             LOG_TEXT("api_key_file", key_file), LOG_TEXT("run_dir", run_dir),
             LOG_TEXT("data_dir", data_dir));
    buffer_printf(&text,
                  "\nSignalbox %s is ready.\n  listens at  http://%s\n  api key in  %s\n"
                  "  sockets in  %s\n  data in     %s\n",
                  SB_VERSION, supervisor->listeners.address, key_file, run_dir, data_dir);
    if (supervisor->ready_text != NULL) {
        buffer_append_text(&text, supervisor->ready_text);
    }
    buffer_append_byte(&text, '\n');
    output_people(&supervisor->output, buffer_text(&text));
    buffer_clear(&text);
    buffer_printf(&text, "READY=1\nSTATUS=listens at %s", supervisor->listeners.address);
    notify_send(buffer_text(&text));
    buffer_deinit(&text);
}

static void tell_dump(struct child *child)
{
    child_tell(child, CHILD_DUMP, -1);
}

void supervisor_dump(struct supervisor *supervisor)
{
    struct buffer text = {0};
    for (size_t i = 0; i < supervisor->slot_count; i++) {
        slot_each_child(&supervisor->slots[i], tell_dump);
    }
    status_write(&text, supervisor);
    LOG_INFO("state of the supervisor", LOG_TEXT("status", buffer_text(&text)));
    buffer_deinit(&text);
}

/* ---- signals ---- */

static void reap(struct supervisor *supervisor)
{
    int status;
    pid_t pid;
    /* Also orphans of our actors, whom nobody here knows. */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct child *child = NULL;
        for (size_t i = 0; i < supervisor->slot_count && child == NULL; i++) {
            child = slot_find(&supervisor->slots[i], pid);
        }
        if (child != NULL) {
            child_reaped(child, status);
        } else {
            reload_reaped(&supervisor->reload, pid, status);
        }
    }
}

static void handle_signal(struct supervisor *supervisor, int number)
{
    bool draining = stage_draining(&supervisor->stage);
    switch (number) {
    case SIGCHLD:
        reap(supervisor);
        return;
    case SIGTERM:
        if (draining) {
            stage_halve(supervisor);
        } else {
            stage_drain(supervisor, EXIT_CODE_DONE);
        }
        return;
    case SIGINT:
        if (draining) {
            stage_kill(supervisor);
        } else {
            stage_drain(supervisor, EXIT_CODE_DONE);
        }
        return;
    case SIGHUP:
        reload_start(&supervisor->reload, NULL, NULL);
        return;
    case SIGUSR1:
        supervisor_dump(supervisor);
        return;
    default:
        return;
    }
}

static void on_signal(struct loop_source *source, uint32_t events)
{
    struct signalfd_siginfo info;
    (void)events;
    while (read(source->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        handle_signal(source->owner, (int)info.ssi_signo);
    }
}

static int take_signals(struct supervisor *supervisor, struct error *err)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1, SIGUSR2};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        sigaddset(&set, numbers[i]);
    }
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0 ||
        (supervisor->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0) {
        return error_set(err, "cannot take the signals: %s", error_errno(errno));
    }
    supervisor->signals.handle = on_signal;
    supervisor->signals.owner = supervisor;
    return loop_add(&supervisor->loop, &supervisor->signals, EPOLLIN, err);
}

/* ---- start ---- */

struct options {
    int settings_fd;
    const char *ready_text_file;
};

static int parse_options(int argc, char **argv, struct options *options)
{
    *options = (struct options){.settings_fd = -1};
    for (int i = 1; i + 1 < argc; i += 2) {
        int64_t number;
        if (strcmp(argv[i], "--settings-fd") == 0 &&
            number_parse(argv[i + 1], strlen(argv[i + 1]), &number) == 0 && number <= INT_MAX) {
            options->settings_fd = (int)number;
        } else if (strcmp(argv[i], "--ready-text") == 0) {
            options->ready_text_file = argv[i + 1];
        } else {
            return -1;
        }
    }
    return options->settings_fd >= 0 && argc % 2 == 1 ? 0 : -1;
}

static void read_ready_text(struct supervisor *supervisor, const char *path)
{
    char text[SUPERVISOR_READY_TEXT_BYTES];
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) {
        close(fd);
    }
    if (got > 0) {
        text[got] = '\0';
        supervisor->ready_text = memory_string(text);
    }
}

static int read_settings(struct supervisor *supervisor, int fd, struct error *err)
{
    enum log_level level;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        return error_set(err, "--settings-fd %d is not open", fd);
    }
    supervisor->settings_fd = fd;
    supervisor->settings = settings_read(fd, err);
    if (supervisor->settings == NULL) {
        return -1;
    }
    if (settings_text(supervisor->settings, SETTING_INSTANCE_RUN_DIR)[0] != '/' ||
        settings_text(supervisor->settings, SETTING_INSTANCE_BIN_DIR)[0] != '/') {
        return error_set(err, "instance.run_dir and instance.bin_dir must be absolute paths");
    }
    if (log_level_parse(settings_text(supervisor->settings, SETTING_LOG_LEVEL), &level) != 0) {
        return error_set(err, "log.level must be debug, info, warn or error");
    }
    output_init(&supervisor->output, settings_text(supervisor->settings, SETTING_LOG_FORMAT));
    log_output = &supervisor->output;
    log_start("supervisor", 0, level);
    log_set_sink(on_log_line);
    return 0;
}

static int open_board(struct supervisor *supervisor, struct error *err)
{
    supervisor->board_fd = memfd_create("metrics", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    /* Of a fixed size: an actor that shortened it would end everybody who has it mapped. */
    if (supervisor->board_fd < 0 ||
        ftruncate(supervisor->board_fd, (off_t)metrics_board_size()) != 0 ||
        fcntl(supervisor->board_fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
        return error_set(err, "cannot make the metrics board: %s", error_errno(errno));
    }
    if (metrics_start(supervisor->board_fd, METRICS_SLOTS - 1, "supervisor", err) != 0) {
        return -1;
    }
    supervisor->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    return supervisor->null_fd >= 0
               ? 0
               : error_set(err, "cannot open /dev/null: %s", error_errno(errno));
}

static void make_slots(struct supervisor *supervisor)
{
    const struct roster_row *row;
    supervisor->slots = memory_array(METRICS_SLOTS, sizeof *supervisor->slots);
    for (unsigned i = 0; (row = roster_row(i)) != NULL; i++) {
        unsigned count = roster_count(row, supervisor->settings);
        for (unsigned n = 1; n <= count && supervisor->slot_count < METRICS_SLOTS - 1; n++) {
            unsigned index = (unsigned)supervisor->slot_count++;
            slot_init(&supervisor->slots[index], supervisor, row, n, index);
        }
    }
}

static int set_up(struct supervisor *supervisor, struct error *err)
{
    const struct settings *settings = supervisor->settings;
    if (state_open(&supervisor->state, settings_text(settings, SETTING_INSTANCE_RUN_DIR), err) !=
        0) {
        return -1;
    }
    state_sweep_leftovers(&supervisor->state, (uid_t)settings_int(settings, SETTING_INSTANCE_UID));
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
        return error_set(err, "cannot become subreaper: %s", error_errno(errno));
    }
    roll_init(&supervisor->rolls);
    reload_init(&supervisor->reload, supervisor);
    if (loop_init(&supervisor->loop, err) != 0 || take_signals(supervisor, err) != 0 ||
        open_board(supervisor, err) != 0 ||
        listeners_open(&supervisor->listeners, settings, err) != 0) {
        return -1;
    }
    output_attach(&supervisor->output, &supervisor->loop);
    make_slots(supervisor);
    if (control_open(&supervisor->control, supervisor, err) != 0) {
        return -1;
    }
    supervisor->notify_every_ms = notify_watchdog_ms();
    return 0;
}

/* ---- the loop ---- */

static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

static int turn_ms(const struct supervisor *supervisor)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t due_ms = now_ms + SUPERVISOR_TURN_MS;
    for (size_t i = 0; i < supervisor->slot_count; i++) {
        due_ms = earlier(due_ms, slot_due_ms(&supervisor->slots[i]));
    }
    due_ms = earlier(due_ms, stage_due_ms(supervisor));
    due_ms = earlier(due_ms, control_due_ms(&supervisor->control));
    due_ms = earlier(due_ms, reload_due_ms(&supervisor->reload));
    if (supervisor->notify_every_ms > 0) {
        due_ms = earlier(due_ms, supervisor->notify_due_ms);
    }
    return due_ms > now_ms ? (int)(due_ms - now_ms) : 0;
}

/* A suspended machine, or a supervisor kept from running, must not kill everybody. */
static void check_hole(struct supervisor *supervisor, int64_t now_ms)
{
    int64_t hole_ms = now_ms - supervisor->last_turn_ms;
    if (watch_hole(supervisor->last_turn_ms, now_ms)) {
        LOG_WARN("the supervisor itself did not run, all clocks start again",
                 LOG_INT("hole_ms", hole_ms));
        for (size_t i = 0; i < supervisor->slot_count; i++) {
            struct slot *slot = &supervisor->slots[i];
            struct child *const children[] = {slot->successor, slot->current, slot->retiring};
            for (size_t j = 0; j < 3; j++) {
                if (children[j] != NULL) {
                    child_forgive(children[j], now_ms, hole_ms);
                }
            }
        }
    }
    supervisor->last_turn_ms = now_ms;
}

/* For /metrics and /ready: what only we know of each actor. */
static void note_state(const struct slot *slot)
{
    if (slot->row->kind == ROSTER_ACTOR) {
        metrics_supervise(slot->index, slot->name,
                          &(struct metrics_supervised){.restarts = (int64_t)slot->restarts,
                                                       .ready = slot_ready(slot),
                                                       .healthy = slot_healthy(slot)});
    }
}

static void tick(struct supervisor *supervisor)
{
    int64_t now_ms = clock_monotonic_ms();
    check_hole(supervisor, now_ms);
    for (size_t i = 0; i < supervisor->slot_count; i++) {
        slot_tick(&supervisor->slots[i], now_ms);
        note_state(&supervisor->slots[i]);
    }
    reload_tick(&supervisor->reload, now_ms);
    control_tick(&supervisor->control, now_ms);
    if (supervisor->notify_every_ms > 0 && now_ms >= supervisor->notify_due_ms) {
        notify_send("WATCHDOG=1");
        supervisor->notify_due_ms = now_ms + supervisor->notify_every_ms;
    }
    stage_tick(supervisor, now_ms);
    metric_set(METRIC_LOG_LINES_DROPPED, (int64_t)supervisor->output.dropped_total);
}

static void run(struct supervisor *supervisor)
{
    LOG_INFO("starting", LOG_TEXT("version", SB_VERSION),
             LOG_TEXT("listen", supervisor->listeners.address));
    supervisor->last_turn_ms = clock_monotonic_ms();
    stage_start(supervisor);
    tick(supervisor);
    while (!supervisor->finished) {
        loop_turn(&supervisor->loop, turn_ms(supervisor));
        tick(supervisor);
    }
}

/* Kills our children, all of them orphans by now; returns how many there are. */
static size_t kill_orphans(void)
{
    char text[4096];
    size_t count = 0;
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) {
        close(fd);
    }
    text[got > 0 ? got : 0] = '\0';
    for (const char *at = text; *at != '\0'; at += strspn(at, " \n")) {
        size_t length = strcspn(at, " \n");
        int64_t pid;
        if (number_parse(at, length, &pid) == 0 && pid > 1) {
            kill((pid_t)pid, SIGKILL); /* not reaped, so still ours */
            count++;
        }
        at += length;
    }
    return count;
}

/* Processes that outlived their actor, and those that these leave in turn: nothing stays behind. */
static void end_orphans(void)
{
    for (int i = 0; i < SUPERVISOR_ORPHAN_ROUNDS && kill_orphans() > 0; i++) {
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
        poll(NULL, 0, SUPERVISOR_ORPHAN_WAIT_MS);
    }
}

static void release(struct supervisor *supervisor)
{
    log_set_sink(NULL);
    output_flush(&supervisor->output, 1000);
    output_deinit(&supervisor->output);
    for (size_t i = 0; i < supervisor->slot_count; i++) {
        slot_deinit(&supervisor->slots[i]);
    }
    free(supervisor->slots);
    free(supervisor->ready_text);
    settings_destroy(&supervisor->settings);
}

static void tear_down(struct supervisor *supervisor)
{
    char path[PATH_MAX];
    end_orphans();
    loop_turn(&supervisor->loop, 0); /* last words */
    snprintf(path, sizeof path, "%s/control.sock", supervisor->state.run_dir);
    unlink(path);
    listeners_unlink(supervisor->state.run_dir);
    listeners_close(&supervisor->listeners);
    LOG_INFO("stopped");
    /* Only now may whoever asked for the stop start another one. */
    state_close(&supervisor->state);
    control_close(&supervisor->control);
    release(supervisor);
}

int main(int argc, char **argv)
{
    struct supervisor supervisor = {0};
    struct options options;
    struct error err;
    if (parse_options(argc, argv, &options) != 0) {
        fprintf(stderr, "usage: signalbox-supervisor --settings-fd N [--ready-text FILE]\n");
        return EXIT_CODE_USAGE;
    }
    umask(0077);
    if (read_settings(&supervisor, options.settings_fd, &err) != 0) {
        fprintf(stderr, "signalbox-supervisor: %s\n", err.text);
        return EXIT_CODE_CONFIG;
    }
    read_ready_text(&supervisor, options.ready_text_file);
    if (set_up(&supervisor, &err) != 0) {
        LOG_ERROR("cannot start", LOG_TEXT("reason", err.text));
        state_close(&supervisor.state);
        release(&supervisor);
        fprintf(stderr, "signalbox: %s\n", err.text);
        return EXIT_CODE_FAILED;
    }
    run(&supervisor);
    tear_down(&supervisor);
    /* People and their scripts know 0 to 4; only an init system is to tell "start again" from "an
     * administrator first" (RestartPreventExitStatus= of the unit). */
    return supervisor.exit_code == EXIT_CODE_CONFIG && !notify_wanted() ? EXIT_CODE_FAILED
                                                                        : supervisor.exit_code;
}
