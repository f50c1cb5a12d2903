/*
 * See bus.h. ZMQ_FD is edge-triggered and says only "look at ZMQ_EVENTS"; the five rules for it
 * inside libevent: (1) the descriptor is added once, EV_READ|EV_PERSIST, never read; (2) a callback
 * receives until nothing is left, at most BUS_BURST, then goes on after the loop has looked at
 * everything else; (3) every send or receive elsewhere may eat the signal, so each send touches the
 * socket: a zero-delay event drains it; (4) there is no write event: a full socket is the caller's
 * to retry; (5) a slow safety timer drains every socket and counts how often it found something
 * (must stay 0).
 */
#include "runtime/bus.h"

#include "runtime/base/limits.h"
#include "runtime/base/list.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum {
    BUS_BURST = 64,
    BUS_SAFETY_MS = 250,
    BUS_HIGH_WATER_COMMANDS = 8192, /* above every window that may be in flight */
    BUS_HIGH_WATER_EVENTS = 10000,
    BUS_HANDSHAKE_MS = 2000,
    BUS_RECONNECT_MS = 10,
    BUS_RECONNECT_MAX_MS = 1000,
    BUS_SEND_BUFFER_BYTES = 1 << 20,
    BUS_RECREATE_MS = 5000 /* no handshake for this long after a loss: a socket made anew */
};

struct bus {
    struct event_base *base; /* borrowed */
    void *context;
    struct event *safety;
    struct list sockets;
};

/* One ZeroMQ socket wired to the loop. */
struct wire {
    void *zmq;
    struct event *readable;
    struct event *again;
};

struct bus_socket {
    struct list node;
    struct bus *bus; /* borrowed */
    struct bus_options options;
    char *path;     /* owned */
    char *identity; /* owned */
    struct wire main;
    struct wire monitor; /* clients only */
    struct event *recreate;
    uint8_t topics[4];
    size_t topics_count;
    bool up;
    bool suspect; /* the last safety check found input that nothing was about to read */
};

static bool is_client(const struct bus_socket *socket)
{
    return socket->options.role == BUS_COMMANDS_CLIENT || socket->options.role == BUS_EVENTS_CLIENT;
}

static int set_int(void *zmq, int option, int value)
{
    return zmq_setsockopt(zmq, option, &value, sizeof value);
}

static bool has_input(void *zmq)
{
    int events = 0;
    size_t size = sizeof events;
    int failed = zmq_getsockopt(zmq, ZMQ_EVENTS, &events, &size);
    return failed == 0 && (events & ZMQ_POLLIN) != 0;
}

/* Receives one part; false when there is none. */
static bool receive_part(void *zmq, zmq_msg_t *part)
{
    zmq_msg_init(part);
    for (int tries = 0; tries < 8; tries++) {
        if (zmq_msg_recv(part, zmq, ZMQ_DONTWAIT) >= 0) {
            return true;
        }
        if (errno != EINTR) {
            break;
        }
    }
    zmq_msg_close(part);
    return false;
}

/* Throws away the remaining parts of a message we do not understand. */
static void skip_parts(void *zmq, const zmq_msg_t *last)
{
    bool more = zmq_msg_more(last);
    while (more) {
        zmq_msg_t part;
        if (!receive_part(zmq, &part)) {
            return;
        }
        more = zmq_msg_more(&part);
        zmq_msg_close(&part);
    }
}

static void deliver_from_peer(struct bus_socket *socket, zmq_msg_t *identity)
{
    struct bus_peer peer = {.length = 0};
    size_t length = zmq_msg_size(identity);
    zmq_msg_t frame;
    if (!zmq_msg_more(identity) || !receive_part(socket->main.zmq, &frame)) {
        return;
    }
    if (length > 0 && length <= sizeof peer.id && !zmq_msg_more(&frame)) {
        memcpy(peer.id, zmq_msg_data(identity), length);
        peer.length = (uint8_t)length;
        socket->options.handler.received(socket->options.handler.arg, &peer, zmq_msg_data(&frame),
                                         zmq_msg_size(&frame));
    } else {
        metric_add(METRIC_MESSAGES_REJECTED, 1);
        skip_parts(socket->main.zmq, &frame);
    }
    zmq_msg_close(&frame);
}

