/* The WebSocket codec fed with frames, in one piece and byte by byte: what it calls, what it answers, what it hands over. */
#include "runtime/ws_codec.h"

#include "runtime/utf8_stream.h"
#include "runtime/ws_accept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MESSAGE_MAX = 70000 };

static const uint8_t mask_bytes[4] = {0x37, 0xfa, 0x21, 0x3d};

/* A codec and a diary of what it called. */
struct peer {
    struct ws_codec *codec;
    struct buffer out;
    struct buffer diary;
    unsigned close_at; /* this message (from 1) is answered by a close frame; 0: none */
    unsigned messages;
};

static void on_message(void *arg, bool is_text, const uint8_t *bytes, size_t length)
{
    struct peer *peer = arg;
    assert_non_null(bytes);
    buffer_printf(&peer->diary, "%s %zu:", is_text ? "text" : "binary", length);
    buffer_append(&peer->diary, bytes, length);
    buffer_append_byte(&peer->diary, '\n');
    if (++peer->messages == peer->close_at) {
        ws_codec_send_close(peer->codec, WS_CODE_UNSUPPORTED, "no");
    }
}

static void on_pong(void *arg, const uint8_t *bytes, size_t length)
{
    struct peer *peer = arg;
    buffer_printf(&peer->diary, "pong %zu:", length);
    buffer_append(&peer->diary, bytes, length);
    buffer_append_byte(&peer->diary, '\n');
}

static void on_close(void *arg, bool by_client, unsigned code, const char *reason, size_t length)
{
    struct peer *peer = arg;
    buffer_printf(&peer->diary, "%s %u", by_client ? "closed" : "refused", code);
    if (by_client) {
        buffer_append_byte(&peer->diary, ' ');
        buffer_append(&peer->diary, reason, length);
    }
    buffer_append_byte(&peer->diary, '\n');
}

static void peer_init(struct peer *peer)
{
    struct ws_handler handler = {
        .on_message = on_message, .on_pong = on_pong, .on_close = on_close, .arg = peer};
    *peer = (struct peer){.codec = NULL};
    peer->codec = ws_codec_create(MESSAGE_MAX, &peer->out, &handler);
}

static void peer_deinit(struct peer *peer)
{
    ws_codec_destroy(&peer->codec);
    assert_null(peer->codec);
    buffer_deinit(&peer->out);
    buffer_deinit(&peer->diary);
}

/* A masked frame; `first` is the first byte of its head. */
static void put_frame(struct buffer *into, uint8_t first, const void *payload, size_t length)
{
    uint8_t head[WS_HEAD_MAX];
    size_t size = ws_frame_head(head, WS_TEXT, length);
    const uint8_t *bytes = payload;
    head[0] = first;
    head[1] |= 0x80;
    buffer_append(into, head, size);
    buffer_append(into, mask_bytes, sizeof mask_bytes);
    for (size_t i = 0; i < length; i++) {
        buffer_append_byte(into, bytes[i] ^ mask_bytes[i % 4]);
    }
}

static void put_text(struct buffer *into, uint8_t first, const char *text)
{
    put_frame(into, first, text, strlen(text));
}

static int feed(struct peer *peer, const struct buffer *bytes, size_t piece)
{
    int result = 0;
    for (size_t at = 0; at < bytes->length; at += piece) {
        size_t left = bytes->length - at;
        result = ws_codec_feed(peer->codec, bytes->data + at, piece < left ? piece : left);
    }
    return result;
}

static void assert_bytes(const struct buffer *found, const void *expected, size_t length)
{
    assert_int_equal(found->length, length);
    assert_memory_equal(length == 0 ? "" : (const void *)found->data, expected, length);
}

/* Fed whole and in pieces of every small size: the same diary, answers of that length, and the
 * verdict. The close code of the last answer, when there is one, is in the diary. */
static void expect(const struct buffer *bytes, int verdict, const char *diary, const void *out,
                   size_t out_length)
{
    static const size_t pieces[] = {SIZE_MAX / 2, 1, 2, 3, 5, 7, 4093};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct peer peer;
        peer_init(&peer);
        assert_int_equal(feed(&peer, bytes, pieces[i]), verdict);
        assert_bytes(&peer.diary, diary, strlen(diary));
        if (out != NULL) {
            assert_bytes(&peer.out, out, out_length);
        }
        peer_deinit(&peer);
    }
}

