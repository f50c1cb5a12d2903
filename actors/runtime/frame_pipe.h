/*
 * Frames over a stream socket between a process and its child: four bytes of length, big-endian,
 * then the frame. Both ends sit on an event loop; neither waits for the other.
 */
#ifndef SIGNALBOX_RUNTIME_FRAME_PIPE_H
#define SIGNALBOX_RUNTIME_FRAME_PIPE_H

#include "runtime/base/error.h"

#include <event2/event.h>
#include <stdint.h>

enum { FRAME_PIPE_MAX = 8 << 20 };

struct frame_pipe;

struct frame_pipe_handler {
    /* `frame` is borrowed for the call. Must not destroy the pipe. */
    void (*received)(void *arg, const uint8_t *frame, size_t length);
    /* The other end is gone, or sent nonsense; nothing is called afterwards. May destroy the pipe.
     */
    void (*closed)(void *arg);
    void *arg;
};

/* Takes `fd`. Returns, caller destroys with frame_pipe_destroy. */
struct frame_pipe *frame_pipe_create(struct event_base *base, int fd,
                                     const struct frame_pipe_handler *handler);
void frame_pipe_destroy(struct frame_pipe **pipe);
/* Copies the frame; it goes out as the other end reads. -1: more than FRAME_PIPE_MAX bytes wait
 * already. */
SB_MUST_CHECK int frame_pipe_send(struct frame_pipe *pipe, const void *frame, size_t length);

#endif
