/*
 * GET /ws: the handshake of a WebSocket (RFC 6455, 4.2.1). What is judged here: the fields of the
 * request, where it comes from, who sends it. The connection itself, and the answer 101, are a
 * streamer's (proto/stream_kind.h: STREAM_KIND_SOCKET).
 */
#ifndef SIGNALBOX_API_SOCKET_H
#define SIGNALBOX_API_SOCKET_H

struct exchange;

void socket_open(struct exchange *exchange);

#endif
