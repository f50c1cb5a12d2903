/*
 * Heads of WebSocket frames (RFC 6455, 5.2): writing those of a server, and looking at those of a
 * client as strictly as the text allows, byte by byte. Pure; the messages are ws_codec.h's.
 */
#ifndef SIGNALBOX_RUNTIME_WS_FRAME_H
#define SIGNALBOX_RUNTIME_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10
};

enum {
    WS_HEAD_MAX = 10,        /* bytes of a head a server sends */
    WS_CLIENT_HEAD_MAX = 14, /* of one a client sends: with its mask */
    WS_CONTROL_MAX = 125     /* payload of a control frame */
};

/* The head of an unfragmented frame with `length` bytes behind it; returns its length. With it an
 * event can be sent by one gathered write, its bytes copied nowhere. */
size_t ws_frame_head(uint8_t out[WS_HEAD_MAX], enum ws_opcode opcode, uint64_t length);

/* The head of a client's frame while its bytes come in. Zero-initialised is the start. */
struct ws_head {
    uint8_t bytes[WS_CLIENT_HEAD_MAX];
    uint8_t count;   /* bytes of it that are there */
    uint8_t size;    /* how many it has; known from the second byte on, 0 before */
    uint64_t length; /* of the payload; known once the length's bytes are there */
};

/* Takes one more byte; `inside` says that a fragmented message has begun and not ended. Returns
 * NULL, or (static) which rule this byte broke: reserved bits and opcodes, fragments out of place,
 * control frames in pieces or too long, no mask, a length not in its shortest form or beyond 63
 * bits. Must not be called on a head that is complete or refused. */
const char *ws_head_take(struct ws_head *head, uint8_t byte, bool inside);
bool ws_head_is_complete(const struct ws_head *head);
/* The length is known (the mask may still be missing). */
bool ws_head_has_length(const struct ws_head *head);
bool ws_head_is_final(const struct ws_head *head);
enum ws_opcode ws_head_opcode(const struct ws_head *head);
bool ws_head_is_control(const struct ws_head *head);
/* Of a complete head: the four bytes its payload is masked with. */
const uint8_t *ws_head_mask(const struct ws_head *head);

#endif
