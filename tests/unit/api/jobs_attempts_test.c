/* The attempts that the events of a job tell of. */
#include "api/jobs_attempts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *told(const char *const events[][2], size_t count, struct buffer *out)
{
    struct jobs_attempts attempts = {0};
    for (size_t i = 0; i < count; i++) {
        const struct store_event event = {.seq = (int64_t)i + 1,
                                          .type = events[i][0],
                                          .type_length = strlen(events[i][0]),
                                          .ts_us = (int64_t)i * 1000000,
                                          .payload = events[i][1],
                                          .payload_length = strlen(events[i][1])};
        jobs_attempts_add(&attempts, &event);
    }
    buffer_clear(out);
    jobs_attempts_write(out, &attempts);
    jobs_attempts_deinit(&attempts);
    return buffer_text(out);
}

#define AT(second) "\"1970-01-01T00:00:0" second ".000000Z\""

static void test_attempts(void **state)
{
    (void)state;
    struct buffer out = {0};
    assert_string_equal(told(NULL, 0, &out), "[]");
    static const char *const waiting[][2] = {{"JOB_QUEUED", "{}"}};
    assert_string_equal(told(waiting, 1, &out), "[]");
    static const char *const done[][2] = {
        {"JOB_QUEUED", "{}"},
        {"JOB_STARTED", "{\"attempt\":1,\"worker\":\"a\\\"b\"}"},
        {"JOB_PROGRESS", "{\"percent\":7}"},
        {"JOB_RETRYING", "{\"attempt\":1,\"reason\":\"no luck\"}"},
        {"JOB_STARTED", "{\"attempt\":2,\"worker\":\"c\"}"},
        {"JOB_COMPLETED", "{\"attempt\":2}"},
    };
    assert_string_equal(
        told(done, 6, &out),
        "[{\"attempt\":1,\"worker\":\"a\\\"b\",\"started_at\":" AT("1") ",\"ended_at\":" AT(
            "3") ",\"ended_by\":\"JOB_RETRYING\",\"reason\":\"no luck\"},"
                 "{\"attempt\":2,\"worker\":\"c\",\"started_at\":" AT("4") ",\"ended_at\":" AT(
                     "5") ",\"ended_by\":\"JOB_COMPLETED\",\"reason\":null}]");
    buffer_deinit(&out);
}

/* Given back: the next one begins, and nothing has ended the one before. */
static void test_what_has_no_end(void **state)
{
    (void)state;
    struct buffer out = {0};
    static const char *const given_back[][2] = {
        {"JOB_STARTED", "{\"attempt\":1,\"worker\":\"a\"}"},
        {"JOB_STARTED", "{\"attempt\":1,\"worker\":\"b\"}"},
    };
    assert_string_equal(told(given_back, 2, &out),
                        "[{\"attempt\":1,\"worker\":\"a\",\"started_at\":" AT(
                            "0") ",\"ended_at\":null,\"ended_by\":null,\"reason\":null},"
                                 "{\"attempt\":1,\"worker\":\"b\",\"started_at\":" AT(
                                     "1") ",\"ended_at\":null,\"ended_by\":null,\"reason\":null}]");
    /* Its beginning was too long ago to be seen: there is nothing to end. */
    static const char *const cut[][2] = {{"JOB_FAILED", "{\"reason\":\"x\"}"}};
    assert_string_equal(told(cut, 1, &out), "[]");
    buffer_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attempts),
        cmocka_unit_test(test_what_has_no_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
