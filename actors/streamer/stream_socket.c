/* See stream_socket.h. */
#include "streamer/stream_socket.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    /* A client has nothing to say on a stream; this much at once is abuse. */
    DISCARD_BYTES = 16 << 10,
    /* In the kernel, for one reader: the rest of its backlog stays in the table. */
    UNSENT_BYTES = 128 << 10,
    /* So often the kernel has repeated itself before silence means anything: what was written a
     * moment ago is unanswered too. */
    REPEATS_MIN = 2
};

void stream_socket_prepare(int fd, int64_t stall_ms)
{
    int on = 1;
    int unsent = UNSENT_BYTES;
    unsigned limit_ms = (unsigned)stall_ms;
    /* Best effort: a socket that does not know one of them still streams. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof limit_ms);
}

bool stream_socket_discard(int fd)
{
    char bytes[4096];
    size_t total = 0;
    for (;;) {
        ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        total += (size_t)got;
        if (got == 0 || total >= DISCARD_BYTES) {
            return false;
        }
    }
}

bool stream_socket_timed_out(int fd)
{
    int error = 0;
    socklen_t size = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == ETIMEDOUT;
}

uint32_t stream_socket_queued(int fd)
{
    int bytes = 0;
    return ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (uint32_t)bytes : 0;
}

bool stream_socket_is_dead(int fd, int64_t silent_ms)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    return stream_socket_queued(fd) > 0 &&
           getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
           info.tcpi_retransmits >= REPEATS_MIN && info.tcpi_last_ack_recv >= silent_ms;
}

/* Another process may hold the same socket for a moment: leaving epoll and the shutdown are
 * explicit. */
void stream_socket_close(int fd, enum stream_socket_close how)
{
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    if (how != STREAM_SOCKET_LEAVE) {
        /* Unread bytes would turn our end into a reset, which can overtake data. */
        (void)stream_socket_discard(fd);
    }
    if (how == STREAM_SOCKET_RESET) {
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    } else if (how != STREAM_SOCKET_LEAVE) {
        (void)shutdown(fd, how == STREAM_SOCKET_ORDERLY ? SHUT_WR : SHUT_RDWR);
    }
    close(fd);
}
