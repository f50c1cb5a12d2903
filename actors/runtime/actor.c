/*
 * See actor.h. The frame around an actor: what the supervisor hands over at the start
 * (child_contract.h), the control socket, beats from the main loop, and the three ways to end:
 * drained, failed, orphaned.
 */
#include "runtime/actor.h"

#include "proto/child_contract.h"
#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/limits.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/base/number.h"
#include "runtime/bus.h"
#include "runtime/confine.h"
#include "runtime/db.h"
#include "runtime/spans.h"

#include <errno.h>
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACTOR_BEAT_MS = 1000,
    ACTOR_ORPHAN_MS =
        2000, /* what is begun may be finished this long after the supervisor has gone */
    ACTOR_FDS_MAX = 24
};

struct named_fd {
    char name[16];
    int fd;
};

/* The frame's own state around the actor that its description sees. */
struct frame {
    struct actor actor; /* first: actor.h hands out pointers to it */
    struct named_fd fds[ACTOR_FDS_MAX];
    size_t fds_count;
    unsigned slot;
    int signal_fd;
    struct event *control;
    struct event *signals;
    struct event *beat;
    struct event *orphan_end;
    struct confine confine;
    int landlock; /* ABI in force; 0: none */
    uint64_t tick;
    int64_t beat_due_us;
};

static struct frame *frame_of(struct actor *actor)
{
    return (struct frame *)(void *)actor;
}

/* ---- records to and from the supervisor ---- */

static void tell(struct actor *actor, struct child_record record)
{
    record.version = CHILD_RECORD_VERSION;
    record.generation = actor->generation;
    ssize_t sent = send(CHILD_FD_CONTROL, &record, sizeof record, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        LOG_DEBUG("the supervisor does not listen", LOG_TEXT("error", error_errno(errno)));
    }
}

static void send_beat(struct frame *frame)
{
    struct actor *actor = &frame->actor;
    int64_t now_us = clock_monotonic_us();
    int64_t delay_us = frame->beat_due_us == 0 ? 0 : now_us - frame->beat_due_us;
    struct actor_report report = {.healthy = true};
    if (actor->description->report != NULL && actor->state != NULL) {
        actor->description->report(actor, &report);
    }
    metric_set(METRIC_LOOP_DELAY_US, delay_us < 0 ? 0 : delay_us);
    metric_set(METRIC_QUEUE_DEPTH, (int64_t)report.queued);
    metric_set(METRIC_IN_FLIGHT, (int64_t)report.in_flight);
    tell(actor, (struct child_record){.type = CHILD_BEAT,
                                      .healthy = report.healthy,
                                      .tick = ++frame->tick,
                                      .delay_us = delay_us < 0 ? 0 : (uint64_t)delay_us,
                                      .queued = report.queued,
                                      .in_flight = report.in_flight});
    frame->beat_due_us = now_us + (int64_t)ACTOR_BEAT_MS * 1000;
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    send_beat(arg);
}

static void begin_drain(struct frame *frame, int64_t deadline_ms)
{
    struct actor *actor = &frame->actor;
    if (actor->draining) {
        return;
    }
    actor->draining = true;
    tell(actor, (struct child_record){.type = CHILD_STOPPING});
    LOG_INFO("draining", LOG_INT("deadline_ms", deadline_ms));
    if (actor->description->drain != NULL) {
        actor->description->drain(actor, deadline_ms);
    } else {
        actor_drained(actor);
    }
}

/* End-of-file on the control socket, or SIGTERM by PDEATHSIG: nobody will restart us, and nobody
 * will end us. */
static void become_orphan(struct frame *frame)
{
    LOG_WARN("the supervisor is gone");
    frame->actor.exit_code = EXIT_CODE_ORPHANED;
    event_del(frame->control);
    event_add(frame->orphan_end, &(struct timeval){ACTOR_ORPHAN_MS / 1000, 0});
    begin_drain(frame, ACTOR_ORPHAN_MS);
}

static void on_orphan_end(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct frame *frame = arg;
    event_base_loopbreak(frame->actor.base);
}

