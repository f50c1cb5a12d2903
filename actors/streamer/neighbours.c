/* See neighbours.h. */
#include "streamer/neighbours.h"

#include "proto/child_contract.h"
#include "runtime/actor.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "streamer/handover.h"

#include <event2/event.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LOOK_MS = 150,
    LOOK_AGAIN_MS = 20, /* while there is something to take */
    LOOKS = 4,          /* so often in a row something waited: its own streamer does not take it */
    NAME_SIZE = 24
};

struct neighbours {
    struct handover *handover; /* borrowed */
    struct event *timer;
    struct pollfd listeners[CHILD_STREAMERS_MAX]; /* inherited, not ours to close */
    unsigned looks[CHILD_STREAMERS_MAX];          /* in a row at which somebody waited */
    nfds_t count;
};

static void look_again(struct neighbours *neighbours, int in_ms)
{
    const struct timeval wait = {0, in_ms * 1000};
    event_add(neighbours->timer, &wait);
}

/* True when somebody was taken from it. */
static bool look_at(struct neighbours *neighbours, nfds_t index)
{
    const struct pollfd *listener = &neighbours->listeners[index];
    unsigned *looks = &neighbours->looks[index];
    if ((listener->revents & POLLIN) == 0) {
        *looks = 0;
        return false;
    }
    if (++*looks < LOOKS) {
        return false;
    }
    if (*looks == LOOKS) {
        LOG_WARN("streams of another slot are taken, its streamer leaves them waiting");
    }
    handover_accept(neighbours->handover, listener->fd);
    return true;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct neighbours *neighbours = arg;
    bool taken = false;
    (void)fd;
    (void)what;
    if (poll(neighbours->listeners, neighbours->count, 0) >= 0) {
        for (nfds_t i = 0; i < neighbours->count; i++) {
            taken |= look_at(neighbours, i);
        }
    }
    look_again(neighbours, taken ? LOOK_AGAIN_MS : LOOK_MS);
}

struct neighbours *neighbours_create(const struct actor *actor, struct handover *handover)
{
    struct neighbours *neighbours = memory_new(sizeof *neighbours);
    for (unsigned number = 1; number <= CHILD_STREAMERS_MAX; number++) {
        char name[NAME_SIZE];
        snprintf(name, sizeof name, CHILD_LISTENER_NEIGHBOUR, number);
        int fd = actor_listener(actor, name);
        if (fd >= 0) {
            neighbours->listeners[neighbours->count++] =
                (struct pollfd){.fd = fd, .events = POLLIN};
        }
    }
    if (neighbours->count == 0) {
        free(neighbours);
        return NULL;
    }
    neighbours->handover = handover;
    neighbours->timer = event_new(actor->base, -1, 0, on_timer, neighbours);
    look_again(neighbours, LOOK_MS);
    return neighbours;
}

void neighbours_destroy(struct neighbours **neighbours)
{
    if (*neighbours == NULL) {
        return;
    }
    event_free((*neighbours)->timer);
    free(*neighbours);
    *neighbours = NULL;
}
