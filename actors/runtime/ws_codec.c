/*
 * See ws_codec.h. Heads are judged byte by byte before anything else sees them (ws_frame.h); wslay
 * then reads the frame and undoes its mask. It is given no byte beyond the frame, and it would read
 * ahead 4 KiB: so its memory is there only while a frame is.
 */
#include "runtime/ws_codec.h"

#include "runtime/base/memory.h"
#include "runtime/utf8_stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

enum { KEPT_BYTES = 4096, CODE_BYTES = 2 };

struct ws_codec {
    struct ws_handler handler;
    struct buffer *out; /* borrowed */
    size_t message_bytes_max;
    bool closing; /* a close frame is among what was sent */
    bool over;    /* nothing of the client is looked at any more */

    bool inside; /* a message has begun */
    bool is_text;
    struct utf8_stream text;
    struct buffer message; /* of the one that has begun */

    struct ws_head head;             /* of the frame that has begun */
    uint64_t taken;                  /* bytes of its payload that are there */
    uint8_t control[WS_CONTROL_MAX]; /* payload of a control frame */

    struct wslay_frame_context *frame; /* owned; NULL between two frames */
    const uint8_t *input;              /* what wslay may read now; borrowed */
    size_t input_length;
};

/* ---- out ------------------------------------------------------------------------------------- */

static void append_frame(struct ws_codec *codec, enum ws_opcode opcode, const void *bytes,
                         size_t length)
{
    if (!codec->closing) {
        uint8_t head[WS_HEAD_MAX];
        buffer_append(codec->out, head, ws_frame_head(head, opcode, length));
        buffer_append(codec->out, bytes, length);
    }
}

void ws_codec_send_text(struct ws_codec *codec, const void *bytes, size_t length)
{
    append_frame(codec, WS_TEXT, bytes, length);
}

void ws_codec_send_ping(struct ws_codec *codec, const void *bytes, size_t length)
{
    assert(length <= WS_CONTROL_MAX);
    append_frame(codec, WS_PING, bytes, length);
}

void ws_codec_send_close(struct ws_codec *codec, unsigned code, const char *reason)
{
    uint8_t payload[WS_CONTROL_MAX] = {(uint8_t)(code >> 8), (uint8_t)code};
    size_t length = strlen(reason);
    assert(ws_code_is_valid(code));
    if (length > sizeof payload - CODE_BYTES) {
        length = sizeof payload - CODE_BYTES;
        while (length > 0 && ((unsigned char)reason[length] & 0xc0) == 0x80) {
            length--;
        }
    }
    memcpy(payload + CODE_BYTES, reason, length);
    append_frame(codec, WS_CLOSE, payload, CODE_BYTES + length);
    codec->closing = true;
}

bool ws_codec_is_closing(const struct ws_codec *codec)
{
    return codec->closing;
}

/* ---- the end --------------------------------------------------------------------------------- */