static void deliver(struct bus_socket *socket, zmq_msg_t *first)
{
    const uint8_t *data = zmq_msg_data(first);
    size_t length = zmq_msg_size(first);
    if (socket->options.role == BUS_COMMANDS_SERVER) {
        deliver_from_peer(socket, first);
        return;
    }
    if (zmq_msg_more(first)) {
        metric_add(METRIC_MESSAGES_REJECTED, 1);
        skip_parts(socket->main.zmq, first);
        return;
    }
    if (socket->options.role == BUS_EVENTS_CLIENT) {
        if (length == 0) {
            return;
        }
        data++;
        length--;
    }
    socket->options.handler.received(socket->options.handler.arg, NULL, data, length);
}

/* Returns how many messages were taken. Stops after BUS_BURST and re-arms, so that no socket
 * starves the rest. */
static int drain(struct bus_socket *socket)
{
    int taken = 0;
    while (taken < BUS_BURST) {
        zmq_msg_t part;
        if (receive_part(socket->main.zmq, &part)) {
            deliver(socket, &part);
            zmq_msg_close(&part);
            taken++;
        } else if (!has_input(socket->main.zmq)) {
            return taken;
        }
    }
    /* By way of the timers: what is made active inside a callback runs before the loop polls again.
     */
    event_add(socket->main.again, &(struct timeval){0, 0});
    return taken;
}

static void on_main(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    drain(arg);
}

static void set_up(struct bus_socket *socket, bool up)
{
    if (socket->up == up) {
        return;
    }
    socket->up = up;
    if (up) {
        event_del(socket->recreate);
    } else {
        event_add(socket->recreate, &(struct timeval){BUS_RECREATE_MS / 1000, 0});
    }
    if (socket->options.handler.connected != NULL) {
        socket->options.handler.connected(socket->options.handler.arg, up);
    }
}

static void take_monitor_event(struct bus_socket *socket, zmq_msg_t *part)
{
    uint16_t event = 0;
    if (zmq_msg_size(part) >= sizeof event) {
        memcpy(&event, zmq_msg_data(part), sizeof event);
    }
    skip_parts(socket->monitor.zmq, part);
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
        set_up(socket, true);
    } else if (event == ZMQ_EVENT_DISCONNECTED) {
        set_up(socket, false);
    }
}

static void on_monitor(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct bus_socket *socket = arg;
    do {
        zmq_msg_t part;
        while (receive_part(socket->monitor.zmq, &part)) {
            take_monitor_event(socket, &part);
            zmq_msg_close(&part);
        }
    } while (has_input(socket->monitor.zmq));
}

static int wire_open(struct bus *bus, struct wire *wire, event_callback_fn callback, void *arg,
                     struct error *err)
{
    int fd = -1;
    size_t size = sizeof fd;
    if (zmq_getsockopt(wire->zmq, ZMQ_FD, &fd, &size) != 0) {
        return error_set(err, "zmq: %s", zmq_strerror(errno));
    }
    wire->readable = event_new(bus->base, fd, EV_READ | EV_PERSIST, callback, arg);
    wire->again = event_new(bus->base, -1, EV_TIMEOUT, callback, arg);
    event_add(wire->readable, NULL);
    event_active(wire->again, EV_TIMEOUT, 0);
    return 0;
}

static void wire_close(struct wire *wire)
{
    if (wire->readable != NULL) {
        event_free(wire->readable);
        event_free(wire->again);
    }
    if (wire->zmq != NULL) {
        zmq_close(wire->zmq);
    }
    *wire = (struct wire){0};
}

static int set_options(const struct bus_socket *socket, void *zmq)
{
    enum bus_role role = socket->options.role;
    bool commands = role == BUS_COMMANDS_SERVER || role == BUS_COMMANDS_CLIENT;
    int high_water = commands ? BUS_HIGH_WATER_COMMANDS : BUS_HIGH_WATER_EVENTS;
    int64_t frame_max = commands ? LIMIT_COMMAND_FRAME_BYTES : LIMIT_EVENT_FRAME_BYTES;
    int failed = set_int(zmq, ZMQ_LINGER, 0) | set_int(zmq, ZMQ_SNDHWM, high_water) |
                 set_int(zmq, ZMQ_RCVHWM, high_water) |
                 set_int(zmq, ZMQ_HANDSHAKE_IVL, BUS_HANDSHAKE_MS) |
                 set_int(zmq, ZMQ_RECONNECT_IVL, BUS_RECONNECT_MS) |
                 set_int(zmq, ZMQ_RECONNECT_IVL_MAX, BUS_RECONNECT_MAX_MS) |
                 zmq_setsockopt(zmq, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max);
    if (is_client(socket)) {
        failed |= set_int(zmq, ZMQ_IMMEDIATE, 1);
    } else {
        failed |= set_int(zmq, ZMQ_USE_FD, socket->options.listener);
    }
    if (role == BUS_COMMANDS_SERVER) {
        failed |= set_int(zmq, ZMQ_ROUTER_MANDATORY, 1) | set_int(zmq, ZMQ_ROUTER_HANDOVER, 1);
    }
    if (role == BUS_EVENTS_SERVER) {
        failed |= set_int(zmq, ZMQ_XPUB_VERBOSE, 1); /* not only the first reader of a topic */
    }
    if (role == BUS_COMMANDS_CLIENT) {
        failed |= zmq_setsockopt(zmq, ZMQ_ROUTING_ID, socket->identity, strlen(socket->identity));
    }
    return failed;
}

