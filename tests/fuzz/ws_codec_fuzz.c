// fuzz-sources: actors/runtime/ws_codec.c actors/runtime/ws_frame.c actors/runtime/utf8_stream.c actors/runtime/base/buffer.c actors/runtime/base/memory.c
// fuzz-libraries: wslay
/*
 * The WebSocket codec, fed whole, byte by byte, in random pieces, and handed over to a fresh codec
 * behind each of those: the same calls, the same answers, the same verdict. And what holds for any
 * bytes: texts are UTF-8, messages within the limit, answers whole frames and not more than was
 * asked, one close frame at most, and nothing behind it.
 *
 * Byte 0: the seed of the pieces; byte 1: the message limit in units of 64 bytes; byte 2: which
 * message (if any) is answered by a close frame; then what a client sends.
 */
#include "runtime/ws_codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum split { WHOLE, BYTES, RANDOM, HANDED_OVER, SPLITS };

struct peer {
    struct ws_codec *codec;
    struct buffer out;
    struct buffer diary;
    size_t limit;
    size_t sent_bytes; /* of messages and heads that went back */
    unsigned close_at;
    unsigned messages;
    bool over;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

/* Another way to say UTF-8: the value of each character is computed, and its shortest form compared. */
static bool is_utf8(const uint8_t *text, size_t length)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    for (size_t at = 0; at < length;) {
        uint8_t first = text[at];
        size_t more = first < 0x80             ? 0
                      : (first & 0xe0) == 0xc0 ? 1
                      : (first & 0xf0) == 0xe0 ? 2
                                               : 3;
        uint32_t value = more == 0 ? first : first & (0x3fU >> more);
        if ((first & 0xc0) == 0x80 || first >= 0xf8 || more >= length - at) {
            return false;
        }
        for (size_t i = 1; i <= more; i++) {
            if ((text[at + i] & 0xc0) != 0x80) {
                return false;
            }
            value = value << 6 | (text[at + i] & 0x3f);
        }
        if (value < least[more] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) {
            return false;
        }
        at += more + 1;
    }
    return true;
}

static void on_message(void *arg, bool is_text, const uint8_t *bytes, size_t length)
{
    struct peer *peer = arg;
    expect(!peer->over && !ws_codec_is_closing(peer->codec), "no message behind the end");
    expect(bytes != NULL && length <= peer->limit, "a message within the limit");
    expect(!is_text || is_utf8(bytes, length), "a text is UTF-8");
    buffer_printf(&peer->diary, "%c%zu:", is_text ? 't' : 'b', length);
    buffer_append(&peer->diary, bytes, length);
    if (++peer->messages == peer->close_at) {
        ws_codec_send_close(peer->codec, WS_CODE_POLICY, "enough");
    } else if (is_text) {
        ws_codec_send_text(peer->codec, bytes, length);
        peer->sent_bytes += length + WS_HEAD_MAX;
    }
}

static void on_pong(void *arg, const uint8_t *bytes, size_t length)
{
    struct peer *peer = arg;
    expect(!peer->over && length <= WS_CONTROL_MAX, "a pong is short");
    buffer_printf(&peer->diary, "p%zu:", length);
    buffer_append(&peer->diary, bytes, length);
}

static void on_close(void *arg, bool by_client, unsigned code, const char *reason, size_t length)
{
    struct peer *peer = arg;
    expect(!peer->over, "one end");
    expect(ws_code_is_valid(code) || (by_client && code == WS_CODE_NONE),
           "a code that may be sent");
    expect(is_utf8((const uint8_t *)reason, length), "a reason is UTF-8");
    expect(ws_codec_is_closing(peer->codec), "the close frame is out");
    buffer_printf(&peer->diary, "c%d %u %zu:", by_client, code, length);
    buffer_append(&peer->diary, reason, length);
    peer->over = true;
}

static struct ws_codec *make_codec(struct peer *peer)
{
    struct ws_handler handler = {
        .on_message = on_message, .on_pong = on_pong, .on_close = on_close, .arg = peer};
    return ws_codec_create(peer->limit, &peer->out, &handler);
}

static void hand_over(struct peer *peer, size_t fed)
{
    struct buffer pending = {0};
    size_t before = peer->out.length + peer->diary.length;
    ws_codec_pending(peer->codec, &pending);
    expect(pending.length <= peer->limit + 200 && pending.length <= fed + 200, "little is pending");
    ws_codec_destroy(&peer->codec);
    peer->codec = make_codec(peer);
    expect(ws_codec_feed(peer->codec, pending.data, pending.length) == 0, "the rest is fine");
    expect(peer->out.length + peer->diary.length == before, "nothing happens twice");
    buffer_deinit(&pending);
}

static void run(struct peer *peer, const uint8_t *bytes, size_t length, enum split split,
                unsigned seed)
{
    int result = 0;
    peer->codec = make_codec(peer);
    for (size_t at = 0; at < length;) {
        size_t piece = length - at;
        if (split != WHOLE) {
            seed = seed * 1103515245 + 12345;
            size_t random = split == BYTES ? 1 : 1 + (seed >> 16) % 97;
            piece = random < piece ? random : piece;
        }
        result = ws_codec_feed(peer->codec, bytes + at, piece);
        at += piece;
        expect((result != 0) == peer->over, "the verdict is the callback's");
        if (split == HANDED_OVER && !ws_codec_is_closing(peer->codec)) {
            hand_over(peer, at);
        }
    }
    ws_codec_destroy(&peer->codec);
}

/* What went out is whole frames of a server; a close frame is the last. */
static void check_out(const struct peer *peer, size_t fed)
{
    const uint8_t *at = peer->out.data;
    size_t left = peer->out.length;
    expect(left <= fed + peer->sent_bytes + 2 + WS_CONTROL_MAX, "no more answers than bytes");
    while (left > 0) {
        expect(left >= 2 && (at[1] & 0x80) == 0, "a server does not mask");
        uint8_t head[WS_HEAD_MAX];
        size_t bytes = at[1] < 126 ? 0 : at[1] == 126 ? 2 : 8;
        uint64_t length = bytes == 0 ? at[1] : 0;
        for (size_t i = 0; i < bytes; i++) {
            length = length << 8 | at[2 + i];
        }
        size_t size = ws_frame_head(head, (enum ws_opcode)(at[0] & 0x0f), length);
        expect(size == 2 + bytes && memcmp(head, at, size) == 0 && length <= left - size, "a head");
        expect(at[0] != (0x80 | WS_CLOSE) || left == size + length, "nothing behind a close frame");
        at += size + length;
        left -= size + length;
    }
}

static bool same(const struct buffer *one, const struct buffer *other)
{
    return one->length == other->length &&
           (one->length == 0 || memcmp(one->data, other->data, one->length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct peer peers[SPLITS];
    if (size < 3) {
        return 0;
    }
    for (enum split split = WHOLE; split < SPLITS; split++) {
        struct peer *peer = &peers[split];
        *peer = (struct peer){.limit = data[1] * (size_t)64, .close_at = data[2]};
        run(peer, data + 3, size - 3, split, data[0]);
        check_out(peer, size - 3);
        expect(peer->over == peers[WHOLE].over, "the same verdict however it is split");
        expect(same(&peer->diary, &peers[WHOLE].diary), "the same calls however it is split");
        expect(same(&peer->out, &peers[WHOLE].out), "the same answers however it is split");
    }
    for (enum split split = WHOLE; split < SPLITS; split++) {
        buffer_deinit(&peers[split].out);
        buffer_deinit(&peers[split].diary);
    }
    return 0;
}
