/* The one loop: descriptors on epoll. Timers are deadlines which the supervisor checks every turn.
 */
#ifndef SIGNALBOX_SUPERVISOR_LOOP_H
#define SIGNALBOX_SUPERVISOR_LOOP_H

#include "runtime/base/error.h"

#include <stdint.h>
#include <sys/epoll.h>

enum { LOOP_BATCH = 64 };

struct loop_source;
typedef void (*loop_handle_fn)(struct loop_source *source, uint32_t events);

/* Embedded in its owner. fd -1: not in the loop. The loop never closes a descriptor. */
struct loop_source {
    int fd;
    loop_handle_fn handle;
    void *owner; /* borrowed */
};

struct loop {
    int epoll_fd;
    int ready_count;
    struct epoll_event ready[LOOP_BATCH];
};

SB_MUST_CHECK int loop_init(struct loop *loop, struct error *err);
/* `source` must stay where it is until loop_remove(). */
SB_MUST_CHECK int loop_add(struct loop *loop, struct loop_source *source, uint32_t events,
                           struct error *err);
void loop_change(struct loop *loop, struct loop_source *source, uint32_t events);
/* Forgets the source, also events of this turn that are not handled yet. A no-op for fd -1. */
void loop_remove(struct loop *loop, struct loop_source *source);
/* Waits at most `timeout_ms` and handles what is ready. */
void loop_turn(struct loop *loop, int timeout_ms);

#endif
