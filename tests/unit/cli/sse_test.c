/* The event stream parser: fields, line ends, cuts at every byte. */
#include "ops/cli/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct seen {
    struct buffer text; /* "type|id|data;" per event */
};

static void note(void *arg, const struct sse_event *event)
{
    struct seen *seen = arg;
    buffer_printf(&seen->text, "%s|%s|", event->type, event->id != NULL ? event->id : "-");
    buffer_append(&seen->text, event->data, event->data_length);
    buffer_append_byte(&seen->text, ';');
}

/* Feeds `stream` in pieces of `piece` bytes. */
static void expect(const char *stream, size_t piece, const char *wanted, int64_t retry_ms)
{
    struct seen seen = {0};
    struct sse sse;
    struct error err;
    sse_init(&sse, note, &seen);
    for (size_t at = 0; at < strlen(stream); at += piece) {
        size_t left = strlen(stream) - at;
        assert_int_equal(sse_feed(&sse, stream + at, left < piece ? left : piece, &err), 0);
    }
    assert_string_equal(buffer_text(&seen.text), wanted);
    assert_int_equal(sse.retry_ms, retry_ms);
    sse_deinit(&sse);
    buffer_deinit(&seen.text);
}

static void test_fields(void **state SB_UNUSED)
{
    static const struct {
        const char *stream;
        const char *wanted;
        int64_t retry_ms;
    } cases[] = {
        {"id: 7\ndata: {\"seq\":7}\n\n", "message|7|{\"seq\":7};", -1},
        {": ping\n\nevent: ping\ndata: {}\n\n", "ping|-|{};", -1},
        {"retry: 1500\n\n", "", 1500},
        {"retry: 1x\n\n", "", -1},
        {"data: a\r\ndata:b\r\n\r\n", "message|-|a\nb;", -1},
        {"data: a\rdata:  b\r\r", "message|-|a\n b;", -1},
        {"data\n\n", "message|-|;", -1},
        {"event: x\nid: 1\n\ndata: y\n\n", "message|-|y;", -1}, /* nothing without data */
        {"id: 1\ndata: cut off", "", -1},
        {"unknown: z\ndata: y\n\n", "message|-|y;", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t piece = 1; piece <= strlen(cases[i].stream); piece++) {
            expect(cases[i].stream, piece, cases[i].wanted, cases[i].retry_ms);
        }
    }
}

static void test_reset_forgets_half_an_event(void **state SB_UNUSED)
{
    struct seen seen = {0};
    struct sse sse;
    struct error err;
    sse_init(&sse, note, &seen);
    assert_int_equal(sse_feed(&sse, "retry: 9\nid: 1\ndata: old", 24, &err), 0);
    sse_reset(&sse);
    assert_int_equal(sse_feed(&sse, "data: new\n\n", 11, &err), 0);
    assert_string_equal(buffer_text(&seen.text), "message|-|new;");
    assert_int_equal(sse.retry_ms, 9);
    sse_deinit(&sse);
    buffer_deinit(&seen.text);
}

static void test_refuses_an_endless_event(void **state SB_UNUSED)
{
    static char block[1 << 20];
    struct seen seen = {0};
    struct sse sse;
    struct error err;
    int failed = 0;
    memset(block, 'x', sizeof block);
    sse_init(&sse, note, &seen);
    for (int i = 0; i < 16 && failed == 0; i++) {
        failed = sse_feed(&sse, block, sizeof block, &err);
    }
    assert_int_equal(failed, -1);
    sse_deinit(&sse);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_reset_forgets_half_an_event),
        cmocka_unit_test(test_refuses_an_endless_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
