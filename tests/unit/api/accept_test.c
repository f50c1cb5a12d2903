/* What is answered to every kind of Accept field. */
#include "api/accept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { JSON, SSE, LINES, CLOUD, NOTHING = -1 };
static const char *const offers[] = {"application/json", "text/event-stream",
                                     "application/x-ndjson", "application/cloudevents-batch+json"};

static int choose(const char *field)
{
    size_t chosen = 99;
    /* A copy without a NUL: reading past the end shows under the sanitizers. */
    char copy[512];
    size_t length = strlen(field);
    assert_true(length < sizeof copy);
    memset(copy, ',', sizeof copy);
    memcpy(copy, field, length);
    return accept_choose(copy, length, offers, sizeof offers / sizeof *offers, &chosen) == 0
               ? (int)chosen
               : NOTHING;
}

struct expectation {
    const char *field;
    int chosen;
};

static void check(const struct expectation *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int chosen = choose(cases[i].field);
        if (chosen != cases[i].chosen) {
            fail_msg("'%s': %d, not %d", cases[i].field, chosen, cases[i].chosen);
        }
    }
}
#define CHECK(cases) check(cases, sizeof(cases) / sizeof *(cases))

static void test_absent_is_the_first(void **state)
{
    (void)state;
    size_t chosen = 99;
    assert_int_equal(accept_choose(NULL, 0, offers, 4, &chosen), 0);
    assert_int_equal(chosen, JSON);
}

static void test_one_range(void **state)
{
    (void)state;
    static const struct expectation cases[] = {
        {"", JSON},
        {"*/*", JSON},
        {"application/json", JSON},
        {"APPLICATION/Json", JSON},
        {"text/event-stream", SSE},
        {"text/event-stream;charset=utf-8", SSE},
        {"text/event-stream; charset=UTF-8", SSE},
        {"text/event-stream ; charset=\"utf-8\"", SSE},
        {"text/*", SSE},
        {"application/*", JSON},
        {"application/x-ndjson", LINES},
        {"application/cloudevents-batch+json", CLOUD},
        {"application/cloudevents+json", NOTHING},
        {"text/html", NOTHING},
        {"image/*", NOTHING},
        {"application/json; version=2", NOTHING},
        {"application/json; charset=latin1", NOTHING},
        {"application/jso", NOTHING},
        {"application/jsonp", NOTHING},
        {"applicatio/json", NOTHING},
    };
    CHECK(cases);
}

static void test_weights(void **state)
{
    (void)state;
    static const struct expectation cases[] = {
        {"application/json;q=0.5, text/event-stream", SSE},
        {"text/event-stream;q=0.5, application/json", JSON},
        {"application/json, text/event-stream", JSON},
        {"text/event-stream, application/json", JSON},
        {"text/event-stream;q=0.9, application/x-ndjson;q=0.901", LINES},
        {"text/event-stream;Q=0.9, application/x-ndjson;q=0.2", SSE},
        {"application/json;q=0", NOTHING},
        {"application/json;q=0.000", NOTHING},
        {"*/*;q=0", NOTHING},
        {"application/json;q=0, */*", SSE},
        {"*/*;q=0.1, application/json;q=0", SSE},
        {"*/*, application/json;q=0, text/*;q=0", LINES},
        {"application/*;q=0.2, application/x-ndjson;q=0.1, text/html", JSON},
        {"application/*;q=0.2, application/json;q=0.1", LINES},
        {"application/json;q=0.001", JSON},
        {"application/json;q=1.000", JSON},
        {"application/json;q=0., text/event-stream;q=1.", SSE},
        {"text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", JSON},
        /* the closest range decides, not the greatest weight */
        {"application/json;charset=utf-8;q=0.1, application/json, application/x-ndjson;q=0.5",
         LINES},
        /* the same range twice: the better of the two */
        {"application/json;q=0.1, application/json;q=0.9, text/event-stream;q=0.5", JSON},
        {"application/json;q=0.9, application/json;q=0.1, text/event-stream;q=0.5", JSON},
        /* parameters behind the weight say nothing */
        {"application/json;q=0.2;level=1, text/event-stream;q=0.1;token", JSON},
        {"application/json;q=0.2;q=1, text/event-stream;q=0.3", SSE},
    };
    CHECK(cases);
}

static void test_lists(void **state)
{
    (void)state;
    static const struct expectation cases[] = {
        {",", JSON},
        {" , ,, ", JSON},
        {",text/event-stream,", SSE},
        {"\ttext/html ,\ttext/event-stream\t", SSE},
        {"text/event-stream;", SSE},
        {"text/event-stream;;charset=utf-8", SSE},
        {"application/json;x=\"a,text/event-stream\"", NOTHING},
        {"application/json;x=\"a\\\",\", text/event-stream", SSE},
    };
    CHECK(cases);
}

/* What is no media range is passed over; alone it asks for nothing. */
static void test_malformed(void **state)
{
    (void)state;
    static const struct expectation cases[] = {
        {"json", JSON},
        {"*", JSON},
        {"/", JSON},
        {"application/", JSON},
        {"/json", JSON},
        {"*/json", JSON},
        {"application/json/x", JSON},
        {"application /json", JSON},
        {"application/ json", JSON},
        {"text/event-stream x", JSON},
        {"text/event-stream;q", JSON},
        {"text/event-stream;q=", JSON},
        {"text/event-stream;q =1", JSON},
        {"text/event-stream;q=1.5", JSON},
        {"text/event-stream;q=1.001", JSON},
        {"text/event-stream;q=2", JSON},
        {"text/event-stream;q=.5", JSON},
        {"text/event-stream;q=0.1234", JSON},
        {"text/event-stream;q=0,5", JSON},
        {"text/event-stream;q=-1", JSON},
        {"text/event-stream;q=1e0", JSON},
        {"text/event-stream;q=\"x\"", JSON},
        {"text/event-stream;charset", JSON},
        {"text/event-stream;charset=\"utf-8", JSON},
        {"text/event-stream;=1", JSON},
        {"\"text/event-stream\"", JSON},
        {"text/event-stream\x01", JSON},
        {"t\xc3\xa9xt/html", JSON},
        /* beside what is understood */
        {"garbage, text/event-stream", SSE},
        {"text/event-stream, application/json;q=x", SSE},
        /* nothing fits of what is understood, but not all is */
        {"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", JSON},
        {"text/html, garbage", JSON},
        {"application/json;q=0, garbage", JSON},
    };
    CHECK(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_absent_is_the_first),
        cmocka_unit_test(test_one_range),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