static void reload(struct frame *frame, int fd)
{
    struct actor *actor = &frame->actor;
    struct error err;
    enum log_level level;
    struct settings *settings = fd < 0 ? NULL : settings_read(fd, &err);
    if (settings == NULL) {
        LOG_ERROR("reload without a settings table",
                  LOG_TEXT("error", fd < 0 ? "none sent" : err.text));
        return;
    }
    /* Only RELOAD keys change under a running actor; the table keeps its address, because others
     * refer to it. */
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        if ((setting_info((enum setting)id)->flags & SETTING_RELOAD) != 0 &&
            settings_set(actor->settings, (enum setting)id,
                         settings_text(settings, (enum setting)id), &err) != 0) {
            LOG_ERROR("setting refused", LOG_TEXT("error", err.text));
        }
    }
    settings_destroy(&settings);
    if (log_level_parse(settings_text(actor->settings, SETTING_LOG_LEVEL), &level) == 0) {
        log_set_level(level);
    }
    if (actor->description->reload != NULL) {
        actor->description->reload(actor);
    }
    LOG_INFO("settings reloaded");
}

static void go(struct frame *frame)
{
    struct actor *actor = &frame->actor;
    struct error err;
    if (!actor->held) {
        return;
    }
    actor->held = false;
    LOG_INFO("taking over");
    if (actor->description->go != NULL && actor->description->go(actor, &err) != 0) {
        LOG_ERROR("cannot take over", LOG_TEXT("error", err.text));
        actor_fail(actor, actor->exit_code == 0 ? EXIT_CODE_FAILED : actor->exit_code);
    }
}

static void obey(struct frame *frame, const struct child_record *record, int fd)
{
    struct actor *actor = &frame->actor;
    switch (record->type) {
    case CHILD_DRAIN:
        begin_drain(frame, record->value);
        break;
    case CHILD_RELOAD:
        reload(frame, fd);
        break;
    case CHILD_DUMP:
        if (actor->description->dump != NULL) {
            actor->description->dump(actor);
        }
        break;
    case CHILD_GO:
        go(frame);
        break;
    default:
        LOG_WARN("unknown record from the supervisor", LOG_INT("type", record->type));
    }
}

static int passed_descriptor(struct msghdr *message)
{
    int fd = -1;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
         part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS) {
            memcpy(&fd, CMSG_DATA(part), sizeof fd);
        }
    }
    return fd;
}

static void on_control(evutil_socket_t socket, short what, void *arg)
{
    (void)what;
    struct frame *frame = arg;
    struct child_record record;
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec bytes = {&record, sizeof record};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        become_orphan(frame);
        return;
    }
    int fd = passed_descriptor(&message);
    if (got == (ssize_t)sizeof record && record.version == CHILD_RECORD_VERSION &&
        record.generation == frame->actor.generation) {
        obey(frame, &record, fd);
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct frame *frame = arg;
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof info) != (ssize_t)sizeof info) {
        return;
    }
    const char *parent = getenv(CHILD_ENV_PARENT);
    int64_t parent_pid = 0;
    bool known = parent != NULL && number_parse(parent, strlen(parent), &parent_pid) == 0;
    if (known && getppid() != (pid_t)parent_pid) {
        become_orphan(frame);
    } else {
        begin_drain(frame, ACTOR_ORPHAN_MS);
    }
}

/* ---- start ---- */

