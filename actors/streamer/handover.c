/* See handover.h. */
#include "streamer/handover.h"

#include "proto/child_contract.h"
#include "proto/messages.h"
#include "runtime/base/fault.h"
#include "runtime/base/limits.h"
#include "runtime/base/list.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/event_mask.h"
#include "runtime/ws_accept.h"
#include "streamer/handoff.h"
#include "streamer/neighbours.h"
#include "streamer/reader.h"
#include "streamer/streamer.h"
#include "streamer/ws.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    ACCEPTS = 32, /* in one callback */
    ARRIVAL_WAIT_MS = 1000,
    ACCEPT_PAUSE_MS = 100, /* when the process has no descriptor left */
    DESCRIPTORS_MAX = 8
};

struct handover {
    struct streamer *streamer;
    struct neighbours *neighbours;
    struct event *readable;
    struct event *pause;
    struct list arrivals;
    uint8_t *packet; /* LIMIT_HANDOFF_FRAME_BYTES */
    int listener;
    bool stopped;
};

/* An accepted connection whose packet is not here yet. */
struct arrival {
    struct list node;
    struct handover *handover;
    struct event *event;
    int fd;
};

/* ---- one packet ---- */

/* What both packets say about the kind of stream. -1: it makes no sense. */
static int read_kind(uint64_t kind, const uint8_t *thread, struct message_span signing,
                     struct reader_opening *opening)
{
    bool is_feed =
        kind == STREAM_KIND_THREAD || kind == STREAM_KIND_TENANT || kind == STREAM_KIND_CHAT;
    if (!is_feed) {
        return kind == STREAM_KIND_RUN ? 0 : -1;
    }
    memcpy(opening->thread.bytes, thread, sizeof opening->thread.bytes);
    if (signing.length != sizeof opening->signing.bytes || opening->head > INT64_MAX ||
        uuid_is_nil(&opening->thread) != (kind == STREAM_KIND_TENANT)) {
        return -1;
    }
    memcpy(opening->signing.bytes, signing.data, sizeof opening->signing.bytes);
    opening->kind = (enum stream_kind)kind;
    return 0;
}

/* What both packets say about the form and place of a stream. -1: it makes no sense. Only runs have
 * forms. */
static int read_form(uint64_t format, uint64_t types, struct reader_opening *opening)
{
    const struct projection_format *projection = projection_format((enum stream_format)format);
    bool is_run = opening->kind == STREAM_KIND_RUN;
    bool joins = is_run && projection != NULL && projection->join != NULL &&
                 opening->cursor == STREAM_AFTER_JOIN;
    if (format > STREAM_FORMAT_AI_SDK || (projection == NULL && format != STREAM_FORMAT_NATIVE) ||
        (projection != NULL && !is_run) ||
        (is_run && types != 0 && format != STREAM_FORMAT_FILTERED) ||
        (opening->kind == STREAM_KIND_CHAT && types != 0) || !event_mask_is_sound(types) ||
        (opening->cursor > INT64_MAX && !joins)) {
        return -1;
    }
    opening->format = (enum stream_format)format;
    opening->types = types;
    return 0;
}

static int open_socket(struct streamer *streamer, const struct message_handover *message, int fd)
{
    struct ws_opening opening = {.rights = (unsigned)message->scopes,
                                 .actor = (const char *)message->actor.data,
                                 .actor_length = message->actor.length,
                                 .fd = fd,
                                 .accept = (const char *)message->accept.data,
                                 .accept_length = message->accept.length,
                                 .early = message->early.data,
                                 .early_length = message->early.length};
    if (message->signing.length != sizeof opening.signing.bytes ||
        message->accept.length != WS_ACCEPT_SIZE - 1) {
        return -1;
    }
    memcpy(opening.signing.bytes, message->signing.data, sizeof opening.signing.bytes);
    memcpy(opening.tenant.bytes, message->tenant, sizeof message->tenant);
    memcpy(opening.key.bytes, message->key, sizeof message->key);
    ws_open(streamer, &opening);
    return 0;
}

