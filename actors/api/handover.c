/* See handover.h. */
#include "api/handover.h"

#include "api/exchange.h"
#include "proto/child_contract.h"
#include "proto/messages.h"
#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/limits.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"

#include <assert.h>
#include <errno.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    WAITING_MAX = 8192, /* connections that wait for a streamer */
    PATIENCE_MS = 5000,
    LOYALTY_MS = 1000, /* that long a stream waits for its own slot; then any will do */
    RETRY_MS = 20,
    OVERLOAD_RETRY_MS = 5000 /* what a client is told at least; twice as much at most */
};

/* The way to one slot of the streamers. */
struct lane {
    struct sockaddr_un address;
    struct list waiting; /* exchanges, oldest first */
};

struct handover {
    const struct actor *actor; /* borrowed */
    struct lane lanes[CHILD_STREAMERS_MAX];
    size_t lane_count;
    struct event *timer; /* runs while somebody waits */
    size_t count;        /* of those who wait */
    uint64_t sockets;    /* WebSockets given so far */
    struct msgpack_sbuffer frame;
};

static void retry(evutil_socket_t fd, short what, void *arg);

static void init_lane(struct lane *lane, const struct actor *actor, unsigned number)
{
    char file[sizeof CHILD_SOCKET_HANDOVER + 8];
    char path[LIMIT_SOCKET_PATH_BYTES + 1];
    snprintf(file, sizeof file, CHILD_SOCKET_HANDOVER, number);
    actor_path(actor, file, path);
    lane->address.sun_family = AF_UNIX;
    memcpy(lane->address.sun_path, path, strlen(path) + 1);
    list_init(&lane->waiting);
}

struct handover *handover_create(const struct actor *actor)
{
    struct handover *handover = memory_new(sizeof *handover);
    handover->actor = actor;
    handover->lane_count = (size_t)settings_int(actor->settings, SETTING_STREAMER_COUNT);
    assert(handover->lane_count >= 1 && handover->lane_count <= CHILD_STREAMERS_MAX);
    for (unsigned i = 0; i < handover->lane_count; i++) {
        init_lane(&handover->lanes[i], actor, i + 1);
    }
    handover->timer = event_new(actor->base, -1, 0, retry, handover);
    msgpack_sbuffer_init(&handover->frame);
    return handover;
}

/* All readers of a run or a feed go to one streamer, whichever api they came to, so that its window
 * and pages are there once. A matter of cost only: any streamer serves any stream. */
static struct lane *lane_of(struct handover *handover, const struct exchange *exchange)
{
    const struct uuid *shown =
        exchange->stream.kind == STREAM_KIND_TENANT ? &exchange->who.tenant : &exchange->id;
    uint64_t half[2];
    memcpy(half, shown->bytes, sizeof half);
    uint64_t hash = (half[0] ^ half[1] >> 7) * 0x9e3779b97f4a7c15u;
    hash = (hash ^ hash >> 32 ^ half[1]) * 0xff51afd7ed558ccdu;
    hash ^= hash >> 29;
    if (exchange->stream.kind == STREAM_KIND_SOCKET) {
        hash = handover->sockets++; /* shows many: they are dealt out in turn */
    }
    return &handover->lanes[hash % handover->lane_count];
}

/* A connected socket, or -1: its listener's queue is full. */
static int dial(const struct lane *lane)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 &&
        connect(fd, (const struct sockaddr *)&lane->address, sizeof lane->address) != 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

static int dial_any(const struct handover *handover)
{
    int peer = -1;
    for (size_t i = 0; i < handover->lane_count && peer < 0; i++) {
        peer = dial(&handover->lanes[i]);
    }
    return peer;
}

static int send_with(int peer, const struct msgpack_sbuffer *frame, int connection)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec bytes = {.iov_base = frame->data, .iov_len = frame->size};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof control.space};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &connection, sizeof connection);
    ssize_t sent;
    do {
        sent = sendmsg(peer, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)frame->size ? 0 : -1;
}

/* 200, a longer `retry:`, and the connection ends without the last chunk: a browser comes back
 * later, where any other status would make it give up. */