static void test_messages(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    put_text(&bytes, 0x81, "hello");
    put_text(&bytes, 0x82, "\xff");
    put_text(&bytes, 0x81, "");
    put_text(&bytes, 0x01, "caf\xc3");
    put_text(&bytes, 0x89, "are you there?");
    put_text(&bytes, 0x00, "");
    put_text(&bytes, 0x8a, "unasked");
    put_text(&bytes, 0x80, "\xa9");
    put_text(&bytes, 0x02, "");
    put_text(&bytes, 0x80, "");
    expect(&bytes, 0,
           "text 5:hello\nbinary 1:\xff\ntext 0:\npong 7:unasked\ntext 5:caf\xc3\xa9\nbinary 0:\n",
           "\x8a\x0e"
           "are you there?",
           16);
    buffer_deinit(&bytes);
}

/* The three forms of the length, both ways. */
static void test_lengths(void **state)
{
    (void)state;
    static const size_t lengths[] = {0,    1,    125,   126,   127,        4095,
                                     4096, 4097, 65535, 65536, MESSAGE_MAX};
    struct buffer text = {0};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct buffer bytes = {0};
        struct buffer diary = {0};
        buffer_clear(&text);
        memset(buffer_reserve(&text, lengths[i] + 1), 'x', lengths[i]);
        put_frame(&bytes, 0x81, text.data, lengths[i]);
        buffer_printf(&diary, "text %zu:", lengths[i]);
        buffer_append(&diary, text.data, lengths[i]);
        buffer_append_text(&diary, "\n");
        expect(&bytes, 0, buffer_text(&diary), "", 0);
        buffer_deinit(&diary);
        buffer_deinit(&bytes);
    }
    buffer_deinit(&text);
}

struct refusal {
    const char *bytes;
    size_t length;
    unsigned code;
};

/* Each is refused at its last byte, and not before. */
static void test_refusals(void **state)
{
    (void)state;
#define BYTES(text) text, sizeof text - 1
    static const struct refusal refusals[] = {
        {BYTES("\xc1"), 1002},
        {BYTES("\xa1"), 1002},
        {BYTES("\x91"), 1002},
        {BYTES("\x83"), 1002},
        {BYTES("\x87"), 1002},
        {BYTES("\x8b"), 1002},
        {BYTES("\x8f"), 1002},
        {BYTES("\x80"), 1002},
        {BYTES("\x00"), 1002},
        {BYTES("\x09"), 1002},
        {BYTES("\x08"), 1002},
        {BYTES("\x0a"), 1002},
        {BYTES("\x81\x05"), 1002},
        {BYTES("\x81\x00"), 1002},
        {BYTES("\x89\xfe"), 1002},
        {BYTES("\x88\xff"), 1002},
        {BYTES("\x81\xfe\x00\x7d"), 1002},
        {BYTES("\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff"), 1002},
        {BYTES("\x81\xff\x80"), 1002},
        {BYTES("\x81\xff\x00\x00\x00\x00\x00\x01\x11\x71"), 1009}, /* 70001 */
        {BYTES("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"), 1009},
        {BYTES("\x01\x80\x00\x00\x00\x00\x81"), 1002},
        {BYTES("\x01\x81\x00\x00\x00\x00x\x00\xff\x00\x00\x00\x00\x00\x01\x11\x70"), 1009},
        {BYTES("\x81\x82\x00\x00\x00\x00\xc0"), 1007},
        {BYTES("\x81\x84\x00\x00\x00\x00\xf4\x90"), 1007},
        {BYTES("\x01\x82\x00\x00\x00\x00\xed\x9f\x80\x82\x00\x00\x00\x00\x20"), 1007},
        {BYTES("\x81\x81\x00\x00\x00\x00\xc3"), 1007},
        {BYTES("\x88\x81\x00\x00\x00\x00\x03"), 1002},
        {BYTES("\x88\x82\x00\x00\x00\x00\x03\xed"), 1002},
        {BYTES("\x88\x83\x00\x00\x00\x00\x03\xe8\xff"), 1007},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const struct refusal *refusal = &refusals[i];
        struct buffer bytes = {0};
        char diary[32];
        snprintf(diary, sizeof diary, "refused %u\n", refusal->code);
        buffer_append(&bytes, refusal->bytes, refusal->length);
        expect(&bytes, -1, diary, NULL, 0);
        put_text(&bytes, 0x81, "behind it");
        expect(&bytes, -1, diary, NULL, 0);
        bytes.length = refusal->length - 1;
        expect(&bytes, 0, "", "", 0);
        buffer_deinit(&bytes);
    }
#undef BYTES
}