bool ws_code_is_valid(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static void end(struct ws_codec *codec, bool by_client, unsigned code, const char *reason,
                size_t length)
{
    codec->over = true;
    codec->handler.on_close(codec->handler.arg, by_client, code, reason, length);
}

static void fail(struct ws_codec *codec, enum ws_code code, const char *reason)
{
    ws_codec_send_close(codec, code, reason);
    end(codec, false, code, reason, strlen(reason));
}

static void take_close(struct ws_codec *codec, const uint8_t *payload, size_t length)
{
    struct utf8_stream text = {0};
    unsigned code = length < CODE_BYTES ? WS_CODE_NONE : (unsigned)payload[0] << 8 | payload[1];
    if (length == 1 || (length > 1 && !ws_code_is_valid(code))) {
        fail(codec, WS_CODE_PROTOCOL, "a close frame with a code that must not be sent");
        return;
    }
    size_t reason_length = length == 0 ? 0 : length - CODE_BYTES;
    const uint8_t *reason = payload + (length - reason_length);
    if (!utf8_stream_take(&text, reason, reason_length) || !utf8_stream_is_whole(&text)) {
        fail(codec, WS_CODE_NOT_UTF8, "the reason of a close frame is not UTF-8");
        return;
    }
    append_frame(codec, WS_CLOSE, payload, length - reason_length);
    codec->closing = true;
    end(codec, true, code, (const char *)reason, reason_length);
}

/* ---- in: payloads ---------------------------------------------------------------------------- */

static void end_control(struct ws_codec *codec)
{
    enum ws_opcode opcode = ws_head_opcode(&codec->head);
    size_t length = codec->taken;
    if (opcode == WS_CLOSE) {
        take_close(codec, codec->control, length);
    } else if (opcode == WS_PING) {
        append_frame(codec, WS_PONG, codec->control, length);
    } else if (codec->handler.on_pong != NULL) {
        codec->handler.on_pong(codec->handler.arg, codec->control, length);
    }
}

static void end_message(struct ws_codec *codec, const uint8_t *bytes, size_t length)
{
    if (!utf8_stream_is_whole(&codec->text)) {
        fail(codec, WS_CODE_NOT_UTF8, "a text ends inside a character");
        return;
    }
    if (!codec->closing) {
        codec->handler.on_message(codec->handler.arg, codec->is_text, bytes, length);
    }
    codec->inside = false;
    buffer_clear(&codec->message);
    if (codec->message.capacity > KEPT_BYTES) {
        buffer_deinit(&codec->message);
    }
}

static void take_data(struct ws_codec *codec, const uint8_t *bytes, size_t length)
{
    if (codec->is_text && !utf8_stream_take(&codec->text, bytes, length)) {
        fail(codec, WS_CODE_NOT_UTF8, "a text is not UTF-8");
        return;
    }
    bool final = ws_head_is_final(&codec->head) && codec->taken == codec->head.length;
    if (final && codec->message.length == 0) { /* in one piece: not copied */
        end_message(codec, length == 0 ? codec->control : bytes, length);
        return;
    }
    buffer_append(&codec->message, bytes, length);
    if (final) {
        end_message(codec, codec->message.data, codec->message.length);
    }
}

/* The next bytes of the frame's payload, unmasked; none for a frame that has none. */
static void take_payload(struct ws_codec *codec, const uint8_t *bytes, size_t length)
{
    size_t before = codec->taken;
    codec->taken += length;
    if (!ws_head_is_control(&codec->head)) {
        take_data(codec, bytes, length);
    } else {
        if (length > 0) {
            memcpy(codec->control + before, bytes, length);
        }
        if (codec->taken == codec->head.length) {
            end_control(codec);
        }
    }
    if (codec->taken == codec->head.length) {
        codec->head = (struct ws_head){0};
        codec->taken = 0;
    }
}

/* ---- in: frames ------------------------------------------------------------------------------ */

static ssize_t give(uint8_t *into, size_t size, int flags, void *arg)
{
    struct ws_codec *codec = arg;
    size_t length = size < codec->input_length ? size : codec->input_length;
    (void)flags;
    if (length == 0) {
        return -1;
    }
    memcpy(into, codec->input, length);
    codec->input += length;
    codec->input_length -= length;
    return (ssize_t)length;
}

/* Lets wslay read bytes of the frame: its head, or some of its payload. */
static void read_frame(struct ws_codec *codec, const uint8_t *bytes, size_t length)
{
    struct wslay_frame_iocb part = {0};
    codec->input = bytes;
    codec->input_length = length;
    ssize_t size = 0;
    while (!codec->over && size >= 0 && (codec->input_length > 0 || codec->head.count > 0)) {
        size = wslay_frame_recv(codec->frame, &part);
        if (size >= 0) {
            assert(part.payload_length == codec->head.length);
            take_payload(codec, part.data, part.data_length);
        }
    }
    assert(codec->over || codec->input_length == 0);
    if (size < 0 && size != WSLAY_ERR_WANT_READ) {
        fail(codec, WS_CODE_PROTOCOL, "a frame is malformed");
    }
}

static void begin_frame(struct ws_codec *codec)
{
    static const struct wslay_frame_callbacks callbacks = {.recv_callback = give};
    struct ws_head *head = &codec->head;
    if (!ws_head_is_control(head) && ws_head_opcode(head) != WS_CONTINUATION) {
        codec->inside = true;
        codec->is_text = ws_head_opcode(head) == WS_TEXT;
        codec->text = (struct utf8_stream){0};
    }
    if (codec->frame == NULL && wslay_frame_context_init(&codec->frame, &callbacks, codec) != 0) {
        exit(EXIT_CODE_MEMORY);
    }
    uint8_t bytes[WS_CLIENT_HEAD_MAX]; /* the head is cleared by the end of an empty frame */
    memcpy(bytes, head->bytes, head->size);
    read_frame(codec, bytes, head->size);
}

static void take_head(struct ws_codec *codec, uint8_t byte)
{
    struct ws_head *head = &codec->head;
    const char *broken = ws_head_take(head, byte, codec->inside);
    if (broken != NULL) {
        fail(codec, WS_CODE_PROTOCOL, broken);
    } else if (ws_head_has_length(head) && !ws_head_is_control(head) &&
               head->length > codec->message_bytes_max - codec->message.length) {
        fail(codec, WS_CODE_TOO_BIG, "the message is too big");
    } else if (ws_head_is_complete(head)) {
        begin_frame(codec);
    }
}

int ws_codec_feed(struct ws_codec *codec, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    while (!codec->over && length > 0) {
        size_t size = 1;
        if (!ws_head_is_complete(&codec->head)) {
            take_head(codec, *at);
        } else {
            uint64_t missing = codec->head.length - codec->taken;
            size = length < missing ? length : (size_t)missing;
            read_frame(codec, at, size);
        }
        at += size;
        length -= size;
    }
    if (codec->frame != NULL && (codec->over || codec->head.count == 0)) {
        wslay_frame_context_free(codec->frame);
        codec->frame = NULL;
    }
    return codec->over ? -1 : 0;
}

/* ---- handing over ---------------------------------------------------------------------------- */

static void append_masked(struct buffer *out, const uint8_t *bytes, size_t length,
                          const uint8_t *mask)
{
    uint8_t *into = buffer_reserve(out, length);
    for (size_t i = 0; i < length; i++) {
        into[i] = bytes[i] ^ mask[i % 4];
    }
    out->length += length;
}

/* The fragments that are there, as one fragment under a mask of zeros. */
static void append_fragments(const struct ws_codec *codec, size_t length, struct buffer *out)
{
    uint8_t head[WS_CLIENT_HEAD_MAX] = {0};
    size_t size = ws_frame_head(head, codec->is_text ? WS_TEXT : WS_BINARY, length);
    head[0] &= 0x7f; /* not the last one */
    head[1] |= 0x80; /* masked */
    buffer_append(out, head, size + 4);
    buffer_append(out, codec->message.data, length);
}

void ws_codec_pending(const struct ws_codec *codec, struct buffer *pending)
{
    const struct ws_head *head = &codec->head;
    bool is_control = head->count > 0 && ws_head_is_control(head);
    size_t of_frame = is_control ? 0 : (size_t)codec->taken;
    bool is_first =
        ws_head_is_complete(head) && !is_control && ws_head_opcode(head) != WS_CONTINUATION;
    if (codec->inside && !is_first) {
        append_fragments(codec, codec->message.length - of_frame, pending);
    }
    buffer_append(pending, head->bytes, head->count);
    if (codec->taken > 0) {
        const uint8_t *payload =
            is_control ? codec->control : codec->message.data + codec->message.length - of_frame;
        append_masked(pending, payload, (size_t)codec->taken, ws_head_mask(head));
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

struct ws_codec *ws_codec_create(size_t message_bytes_max, struct buffer *out,
                                 const struct ws_handler *handler)
{
    struct ws_codec *codec = memory_new(sizeof *codec);
    codec->handler = *handler;
    codec->out = out;
    codec->message_bytes_max = message_bytes_max;
    return codec;
}

void ws_codec_destroy(struct ws_codec **codec)
{
    struct ws_codec *gone = *codec;
    if (gone != NULL) {
        if (gone->frame != NULL) {
            wslay_frame_context_free(gone->frame);
        }
        buffer_deinit(&gone->message);
        free(gone);
        *codec = NULL;
    }
}
