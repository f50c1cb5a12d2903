/* See listeners.h. */
#include "supervisor/listeners.h"

#include "proto/child_contract.h"
#include "runtime/base/limits.h"
#include "runtime/base/number.h"
#include "supervisor/notify.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

/* Each connection to a streamer brings one stream, and thousands may come at once. */
enum { LISTENERS_PUBLIC_BACKLOG = 4096, LISTENERS_IPC_BACKLOG = 2048 };

static const struct {
    const char *name;
    const char *file;
} table[LISTENER_COUNT] = {
    [LISTENER_PUBLIC] = {CHILD_LISTENER_PUBLIC, NULL},
    [LISTENER_COMMANDS] = {CHILD_LISTENER_COMMANDS, CHILD_SOCKET_COMMANDS},
    [LISTENER_EVENTS] = {CHILD_LISTENER_EVENTS, CHILD_SOCKET_EVENTS},
};

const char *listener_name(enum listener listener)
{
    return table[listener].name;
}

/* "127.0.0.1:8080" or "[::1]:8080" into host and port. */
static int split_address(const char *text, char host[LISTENERS_ADDRESS_SIZE], char port[8],
                         struct error *err)
{
    const char *colon = strrchr(text, ':');
    int64_t number;
    const char *begin = text;
    const char *end = colon;
    if (colon != NULL && text[0] == '[' && colon > text && colon[-1] == ']') {
        begin++;
        end--;
    }
    if (colon == NULL || end <= begin || end - begin >= LISTENERS_ADDRESS_SIZE ||
        number_parse(colon + 1, strlen(colon + 1), &number) != 0 || number > 65535) {
        return error_set(err, "server.listen must be HOST:PORT or [IPV6]:PORT, not \"%s\"", text);
    }
    snprintf(host, LISTENERS_ADDRESS_SIZE, "%.*s", (int)(end - begin), begin);
    snprintf(port, 8, "%d", (int)number);
    if (strcmp(host, "localhost") == 0) {
        snprintf(host, LISTENERS_ADDRESS_SIZE, "127.0.0.1");
    }
    return 0;
}

static int bind_public(const struct addrinfo *info, const char *text, struct error *err)
{
    int on = 1;
    int off = 0;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return error_set(err, "cannot make a socket for %s: %s", text, error_errno(errno));
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (info->ai_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    }
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 ||
        listen(fd, LISTENERS_PUBLIC_BACKLOG) != 0) {
        error_set(err, "cannot listen on %s: %s", text, error_errno(errno));
        close(fd);
        return -1;
    }
    return fd;
}

static int open_public(const char *text, struct error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *info;
    char host[LISTENERS_ADDRESS_SIZE];
    char port[8];
    if (split_address(text, host, port, err) != 0) {
        return -1;
    }
    int failed = getaddrinfo(host, port, &hints, &info);
    if (failed != 0) {
        return error_set(err, "server.listen: \"%s\" is not a numeric address: %s", host,
                         gai_strerror(failed));
    }
    int fd = bind_public(info, text, err);
    freeaddrinfo(info);
    return fd;
}

static int describe(int fd, char out[LISTENERS_ADDRESS_SIZE], struct error *err)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0 ||
        getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return error_set(err, "cannot read the address of the public listener");
    }
    snprintf(out, LISTENERS_ADDRESS_SIZE,
             address.ss_family == AF_INET6 ? "[%.60s]:%.6s" : "%.60s:%.6s", host, port);
    return 0;
}

/* Bound under the rights of its owner, so that nothing the services' user puts in the way can make
 * root hand out something else. */
int listeners_unix(const char *path, int type, uid_t uid, gid_t gid, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    bool become = geteuid() == 0 && uid != 0;
    if (strlen(path) > LIMIT_SOCKET_PATH_BYTES) {
        return error_set(err, "the socket path %s is longer than %d bytes", path,
                         LIMIT_SOCKET_PATH_BYTES);
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return error_set(err, "cannot make a socket: %s", error_errno(errno));
    }
    if (become && (setegid(gid) != 0 || seteuid(uid) != 0)) {
        error_set(err, "cannot become user %u: %s", uid, error_errno(errno));
        close(fd);
        return -1;
    }
    mode_t old_mask = umask(0177);
    unlink(path);
    int failed = bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
                 listen(fd, LISTENERS_IPC_BACKLOG) != 0;
    int code = errno;
    umask(old_mask);
    if (become) {
        int back = seteuid(0) != 0 || setegid(0) != 0;
        assert(back == 0);
    }
    if (failed) {
        error_set(err, "cannot listen on %s: %s", path, error_errno(code));
        close(fd);
        return -1;
    }
    return fd;
}

