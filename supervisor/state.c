/* See state.h. Files of a directory that the services' user owns: opened without following links,
 * and believed only when they are ours. */
#include "supervisor/state.h"

#include "runtime/base/buffer.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/number.h"
#include "supervisor/service.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STATE_FILE_BYTES_MAX = 64 << 10, STATE_NAME_SIZE = 32, STATE_GENERATION_BYTES = 20 };

static void path_of(const struct state *state, const char *file, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s", state->run_dir, file);
}

static int lock(struct state *state, struct error *err)
{
    char path[PATH_MAX];
    path_of(state, "supervisor.lock", path);
    state->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (state->lock_fd < 0) {
        return error_set(err, "cannot open %s: %s", path, error_errno(errno));
    }
    if (flock(state->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        int code = errno;
        close(state->lock_fd);
        state->lock_fd = -1;
        return code == EWOULDBLOCK
                   ? error_set(err, "a Signalbox is already running here (%s is locked)", path)
                   : error_set(err, "cannot lock %s: %s", path, error_errno(code));
    }
    return 0;
}

/* The whole file as text, empty when it is missing or not ours. */
static void read_file(const struct state *state, const char *file, struct buffer *out)
{
    char path[PATH_MAX];
    struct stat status;
    path_of(state, file, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return;
    }
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid()) {
        ssize_t got = read(fd, buffer_reserve(out, STATE_FILE_BYTES_MAX), STATE_FILE_BYTES_MAX);
        out->length = got > 0 ? (size_t)got : 0;
    } else {
        LOG_WARN("a state file is not ours and is ignored", LOG_TEXT("path", path));
    }
    close(fd);
}

static int write_bytes(int fd, const struct buffer *content)
{
    size_t done = 0;
    while (done < content->length) {
        ssize_t put = write(fd, content->data + done, content->length - done);
        if (put < 0 && errno != EINTR) {
            return -1;
        }
        done += put > 0 ? (size_t)put : 0;
    }
    return 0;
}

/* Whole or not at all: a new file, renamed over the old one. */
static void write_file(struct state *state, const char *file, const struct buffer *content)
{
    char path[PATH_MAX];
    char fresh[PATH_MAX];
    path_of(state, file, path);
    snprintf(fresh, sizeof fresh, "%.*s.new", PATH_MAX - 8, path);
    unlink(fresh);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool failed = fd < 0 || write_bytes(fd, content) != 0;
    int code = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (!failed && rename(fresh, path) != 0) {
        failed = true;
        code = errno;
    }
    if (failed && !state->write_failed) {
        LOG_ERROR("cannot write a state file", LOG_TEXT("path", path),
                  LOG_TEXT("reason", error_errno(code)));
    }
    state->write_failed = failed;
}

/* The counter stays in one place on the disk, so that a full one cannot make us forget it. */
static int open_generation(struct state *state, struct error *err)
{
    char path[PATH_MAX];
    char text[STATE_GENERATION_BYTES];
    struct stat status;
    int64_t last = 0;
    path_of(state, "generation", path);
    state->generation_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (state->generation_fd < 0 || fstat(state->generation_fd, &status) != 0) {
        return error_set(err, "cannot open %s: %s", path, error_errno(errno));
    }
    if (!S_ISREG(status.st_mode) || status.st_uid != geteuid()) {
        return error_set(err, "%s is not ours: remove it", path);
    }
    ssize_t got = pread(state->generation_fd, text, sizeof text, 0);
    size_t digits = got > 0 && text[got - 1] == '\n' ? (size_t)got - 1 : 0;
    if (got != 0 && (digits == 0 || number_parse(text, digits, &last) != 0)) {
        return error_set(err, "%s holds no number: remove it", path);
    }
    state->generation = (uint64_t)last;
    return 0;
}

int state_open(struct state *state, const char *run_dir, struct error *err)
{
    *state = (struct state){.run_dir = memory_string(run_dir), .lock_fd = -1, .generation_fd = -1};
    if (lock(state, err) != 0 || open_generation(state, err) != 0) {
        state_close(state);
        return -1;
    }
    return 0;
}

void state_close(struct state *state)
{
    int *const fds[] = {&state->generation_fd, &state->lock_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (*fds[i] >= 0) {
            close(*fds[i]);
            *fds[i] = -1;
        }
    }
    free(state->run_dir);
    state->run_dir = NULL;
}

uint64_t state_next_generation(struct state *state)
{
    char text[STATE_GENERATION_BYTES + 1];
    state->generation++;
    snprintf(text, sizeof text, "%0*llu\n", STATE_GENERATION_BYTES - 1,
             (unsigned long long)state->generation);
    if (pwrite(state->generation_fd, text, STATE_GENERATION_BYTES, 0) != STATE_GENERATION_BYTES) {
        LOG_ERROR("cannot keep the generation", LOG_TEXT("reason", error_errno(errno)));
    }
    return state->generation;
}

