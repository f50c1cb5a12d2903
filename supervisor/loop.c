/* See loop.h. */
#include "supervisor/loop.h"

#include "runtime/base/log.h"

#include <errno.h>
#include <poll.h>

enum { LOOP_PAUSE_MS = 100 };

int loop_init(struct loop *loop, struct error *err)
{
    *loop = (struct loop){.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    if (loop->epoll_fd < 0) {
        return error_set(err, "cannot make the event loop: %s", error_errno(errno));
    }
    return 0;
}

int loop_add(struct loop *loop, struct loop_source *source, uint32_t events, struct error *err)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) != 0) {
        return error_set(err, "cannot watch a descriptor: %s", error_errno(errno));
    }
    return 0;
}

void loop_change(struct loop *loop, struct loop_source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) != 0) {
        LOG_ERROR("cannot change a watched descriptor", LOG_TEXT("reason", error_errno(errno)));
    }
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
    if (source->fd < 0) {
        return;
    }
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    for (int i = 0; i < loop->ready_count; i++) {
        if (loop->ready[i].data.ptr == source) {
            loop->ready[i].data.ptr = NULL;
        }
    }
}

void loop_turn(struct loop *loop, int timeout_ms)
{
    int count = epoll_wait(loop->epoll_fd, loop->ready, LOOP_BATCH, timeout_ms);
    if (count < 0 && errno != EINTR) {
        /* Cannot happen with a valid epoll descriptor; a pause keeps the loop from spinning. */
        LOG_ERROR("waiting for events failed", LOG_TEXT("reason", error_errno(errno)));
        poll(NULL, 0, LOOP_PAUSE_MS);
    }
    loop->ready_count = count < 0 ? 0 : count;
    for (int i = 0; i < loop->ready_count; i++) {
        struct loop_source *source = loop->ready[i].data.ptr;
        if (source != NULL) {
            source->handle(source, loop->ready[i].events);
        }
    }
    loop->ready_count = 0;
}