static int monitor_open(struct bus_socket *socket, struct error *err)
{
    char address[64];
    snprintf(address, sizeof address, "inproc://monitor-%p", socket->main.zmq);
    if (zmq_socket_monitor(socket->main.zmq, address,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) != 0) {
        return error_set(err, "zmq monitor: %s", zmq_strerror(errno));
    }
    socket->monitor.zmq = zmq_socket(socket->bus->context, ZMQ_PAIR);
    if (socket->monitor.zmq == NULL || set_int(socket->monitor.zmq, ZMQ_LINGER, 0) != 0 ||
        zmq_connect(socket->monitor.zmq, address) != 0) {
        return error_set(err, "zmq monitor: %s", zmq_strerror(errno));
    }
    return wire_open(socket->bus, &socket->monitor, on_monitor, socket, err);
}

static void subscribe_all(struct bus_socket *socket)
{
    for (size_t i = 0; i < socket->topics_count; i++) {
        int failed = zmq_setsockopt(socket->main.zmq, ZMQ_SUBSCRIBE, &socket->topics[i], 1);
        assert(failed == 0);
    }
}

static int socket_open(struct bus_socket *socket, struct error *err)
{
    static const int types[] = {[BUS_COMMANDS_SERVER] = ZMQ_ROUTER,
                                [BUS_COMMANDS_CLIENT] = ZMQ_DEALER,
                                [BUS_EVENTS_SERVER] = ZMQ_XPUB,
                                [BUS_EVENTS_CLIENT] = ZMQ_SUB};
    char endpoint[LIMIT_SOCKET_PATH_BYTES + 8];
    snprintf(endpoint, sizeof endpoint, "ipc://%s", socket->path);
    socket->main.zmq = zmq_socket(socket->bus->context, types[socket->options.role]);
    if (socket->main.zmq == NULL || set_options(socket, socket->main.zmq) != 0) {
        return error_set(err, "zmq: %s", zmq_strerror(errno));
    }
    /* The monitor comes first, or it would miss the first handshake. */
    if (is_client(socket) && monitor_open(socket, err) != 0) {
        return -1;
    }
    subscribe_all(socket);
    int failed = is_client(socket) ? zmq_connect(socket->main.zmq, endpoint)
                                   : zmq_bind(socket->main.zmq, endpoint);
    if (failed != 0) {
        return error_set(err, "zmq %s: %s", endpoint, zmq_strerror(errno));
    }
    return wire_open(socket->bus, &socket->main, on_main, socket, err);
}

static void socket_close(struct bus_socket *socket)
{
    if (socket->main.zmq != NULL && is_client(socket)) {
        zmq_socket_monitor(socket->main.zmq, NULL, 0);
    }
    wire_close(&socket->monitor);
    wire_close(&socket->main);
}

static void on_recreate(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct bus_socket *socket = arg;
    struct error err;
    LOG_WARN("bus connection made anew", LOG_TEXT("path", socket->path));
    socket_close(socket);
    if (socket_open(socket, &err) != 0) {
        LOG_ERROR("bus connection cannot be made", LOG_TEXT("error", err.text));
    }
    event_add(socket->recreate, &(struct timeval){BUS_RECREATE_MS / 1000, 0});
}

/* Input that neither the descriptor nor a pending drain announces. The descriptor is asked first,
 * because asking for ZMQ_EVENTS takes its signal away. */
static bool is_overlooked(const struct bus_socket *socket)
{
    if (socket->main.again == NULL) {
        return false; /* could not be made anew, and is tried again */
    }
    struct pollfd poll_fd = {.fd = event_get_fd(socket->main.readable), .events = POLLIN};
    return event_pending(socket->main.again, EV_TIMEOUT, NULL) == 0 && poll(&poll_fd, 1, 0) == 0 &&
           has_input(socket->main.zmq);
}

/* A message that comes between the two questions looks overlooked, too: only the second time
 * running counts as a lost signal. */
