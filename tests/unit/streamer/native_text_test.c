/* What is read back out of a frame of the native format is what went into it. */
#include "streamer/formats/native.h"
#include "streamer/formats/native_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_part(const char *part, size_t length, const char *want)
{
    assert_int_equal(length, strlen(want));
    assert_memory_equal(part, want, length);
}

static void check(const struct native_event *event, const char *id, const char *json)
{
    struct native_frame frame;
    struct native_text text;
    native_prepare(&frame, event);
    uint8_t *bytes = malloc(frame.size);
    assert_non_null(bytes);
    native_write(&frame, bytes);
    native_text_read(bytes, frame.size, &text);
    assert_part(text.id, text.id_length, id);
    assert_part(text.json, text.json_length, json);
    free(bytes);
}

#define RUN "0199a000-0000-7000-8000-00000000000a"

static void test_parts(void **state)
{
    (void)state;
    static const char payload[] = "{\"type\":\"x\",\"a\":[\"\\n\\n\",\"data: }\"]}";
    struct native_event event = {.run_id = RUN,
                                 .seq = 7,
                                 .ts_us = 1763629320123456,
                                 .type = "CUSTOM",
                                 .type_length = 6,
                                 .payload = payload,
                                 .payload_length = sizeof payload - 1};
    check(&event, "7",
          "{\"run_id\":\"" RUN "\",\"seq\":7,\"type\":\"CUSTOM\","
          "\"ts\":\"2025-11-20T09:02:00.123456Z\",\"payload\":"
          "{\"type\":\"x\",\"a\":[\"\\n\\n\",\"data: }\"]}}");
    event.cursor = "AQAAAAAAAABKvy_zCTXxmUGm";
    event.seq = UINT64_MAX;
    event.payload = "{}";
    event.payload_length = 2;
    check(&event, "AQAAAAAAAABKvy_zCTXxmUGm",
          "{\"run_id\":\"" RUN "\",\"seq\":18446744073709551615,\"type\":\"CUSTOM\","
          "\"ts\":\"2025-11-20T09:02:00.123456Z\",\"payload\":{}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
