/* See frame_pipe.h. */
#include "runtime/frame_pipe.h"

#include "runtime/base/buffer.h"
#include "runtime/base/memory.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

enum { PREFIX = 4, READ_BYTES = 64 << 10 };

struct frame_pipe {
    int fd;
    struct frame_pipe_handler handler;
    struct event *readable;
    struct event *writable;
    struct buffer in;
    struct buffer out;
};

static bool would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

static void end(struct frame_pipe *pipe)
{
    event_del(pipe->readable);
    event_del(pipe->writable);
    pipe->handler.closed(pipe->handler.arg);
}

static uint32_t length_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Hands out whole frames. -1: a length that no frame has. */
static int hand_out(struct frame_pipe *pipe)
{
    size_t used = 0;
    while (pipe->in.length - used >= PREFIX) {
        uint32_t length = length_at(pipe->in.data + used);
        if (length == 0 || length > FRAME_PIPE_MAX) {
            return -1;
        }
        if (pipe->in.length - used - PREFIX < length) {
            break;
        }
        pipe->handler.received(pipe->handler.arg, pipe->in.data + used + PREFIX, length);
        used += PREFIX + length;
    }
    buffer_consume(&pipe->in, used);
    return 0;
}

static void on_readable(evutil_socket_t fd, short what SB_UNUSED, void *arg)
{
    struct frame_pipe *pipe = arg;
    ssize_t got = read(fd, buffer_reserve(&pipe->in, READ_BYTES), READ_BYTES);
    if (got > 0) {
        pipe->in.length += (size_t)got;
    }
    if (got == 0 || (got < 0 && !would_block()) || hand_out(pipe) != 0) {
        end(pipe);
    }
}

static void on_writable(evutil_socket_t fd, short what SB_UNUSED, void *arg)
{
    struct frame_pipe *pipe = arg;
    ssize_t put = write(fd, pipe->out.data, pipe->out.length);
    if (put < 0 && !would_block()) {
        end(pipe);
        return;
    }
    if (put > 0) {
        buffer_consume(&pipe->out, (size_t)put);
    }
    if (pipe->out.length == 0) {
        event_del(pipe->writable);
    }
}

struct frame_pipe *frame_pipe_create(struct event_base *base, int fd,
                                     const struct frame_pipe_handler *handler)
{
    struct frame_pipe *pipe = memory_new(sizeof *pipe);
    pipe->fd = fd;
    pipe->handler = *handler;
    evutil_make_socket_nonblocking(fd);
    pipe->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, pipe);
    pipe->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, pipe);
    event_add(pipe->readable, NULL);
    return pipe;
}

void frame_pipe_destroy(struct frame_pipe **pipe)
{
    if (*pipe == NULL) {
        return;
    }
    event_free((*pipe)->readable);
    event_free((*pipe)->writable);
    close((*pipe)->fd);
    buffer_deinit(&(*pipe)->in);
    buffer_deinit(&(*pipe)->out);
    free(*pipe);
    *pipe = NULL;
}

int frame_pipe_send(struct frame_pipe *pipe, const void *frame, size_t length)
{
    uint8_t prefix[PREFIX] = {(uint8_t)(length >> 24), (uint8_t)(length >> 16),
                              (uint8_t)(length >> 8), (uint8_t)length};
    if (length == 0 || pipe->out.length + PREFIX + length > FRAME_PIPE_MAX) {
        return -1;
    }
    buffer_append(&pipe->out, prefix, sizeof prefix);
    buffer_append(&pipe->out, frame, length);
    event_add(pipe->writable, NULL);
    return 0;
}