/* A WebSocket of a predecessor. */
static int open_moved_socket(struct streamer *streamer, const struct message_handoff *message,
                             int fd)
{
    struct message_header header;
    struct message_socket_state state;
    if (message->signing.length != FEED_KEY_BYTES ||
        message_socket_state_decode(message->state.data, message->state.length, &header, &state) !=
            0) {
        return -1;
    }
    struct ws_opening opening = {.rights = (unsigned)message->scopes,
                                 .actor = (const char *)message->actor.data,
                                 .actor_length = message->actor.length,
                                 .fd = fd,
                                 .early = state.pending.data,
                                 .early_length = state.pending.length,
                                 .unsent = message->unsent.data,
                                 .unsent_length = message->unsent.length,
                                 .subscriptions = state.subscriptions};
    memcpy(opening.signing.bytes, message->signing.data, sizeof opening.signing.bytes);
    memcpy(opening.tenant.bytes, message->tenant, sizeof message->tenant);
    memcpy(opening.key.bytes, message->key, sizeof message->key);
    ws_open(streamer, &opening);
    return 0;
}

static int open_handover(struct streamer *streamer, const uint8_t *packet, size_t length, int fd)
{
    struct message_header header;
    struct message_handover message;
    if (message_handover_decode(packet, length, &header, &message) != 0) {
        return -1;
    }
    if (message.kind == STREAM_KIND_SOCKET) {
        return open_socket(streamer, &message, fd);
    }
    struct reader_opening opening = {.cursor = message.after_seq,
                                     .stop_after = message.stop_after,
                                     .head = message.head,
                                     .fd = fd};
    if (read_kind(message.kind, message.thread, message.signing, &opening) != 0 ||
        read_form(message.format, message.types, &opening) != 0) {
        return -1;
    }
    memcpy(opening.tenant.bytes, message.tenant, sizeof message.tenant);
    memcpy(opening.key.bytes, message.key, sizeof message.key);
    memcpy(opening.run.bytes, message.run, sizeof message.run);
    reader_open(streamer, &opening);
    return 0;
}

static int open_handoff(struct streamer *streamer, const uint8_t *packet, size_t length, int fd)
{
    struct message_header header;
    struct message_handoff message;
    if (message_handoff_decode(packet, length, &header, &message) != 0) {
        return -1;
    }
    if (message.kind == STREAM_KIND_SOCKET) {
        return open_moved_socket(streamer, &message, fd);
    }
    struct reader_opening opening = {.cursor = message.cursor,
                                     .stop_after = message.stop_after,
                                     .live = message.live,
                                     .head = message.head,
                                     .fd = fd,
                                     .handed_off = true,
                                     .ended = message.ended,
                                     .unsent = message.unsent.data,
                                     .unsent_length = message.unsent.length};
    if (read_kind(message.kind, message.thread, message.signing, &opening) != 0 ||
        read_form(message.format, message.types, &opening) != 0) {
        return -1;
    }
    memcpy(opening.tenant.bytes, message.tenant, sizeof message.tenant);
    memcpy(opening.key.bytes, message.key, sizeof message.key);
    memcpy(opening.run.bytes, message.run, sizeof message.run);
    reader_open(streamer, &opening);
    return 0;
}

static bool is_stream(int fd)
{
    int type = 0;
    socklen_t size = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

/* The one descriptor of a packet; with none or several all are closed and -1 returned. */
static int only_descriptor(struct msghdr *message)
{
    int fds[DESCRIPTORS_MAX];
    size_t count = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
         part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS) {
            count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(fds, CMSG_DATA(part), count * sizeof(int));
        }
    }
    if (count == 1 && (message->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 && is_stream(fds[0])) {
        return fds[0];
    }
    for (size_t i = 0; i < count; i++) {
        close(fds[i]);
    }
    return -1;
}

/* The sender of a HANDOFF keeps its end until the packet is taken. When it has closed it, it has died,
 * or has waited too long and keeps the stream (handoff.c): two must never write to one socket. */
static bool sender_waits(int connection)
{
    uint8_t byte;
    return recv(connection, &byte, sizeof byte, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

/* Whatever comes is data from outside this process: what is malformed is dropped and counted. */
static void take_packet(struct handover *handover, size_t length, int fd, int connection)
{
    struct message_header header;
    int taken = -1;
    SB_FAULT("streamer_after_accept");
    if (fd >= 0 && message_peek(handover->packet, length, &header) == 0) {
        if (header.type == MESSAGE_HANDOVER) {
            taken = open_handover(handover->streamer, handover->packet, length, fd);
        } else if (header.type == MESSAGE_HANDOFF && !sender_waits(connection)) {
            LOG_WARN("a stream is left to its sender, who waits no more");
            close(fd);
            return;
        } else if (header.type == MESSAGE_HANDOFF) {
            taken = open_handoff(handover->streamer, handover->packet, length, fd);
        }
    }
    if (taken != 0) {
        metric_add(METRIC_MESSAGES_REJECTED, 1);
        LOG_WARN("a handed-over stream was not understood", LOG_INT("bytes", length));
        if (fd >= 0) {
            close(fd);
        }
    }
}

/* False while nothing is there. */
static bool receive(struct handover *handover, int connection)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)];
    } control;
    struct iovec bytes = {handover->packet, LIMIT_HANDOFF_FRAME_BYTES};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t got = recvmsg(connection, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (got > 0) {
        take_packet(handover, (size_t)got, only_descriptor(&message), connection);
    }
    return true;
}

