/*
 * The server's side of a WebSocket after its handshake (RFC 6455), without I/O: bytes of the client
 * in, callbacks and bytes for the client out. Strict: what the text forbids ends the connection
 * with the code it names (1002; 1007 for text that is not UTF-8, at the first byte that cannot be;
 * 1009 for a message above the limit, as soon as a head announces it). The verdict depends on the
 * bytes only, never on how they were split. No extension is spoken.
 *
 * Pings are answered here. What goes out is appended to the owner's buffer, in whole frames. The
 * owner may put frames of its own there or write them itself (ws_frame_head), never into another.
 * Bytes fed make at most as many bytes of answers, and one close frame: an owner that stops reading
 * while much waits to be written has bounded memory. The codec keeps no more than the incomplete
 * message, as far as it has come, and next to nothing between two messages.
 *
 * The end: a client's close frame is answered with its code; ws_codec_send_close sends ours and
 * waits for the client's; a broken rule sends ours and waits for nothing. How long the owner waits, for
 * the bytes to go out or for the answer, is the owner's.
 */
#ifndef SIGNALBOX_RUNTIME_WS_CODEC_H
#define SIGNALBOX_RUNTIME_WS_CODEC_H

#include "runtime/base/buffer.h"
#include "runtime/ws_frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ws_code {
    WS_CODE_NORMAL = 1000,
    WS_CODE_GOING_AWAY = 1001,
    WS_CODE_PROTOCOL = 1002,
    WS_CODE_UNSUPPORTED = 1003,
    WS_CODE_NONE = 1005, /* the client's close frame named none; never sent */
    WS_CODE_NOT_UTF8 = 1007,
    WS_CODE_POLICY = 1008,
    WS_CODE_TOO_BIG = 1009,
    WS_CODE_INTERNAL = 1011,
    WS_CODE_RESTART = 1012,
    WS_CODE_TRY_LATER = 1013
};

/* Called from within ws_codec_feed. They may send and close; they must not feed or destroy the
 * codec. What they are given is borrowed for the call. */
struct ws_handler {
    /* A whole message; one of text is valid UTF-8. Not called any more once a close frame has been sent. */
    void (*on_message)(void *arg, bool is_text, const uint8_t *bytes, size_t length);
    /* A pong, asked for or not. May be NULL. */
    void (*on_pong)(void *arg, const uint8_t *bytes, size_t length);
    /* At most once, and nothing is called after it; ws_codec_feed then returns -1. `by_client`: its
     * close frame came (before ours, or as the answer to it) with this code and reason; else its
     * bytes broke a rule: which code and reason answer that. The reason is UTF-8. */
    void (*on_close)(void *arg, bool by_client, unsigned code, const char *reason, size_t length);
    void *arg;
};

struct ws_codec;

/* `message_bytes_max`: longest message a client may send, its fragments together. `out` is kept and
 * stays the owner's; it must live as long as the codec. Returns, caller destroys with
 * ws_codec_destroy. */
struct ws_codec *ws_codec_create(size_t message_bytes_max, struct buffer *out,
                                 const struct ws_handler *handler);
void ws_codec_destroy(struct ws_codec **codec);

/* Takes bytes of the client. -1: the connection is over; it is to be closed once the bytes in `out`
 * have gone out. Further bytes are not looked at, and -1 again. */
SB_MUST_CHECK int ws_codec_feed(struct ws_codec *codec, const void *bytes, size_t length);

/* These append one frame each, and nothing once a close frame has been sent. */
void ws_codec_send_text(struct ws_codec *codec, const void *bytes, size_t length);
/* `length` is at most WS_CONTROL_MAX. */
void ws_codec_send_ping(struct ws_codec *codec, const void *bytes, size_t length);
/* Begins the end; further calls do nothing. `code` must be one that may be sent; `reason` is UTF-8
 * and is cut at a character when it is longer than a close frame takes. Messages that are still
 * coming are dropped; the client's close frame makes ws_codec_feed return -1. */
void ws_codec_send_close(struct ws_codec *codec, unsigned code, const char *reason);
/* A close frame has been sent: ours, or the answer to the client's. */
bool ws_codec_is_closing(const struct ws_codec *codec);

/* For handing the connection to another process: appends bytes which, fed to a fresh codec, bring
 * it where this one is; none when no message or frame has begun. At most the incomplete message
 * and 200 bytes. Not for a codec that is closing. */
void ws_codec_pending(const struct ws_codec *codec, struct buffer *pending);

/* Whether a close frame may carry this code. */
bool ws_code_is_valid(unsigned code);

#endif
