/* Members of checked JSON text, as the bytes they came in. */
#include "runtime/body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct json_span span_of(const char *text)
{
    return (struct json_span){text, strlen(text)};
}

static void assert_span(struct json_span span, const char *want)
{
    assert_int_equal(span.length, strlen(want));
    assert_memory_equal(span.data, want, span.length);
}

static void test_members(void **state)
{
    (void)state;
    static const struct {
        const char *object;
        const char *members[8]; /* name, value, name, value */
    } cases[] = {
        {"{}", {NULL}},
        {"{ \n }", {NULL}},
        {"{\"a\":1}", {"a", "1"}},
        {"{\"a\":-1.5e9 , \"b\" : true}", {"a", "-1.5e9", "b", "true"}},
        {"{\"a\":\"x,y}]\\\"\",\"b\":null}", {"a", "\"x,y}]\\\"\"", "b", "null"}},
        {"{\"a\":{\"b\":[1,{\"c\":\"}\"}]},\"d\":[]}",
         {"a", "{\"b\":[1,{\"c\":\"}\"}]}", "d", "[]"}},
        {"{\"\":{},\"a\\u0062\":[ ]\t}", {"", "{}", "a\\u0062", "[ ]"}},
        {"{\"a\":\"\\\\\",\"b\":2}", {"a", "\"\\\\\"", "b", "2"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_span cursor = {0};
        struct json_span name;
        struct json_span value;
        size_t at = 0;
        while (json_pair(span_of(cases[i].object), &cursor, &name, &value)) {
            assert_non_null(cases[i].members[at]);
            assert_span(name, cases[i].members[at++]);
            assert_span(value, cases[i].members[at++]);
        }
        assert_null(cases[i].members[at]);
    }
}

static void test_kinds(void **state)
{
    (void)state;
    int64_t number;
    struct uuid id;
    assert_true(body_is_object(span_of("{}")));
    assert_true(body_is_array(span_of("[1]")));
    assert_true(body_is_string(span_of("\"\"")));
    assert_true(body_is_null(span_of("null")));
    assert_false(body_is_object((struct json_span){0}));
    assert_span(body_text(span_of("\"abc\"")), "abc");
    assert_int_equal(body_number(span_of("42"), &number), 0);
    assert_int_equal(number, 42);
    assert_int_equal(body_number(span_of("-1"), &number), -1);
    assert_int_equal(body_number(span_of("4.0"), &number), -1);
    assert_int_equal(body_number(span_of("\"4\""), &number), -1);
    assert_int_equal(body_uuid(span_of("\"0199a000-0000-7000-8000-00000000000a\""), &id), 0);
    assert_int_equal(body_uuid(span_of("\"0199A000-0000-7000-8000-00000000000A\""), &id), -1);
    assert_int_equal(body_uuid(span_of("7"), &id), -1);
    assert_span(body_trim(" \t{} \r\n", 7), "{}");
}

static void test_pointer(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *pointer;
    } cases[] = {
        {"\"abc\"", "/abc"},          {"\"\"", "/"},
        {"\"a/b~c\"", "/a~1b~0c"},    {"\"a\\/b\"", "/a~1b"},
        {"\"a\\u0062\\n\"", "/ab\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer out = {0};
        body_pointer(&out, body_text(span_of(cases[i].name)));
        assert_string_equal(buffer_text(&out), cases[i].pointer);
        buffer_deinit(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_pointer),
    };
    return cmocka_run_group_tests_name("body", tests, NULL, NULL);
}
