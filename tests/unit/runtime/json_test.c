/*
 * JSON at the edge: hard cases by table, each also given to jansson; limits; spans. Agreement with
 * jansson beyond the table is what tests/fuzz/json_fuzz.c searches for.
 */
#include "runtime/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct json_limits limits = {32, 10000};

struct json_case {
    const char *text;
    enum json_verdict verdict;
};

static const struct json_case cases[] = {
    {"{}", JSON_OK},
    {" \t\r\n[ ] \n", JSON_OK},
    {"\"a\"", JSON_OK},
    {"-0", JSON_OK},
    {"{\"\":1,\"a\":{\"a\":[{\"a\":1},{\"a\":2}]}}", JSON_OK},
    {"[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\"]", JSON_OK},
    {"\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \x7f\"", JSON_OK},
    {"9223372036854775807", JSON_OK},
    {"-9223372036854775808", JSON_OK},
    {"9223372036854775808", JSON_OUT_OF_RANGE},
    {"-9223372036854775809", JSON_OUT_OF_RANGE},
    {"100000000000000000000000", JSON_OUT_OF_RANGE},
    {"9007199254740993", JSON_OK},
    {"1.7976931348623157e308", JSON_OK},
    {"1.7976931348623158e308", JSON_OK}, /* rounds down */
    {"1.7976931348623159e308", JSON_OUT_OF_RANGE},
    {"0.00017976931348623159e312", JSON_OUT_OF_RANGE},
    {"17976931348623157e292", JSON_OK},
    {"1e400", JSON_OUT_OF_RANGE},
    {"-1e400", JSON_OUT_OF_RANGE},
    {"1e99999999999999999999", JSON_OUT_OF_RANGE},
    {"0e99999999999999999999", JSON_OK},
    {"1e-99999999999999999999", JSON_OK},
    {"1E+2", JSON_OK},
    {"01", JSON_MALFORMED},
    {"-01", JSON_MALFORMED},
    {"+1", JSON_MALFORMED},
    {"-", JSON_MALFORMED},
    {"1.", JSON_MALFORMED},
    {".5", JSON_MALFORMED},
    {"1e", JSON_MALFORMED},
    {"1e+", JSON_MALFORMED},
    {"0x10", JSON_MALFORMED},
    {"NaN", JSON_MALFORMED},
    {"Infinity", JSON_MALFORMED},
    {"'a'", JSON_MALFORMED},
    {"True", JSON_MALFORMED},
    {"truex", JSON_MALFORMED},
    {"nul", JSON_MALFORMED},
    {"", JSON_MALFORMED},
    {"   ", JSON_MALFORMED},
    {"{} x", JSON_MALFORMED},
    {"{}{}", JSON_MALFORMED},
    {"[1,]", JSON_MALFORMED},
    {"[,1]", JSON_MALFORMED},
    {"[1 2]", JSON_MALFORMED},
    {"{\"a\":1,}", JSON_MALFORMED},
    {"{\"a\"}", JSON_MALFORMED},
    {"{\"a\" 1}", JSON_MALFORMED},
    {"{a:1}", JSON_MALFORMED},
    {"{1:1}", JSON_MALFORMED},
    {"[1}", JSON_MALFORMED},
    {"{\"a\":1]", JSON_MALFORMED},
    {"[", JSON_MALFORMED},
    {"]", JSON_MALFORMED},
    {"[1]]", JSON_MALFORMED},
    {"/* c */ 1", JSON_MALFORMED},
    {"{\"a\":1,\"a\":2}", JSON_MALFORMED},
    {"{\"a\":1,\"\\u0061\":2}", JSON_MALFORMED},
    {"{\"\\u0041\\u00e9\":1,\"A\xc3\xa9\":2}", JSON_MALFORMED},
    {"{\"\\/\":1,\"/\":2}", JSON_MALFORMED},
    {"{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", JSON_MALFORMED},
    {"\"\\ud800\"", JSON_MALFORMED},
    {"\"\\ud800\\u0041\"", JSON_MALFORMED},
    {"\"\\ud800\\ud800\"", JSON_MALFORMED},
    {"\"\\udc00\"", JSON_MALFORMED},
    {"\"\\u0000\"", JSON_MALFORMED},
    {"{\"\\u0000\":1}", JSON_MALFORMED},
    {"\"\\u12g4\"", JSON_MALFORMED},
    {"\"\\u12\"", JSON_MALFORMED},
    {"\"\\x41\"", JSON_MALFORMED},
    {"\"\\", JSON_MALFORMED},
    {"\"a", JSON_MALFORMED},
    {"\"a\nb\"", JSON_MALFORMED},
    {"\"a\tb\"", JSON_MALFORMED},
    {"\"long enough for a whole word\x1f\"", JSON_MALFORMED},
    {"\xef\xbb\xbf{}", JSON_MALFORMED},
    {"\"\xff\"", JSON_MALFORMED},
    {"\"\xc0\xaf\"", JSON_MALFORMED},
    {"\"\xed\xa0\x80\"", JSON_MALFORMED},
    {"\"\xf4\x90\x80\x80\"", JSON_MALFORMED},
    {"\"\xe2\x82\"", JSON_MALFORMED},
    {"\xc2\xa0 1", JSON_MALFORMED},
    {"\f1", JSON_MALFORMED},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = cases[i].text;
        struct error err = {""};
        json_t *value = NULL;
        enum json_verdict verdict = json_check(text, strlen(text), &limits, NULL, &err);
        if (verdict != cases[i].verdict) {
            fail_msg("%s: %d, not %d (%s)", text, (int)verdict, (int)cases[i].verdict, err.text);
        }
        assert_true(verdict == JSON_OK || strncmp(err.text, "byte ", 5) == 0);
        json_t *other =
            json_loadb(text, strlen(text), JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
        assert_int_equal(verdict == JSON_OK, other != NULL);
        assert_int_equal(json_check(text, strlen(text), &limits, &value, &err), verdict);
        assert_int_equal(value != NULL, verdict == JSON_OK);
        json_decref(other);
        json_decref(value);
    }
}

