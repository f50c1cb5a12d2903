/* See handoff.h. */
#include "streamer/handoff.h"

#include "proto/messages.h"
#include "runtime/base/buffer.h"
#include "runtime/base/clock.h"
#include "runtime/base/limits.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "streamer/feed.h"
#include "streamer/feed_tenants.h"
#include "streamer/handover.h"
#include "streamer/keys.h"
#include "streamer/reader.h"
#include "streamer/run.h"
#include "streamer/streamer.h"
#include "streamer/ws.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    FLIGHTS_MAX = 32,
    ANSWER_MS =
        1000, /* a successor or a neighbour takes a stream within this time, or there is none */
    TICK_MS = 20,
    SPREAD_MAX_MS = 5000,
    SPREAD_PER_STREAM_MS = 5,
    RESERVE_MS = 500, /* before the deadline everything is closed */
    MESSAGE_OVERHEAD_BYTES = 256
};

struct handoff {
    struct streamer *streamer;
    struct list queue; /* readers by in_slot */
    struct list flights;
    struct event *timer;
    int64_t deadline_ms;
    int64_t taken_ms; /* when a successor last took one */
    size_t in_flight;
    size_t handed;
    /* Breaking off: */
    bool breaking;
    int64_t break_start_ms;
    int64_t break_spread_ms;
    size_t break_total;
    size_t broken;
    bool done;
};

/* One stream on its way; the connection ends when it is taken. */
struct flight {
    struct list node;
    struct handoff *handoff;
    struct reader *reader; /* or */
    struct ws *ws;
    struct event *event;
    int fd;
};

enum launch {
    LAUNCH_SENT,
    LAUNCH_LATER,     /* its half-written event is being read */
    LAUNCH_FULL,      /* the successor's queue is full */
    LAUNCH_NOBODY,    /* nobody listens */
    LAUNCH_IMPOSSIBLE /* this one cannot be moved */
};

/* ---- breaking off ---- */

static size_t queue_length(const struct handoff *handoff)
{
    size_t count = 0;
    LIST_FOR_EACH(node, &handoff->queue)
    {
        count++;
    }
    return count;
}

static void start_breaking(struct handoff *handoff, const char *why)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t left_ms = handoff->deadline_ms - RESERVE_MS - now_ms;
    if (handoff->breaking) {
        return;
    }
    handoff->breaking = true;
    handoff->break_start_ms = now_ms;
    handoff->break_total =
        queue_length(handoff) + handoff->in_flight + ws_connections(handoff->streamer);
    handoff->break_spread_ms = (int64_t)handoff->break_total * SPREAD_PER_STREAM_MS;
    if (handoff->break_spread_ms > SPREAD_MAX_MS) {
        handoff->break_spread_ms = SPREAD_MAX_MS;
    }
    if (handoff->break_spread_ms > left_ms) {
        handoff->break_spread_ms = left_ms;
    }
    LOG_WARN("streams are broken off", LOG_TEXT("why", why),
             LOG_INT("streams", handoff->break_total),
             LOG_INT("over_ms", handoff->break_spread_ms));
}

static void break_some(struct handoff *handoff, int64_t now_ms)
{
    int64_t elapsed_ms = now_ms - handoff->break_start_ms;
    size_t due = handoff->break_total;
    struct list *first;
    if (elapsed_ms < handoff->break_spread_ms) {
        due = (size_t)((int64_t)due * elapsed_ms / handoff->break_spread_ms);
    }
    bool all = elapsed_ms >= handoff->break_spread_ms;
    while ((handoff->broken < due || all) && (first = list_first(&handoff->queue)) != NULL) {
        handoff->broken++;
        reader_close(LIST_ENTRY(first, struct reader, in_slot), READER_CLOSE_BROKEN,
                     "no other streamer");
    }
    while ((handoff->broken < due || all) && ws_break_off(handoff->streamer)) {
        handoff->broken++;
    }
}

/* ---- one stream ---- */

static void end_flight(struct flight *flight)
{
    flight->handoff->in_flight--;
    list_remove(&flight->node);
    event_free(flight->event);
    close(flight->fd);
    free(flight);
}

/* It was not taken: it stays here for another try. */
static void return_to_queue(struct flight *flight)
{
    if (flight->reader != NULL) {
        list_append(&flight->handoff->queue, &flight->reader->in_slot);
    } else {
        ws_left(flight->ws, false);
    }
    end_flight(flight);
}