void state_note_children(struct state *state, const struct state_child *children, size_t count)
{
    struct buffer text = {0};
    for (size_t i = 0; i < count; i++) {
        int64_t start = state_start_time(children[i].pid);
        if (start >= 0) {
            buffer_printf(&text, "%s %d %lld\n", children[i].name, (int)children[i].pid,
                          (long long)start);
        }
    }
    write_file(state, "leftovers", &text);
    buffer_deinit(&text);
}

int64_t state_start_time(pid_t pid)
{
    enum { FIELDS_BEHIND_NAME = 20 }; /* starttime is field 22, the name in brackets is field 2 */
    char path[64];
    char text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    /* The name may hold anything, brackets and spaces too: count from the last bracket. */
    char *at = strrchr(text, ')');
    for (int i = 0; at != NULL && i < FIELDS_BEHIND_NAME; i++) {
        at = strchr(at + 1, ' ');
    }
    int64_t start;
    if (at == NULL || number_parse(at + 1, strcspn(at + 1, " "), &start) != 0) {
        return -1;
    }
    return start;
}

/* From the status file: the owner of /proc/PID is root for a process that may not be dumped. */
int state_process_uid(pid_t pid, uid_t *uid_out)
{
    char path[64];
    char text[4096];
    int64_t uid;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    const char *at = strstr(text, "\nUid:\t");
    if (at == NULL || number_parse(at + 6, strcspn(at + 6, "\t"), &uid) != 0) {
        return -1;
    }
    *uid_out = (uid_t)uid;
    return 0;
}

struct leftover {
    char name[STATE_NAME_SIZE];
    pid_t pid;
    int64_t start;
};

/* "NAME PID START". */
static int parse_leftover(const char *line, struct leftover *leftover)
{
    size_t name_length = strcspn(line, " ");
    const char *pid = line + name_length + (line[name_length] == ' ');
    size_t pid_length = strcspn(pid, " ");
    const char *start = pid + pid_length + (pid[pid_length] == ' ');
    int64_t number;
    if (name_length == 0 || name_length >= STATE_NAME_SIZE ||
        number_parse(pid, pid_length, &number) != 0 || number < 2 || number > INT_MAX ||
        number_parse(start, strlen(start), &leftover->start) != 0) {
        return -1;
    }
    leftover->pid = (pid_t)number;
    snprintf(leftover->name, sizeof leftover->name, "%.*s", (int)name_length, line);
    return 0;
}

/* True when the process behind `pidfd` ended within `wait_ms`. */
static bool wait_gone(int pidfd, int wait_ms)
{
    struct pollfd gone = {.fd = pidfd, .events = POLLIN};
    int64_t end_ms = clock_monotonic_ms() + wait_ms;
    for (;;) {
        int64_t left_ms = end_ms - clock_monotonic_ms();
        int count = poll(&gone, 1, left_ms > 0 ? (int)left_ms : 0);
        if (count > 0 || (count == 0 && left_ms <= 0)) {
            return count > 0;
        }
    }
}

static void end_leftover(const struct leftover *leftover, uid_t uid)
{
    int pidfd = pidfd_open(leftover->pid, 0);
    uid_t owner;
    if (pidfd < 0) {
        return;
    }
    /* With the pidfd open the pid can no longer come to mean somebody else. */
    if (state_start_time(leftover->pid) == leftover->start &&
        state_process_uid(leftover->pid, &owner) == 0 && (owner == uid || owner == geteuid())) {
        struct service_stop_step steps[SERVICE_STOP_STEPS];
        size_t count = service_leftover_steps(leftover->name, steps);
        LOG_WARN("ending what an earlier supervisor left behind", LOG_TEXT("name", leftover->name),
                 LOG_INT("pid", leftover->pid));
        for (size_t i = 0; i < count; i++) {
            pidfd_send_signal(pidfd, steps[i].signal, NULL, 0);
            pidfd_send_signal(pidfd, SIGCONT, NULL, 0); /* a stopped process hears nothing else */
            if (wait_gone(pidfd, steps[i].wait_ms)) {
                break;
            }
        }
    }
    close(pidfd);
}

void state_sweep_leftovers(struct state *state, uid_t uid)
{
    struct buffer text = {0};
    struct leftover leftover;
    read_file(state, "leftovers", &text);
    /* Actors first, as in an ordinary stop: the list is in starting order, so from its end. */
    char *begin = buffer_text(&text);
    for (char *end = begin + strlen(begin); end > begin;) {
        char *line = end - 1;
        *line = '\0';
        while (line > begin && line[-1] != '\n') {
            line--;
        }
        if (parse_leftover(line, &leftover) == 0) {
            end_leftover(&leftover, uid);
        }
        end = line;
    }
    buffer_deinit(&text);
    state_note_children(state, NULL, 0);
}
