/* See notify.h. */
#include "supervisor/notify.h"

#include "runtime/base/clock.h"
#include "runtime/base/number.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { NOTIFY_FIRST_FD = 3, NOTIFY_FDS_MAX = 64 };

bool notify_wanted(void)
{
    return getenv("NOTIFY_SOCKET") != NULL;
}

void notify_send(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') ||
        strlen(path) >= sizeof address.sun_path) {
        return;
    }
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        /* Best effort by design: a deaf init system must not stop us. */
        sendto(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&address,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
        close(fd);
    }
}

void notify_reloading(void)
{
    char text[64];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)clock_monotonic_us());
    notify_send(text);
}

/* A number from the environment that is meant for this process (`owner`: the variable with the
 * pid); 0 when it is not. */
static int64_t own_number(const char *name, const char *owner)
{
    const char *text = getenv(name);
    const char *pid = getenv(owner);
    int64_t number;
    int64_t wanted;
    if (text == NULL || number_parse(text, strlen(text), &number) != 0) {
        return 0;
    }
    if (pid != NULL && (number_parse(pid, strlen(pid), &wanted) != 0 || wanted != getpid())) {
        return 0;
    }
    return number;
}

int64_t notify_watchdog_ms(void)
{
    return own_number("WATCHDOG_USEC", "WATCHDOG_PID") / 2000;
}

static int is_tcp_listener(int fd)
{
    int listening = 0;
    struct sockaddr_storage address;
    socklen_t size = sizeof listening;
    socklen_t address_size = sizeof address;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening &&
           getsockname(fd, (struct sockaddr *)&address, &address_size) == 0 &&
           (address.ss_family == AF_INET || address.ss_family == AF_INET6);
}

int notify_listener(void)
{
    int64_t count = getenv("LISTEN_PID") == NULL ? 0 : own_number("LISTEN_FDS", "LISTEN_PID");
    for (int fd = NOTIFY_FIRST_FD; fd < NOTIFY_FIRST_FD + count && fd < NOTIFY_FDS_MAX; fd++) {
        if (is_tcp_listener(fd)) {
            fcntl(fd, F_SETFD, FD_CLOEXEC);
            fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
            return fd;
        }
    }
    return -1;
}