static void on_answer(evutil_socket_t fd, short what, void *arg)
{
    struct flight *flight = arg;
    struct handoff *handoff = flight->handoff;
    uint8_t byte;
    /* Asked even when the time is over: it may be this process that stood still, and a stream that was
     * taken must not be given once more. */
    if (recv(fd, &byte, sizeof byte, MSG_DONTWAIT) == 0) {
        handoff->taken_ms = clock_monotonic_ms();
        handoff->handed++;
        if (flight->reader != NULL) {
            reader_close(flight->reader, READER_CLOSE_HANDED, "handed to another streamer");
        } else {
            ws_left(flight->ws, true);
        }
        end_flight(flight);
    } else if ((what & EV_TIMEOUT) != 0) {
        bool alone = clock_monotonic_ms() - handoff->taken_ms >= ANSWER_MS;
        return_to_queue(flight);
        if (alone) {
            start_breaking(handoff, "no other streamer takes them");
        }
    } else {
        return_to_queue(flight); /* the other end died before it read the packet */
    }
    handoff_continue(handoff->streamer);
}

static void encode(const struct handoff *handoff, const struct reader *reader,
                   const struct reader_left *left, struct msgpack_sbuffer *packet)
{
    const struct actor *actor = handoff->streamer->actor;
    const struct message_header header = {.type = MESSAGE_HANDOFF, .generation = actor->generation};
    const struct run *run = position_run(&reader->at);
    const struct feed *feed = position_feed(&reader->at);
    struct message_handoff message = {.cursor = left->cursor,
                                      .stop_after = reader->stop_after,
                                      .live = reader->live,
                                      .ended = left->ended,
                                      .unsent = {left->unsent.data, left->unsent.length}};
    memcpy(message.key, keys_id(reader->at.key)->bytes, sizeof message.key);
    if (feed == NULL) {
        const struct run_form form = run_form(run);
        message.kind = STREAM_KIND_RUN;
        message.format = form.format;
        message.types = form.types;
        memcpy(message.tenant, run->tenant.bytes, sizeof message.tenant);
        memcpy(message.run, run->id.bytes, sizeof message.run);
    } else {
        message.kind = feed->variant.chat           ? STREAM_KIND_CHAT
                       : uuid_is_nil(&feed->thread) ? STREAM_KIND_TENANT
                                                    : STREAM_KIND_THREAD;
        message.types = feed->variant.types;
        message.head = feed->streamer->tail.settled;
        message.signing = (struct message_span){feed->key.bytes, sizeof feed->key.bytes};
        memcpy(message.tenant, feed->tenant->id.bytes, sizeof message.tenant);
        memcpy(message.thread, feed->thread.bytes, sizeof message.thread);
    }
    message_handoff_encode(packet, &header, &message);
}