static void on_abort(int signal_number)
{
    /* Addresses only, no memory: the log must not leak what we were holding. */
    void *addresses[32];
    int count = backtrace(addresses, 32);
    backtrace_symbols_fd(addresses, count, STDERR_FILENO);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* Everything is blocked before any thread exists; TERM and INT are read from a descriptor. */
static int take_signals(void)
{
    sigset_t blocked;
    sigset_t read_here;
    sigfillset(&blocked);
    sigdelset(&blocked, SIGABRT);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGABRT, on_abort);
    sigemptyset(&read_here);
    sigaddset(&read_here, SIGTERM);
    sigaddset(&read_here, SIGINT);
    return signalfd(-1, &read_here, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int read_number(const char *name, int64_t *value_out, struct error *err)
{
    const char *text = getenv(name);
    if (text == NULL || number_parse(text, strlen(text), value_out) != 0) {
        return error_set(err, "%s is missing: actors are started by signalbox-supervisor", name);
    }
    return 0;
}

static int read_fds(struct frame *frame, struct error *err)
{
    const char *at = getenv(CHILD_ENV_FDS);
    while (at != NULL && *at != '\0') {
        size_t name = strcspn(at, ":");
        size_t whole = strcspn(at, ",");
        int64_t fd;
        if (name >= whole || name >= sizeof frame->fds[0].name ||
            frame->fds_count == ACTOR_FDS_MAX ||
            number_parse(at + name + 1, whole - name - 1, &fd) != 0 || fd > 1024) {
            return error_set(err, "%s is malformed", CHILD_ENV_FDS);
        }
        struct named_fd *named = &frame->fds[frame->fds_count++];
        memcpy(named->name, at, name);
        named->fd = (int)fd;
        at += whole + (at[whole] == ',' ? 1 : 0);
    }
    return 0;
}

static int read_environment(struct frame *frame, struct error *err)
{
    struct actor *actor = &frame->actor;
    int64_t generation = 0;
    int64_t slot = 0;
    const char *hold = getenv(CHILD_ENV_HOLD);
    actor->instance = getenv(CHILD_ENV_NAME);
    if (actor->instance == NULL) {
        return error_set(err, "%s is missing: actors are started by signalbox-supervisor",
                         CHILD_ENV_NAME);
    }
    if (read_number(CHILD_ENV_GENERATION, &generation, err) != 0 ||
        read_number(CHILD_ENV_SLOT, &slot, err) != 0 || read_fds(frame, err) != 0) {
        return -1;
    }
    actor->generation = (uint64_t)generation;
    frame->slot = (unsigned)slot;
    actor->held = hold != NULL && strcmp(hold, "1") == 0;
    return 0;
}

static int start_log(struct actor *actor, struct error *err)
{
    enum log_level level;
    if (log_level_parse(settings_text(actor->settings, SETTING_LOG_LEVEL), &level) != 0) {
        return error_set(err, "log.level must be debug, info, warn or error");
    }
    log_start(actor->instance, actor->generation, level);
    return 0;
}

static void add_path(void *arg, const char *path)
{
    confine_add_path(arg, path);
}

/* Before the bus makes its threads. */
static int confine_early(struct frame *frame, struct error *err)
{
    const struct actor *actor = &frame->actor;
    if (confine_init(&frame->confine, actor->description->name, actor->settings, err) != 0) {
        return -1;
    }
    db_each_file(settings_text(actor->settings, SETTING_DATABASE_URL), add_path, &frame->confine);
    frame->landlock = confine_files(&frame->confine);
    return 0;
}

/* Everything is open and every thread is there. In the mode that only logs, a kernel without seccomp
 * is put up with. */
static int confine_late(struct frame *frame, struct error *err)
{
    if (confine_calls(&frame->confine, err) == 0) {
        return 0;
    }
    if (frame->confine.mode == CONFINE_KILL) {
        frame->actor.exit_code = EXIT_CODE_CONFIG;
        return -1;
    }
    LOG_WARN("system calls are not confined", LOG_TEXT("error", err->text));
    frame->confine.mode = CONFINE_OFF;
    return 0;
}

static int open_frame(struct frame *frame, struct error *err)
{
    struct actor *actor = &frame->actor;
    if (read_environment(frame, err) != 0) {
        return -1;
    }
    log_start(actor->instance, actor->generation, LOG_LEVEL_INFO);
    int settings_fd = actor_listener(actor, CHILD_FD_SETTINGS_NAME);
    actor->settings = settings_read(settings_fd, err);
    if (actor->settings == NULL || start_log(actor, err) != 0 ||
        metrics_start(actor_listener(actor, CHILD_FD_METRICS_NAME), frame->slot, actor->instance,
                      err) != 0 ||
        confine_early(frame, err) != 0) {
        actor->exit_code = EXIT_CODE_CONFIG;
        return -1;
    }
    fault_start(settings_text(actor->settings, SETTING_INSTANCE_FAULT_DIR));
    ssize_t got = getrandom(&actor->origin, sizeof actor->origin, 0);
    actor->origin = got < 0 ? (uint64_t)clock_real_us() : actor->origin >> 1;
    actor->base = event_base_new();
    if (actor->base == NULL) {
        return error_set(err, "cannot make the event loop");
    }
    if (spans_create(actor, &actor->spans, err) != 0) {
        actor->exit_code = EXIT_CODE_CONFIG;
        return -1;
    }
    actor->bus = bus_create(actor->base, err);
    return actor->bus == NULL ? -1 : 0;
}

static void watch_control(struct frame *frame)
{
    struct event_base *base = frame->actor.base;
    frame->control = event_new(base, CHILD_FD_CONTROL, EV_READ | EV_PERSIST, on_control, frame);
    frame->signals = event_new(base, frame->signal_fd, EV_READ | EV_PERSIST, on_signal, frame);
    frame->beat = event_new(base, -1, EV_PERSIST, on_beat, frame);
    frame->orphan_end = event_new(base, -1, 0, on_orphan_end, frame);
    event_add(frame->control, NULL);
    event_add(frame->signals, NULL);
    event_add(frame->beat, &(struct timeval){ACTOR_BEAT_MS / 1000, 0});
}

static int start(struct frame *frame, struct error *err)
{
    struct actor *actor = &frame->actor;
    if (open_frame(frame, err) != 0) {
        return -1;
    }
    watch_control(frame);
    if (actor->description->start(actor, err) != 0) {
        return -1;
    }
    if (!actor->held && actor->description->go != NULL && actor->description->go(actor, err) != 0) {
        return -1;
    }
    if (confine_late(frame, err) != 0) {
        return -1;
    }
    tell(actor, (struct child_record){.type = CHILD_READY,
                                      .value = frame->landlock << CHILD_CONFINED_ABI_SHIFT |
                                               (int)frame->confine.mode});
    send_beat(frame);
    LOG_INFO("ready", LOG_TEXT("hold", actor->held ? "yes" : "no"), LOG_INT("pid", getpid()));
    return 0;
}

static void close_frame(struct frame *frame)
{
    struct actor *actor = &frame->actor;
    if (actor->description->stop != NULL && actor->base != NULL) {
        actor->description->stop(actor);
    }
    bus_destroy(&actor->bus);
    spans_destroy(&actor->spans);
    struct event **events[] = {&frame->control, &frame->signals, &frame->beat, &frame->orphan_end};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (*events[i] != NULL) {
            event_free(*events[i]);
        }
    }
    if (actor->base != NULL) {
        event_base_free(actor->base);
    }
    confine_deinit(&frame->confine);
    settings_destroy(&actor->settings);
    libevent_global_shutdown();
}

int actor_main(const struct actor_description *description)
{
    struct frame frame = {.actor = {.description = description}};
    struct error err = {""};
    frame.signal_fd = take_signals();
    prctl(PR_SET_NAME, description->name);
    if (start(&frame, &err) == 0) {
        event_base_dispatch(frame.actor.base);
    } else {
        if (frame.actor.exit_code == 0) {
            frame.actor.exit_code = EXIT_CODE_FAILED;
        }
        LOG_ERROR("cannot start", LOG_TEXT("error", err.text));
        tell(&frame.actor,
             (struct child_record){.type = CHILD_FATAL, .value = frame.actor.exit_code});
    }
    int exit_code = frame.actor.exit_code;
    close_frame(&frame);
    return exit_code;
}

/* ---- what actors call ---- */

int actor_listener(const struct actor *actor, const char *name)
{
    const struct frame *frame = (const struct frame *)(const void *)actor;
    for (size_t i = 0; i < frame->fds_count; i++) {
        if (strcmp(frame->fds[i].name, name) == 0) {
            return frame->fds[i].fd;
        }
    }
    return -1;
}

void actor_path(const struct actor *actor, const char *file, char *path)
{
    snprintf(path, LIMIT_SOCKET_PATH_BYTES + 1, "%s/%s",
             settings_text(actor->settings, SETTING_INSTANCE_RUN_DIR), file);
}

void actor_drain(struct actor *actor, int64_t deadline_ms)
{
    begin_drain(frame_of(actor), deadline_ms);
}

void actor_drained(struct actor *actor)
{
    tell(actor, (struct child_record){.type = CHILD_DRAINED});
    event_base_loopexit(actor->base, NULL);
}

void actor_fail(struct actor *actor, int exit_code)
{
    actor->exit_code = exit_code;
    tell(actor, (struct child_record){.type = CHILD_FATAL, .value = exit_code});
    event_base_loopbreak(frame_of(actor)->actor.base);
}