static int open_ipc(const struct settings *settings, const char *file, int type, struct error *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", settings_text(settings, SETTING_INSTANCE_RUN_DIR), file);
    return listeners_unix(path, type, (uid_t)settings_int(settings, SETTING_INSTANCE_UID),
                          (gid_t)settings_int(settings, SETTING_INSTANCE_GID), err);
}

int listeners_reopen_public(struct listeners *listeners, const struct settings *settings,
                            struct error *err)
{
    char address[LISTENERS_ADDRESS_SIZE];
    int fd = open_public(settings_text(settings, SETTING_SERVER_LISTEN), err);
    if (fd < 0) {
        return -1;
    }
    if (describe(fd, address, err) != 0) {
        close(fd);
        return -1;
    }
    close(listeners->fds[LISTENER_PUBLIC]);
    listeners->fds[LISTENER_PUBLIC] = fd;
    memcpy(listeners->address, address, sizeof address);
    return 0;
}

/* The one systemd has opened for us, else one of our own. */
static int first_public(const struct settings *settings, struct error *err)
{
    int inherited = notify_listener();
    return inherited >= 0 ? inherited
                          : open_public(settings_text(settings, SETTING_SERVER_LISTEN), err);
}

static int open_handover(struct slot_listeners *slots, const struct settings *settings,
                         struct error *err)
{
    unsigned count = (unsigned)settings_int(settings, SETTING_STREAMER_COUNT);
    char file[NAME_MAX];
    assert(count <= CHILD_STREAMERS_MAX);
    for (slots->count = 0; slots->count < count; slots->count++) {
        snprintf(file, sizeof file, CHILD_SOCKET_HANDOVER, slots->count + 1);
        slots->fds[slots->count] = open_ipc(settings, file, SOCK_SEQPACKET, err);
        if (slots->fds[slots->count] < 0) {
            return -1;
        }
    }
    return 0;
}

static int open_jobs(struct slot_listeners *slots, const struct settings *settings,
                     struct error *err)
{
    unsigned count = (unsigned)settings_int(settings, SETTING_JOB_RUNNER_COUNT);
    char file[NAME_MAX];
    assert(count <= CHILD_JOB_RUNNERS_MAX);
    for (slots->count = 0; slots->count < count; slots->count++) {
        snprintf(file, sizeof file, CHILD_SOCKET_JOBS, slots->count + 1);
        slots->fds[slots->count] = open_ipc(settings, file, SOCK_STREAM, err);
        if (slots->fds[slots->count] < 0) {
            return -1;
        }
    }
    return 0;
}

static void close_slots(struct slot_listeners *slots)
{
    while (slots->count > 0) {
        close(slots->fds[--slots->count]);
    }
}

int listeners_open(struct listeners *listeners, const struct settings *settings, struct error *err)
{
    listeners->handover.count = 0;
    listeners->jobs.count = 0;
    for (int i = 0; i < LISTENER_COUNT; i++) {
        listeners->fds[i] = -1;
    }
    for (int i = 0; i < LISTENER_COUNT; i++) {
        listeners->fds[i] = table[i].file == NULL
                                ? first_public(settings, err)
                                : open_ipc(settings, table[i].file, SOCK_STREAM, err);
        if (listeners->fds[i] < 0) {
            listeners_close(listeners);
            return -1;
        }
    }
    if (describe(listeners->fds[LISTENER_PUBLIC], listeners->address, err) != 0 ||
        open_handover(&listeners->handover, settings, err) != 0 ||
        open_jobs(&listeners->jobs, settings, err) != 0) {
        listeners_close(listeners);
        return -1;
    }
    return 0;
}

void listeners_close(struct listeners *listeners)
{
    for (int i = 0; i < LISTENER_COUNT; i++) {
        if (listeners->fds[i] >= 0) {
            close(listeners->fds[i]);
            listeners->fds[i] = -1;
        }
    }
    close_slots(&listeners->handover);
    close_slots(&listeners->jobs);
}

void listeners_unlink(const char *run_dir)
{
    char path[PATH_MAX];
    for (int i = 0; i < LISTENER_COUNT; i++) {
        if (table[i].file != NULL) {
            snprintf(path, sizeof path, "%s/%s", run_dir, table[i].file);
            unlink(path);
        }
    }
    for (unsigned number = 1; number <= LISTENERS_SLOTS_MAX; number++) {
        snprintf(path, sizeof path, "%s/" CHILD_SOCKET_HANDOVER, run_dir, number);
        unlink(path);
        snprintf(path, sizeof path, "%s/" CHILD_SOCKET_JOBS, run_dir, number);
        unlink(path);
    }
}