static void test_a_refusal_says_why(void **state)
{
    (void)state;
    struct peer peer;
    peer_init(&peer);
    assert_int_equal(ws_codec_feed(peer.codec, "\x81\x05hello", 7), -1);
    static const char expected[] = "\x88\x23\x03\xea"
                                   "a client's frame is not masked";
    assert_int_equal(peer.out.data[1], peer.out.length - 2);
    assert_memory_equal(peer.out.data + 2, expected + 2, sizeof expected - 3);
    assert_true(ws_codec_is_closing(peer.codec));
    size_t length = peer.out.length;
    ws_codec_send_text(peer.codec, "late", 4);
    ws_codec_send_ping(peer.codec, "", 0);
    ws_codec_send_close(peer.codec, WS_CODE_NORMAL, "");
    assert_int_equal(ws_codec_feed(peer.codec, "\x81", 1), -1);
    assert_int_equal(peer.out.length, length);
    peer_deinit(&peer);
}

static void test_the_client_closes(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    put_text(&bytes, 0x01, "half a mess");
    put_text(&bytes, 0x88,
             "\x03\xe8"
             "bye \xc3\xbc");
    put_text(&bytes, 0x81, "data behind it");
    put_text(&bytes, 0x88, "");
    expect(&bytes, -1, "closed 1000 bye \xc3\xbc\n", "\x88\x02\x03\xe8", 4);
    buffer_clear(&bytes);
    put_text(&bytes, 0x88, "");
    expect(&bytes, -1, "closed 1005 \n", "\x88\x00", 2);
    buffer_deinit(&bytes);
}

static void test_close_codes(void **state)
{
    (void)state;
    for (unsigned code = 0; code < 65536; code++) {
        bool valid = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                     (code >= 3000 && code < 5000);
        assert_int_equal(ws_code_is_valid(code), valid);
    }
}

/* After our close frame: messages are dropped, pings not answered, and the client's close frame is
 * the end, unanswered. */
static void test_we_close(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    put_text(&bytes, 0x81, "one");
    put_text(&bytes, 0x82, "two");
    put_text(&bytes, 0x81, "three");
    put_text(&bytes, 0x89, "ping");
    struct peer peer;
    peer_init(&peer);
    peer.close_at = 2;
    assert_int_equal(feed(&peer, &bytes, 1), 0);
    assert_true(ws_codec_is_closing(peer.codec));
    buffer_clear(&bytes);
    put_text(&bytes, 0x88, "\x03\xeb");
    assert_int_equal(feed(&peer, &bytes, 1), -1);
    static const char diary[] = "text 3:one\nbinary 3:two\nclosed 1003 \n";
    assert_bytes(&peer.diary, diary, sizeof diary - 1);
    assert_bytes(&peer.out,
                 "\x88\x04\x03\xeb"
                 "no",
                 6);
    peer_deinit(&peer);
    buffer_deinit(&bytes);
}

static void test_a_long_reason_is_cut_at_a_character(void **state)
{
    (void)state;
    struct peer peer;
    char reason[140];
    memset(reason, 'x', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    memcpy(reason + 121, "\xe2\x82\xac", 3); /* from byte 121 to 123: one too far */
    peer_init(&peer);
    ws_codec_send_close(peer.codec, WS_CODE_RESTART, reason);
    assert_int_equal(peer.out.length, 2 + 2 + 121);
    assert_memory_equal(peer.out.data, "\x88\x7b\x03\xf4xxx", 7);
    peer_deinit(&peer);
}

static void test_sending(void **state)
{
    (void)state;
    struct peer peer;
    peer_init(&peer);
    ws_codec_send_text(peer.codec, "{}", 2);
    ws_codec_send_ping(peer.codec, "12", 2);
    ws_codec_send_text(peer.codec, NULL, 0);
    assert_bytes(&peer.out,
                 "\x81\x02{}\x89\x02"
                 "12\x81\x00",
                 10);
    peer_deinit(&peer);
    static const struct {
        uint64_t length;
        size_t size;
        const char *head;
    } heads[] = {{125, 2, "\x81\x7d"},
                 {126, 4, "\x81\x7e\x00\x7e"},
                 {65535, 4, "\x81\x7e\xff\xff"},
                 {65536, 10, "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"}};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        uint8_t head[WS_HEAD_MAX];
        assert_int_equal(ws_frame_head(head, WS_TEXT, heads[i].length), heads[i].size);
        assert_memory_equal(head, heads[i].head, heads[i].size);
    }
}

