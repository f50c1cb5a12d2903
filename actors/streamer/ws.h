/*
 * WebSockets: connections on which a client follows many runs and feeds and gives commands.
 *
 * A connection owns a socket, a codec and a bounded buffer of bytes on their way out; a
 * subscription on it is a position (position.h), as a reader's, and never a queue. The buffer is
 * filled from the subscriptions in turn as the socket drains, so a slow client costs its own buffer
 * and one hot run does not silence the others. Nothing is read from a client that is not taking its
 * answers.
 *
 * Work is done in passes: whatever happens marks a connection, ws_serve() goes round those that are
 * marked. So no handler of a position closes anything.
 */
#ifndef SIGNALBOX_STREAMER_WS_H
#define SIGNALBOX_STREAMER_WS_H

#include "proto/messages.h"
#include "runtime/base/error.h"
#include "runtime/base/uuid.h"
#include "runtime/feed_cursor.h"
#include "streamer/position.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct streamer;
struct ws;
struct ws_hub;

/* How a connection comes. All borrowed. */
struct ws_opening {
    struct uuid tenant;
    struct uuid key;
    struct feed_key signing; /* the tenant's: all its feed keys are made of it */
    unsigned rights;         /* enum stream_right, or-ed */
    const char *actor;       /* whom its commands come from */
    size_t actor_length;
    int fd;
    const char *accept; /* of the handshake's answer; NULL: a predecessor has given it */
    size_t accept_length;
    const uint8_t *early; /* sent behind the handshake, or of a message that has begun */
    size_t early_length;
    const uint8_t *unsent; /* by the predecessor: goes out first */
    size_t unsent_length;
    struct message_list subscriptions; /* as in SOCKET_STATE */
};

SB_MUST_CHECK int ws_start(struct streamer *streamer, struct error *err);
/* Closes all connections. */
void ws_stop(struct streamer *streamer);
/* Takes the descriptor, whatever comes of it: 101, or a refusal. */
void ws_open(struct streamer *streamer, const struct ws_opening *opening);
/* The pass: reads, carries out, fills and writes for the connections that are marked. */
void ws_serve(struct streamer *streamer);
/* Pings, and the end of connections that do not answer or take nothing. */
void ws_tick(struct streamer *streamer, int64_t now_ms);
/* Closes the connections whose key has ended. */
void ws_end_keys(struct streamer *streamer);

/* ---- draining (ws_leave.c) ---- */

/* Nothing more is read or begun; each connection moves once its commands are answered. */
void ws_drain(struct streamer *streamer);
/* A connection that can move now, with the HANDOFF that says so; NULL: none. It is frozen until
 * ws_left(). */
struct ws *ws_next_to_leave(struct streamer *streamer, struct msgpack_sbuffer *packet_out);
int ws_descriptor(const struct ws *ws);
/* The other streamer has it, or it stays for another try. */
void ws_left(struct ws *ws, bool taken);
/* It ends here: its client is told to come back. */
void ws_give_up(struct ws *ws);
/* Ends one connection, as nobody takes it. False: there is none. */
bool ws_break_off(struct streamer *streamer);

size_t ws_connections(const struct streamer *streamer);
/* Commands of WebSockets can be carried out. */
bool ws_commands_reachable(const struct streamer *streamer);

extern const struct position_taker_ops ws_taker;

#endif