static int send_packet(int connection, const struct msgpack_sbuffer *packet, int fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec bytes = {packet->data, packet->size};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(part), &fd, sizeof fd);
    return sendmsg(connection, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static struct flight *fly(struct handoff *handoff, int connection)
{
    const struct timeval limit = {ANSWER_MS / 1000, ANSWER_MS % 1000 * 1000};
    struct flight *flight = memory_new(sizeof *flight);
    flight->handoff = handoff;
    flight->fd = connection;
    flight->event =
        event_new(handoff->streamer->actor->base, connection, EV_READ, on_answer, flight);
    event_add(flight->event, &limit);
    list_append(&handoff->flights, &flight->node);
    handoff->in_flight++;
    return flight;
}

/* LAUNCH_SENT: *flight_out is on its way. */
static enum launch launch_packet(struct handoff *handoff, const struct msgpack_sbuffer *packet,
                                 int fd, struct flight **flight_out)
{
    if (packet->size > LIMIT_HANDOFF_FRAME_BYTES) {
        return LAUNCH_IMPOSSIBLE;
    }
    int connection = handover_dial(handoff->streamer->handover);
    if (connection < 0) {
        return errno == EAGAIN || errno == EMFILE || errno == ENFILE ? LAUNCH_FULL : LAUNCH_NOBODY;
    }
    if (send_packet(connection, packet, fd) != 0) {
        close(connection);
        return errno == EMSGSIZE ? LAUNCH_IMPOSSIBLE : LAUNCH_FULL;
    }
    *flight_out = fly(handoff, connection);
    return LAUNCH_SENT;
}

static enum launch launch(struct handoff *handoff, struct reader *reader)
{
    struct reader_left left;
    struct msgpack_sbuffer packet;
    enum launch result = LAUNCH_LATER;
    if (reader_leave(reader, &left) == 0) {
        msgpack_sbuffer_init(&packet);
        encode(handoff, reader, &left, &packet);
        struct flight *flight;
        result = launch_packet(handoff, &packet, reader->fd, &flight);
        if (result == LAUNCH_SENT) {
            flight->reader = reader;
            reader_freeze(reader);
            list_remove(&reader->in_slot);
        }
        msgpack_sbuffer_destroy(&packet);
        buffer_deinit(&left.unsent);
    } else if (!reader->at.frozen) {
        position_want(&reader->at);
    }
    return result;
}

/* ---- all of them ---- */

/* WebSockets move when nothing is under way on them: those that can now. */
static void launch_sockets(struct handoff *handoff)
{
    struct msgpack_sbuffer packet;
    struct ws *ws;
    msgpack_sbuffer_init(&packet);
    while (handoff->in_flight < FLIGHTS_MAX && !handoff->breaking &&
           (ws = ws_next_to_leave(handoff->streamer, &packet)) != NULL) {
        struct flight *flight;
        enum launch result = launch_packet(handoff, &packet, ws_descriptor(ws), &flight);
        if (result == LAUNCH_SENT) {
            flight->ws = ws;
            continue;
        }
        ws_left(ws, false);
        if (result == LAUNCH_NOBODY) {
            start_breaking(handoff, "no other streamer listens");
        } else if (result == LAUNCH_IMPOSSIBLE) {
            handoff->broken++;
            ws_give_up(ws);
            continue;
        }
        break;
    }
    msgpack_sbuffer_destroy(&packet);
}

static void finish_when_empty(struct handoff *handoff)
{
    struct streamer *streamer = handoff->streamer;
    if (!handoff->done && streamer->readers == 0 && ws_connections(streamer) == 0 &&
        handoff->in_flight == 0 && !handover_is_pending(streamer->handover)) {
        handoff->done = true;
        LOG_INFO("streams handed over", LOG_INT("streams", handoff->handed),
                 LOG_INT("broken_off", handoff->broken));
        actor_drained(streamer->actor);
    }
}

static void launch_queue(struct handoff *handoff)
{
    struct list *first;
    size_t tries = queue_length(handoff);
    while (tries-- > 0 && handoff->in_flight < FLIGHTS_MAX &&
           (first = list_first(&handoff->queue)) != NULL) {
        struct reader *reader = LIST_ENTRY(first, struct reader, in_slot);
        switch (launch(handoff, reader)) {
        case LAUNCH_SENT:
            break;
        case LAUNCH_LATER:
            list_remove(first);
            list_append(&handoff->queue, first);
            break;
        case LAUNCH_FULL:
            return;
        case LAUNCH_NOBODY:
            start_breaking(handoff, "no other streamer listens");
            return;
        case LAUNCH_IMPOSSIBLE:
            handoff->broken++;
            reader_close(reader, READER_CLOSE_BROKEN, "too much unsent to be moved");
            break;
        }
    }
}

void handoff_continue(struct streamer *streamer)
{
    struct handoff *handoff = streamer->handoff;
    if (handoff == NULL || handoff->done) {
        return;
    }
    if (!handoff->breaking) {
        launch_queue(handoff);
        launch_sockets(handoff);
    }
    finish_when_empty(handoff);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct handoff *handoff = arg;
    int64_t now_ms = clock_monotonic_ms();
    (void)fd;
    (void)what;
    if (now_ms >= handoff->deadline_ms - RESERVE_MS) {
        start_breaking(handoff, "the time to drain is over");
    }
    if (handoff->breaking) {
        break_some(handoff, now_ms);
    }
    handoff_continue(handoff->streamer);
}

void handoff_place(struct streamer *streamer, struct reader *reader)
{
    list_append(&streamer->handoff->queue, &reader->in_slot);
}

void handoff_start(struct streamer *streamer, int64_t deadline_ms)
{
    const struct timeval tick = {0, TICK_MS * 1000};
    struct handoff *handoff = memory_new(sizeof *handoff);
    handoff->streamer = streamer;
    handoff->taken_ms = clock_monotonic_ms();
    handoff->deadline_ms = handoff->taken_ms + deadline_ms;
    list_init(&handoff->queue);
    list_init(&handoff->flights);
    for (unsigned i = 0; i < streamer->wheel.count; i++) {
        LIST_FOR_EACH(node, &streamer->wheel.slots[i])
        {
            list_remove(node);
            list_append(&handoff->queue, node);
        }
    }
    handoff->timer = event_new(streamer->actor->base, -1, EV_PERSIST, on_timer, handoff);
    event_add(handoff->timer, &tick);
    streamer->handoff = handoff;
    ws_drain(streamer);
    handoff_continue(streamer);
}

void handoff_destroy(struct streamer *streamer)
{
    struct handoff *handoff = streamer->handoff;
    if (handoff == NULL) {
        return;
    }
    LIST_FOR_EACH(node, &handoff->flights)
    {
        return_to_queue(LIST_ENTRY(node, struct flight, node));
    }
    event_free(handoff->timer);
    /* Readers still queued are closed with their runs; the queue they are in goes with this. */
    LIST_FOR_EACH(node, &handoff->queue)
    {
        list_remove(node);
    }
    free(handoff);
    streamer->handoff = NULL;
}