static void on_safety(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct bus *bus = arg;
    LIST_FOR_EACH(node, &bus->sockets)
    {
        struct bus_socket *socket = LIST_ENTRY(node, struct bus_socket, node);
        bool overlooked = is_overlooked(socket);
        if (overlooked) {
            event_active(socket->main.again, EV_TIMEOUT, 0);
            metric_add(METRIC_BUS_SAFETY_DRAINS, socket->suspect ? 1 : 0);
        }
        socket->suspect = overlooked;
    }
}

struct bus *bus_create(struct event_base *base, struct error *err)
{
    struct bus *bus = memory_new(sizeof *bus);
    bus->base = base;
    list_init(&bus->sockets);
    bus->context = zmq_ctx_new();
    if (bus->context == NULL) {
        free(bus);
        error_set(err, "zmq: %s", zmq_strerror(errno));
        return NULL;
    }
    bus->safety = event_new(base, -1, EV_PERSIST, on_safety, bus);
    event_add(bus->safety, &(struct timeval){0, BUS_SAFETY_MS * 1000});
    return bus;
}

void bus_destroy(struct bus **bus)
{
    if (*bus == NULL) {
        return;
    }
    assert(list_is_empty(&(*bus)->sockets));
    event_free((*bus)->safety);
    zmq_ctx_term((*bus)->context);
    free(*bus);
    *bus = NULL;
}

struct bus_socket *bus_open(struct bus *bus, const struct bus_options *options, struct error *err)
{
    struct bus_socket *socket = memory_new(sizeof *socket);
    socket->bus = bus;
    socket->options = *options;
    socket->path = memory_string(options->path);
    socket->identity = memory_string(options->identity == NULL ? "" : options->identity);
    socket->recreate = event_new(bus->base, -1, 0, on_recreate, socket);
    list_init(&socket->node);
    if (socket_open(socket, err) != 0) {
        bus_close(&socket);
        return NULL;
    }
    list_append(&bus->sockets, &socket->node);
    return socket;
}

void bus_close(struct bus_socket **socket)
{
    if (*socket == NULL) {
        return;
    }
    socket_close(*socket);
    list_remove(&(*socket)->node);
    event_free((*socket)->recreate);
    free((*socket)->path);
    free((*socket)->identity);
    free(*socket);
    *socket = NULL;
}

void bus_subscribe(struct bus_socket *socket, enum bus_topic topic)
{
    assert(socket->options.role == BUS_EVENTS_CLIENT &&
           socket->topics_count < sizeof socket->topics);
    socket->topics[socket->topics_count++] = (uint8_t)topic;
    uint8_t byte = (uint8_t)topic;
    int failed = zmq_setsockopt(socket->main.zmq, ZMQ_SUBSCRIBE, &byte, 1);
    assert(failed == 0);
}

void bus_linger(struct bus_socket *socket, int ms)
{
    int failed = set_int(socket->main.zmq, ZMQ_LINGER, ms);
    assert(failed == 0);
}

static enum bus_send_result send_part(struct bus_socket *socket, zmq_msg_t *part, int flags)
{
    for (int tries = 0; tries < 8; tries++) {
        if (zmq_msg_send(part, socket->main.zmq, flags | ZMQ_DONTWAIT) >= 0) {
            return BUS_SENT;
        }
        if (errno != EINTR) {
            break;
        }
    }
    enum bus_send_result result = errno == EHOSTUNREACH ? BUS_UNREACHABLE : BUS_FULL;
    zmq_msg_close(part);
    return result;
}

enum bus_send_result bus_send(struct bus_socket *socket, const struct bus_peer *peer,
                              enum bus_topic topic, const void *frame, size_t length)
{
    zmq_msg_t part;
    if (socket->options.role == BUS_COMMANDS_SERVER) {
        assert(peer != NULL);
        zmq_msg_init_size(&part, peer->length);
        memcpy(zmq_msg_data(&part), peer->id, peer->length);
        enum bus_send_result result = send_part(socket, &part, ZMQ_SNDMORE);
        if (result != BUS_SENT) {
            return result;
        }
    }
    size_t prefix = socket->options.role == BUS_EVENTS_SERVER ? 1 : 0;
    zmq_msg_init_size(&part, length + prefix);
    uint8_t *at = zmq_msg_data(&part);
    if (prefix == 1) {
        at[0] = (uint8_t)topic;
    }
    memcpy(at + prefix, frame, length);
    enum bus_send_result result = send_part(socket, &part, 0);
    if (socket->main.again != NULL) {
        event_active(socket->main.again, EV_TIMEOUT, 0);
    }
    return result;
}