static enum json_verdict check(const struct buffer *text, const struct json_limits *bounds)
{
    struct error err;
    return json_check((const char *)text->data, text->length, bounds, NULL, &err);
}

static void test_nul_bytes(void **state)
{
    (void)state;
    static const char *const texts[] = {"1\0", "[1\0]", "\0{}", "{}\0", "\"a\0b\""};
    static const size_t sizes[] = {2, 4, 3, 3, 5};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct error err;
        assert_int_equal(json_check(texts[i], sizes[i], &limits, NULL, &err), JSON_MALFORMED);
    }
}

static enum json_verdict check_nested(size_t depth, const struct json_limits *bounds)
{
    struct buffer text = {0};
    for (size_t i = 0; i < depth; i++) {
        buffer_append_text(&text, i % 2 == 0 ? "{\"a\":" : "[");
    }
    buffer_append_text(&text, "1");
    for (size_t i = depth; i-- > 0;) {
        buffer_append_byte(&text, i % 2 == 0 ? '}' : ']');
    }
    enum json_verdict verdict = check(&text, bounds);
    buffer_deinit(&text);
    return verdict;
}

static void test_depth(void **state)
{
    (void)state;
    static const struct json_limits deep = {100000, 100000};
    assert_int_equal(check_nested(32, &limits), JSON_OK);
    assert_int_equal(check_nested(33, &limits), JSON_TOO_DEEP);
    assert_int_equal(check_nested(10000, &limits), JSON_TOO_DEEP);
    assert_int_equal(check_nested(512, &deep), JSON_OK);
    assert_int_equal(check_nested(513, &deep), JSON_TOO_DEEP);
}

/* `count` keys in one object; the last one repeats key number `again` unless that is `count`. */
static enum json_verdict check_keys(size_t count, size_t again)
{
    struct buffer text = {0};
    buffer_append_byte(&text, '{');
    for (size_t i = 0; i < count; i++) {
        bool last = i == count - 1;
        buffer_append_text(&text, i == 0 ? "\"" : ",\"");
        buffer_append_text(&text, last ? "\\u006b" : "k");
        buffer_append_int(&text, (int64_t)(last && again < count ? again : i));
        buffer_append_text(&text, "\":1");
    }
    buffer_append_byte(&text, '}');
    enum json_verdict verdict = check(&text, &limits);
    buffer_deinit(&text);
    return verdict;
}