static void break_off_stream(int connection, int64_t retry_ms)
{
    char chunk[32];
    char text[256];
    uint32_t random;
    evutil_secure_rng_get_bytes(&random, sizeof random);
    int chunk_length =
        snprintf(chunk, sizeof chunk, "retry: %lld\n\n",
                 (long long)(retry_ms + (int64_t)(random % (OVERLOAD_RETRY_MS + 1))));
    int length = snprintf(text, sizeof text,
                          "HTTP/1.1 200 OK\r\n"
                          "Content-Type: text/event-stream; charset=utf-8\r\n"
                          "Cache-Control: no-cache, no-transform\r\n"
                          "X-Accel-Buffering: no\r\n"
                          "Transfer-Encoding: chunked\r\n"
                          "Keep-Alive: timeout=1\r\n\r\n" /* see streamer/sse.c */
                          "%x\r\n%s\r\n",
                          (unsigned)chunk_length, chunk);
    ssize_t sent = send(connection, text, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
    LOG_DEBUG("stream told to come later", LOG_INT("sent", sent));
    (void)close(connection);
}

/* Clients that are programs see a status, and would take a body that just ends for the answer. */
static void refuse_with_status(int connection)
{
    struct buffer body = {0};
    struct buffer text = {0};
    problem_write(&body, PROBLEM_BUSY, "No stream can be taken now. Try again.", NULL);
    buffer_printf(&text,
                  "HTTP/1.1 503 Service Unavailable\r\n"
                  "Content-Type: " PROBLEM_MEDIA_TYPE "\r\n"
                  "Retry-After: %d\r\n"
                  "Content-Length: %zu\r\n"
                  "Connection: close\r\n\r\n",
                  OVERLOAD_RETRY_MS / 1000, body.length);
    buffer_append(&text, body.data, body.length);
    ssize_t sent = send(connection, text.data, text.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    LOG_WARN("stream refused with a status: no streamer took it", LOG_INT("sent", sent));
    buffer_deinit(&body);
    buffer_deinit(&text);
    (void)close(connection);
}

/* A browser's EventSource reads it, which is lost by a status. */
static bool is_event_source(const struct exchange *exchange)
{
    enum stream_format format = exchange->stream.format;
    return exchange->stream.kind != STREAM_KIND_SOCKET &&
           (format == STREAM_FORMAT_NATIVE || format == STREAM_FORMAT_FILTERED);
}

static void break_off(bool event_source, int connection)
{
    if (event_source) {
        LOG_WARN("stream refused: no streamer took it");
        break_off_stream(connection, OVERLOAD_RETRY_MS);
    } else {
        refuse_with_status(connection);
    }
}

void handover_refuse(struct exchange *exchange, int64_t retry_ms)
{
    break_off_stream(exchange_detach(exchange, NULL),
                     retry_ms > OVERLOAD_RETRY_MS ? retry_ms : OVERLOAD_RETRY_MS);
}

static void encode(struct handover *handover, const struct exchange *exchange,
                   const struct buffer *early)
{
    struct message_header header = {.type = MESSAGE_HANDOVER,
                                    .generation = handover->actor->generation};
    struct message_handover message = {.after_seq = exchange->stream.join
                                                        ? STREAM_AFTER_JOIN
                                                        : (uint64_t)exchange->stream.after_seq,
                                       .head = (uint64_t)exchange->stream.head,
                                       .kind = (uint64_t)exchange->stream.kind,
                                       .format = (uint64_t)exchange->stream.format,
                                       .types = exchange->stream.types,
                                       .stop_after = (uint64_t)exchange->stream.stop_after};
    memcpy(message.tenant, exchange->who.tenant.bytes, sizeof message.tenant);
    memcpy(message.key, exchange->who.key.bytes, sizeof message.key);
    if (exchange->stream.kind == STREAM_KIND_RUN) {
        memcpy(message.run, exchange->id.bytes, sizeof message.run);
    } else {
        memcpy(message.thread, exchange->id.bytes, sizeof message.thread);
        message.signing = (struct message_span){exchange->stream.signing.bytes,
                                                sizeof exchange->stream.signing.bytes};
    }
    if (exchange->stream.kind == STREAM_KIND_SOCKET) {
        const char *actor = exchange->who.actor;
        message.scopes = (exchange->who.scopes & SCOPE_APPEND) != 0 ? STREAM_MAY_APPEND : 0;
        message.actor = (struct message_span){(const uint8_t *)actor, strlen(actor)};
        message.accept = (struct message_span){(const uint8_t *)exchange->stream.accept,
                                               strlen(exchange->stream.accept)};
        message.early = (struct message_span){early->data, early->length};
    }
    msgpack_sbuffer_clear(&handover->frame);
    message_handover_encode(&handover->frame, &header, &message);
}

static void give_to(struct handover *handover, struct exchange *exchange, int peer)
{
    bool event_source = is_event_source(exchange);
    bool is_socket = exchange->stream.kind == STREAM_KIND_SOCKET;
    struct buffer early = {0};
    exchange_hold(exchange);
    int connection = exchange_detach(exchange, is_socket ? &early : NULL);
    encode(handover, exchange, &early);
    bool waiting = exchange_resume(exchange);
    assert(!waiting);
    buffer_deinit(&early);
    SB_FAULT("api_before_handover");
    if (send_with(peer, &handover->frame, connection) == 0) {
        SB_FAULT("api_after_handover");
        (void)close(connection);
    } else {
        LOG_WARN("a connection could not be handed over", LOG_TEXT("reason", error_errno(errno)));
        break_off(event_source, connection);
    }
    (void)close(peer);
}

static void give_up(struct exchange *exchange)
{
    bool event_source = is_event_source(exchange);
    break_off(event_source, exchange_detach(exchange, NULL));
}

static void arm(struct handover *handover)
{
    struct timeval wait = {.tv_usec = RETRY_MS * 1000};
    (void)event_add(handover->timer, &wait);
}

static void leave_queue(struct exchange *exchange)
{
    list_remove(&exchange->node);
    exchange->api->handover->count--;
    exchange->abandoned = NULL;
}

/* True when nobody waits in this lane any more. */
static bool serve(struct handover *handover, struct lane *lane, int64_t now_ms)
{
    struct list *first;
    while ((first = list_first(&lane->waiting)) != NULL) {
        struct exchange *exchange = LIST_ENTRY(first, struct exchange, node);
        int64_t waited_ms = now_ms - exchange->stream.queued_ms;
        int peer = dial(lane);
        if (peer < 0 && waited_ms >= LOYALTY_MS) {
            peer = dial_any(handover);
        }
        if (peer < 0 && waited_ms < PATIENCE_MS) {
            return false;
        }
        leave_queue(exchange);
        if (peer >= 0) {
            give_to(handover, exchange, peer);
        } else {
            give_up(exchange);
        }
    }
    return true;
}

static void retry(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct handover *handover = arg;
    int64_t now_ms = clock_monotonic_ms();
    bool all = true;
    for (size_t i = 0; i < handover->lane_count; i++) {
        all &= serve(handover, &handover->lanes[i], now_ms);
    }
    if (!all) {
        arm(handover);
    }
}

void handover_give(struct handover *handover, struct exchange *exchange)
{
    struct lane *lane = lane_of(handover, exchange);
    /* Nobody overtakes those who wait. */
    int peer = list_is_empty(&lane->waiting) ? dial(lane) : -1;
    if (peer >= 0) {
        give_to(handover, exchange, peer);
        return;
    }
    if (handover->count >= WAITING_MAX) {
        give_up(exchange);
        return;
    }
    if (handover->count == 0) {
        arm(handover);
    }
    exchange->stream.queued_ms = clock_monotonic_ms();
    exchange->abandoned = leave_queue;
    list_append(&lane->waiting, &exchange->node);
    handover->count++;
}

size_t handover_waiting(const struct handover *handover)
{
    return handover->count;
}

void handover_destroy(struct handover **handover)
{
    if (*handover == NULL) {
        return;
    }
    for (size_t i = 0; i < (*handover)->lane_count; i++) {
        LIST_FOR_EACH(node, &(*handover)->lanes[i].waiting)
        {
            struct exchange *exchange = LIST_ENTRY(node, struct exchange, node);
            leave_queue(exchange);
            give_up(exchange);
        }
    }
    event_free((*handover)->timer);
    msgpack_sbuffer_destroy(&(*handover)->frame);
    free(*handover);
    *handover = NULL;
}
