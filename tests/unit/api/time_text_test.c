/* RFC 3339 times of requests. */
#include "api/time_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_good(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t real_us;
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.000001Z", 1},
        {"2026-11-20T09:22:00.123456Z", 1795166520123456},
        {"2026-11-20t09:22:00z", 1795166520000000},
        {"2026-11-20T09:22:00.5Z", 1795166520500000},
        {"2026-11-20T09:22:00.1234569Z", 1795166520123456},
        {"2026-11-20T10:52:00+01:30", 1795166520000000},
        {"2026-11-20T05:22:00-04:00", 1795166520000000},
        {"2024-02-29T00:00:00Z", 1709164800000000},
        {"2000-02-29T23:59:59Z", 951868799000000},
        {"9999-12-31T23:59:59.999999Z", 253402300799999999},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t real_us = -1;
        assert_int_equal(time_text_parse(rows[i].text, strlen(rows[i].text), &real_us), 0);
        assert_true(real_us == rows[i].real_us);
    }
}

static void test_bad(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "2026",
        "2026-11-20",
        "2026-11-20T09:22Z",
        "2026-11-20T09:22:00",
        "2026-11-20 09:22:00Z",
        "2026-11-20T09:22:00.Z",
        "2026-11-20T09:22:00+1:00",
        "2026-11-20T09:22:00+0100",
        "2026-11-20T09:22:00+24:00",
        "2026-11-20T09:22:00Zx",
        " 2026-11-20T09:22:00Z",
        "2026-00-20T09:22:00Z",
        "2026-13-20T09:22:00Z",
        "2026-04-31T09:22:00Z",
        "2026-02-29T09:22:00Z",
        "1900-02-29T09:22:00Z",
        "2026-11-00T09:22:00Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T09:60:00Z",
        "2026-11-20T09:22:60Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "-026-11-20T09:22:00Z",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t real_us = 7;
        assert_int_equal(time_text_parse(rows[i], strlen(rows[i]), &real_us), -1);
        assert_true(real_us == 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