static void test_keys(void **state)
{
    (void)state;
    static const size_t counts[] = {2, 15, 16, 17, 18, 63, 64, 65, 1000, 10000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        size_t count = counts[i];
        assert_int_equal(check_keys(count, count), JSON_OK);
        assert_int_equal(check_keys(count, 0), JSON_MALFORMED);
        assert_int_equal(check_keys(count, count / 2 - 1), JSON_MALFORMED);
        assert_int_equal(check_keys(count, count - 2), JSON_MALFORMED);
    }
    assert_int_equal(check_keys(10001, 10001), JSON_TOO_DEEP);
}

static void test_long_string(void **state)
{
    (void)state;
    size_t length = (size_t)10 << 20;
    struct buffer text = {0};
    memset(buffer_reserve(&text, length), 'a', length);
    text.length = length;
    text.data[0] = text.data[length - 1] = '"';
    assert_int_equal(check(&text, &limits), JSON_OK);
    text.data[length / 2] = '\x02';
    assert_int_equal(check(&text, &limits), JSON_MALFORMED);
    buffer_deinit(&text);
}

static struct json_span span(const char *text)
{
    struct error err;
    assert_int_equal(json_check(text, strlen(text), &limits, NULL, &err), JSON_OK);
    return (struct json_span){text, strlen(text)};
}

static void assert_span(struct json_span found, const char *wanted)
{
    assert_non_null(found.data);
    assert_int_equal(found.length, strlen(wanted));
    assert_memory_equal(found.data, wanted, found.length);
}

static void test_members(void **state)
{
    (void)state;
    struct json_span object =
        span(" { \"a\" : { \"b\\\\\" : [ \"]}\\\"\" , 2 ] } ,\"\\u0062\":-1.5e3,\"c\":\"\\\\\" , "
             "\"d\": null }\n");
    assert_span(json_member(object, "a"), "{ \"b\\\\\" : [ \"]}\\\"\" , 2 ] }");
    assert_span(json_member(json_member(object, "a"), "b\\"), "[ \"]}\\\"\" , 2 ]");
    assert_span(json_member(object, "b"), "-1.5e3");
    assert_span(json_member(object, "c"), "\"\\\\\"");
    assert_span(json_member(object, "d"), "null");
    assert_null(json_member(object, "e").data);
    assert_null(json_member(object, "").data);
    assert_null(json_member(span("{ }"), "a").data);
    assert_null(json_member(span("[\"a\",1]"), "a").data);
    assert_null(json_member(span("7"), "a").data);
}

static void test_elements(void **state)
{
    (void)state;
    struct json_span array = span(" [ 1 ,\"a,]\",[2,[3]] , {\"a\":[4]} ,true] ");
    static const char *const wanted[] = {"1", "\"a,]\"", "[2,[3]]", "{\"a\":[4]}", "true"};
    struct json_span cursor = {0};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        assert_span(json_element(array, &cursor), wanted[i]);
    }
    assert_null(json_element(array, &cursor).data);
    cursor = (struct json_span){0};
    assert_null(json_element(span("[ ]"), &cursor).data);
    cursor = (struct json_span){0};
    assert_null(json_element(span("{\"a\":1}"), &cursor).data);
}

/* Payloads come back byte for byte but for raw line breaks between tokens. */
static void test_flatten(void **state)
{
    (void)state;
    char text[] = "{\r\n\t\"a\":\n \"\\n\"}";
    json_flatten(text, strlen(text));
    assert_string_equal(text, "{  \t\"a\":  \"\\n\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),       cmocka_unit_test(test_nul_bytes),
        cmocka_unit_test(test_depth),       cmocka_unit_test(test_keys),
        cmocka_unit_test(test_long_string), cmocka_unit_test(test_members),
        cmocka_unit_test(test_elements),    cmocka_unit_test(test_flatten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
