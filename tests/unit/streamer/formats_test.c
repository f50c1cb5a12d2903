/* The bytes of the forms that stay with the native event: filtered, and lines. R046. */
#include "streamer/formats/projection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct native_event event_of(uint64_t seq, enum event_type type, const char *payload)
{
    struct native_event event = {.run_id = "018f2b3c-0000-7000-8000-000000000001",
                                 .seq = seq,
                                 .ts_us = 1763629320123456,
                                 .number = type,
                                 .type = type == 0 ? "FROM_LATER" : event_type_name(type),
                                 .payload = payload,
                                 .payload_length = strlen(payload)};
    event.type_length = strlen(event.type);
    return event;
}

static void assert_takes(const struct projection_format *format, struct projection *state,
                         uint64_t seq, enum event_type type, const char *want)
{
    struct buffer out = {0};
    const struct native_event event = event_of(seq, type, "{\"a\":\n1}");
    assert_int_equal(format->take(state, &event, &out), PROJECTION_GOES_ON);
    assert_int_equal(out.length, strlen(want));
    assert_memory_equal(out.data == NULL ? (const uint8_t *)"" : out.data, want, out.length);
    buffer_deinit(&out);
}

#define OBJECT(seq, more, type)                                                                  \
    "{\"run_id\":\"018f2b3c-0000-7000-8000-000000000001\",\"seq\":" seq more ",\"type\":\"" type \
    "\",\"ts\":\"2025-11-20T09:02:00.123456Z\",\"payload\":{\"a\": 1}}"

static void test_filtered(void **state)
{
    (void)state;
    const struct projection_format *format = projection_format(STREAM_FORMAT_FILTERED);
    struct projection *one = format->create(UINT64_C(1) << EVENT_TYPE_CUSTOM);
    assert_true(format->is_sse && !format->is_conversation && format->join == NULL);
    assert_takes(format, one, 1, EVENT_TYPE_RUN_STARTED, "");
    assert_takes(format, one, 2, EVENT_TYPE_CUSTOM,
                 "id: 2\ndata: " OBJECT("2", ",\"prev_seq\":0", "CUSTOM") "\n\n");
    assert_takes(format, one, 3, 0, "");
    struct projection *twin = format->copy(one);
    assert_takes(format, one, 4, EVENT_TYPE_CUSTOM,
                 "id: 4\ndata: " OBJECT("4", ",\"prev_seq\":2", "CUSTOM") "\n\n");
    assert_takes(format, twin, 4, EVENT_TYPE_WARNING, "");
    assert_takes(format, twin, 5, EVENT_TYPE_RUN_FAILED,
                 "id: 5\ndata: " OBJECT("5", ",\"prev_seq\":2", "RUN_FAILED") "\n\n");
    format->destroy(&one);
    format->destroy(&twin);
    assert_null(one);
}

static void test_lines(void **state)
{
    (void)state;
    const struct projection_format *format = projection_format(STREAM_FORMAT_NDJSON);
    struct projection *one = format->create(0);
    assert_true(!format->is_sse && format->is_stateless);
    assert_takes(format, one, 7, EVENT_TYPE_CUSTOM, OBJECT("7", "", "CUSTOM") "\n");
    assert_takes(format, one, 8, 0, OBJECT("8", "", "FROM_LATER") "\n");
    format->destroy(&one);
}

static void test_no_projection(void **state)
{
    (void)state;
    assert_null(projection_format(STREAM_FORMAT_NATIVE));
    assert_null(projection_format((enum stream_format)77));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filtered),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_no_projection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
