/*
 * The only caller of libzmq. Sockets live on the actor's event loop; all options that reliability
 * needs are set here (linger 0, explicit high-water marks and frame sizes, IMMEDIATE,
 * ROUTER_MANDATORY + HANDOVER, USE_FD). Every message may be lost: the bus makes things fast, the
 * table makes them right.
 */
#ifndef SIGNALBOX_RUNTIME_BUS_H
#define SIGNALBOX_RUNTIME_BUS_H

#include "runtime/base/error.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bus_role {
    BUS_COMMANDS_SERVER, /* ROUTER on an inherited listener */
    BUS_COMMANDS_CLIENT, /* DEALER */
    BUS_EVENTS_SERVER,   /* XPUB on an inherited listener */
    BUS_EVENTS_CLIENT    /* SUB */
};

/* Topics are the first byte of a PUB frame; the bus adds and removes it. */
enum bus_topic {
    BUS_TOPIC_NONE = 0,
    BUS_TOPIC_EVENTS = 'E',
    BUS_TOPIC_HINTS = 'H',
    BUS_TOPIC_JOBS = 'J',
    BUS_TOPIC_NOTES = 'N'
};

/* Who sent a command: its routing id on the ROUTER. */
struct bus_peer {
    uint8_t id[32];
    uint8_t length;
};

struct bus;
struct bus_socket;

struct bus_handler {
    /* One whole frame, valid for the call. `peer` only on BUS_COMMANDS_SERVER (else NULL). */
    void (*received)(void *arg, const struct bus_peer *peer, const uint8_t *frame, size_t length);
    /* The connection is up or has gone (clients only; may be NULL). */
    void (*connected)(void *arg, bool up);
    void *arg;
};

struct bus_options {
    enum bus_role role;
    const char *path;     /* ipc socket path; tcp later */
    int listener;         /* servers: inherited descriptor */
    const char *identity; /* BUS_COMMANDS_CLIENT: "api-1.17" (instance.generation) */
    struct bus_handler handler;
};

enum bus_send_result { BUS_SENT, BUS_FULL, BUS_UNREACHABLE };

struct bus *bus_create(struct event_base *base, struct error *err);
void bus_destroy(struct bus **bus);
/* Returns, caller closes with bus_close (before bus_destroy). `options` are copied, `path` too. */
struct bus_socket *bus_open(struct bus *bus, const struct bus_options *options, struct error *err);
void bus_close(struct bus_socket **socket);
/* What was sent is still delivered for up to `ms` when the process ends; for a last message while
 * draining. */
void bus_linger(struct bus_socket *socket, int ms);
/* Subscribes a BUS_EVENTS_CLIENT to a topic. */
void bus_subscribe(struct bus_socket *socket, enum bus_topic topic);
/* Copies the frame. `peer` for BUS_COMMANDS_SERVER, `topic` for BUS_EVENTS_SERVER, else NULL /
 * BUS_TOPIC_NONE. BUS_FULL and BUS_UNREACHABLE: nothing was sent; the receiver asks again or
 * repairs from the table. */
enum bus_send_result bus_send(struct bus_socket *socket, const struct bus_peer *peer,
                              enum bus_topic topic, const void *frame, size_t length);

#endif
