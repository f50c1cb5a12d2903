/* The socket of a WebSocket: what comes is fed to the codec, what waits in `out` is written. */
#include "runtime/base/clock.h"
#include "runtime/base/error.h"
#include "streamer/streamer.h"
#include "streamer/ws_internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { SOCKET_EVENTS = 64 };

static void on_socket(struct ws *ws, uint32_t events)
{
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        ws_gone(ws, stream_socket_timed_out(ws->fd) ? STREAM_SOCKET_RESET : STREAM_SOCKET_CUT,
                "hung up");
        return;
    }
    if ((events & (EPOLLIN | EPOLLRDHUP)) != 0) {
        ws->readable = true;
    }
    ws_mark(ws);
}

void ws_socket_on_events(int fd, short what, void *arg)
{
    struct epoll_event events[SOCKET_EVENTS];
    (void)what;
    (void)arg;
    int count = epoll_wait(fd, events, SOCKET_EVENTS, 0);
    for (int i = 0; i < count; i++) {
        on_socket(events[i].data.ptr, events[i].events);
    }
}

int ws_socket_watch(struct ws *ws)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = ws};
    return epoll_ctl(ws->hub->sockets, EPOLL_CTL_ADD, ws->fd, &event);
}

void ws_socket_unwatch(struct ws *ws)
{
    (void)epoll_ctl(ws->hub->sockets, EPOLL_CTL_DEL, ws->fd, NULL);
}

/* ---- reading ---- */

/* Nothing of it is looked at once all has been said. Who sends is there: in the middle of a long frame
 * there is no place for a pong. */
static void feed(struct ws *ws, size_t length)
{
    ws->pings = 0;
    if (!ws->over && ws_codec_feed(ws->codec, ws->hub->bytes, length) != 0) {
        ws->over = true;
        ws->end_ms = clock_monotonic_ms() + WS_CLOSE_MS;
    }
}

void ws_socket_read(struct ws *ws)
{
    size_t total = 0;
    while (total < WS_PASS_READ_BYTES && ws_may_listen(ws)) {
        ssize_t got = recv(ws->fd, ws->hub->bytes, WS_READ_BYTES, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0 && errno == EAGAIN) {
            ws->readable = false;
        } else if (got <= 0) {
            ws_gone(ws, STREAM_SOCKET_CUT, got == 0 ? "closed by the client" : error_errno(errno));
        } else {
            feed(ws, (size_t)got);
            total += (size_t)got;
        }
    }
}

/* ---- writing ---- */

/* What has gone makes way once it is the larger part, so that bytes are moved rarely: a socket that
 * never takes all there is must not make `out` grow by all it ever took. */
static void forget_written(struct ws *ws)
{
    if (ws->written > ws_pending(ws)) {
        buffer_consume(&ws->out, ws->written);
        ws->written = 0;
    }
}

static void block(struct ws *ws)
{
    forget_written(ws);
    if (ws->blocked_ms == 0) {
        ws->blocked_ms = clock_monotonic_ms();
        ws->queued = stream_socket_queued(ws->fd);
    }
}

bool ws_socket_write(struct ws *ws)
{
    while (ws_pending(ws) > 0) {
        ssize_t sent =
            send(ws->fd, ws->out.data + ws->written, ws_pending(ws), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0 && errno == EAGAIN) {
            block(ws);
            return false;
        }
        if (sent < 0) {
            ws_gone(ws, errno == ETIMEDOUT ? STREAM_SOCKET_RESET : STREAM_SOCKET_CUT,
                    error_errno(errno));
            return false;
        }
        ws->written += (size_t)sent;
        ws->blocked_ms = 0;
    }
    buffer_clear(&ws->out);
    ws->written = 0;
    return true;
}
