/* See fetch.h. */
#include "runtime/fetch.h"

#include "runtime/base/clock.h"
#include "runtime/base/list.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/frame_pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAITING_MAX = 256, RESTART_MS = 1000, LOOK_MS = 500, GRACE_MS = 2000 };

struct fetch {
    struct actor *actor; /* borrowed */
    bool http;
    char *allow; /* owned, like the next two */
    char *ports;
    char *seccomp;
    struct frame_pipe *child;
    pid_t pid; /* 0: none */
    int64_t ended_ms;
    uint64_t number;
    struct list waiting;
    size_t count;
    struct event *clock;
};

struct waiter {
    struct list node;
    uint64_t number;
    int64_t until_ms;
    fetch_done_fn *done;
    void *arg;
};

static void tell(struct fetch *fetch, struct waiter *waiter, const struct message_fetched *answer)
{
    list_remove(&waiter->node);
    fetch->count--;
    waiter->done(waiter->arg, answer);
    free(waiter);
}

/* The pipe is gone: the child ends by itself, or is ended. */
static void lose_child(struct fetch *fetch)
{
    struct list *first;
    frame_pipe_destroy(&fetch->child);
    if (fetch->pid > 0) {
        (void)kill(fetch->pid, SIGKILL);
        while (waitpid(fetch->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        fetch->pid = 0;
    }
    fetch->ended_ms = clock_monotonic_ms();
    while ((first = list_first(&fetch->waiting)) != NULL) {
        tell(fetch, LIST_ENTRY(first, struct waiter, node), NULL);
    }
}

static void on_closed(void *arg)
{
    struct fetch *fetch = arg;
    LOG_WARN("the fetcher ended", LOG_INT("pid", fetch->pid), LOG_INT("under_way", fetch->count));
    lose_child(fetch);
}

static void on_received(void *arg, const uint8_t *frame, size_t length)
{
    struct fetch *fetch = arg;
    struct message_header header;
    struct message_fetched answer;
    if (message_fetched_decode(frame, length, &header, &answer) != 0) {
        LOG_WARN("malformed answer of the fetcher", LOG_INT("bytes", length));
        return;
    }
    LIST_FOR_EACH(node, &fetch->waiting)
    {
        struct waiter *waiter = LIST_ENTRY(node, struct waiter, node);
        if (waiter->number == header.request) {
            tell(fetch, waiter, &answer);
            return;
        }
    }
}

static void look(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct fetch *fetch = arg;
    int64_t now_ms = clock_monotonic_ms();
    LIST_FOR_EACH(node, &fetch->waiting)
    {
        struct waiter *waiter = LIST_ENTRY(node, struct waiter, node);
        if (now_ms > waiter->until_ms) {
            LOG_WARN("the fetcher does not answer");
            lose_child(fetch);
            return;
        }
    }
}

/* In the child, between fork and exec: async-signal-safe calls only. It keeps the log and its end
 * of the pipe, and no environment. */
static void run_child(int fd, const char *program, char *const *arguments, pid_t parent)
{
    static char *environment[] = {NULL};
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(fd, 0) != 0 || close_range(3, UINT_MAX, 0) != 0) {
        _exit(EXIT_CODE_FAILED);
    }
    (void)execve(program, arguments, environment);
    _exit(EXIT_CODE_FAILED);
}

static pid_t spawn(const struct fetch *fetch, int fd)
{
    char program[PATH_MAX];
    char *arguments[12] = {program};
    int count = 1;
    snprintf(program, sizeof program, "%s/signalbox-fetcher",
             settings_text(fetch->actor->settings, SETTING_INSTANCE_BIN_DIR));
    if (fetch->http) {
        arguments[count++] = "--http";
    }
    arguments[count++] = "--allow";
    arguments[count++] = fetch->allow;
    arguments[count++] = "--ports";
    arguments[count++] = fetch->ports;
    arguments[count++] = "--seccomp";
    arguments[count++] = fetch->seccomp;
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        run_child(fd, program, arguments, parent);
    }
    return pid;
}

static int start_child(struct fetch *fetch, struct error *err)
{
    int ends[2];
    if (fetch->ended_ms != 0 && clock_monotonic_ms() - fetch->ended_ms < RESTART_MS) {
        return error_set(err, "the fetcher has just died");
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return error_set(err, "socketpair: %s", error_errno(errno));
    }
    fetch->pid = spawn(fetch, ends[1]);
    close(ends[1]);
    if (fetch->pid < 0) {
        fetch->pid = 0;
        close(ends[0]);
        return error_set(err, "fork: %s", error_errno(errno));
    }
    LOG_INFO("fetcher started", LOG_INT("pid", fetch->pid));
    fetch->child = frame_pipe_create(fetch->actor->base, ends[0],
                                     &(struct frame_pipe_handler){on_received, on_closed, fetch});
    return 0;
}

struct fetch *fetch_create(struct actor *actor)
{
    const struct settings *settings = actor->settings;
    return fetch_create_reaching(
        actor, &(struct fetch_reach){.http = settings_bool(settings, SETTING_EGRESS_HTTP),
                                     .allow = settings_text(settings, SETTING_EGRESS_ALLOW),
                                     .ports = settings_text(settings, SETTING_EGRESS_PORTS)});
}

struct fetch *fetch_create_reaching(struct actor *actor, const struct fetch_reach *reach)
{
    struct fetch *fetch = memory_new(sizeof *fetch);
    struct timeval every = {.tv_usec = LOOK_MS * 1000};
    fetch->actor = actor;
    fetch->http = reach->http;
    fetch->allow = memory_string(reach->allow);
    fetch->ports = memory_string(reach->ports);
    fetch->seccomp = memory_string(settings_text(actor->settings, SETTING_SECURITY_SECCOMP));
    list_init(&fetch->waiting);
    fetch->clock = event_new(actor->base, -1, EV_PERSIST, look, fetch);
    event_add(fetch->clock, &every);
    return fetch;
}

void fetch_destroy(struct fetch **fetch)
{
    if (*fetch == NULL) {
        return;
    }
    lose_child(*fetch);
    event_free((*fetch)->clock);
    free((*fetch)->allow);
    free((*fetch)->ports);
    free((*fetch)->seccomp);
    free(*fetch);
    *fetch = NULL;
}

int fetch_send(struct fetch *fetch, const struct message_fetch *request, fetch_done_fn *done,
               void *arg, struct error *err)
{
    if (fetch->count == WAITING_MAX) {
        return error_set(err, "too many requests under way");
    }
    if (fetch->child == NULL && start_child(fetch, err) != 0) {
        return -1;
    }
    struct msgpack_sbuffer frame = {0};
    message_fetch_encode(&frame, &(struct message_header){.request = ++fetch->number}, request);
    int sent = frame_pipe_send(fetch->child, frame.data, frame.size);
    msgpack_sbuffer_destroy(&frame);
    if (sent != 0) {
        return error_set(err, "the fetcher does not read");
    }
    struct waiter *waiter = memory_new(sizeof *waiter);
    *waiter = (struct waiter){
        .number = fetch->number,
        .until_ms = clock_monotonic_ms() + (int64_t)request->timeout_ms + GRACE_MS,
        .done = done,
        .arg = arg,
    };
    list_init(&waiter->node);
    list_append(&fetch->waiting, &waiter->node);
    fetch->count++;
    return 0;
}
