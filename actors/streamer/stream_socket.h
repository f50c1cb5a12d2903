/* What the streamer needs of a stream's TCP socket. */
#ifndef SIGNALBOX_STREAMER_STREAM_SOCKET_H
#define SIGNALBOX_STREAMER_STREAM_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

enum stream_socket_close {
    STREAM_SOCKET_ORDERLY, /* all was written: what is in the kernel still goes out */
    STREAM_SOCKET_CUT,     /* the same, and nothing comes from the client any more */
    STREAM_SOCKET_RESET,   /* what is in the kernel is thrown away */
    STREAM_SOCKET_LEAVE    /* only our descriptor: another process goes on with the stream */
};

/* No delay, little unsent in the kernel, and a limit for bytes nobody acknowledges. */
void stream_socket_prepare(int fd, int64_t stall_ms);
/* Throws away what the client sent. False when it has gone or sends too much. */
bool stream_socket_discard(int fd);
/* Bytes written and not yet taken by the other end. */
uint32_t stream_socket_queued(int fd);
/* Something was sent, again and again, and nothing at all has come back for so long. A reader that is
 * only slow answers the kernel's questions. */
bool stream_socket_is_dead(int fd, int64_t silent_ms);
/* The kernel gave up on the other end. */
bool stream_socket_timed_out(int fd);
void stream_socket_close(int fd, enum stream_socket_close how);

#endif
