/* The bytes of the native format and of what surrounds it, exactly as interface.md has them. R046,
 * K18. */
#include "streamer/formats/native.h"
#include "streamer/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_text(const uint8_t *bytes, size_t length, const char *want)
{
    assert_int_equal(length, strlen(want));
    assert_memory_equal(bytes, want, length);
}

/* Takes the chunk framing off; the chunk must be the whole of `bytes`. */
static size_t open_chunk(const uint8_t *bytes, size_t length, const uint8_t **body_out)
{
    static const char digits[] = "0123456789abcdef";
    size_t size = 0;
    const uint8_t *at = bytes;
    for (; *at != '\r'; at++) {
        const char *digit = strchr(digits, *at);
        assert_non_null(digit);
        size = size * 16 + (size_t)(digit - digits);
    }
    assert_memory_equal(at, "\r\n", 2);
    *body_out = at + 2;
    assert_int_equal(*body_out + size + 2 - bytes, length);
    assert_memory_equal(*body_out + size, "\r\n", 2);
    return size;
}

static struct native_event event_with(const char *payload)
{
    return (struct native_event){.run_id = "0199a000-0000-7000-8000-00000000000a",
                                 .seq = 7,
                                 .ts_us = 1763629320123456,
                                 .type = "MESSAGE_DELTA",
                                 .type_length = 13,
                                 .payload = payload,
                                 .payload_length = strlen(payload)};
}

static void check(const char *payload, const char *shown)
{
    struct native_event event = event_with(payload);
    struct native_frame frame;
    const uint8_t *body;
    char want[4096];
    native_prepare(&frame, &event);
    uint8_t *bytes = malloc(frame.size);
    assert_non_null(bytes);
    native_write(&frame, bytes);
    snprintf(
        want, sizeof want,
        "id: 7\ndata: "
        "{\"run_id\":\"0199a000-0000-7000-8000-00000000000a\",\"seq\":7,\"type\":\"MESSAGE_DELTA\","
        "\"ts\":\"2025-11-20T09:02:00.123456Z\",\"payload\":%s}\n\n",
        shown);
    size_t size = open_chunk(bytes, frame.size, &body);
    assert_text(body, size, want);
    free(bytes);
}

static void test_event(void **state)
{
    (void)state;
    check("{}", "{}");
    check("{\"delta\":\"caf\xc3\xa9 \\n\"}", "{\"delta\":\"caf\xc3\xa9 \\n\"}");
    check("{\r\n\"a\":\n1\r}", "{  \"a\": 1 }");
}

static void test_largest_numbers(void **state)
{
    (void)state;
    struct native_event event = event_with("{}");
    struct native_frame frame;
    char type[NATIVE_TYPE_MAX + 1];
    memset(type, 'A', sizeof type);
    event.seq = UINT64_MAX;
    event.type = type;
    event.type_length = NATIVE_TYPE_MAX;
    event.ts_us = 253402300799999999;
    native_prepare(&frame, &event);
    assert_true(frame.prefix_length < sizeof frame.prefix);
}

static void test_chunk_head(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        const char *want;
    } cases[] = {{1, "1\r\n"},       {15, "f\r\n"},           {16, "10\r\n"},
                 {0xabc, "abc\r\n"}, {1 << 20, "100000\r\n"}, {SIZE_MAX, "ffffffffffffffff\r\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[SSE_CHUNK_HEAD_MAX];
        assert_text((uint8_t *)text, sse_chunk_head(text, cases[i].size), cases[i].want);
    }
}

static void test_head(void **state)
{
    (void)state;
    struct buffer out = {0};
    const uint8_t *body;
    sse_append_head(&out, 1763629320123456, 1234);
    const char *end = strstr(buffer_text(&out), "\r\n\r\n");
    assert_non_null(end);
    size_t head = (size_t)(end + 4 - (const char *)out.data);
    const char *lines[] = {"HTTP/1.1 200 OK\r\n",
                           "\r\nDate: Thu, 20 Nov 2025 09:02:00 GMT\r\n",
                           "\r\nContent-Type: text/event-stream; charset=utf-8\r\n",
                           "\r\nCache-Control: no-cache, no-transform\r\n",
                           "\r\nX-Accel-Buffering: no\r\n",
                           "\r\nTransfer-Encoding: chunked\r\n",
                           "\r\nKeep-Alive: timeout=1\r\n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        assert_non_null(strstr((const char *)out.data, lines[i]));
    }
    assert_null(strstr((const char *)out.data, "Connection:")); /* see sse.c */
    size_t size = open_chunk(out.data + head, out.length - head, &body);
    assert_text(body, size, "retry: 1234\n: ping\nevent: ping\ndata: {}\n\n");
    buffer_deinit(&out);
}

static void test_control_events(void **state)
{
    (void)state;
    struct buffer out = {0};
    const uint8_t *body;
    sse_append_ping(&out, SSE_PING_EVENT);
    size_t size = open_chunk(out.data, out.length, &body);
    assert_text(body, size, ": ping\nevent: ping\ndata: {}\n\n");
    buffer_clear(&out);
    sse_append_ping(&out, SSE_PING_COMMENT);
    size = open_chunk(out.data, out.length, &body);
    assert_text(body, size, ": ping\n\n");
    buffer_clear(&out);
    sse_append_control(&out, "reset", 12);
    size = open_chunk(out.data, out.length, &body);
    assert_text(body, size, "event: reset\ndata: {\"last_seq\":12}\n\n");
    buffer_deinit(&out);
    assert_int_equal(strlen(sse_last_chunk), SSE_LAST_CHUNK_LENGTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event),          cmocka_unit_test(test_largest_numbers),
        cmocka_unit_test(test_chunk_head),     cmocka_unit_test(test_head),
        cmocka_unit_test(test_control_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
