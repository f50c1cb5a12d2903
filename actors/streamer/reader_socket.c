/* What the sockets of readers say: writable again, hung up, stalled. See reader.h. */
#include "streamer/reader.h"
#include "streamer/stream_socket.h"
#include "streamer/streamer.h"

#include <sys/epoll.h>

enum { SOCKET_EVENTS = 256 };

static void on_socket(struct reader *reader, uint32_t events)
{
    if ((events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0) {
        reader_close(reader,
                     stream_socket_timed_out(reader->fd) ? READER_CLOSE_STALLED : READER_CLOSE_GONE,
                     "hung up");
        return;
    }
    if ((events & EPOLLIN) != 0 && !stream_socket_discard(reader->fd)) {
        reader_close(reader, READER_CLOSE_GONE, "hung up, or sends too much");
        return;
    }
    if ((events & EPOLLOUT) != 0 && reader->blocked) {
        reader_unblock(reader);
    }
}

void reader_on_sockets(int fd, short what, void *arg)
{
    struct epoll_event events[SOCKET_EVENTS];
    (void)what;
    (void)arg;
    /* One batch: the loop comes back for the rest. A reader is in it once, and no handler closes
     * another one. */
    int count = epoll_wait(fd, events, SOCKET_EVENTS, 0);
    for (int i = 0; i < count; i++) {
        on_socket(events[i].data.ptr, events[i].events);
    }
}

int reader_watch_socket(struct reader *reader)
{
    /* Edge-triggered and for everything, so that no write ever has to change it. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = reader};
    return epoll_ctl(position_streamer(&reader->at)->sockets, EPOLL_CTL_ADD, reader->fd, &event);
}

void reader_check_stalled(struct streamer *streamer, int64_t now_ms)
{
    struct list *first;
    while ((first = list_first(&streamer->blocked)) != NULL) {
        struct reader *reader = LIST_ENTRY(first, struct reader, at.in_wait);
        if ((uint32_t)now_ms - reader->blocked_ms < (uint32_t)streamer->limits.stall_ms) {
            return;
        }
        uint32_t queued = stream_socket_queued(reader->fd);
        if (queued < reader->queued) {
            /* It takes a little, just not enough for the socket to be writable yet. */
            reader->queued = queued;
            reader->blocked_ms = (uint32_t)now_ms;
            list_remove(first);
            list_append(&streamer->blocked, first);
            continue;
        }
        reader_close(reader, READER_CLOSE_STALLED, "it takes nothing");
    }
}