/* ---- connections ---- */

static void end_arrival(struct arrival *arrival)
{
    list_remove(&arrival->node);
    event_free(arrival->event);
    close(arrival->fd);
    free(arrival);
}

static void on_arrival(evutil_socket_t fd, short what, void *arg)
{
    struct arrival *arrival = arg;
    struct streamer *streamer = arrival->handover->streamer;
    if ((what & EV_TIMEOUT) != 0 || receive(arrival->handover, fd)) {
        end_arrival(arrival);
        handoff_continue(streamer);
    }
}

static void await(struct handover *handover, int connection)
{
    const struct timeval limit = {ARRIVAL_WAIT_MS / 1000, 0};
    struct arrival *arrival = memory_new(sizeof *arrival);
    arrival->handover = handover;
    arrival->fd = connection;
    arrival->event = event_new(handover->streamer->actor->base, connection, EV_READ | EV_PERSIST,
                               on_arrival, arrival);
    list_append(&handover->arrivals, &arrival->node);
    event_add(arrival->event, &limit);
}

void handover_accept(struct handover *handover, int listener)
{
    for (int i = 0; i < ACCEPTS; i++) {
        int connection = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (connection < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                const struct timeval pause = {0, ACCEPT_PAUSE_MS * 1000};
                LOG_ERROR("cannot accept streams", LOG_TEXT("error", error_errno(errno)));
                event_del(handover->readable);
                event_add(handover->pause, &pause);
            }
            return;
        }
        if (receive(handover, connection)) {
            close(connection);
        } else {
            await(handover, connection);
        }
    }
}

static void on_listener(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    handover_accept(arg, fd);
}

static void on_pause_end(evutil_socket_t fd, short what, void *arg)
{
    struct handover *handover = arg;
    (void)fd;
    (void)what;
    if (!handover->stopped) {
        event_add(handover->readable, NULL);
    }
}

/* ---- life ---- */

struct handover *handover_create(struct streamer *streamer, struct error *err)
{
    struct event_base *base = streamer->actor->base;
    int listener = actor_listener(streamer->actor, CHILD_LISTENER_HANDOVER);
    if (listener < 0) {
        error_set(err, "no listener for streams was inherited");
        return NULL;
    }
    struct handover *handover = memory_new(sizeof *handover);
    handover->streamer = streamer;
    handover->listener = listener;
    handover->packet = memory_new(LIMIT_HANDOFF_FRAME_BYTES);
    list_init(&handover->arrivals);
    evutil_make_socket_nonblocking(listener);
    handover->readable = event_new(base, listener, EV_READ | EV_PERSIST, on_listener, handover);
    handover->pause = event_new(base, -1, 0, on_pause_end, handover);
    event_add(handover->readable, NULL);
    handover->neighbours = neighbours_create(streamer->actor, handover);
    return handover;
}

void handover_stop(struct handover *handover)
{
    handover->stopped = true;
    event_del(handover->readable);
    neighbours_destroy(&handover->neighbours);
}

int handover_dial(const struct handover *handover)
{
    struct sockaddr_un address;
    socklen_t size = sizeof address;
    if (getsockname(handover->listener, (struct sockaddr *)&address, &size) != 0) {
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, size) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

bool handover_is_pending(const struct handover *handover)
{
    return !list_is_empty(&handover->arrivals);
}

void handover_destroy(struct handover **handover)
{
    if (*handover == NULL) {
        return;
    }
    LIST_FOR_EACH(node, &(*handover)->arrivals)
    {
        end_arrival(LIST_ENTRY(node, struct arrival, node));
    }
    neighbours_destroy(&(*handover)->neighbours);
    event_free((*handover)->readable);
    event_free((*handover)->pause);
    free((*handover)->packet);
    free(*handover);
    *handover = NULL;
}