/* Cut anywhere, handed over, and the successor goes on as if nothing had been. */
static void test_handing_over(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    put_text(&bytes, 0x01, "");
    put_text(&bytes, 0x00, "caf\xc3");
    put_text(&bytes, 0x89, "in between");
    put_text(&bytes, 0x80, "\xa9 au lait");
    put_text(&bytes, 0x82, "\xff\xfe");
    put_text(&bytes, 0x02, "\x01\x02");
    put_text(&bytes, 0x80, "\x03");
    for (size_t cut = 0; cut <= bytes.length; cut++) {
        struct peer first;
        struct peer second;
        struct buffer pending = {0};
        peer_init(&first);
        peer_init(&second);
        assert_int_equal(ws_codec_feed(first.codec, bytes.data, cut), 0);
        ws_codec_pending(first.codec, &pending);
        assert_true(pending.length <= cut + 200);
        assert_true(cut != 0 && cut != bytes.length ? true : pending.length == 0);
        assert_int_equal(ws_codec_feed(second.codec, pending.data, pending.length), 0);
        assert_int_equal(second.out.length + second.diary.length, 0);
        assert_int_equal(ws_codec_feed(second.codec, bytes.data + cut, bytes.length - cut), 0);
        buffer_append(&first.diary, second.diary.data, second.diary.length);
        buffer_append(&first.out, second.out.data, second.out.length);
        static const char diary[] =
            "text 13:caf\xc3\xa9 au lait\nbinary 2:\xff\xfe\nbinary 3:\x01\x02\x03\n";
        assert_bytes(&first.diary, diary, sizeof diary - 1);
        assert_bytes(&first.out, "\x8a\x0ain between", 12);
        peer_deinit(&first);
        peer_deinit(&second);
        buffer_deinit(&pending);
    }
    buffer_deinit(&bytes);
}

/* Every second byte after every first one, and borders of the third: the table of RFC 3629. */
static void test_utf8(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            struct utf8_stream stream = {0};
            uint8_t text[] = {(uint8_t)first, (uint8_t)second};
            bool tail = second >= 0x80 && second < 0xc0;
            bool ok = first < 0x80 ? (second < 0x80 || (second >= 0xc2 && second <= 0xf4))
                                   : first >= 0xc2 && first <= 0xf4 && tail &&
                                         !(first == 0xe0 && second < 0xa0) &&
                                         !(first == 0xed && second > 0x9f) &&
                                         !(first == 0xf0 && second < 0x90) &&
                                         !(first == 0xf4 && second > 0x8f);
            assert_int_equal(utf8_stream_take(&stream, text, 2), ok);
        }
    }
    struct utf8_stream stream = {0};
    assert_true(utf8_stream_take(&stream, (const uint8_t *)"eight or more\xf0\x9f\x98", 16));
    assert_false(utf8_stream_is_whole(&stream));
    assert_true(utf8_stream_take(&stream, (const uint8_t *)"\x80", 1));
    assert_true(utf8_stream_is_whole(&stream));
    assert_true(utf8_stream_take(&stream, NULL, 0));
    assert_false(utf8_stream_take(&stream, (const uint8_t *)"eight or more\x80", 14));
}

/* The example of RFC 6455, and keys that are not the base64 of 16 bytes. */
static void test_accept(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "dGhlIHNhbXBsZSBub25jZQ",
                                      "dGhlIHNhbXBsZSBub25jZQ= ",
                                      "dGhlIHNhbXBsZSBub25jZQ===",
                                      "dGhlIHNhbXBsZSBub25jZR==",
                                      "dGhlIHNhbXBsZSBub25jZXM=",
                                      "dGhlIHNhbXBsZSBub25j",
                                      "dGhlIHNhbXBsZSBub25jZXNz",
                                      "dGhl!HNhbXBsZSBub25jZQ==",
                                      "dGhlIHNh-_BsZSBub25jZQ=="};
    char text[WS_ACCEPT_SIZE];
    assert_int_equal(ws_accept("dGhlIHNhbXBsZSBub25jZQ==", 24, text), 0);
    assert_string_equal(text, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(ws_accept(bad[i], strlen(bad[i]), text), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_a_refusal_says_why),
        cmocka_unit_test(test_the_client_closes),
        cmocka_unit_test(test_close_codes),
        cmocka_unit_test(test_we_close),
        cmocka_unit_test(test_a_long_reason_is_cut_at_a_character),
        cmocka_unit_test(test_sending),
        cmocka_unit_test(test_handing_over),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_accept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
