/* What a server answers to the Sec-WebSocket-Key of a client (RFC 6455, 4.2.2). Pure. */
#ifndef SIGNALBOX_RUNTIME_WS_ACCEPT_H
#define SIGNALBOX_RUNTIME_WS_ACCEPT_H

#include "runtime/base/error.h"

#include <stddef.h>

enum { WS_ACCEPT_SIZE = 29 }; /* 28 characters and the NUL */

/* Writes the value of Sec-WebSocket-Accept. -1: the key is not the base64 of 16 bytes. */
SB_MUST_CHECK int ws_accept(const char *key, size_t length, char out[WS_ACCEPT_SIZE]);

#endif
