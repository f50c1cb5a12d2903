/* See service.h. */
#include "supervisor/service.h"

#include "runtime/base/number.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SERVICE_ANSWER_BYTES = 256 };

size_t service_leftover_steps(const char *name, struct service_stop_step steps[SERVICE_STOP_STEPS])
{
    /* TERM is PostgreSQL's smart shutdown, which waits for clients. */
    static const struct service_stop_step postgres[] = {
        {SIGINT, 10000}, {SIGQUIT, 5000}, {SIGKILL, 5000}};
    static const struct service_stop_step redis[] = {{SIGTERM, 5000}, {SIGKILL, 5000}};
    static const struct service_stop_step actor[] = {{SIGKILL, 5000}};
    const struct service_stop_step *from = strcmp(name, "postgres") == 0 ? postgres
                                           : strcmp(name, "redis") == 0  ? redis
                                                                         : actor;
    size_t count = from == postgres ? 3 : from == redis ? 2 : 1;
    memcpy(steps, from, count * sizeof *steps);
    return count;
}

/* Reads a small file whole; -1 when it cannot be read. */
static int read_small(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return -1;
    }
    ssize_t got = read(fd, text, size - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got > 0 ? 0 : -1;
}

enum service_state service_postgres_probe(const struct settings *settings, pid_t pid)
{
    enum { STATUS_LINE = 8 };
    char path[PATH_MAX];
    char text[4096];
    int64_t owner;
    snprintf(path, sizeof path, "%s/postgres/postmaster.pid",
             settings_text(settings, SETTING_INSTANCE_DATA_DIR));
    if (read_small(path, text, sizeof text) != 0 ||
        number_parse(text, strcspn(text, "\n"), &owner) != 0 || owner != pid) {
        return SERVICE_NOT_READY;
    }
    const char *line = text;
    for (int i = 1; i < STATUS_LINE && line != NULL; i++) {
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    return line != NULL && strncmp(line, "ready", 5) == 0 ? SERVICE_READY : SERVICE_NOT_READY;
}

static int connect_redis(const struct settings *settings)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int size = snprintf(address.sun_path, sizeof address.sun_path, "%s/redis.sock",
                        settings_text(settings, SETTING_INSTANCE_RUN_DIR));
    if (size < 0 || (size_t)size >= sizeof address.sun_path) {
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
                    send(fd, "PING\r\n", 6, MSG_NOSIGNAL | MSG_DONTWAIT) != 6)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

enum service_state service_redis_probe(const struct settings *settings, int *fd)
{
    char answer[SERVICE_ANSWER_BYTES];
    if (*fd < 0) {
        *fd = connect_redis(settings);
        return SERVICE_NOT_READY;
    }
    ssize_t got = recv(*fd, answer, sizeof answer, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return SERVICE_NOT_READY;
    }
    close(*fd);
    *fd = -1;
    /* An error other than LOADING comes from a server that serves. */
    bool ready =
        got > 0 && (answer[0] == '+' || (answer[0] == '-' && strncmp(answer, "-LOADING", 8) != 0));
    return ready ? SERVICE_READY : SERVICE_NOT_READY;
}

static bool link_is(pid_t pid, const char *link, const char *wanted)
{
    char path[64];
    char target[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, link);
    ssize_t length = readlink(path, target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    return strcmp(target, wanted) == 0;
}

/* Resolved "directory/name"; -1 when there is no such file. */
static int real_path(const char *directory, const char *name, char out[PATH_MAX])
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return realpath(path, out) == NULL ? -1 : 0;
}

size_t service_postgres_end_strays(const struct settings *settings, int signal)
{
    char data[PATH_MAX];
    char program[PATH_MAX];
    size_t found = 0;
    DIR *processes = opendir("/proc");
    if (processes == NULL) {
        return 0;
    }
    if (real_path(settings_text(settings, SETTING_INSTANCE_DATA_DIR), "postgres", data) == 0 &&
        real_path(settings_text(settings, SETTING_DATABASE_BIN_DIR), "postgres", program) == 0) {
        for (struct dirent *entry; (entry = readdir(processes)) != NULL;) {
            int64_t pid;
            if (number_parse(entry->d_name, strlen(entry->d_name), &pid) != 0) {
                continue;
            }
            int pidfd = pidfd_open((pid_t)pid, 0);
            /* Every process of a server works in its data directory: that tells ours from others.
             */
            if (pidfd >= 0 && link_is((pid_t)pid, "cwd", data) &&
                link_is((pid_t)pid, "exe", program)) {
                found++;
                pidfd_send_signal(pidfd, signal, NULL, 0);
                pidfd_send_signal(pidfd, SIGCONT, NULL, 0);
            }
            if (pidfd >= 0) {
                close(pidfd);
            }
        }
    }
    closedir(processes);
    return found;
}

static bool is_zombie(pid_t pid)
{
    char path[64];
    char text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (read_small(path, text, sizeof text) != 0) {
        return false;
    }
    const char *end = strrchr(text, ')');
    return end != NULL && strncmp(end, ") Z", 3) == 0;
}

void service_postgres_forget_zombie(const struct settings *settings)
{
    char paths[2][PATH_MAX];
    snprintf(paths[0], PATH_MAX, "%s/postgres/postmaster.pid",
             settings_text(settings, SETTING_INSTANCE_DATA_DIR));
    snprintf(paths[1], PATH_MAX, "%s/.s.PGSQL.5432.lock",
             settings_text(settings, SETTING_INSTANCE_RUN_DIR));
    for (size_t i = 0; i < 2; i++) {
        char text[4096];
        int64_t pid;
        if (read_small(paths[i], text, sizeof text) == 0 &&
            number_parse(text, strcspn(text, "\n"), &pid) == 0 && is_zombie((pid_t)pid)) {
            unlink(paths[i]);
        }
    }
}
