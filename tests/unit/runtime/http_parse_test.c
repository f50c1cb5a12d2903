/*
 * The HTTP grammar by table: what each head and chunked body comes to, whole and byte by byte. The
 * same classes of input are sent over a socket by tests/e2e/test_http_framing.py.
 */
#include "runtime/http_parse.h"
#include "runtime/http_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOST "Host: a\r\n"

static const struct http_limits limits = {8192, 16384};

struct head_case {
    const char *text;
    int status; /* 0: accepted, -1: not complete */
};

static const struct head_case head_cases[] = {
    {"GET / HTTP/1.1\r\n" HOST "\r\n", 0},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0},
    {"GET /a?b=c&d=%20 HTTP/1.1\r\n" HOST "\r\n", 0},
    {"GET //a/../b;c=(d)!$'*+,=:@-._~ HTTP/1.1\r\n" HOST "\r\n", 0},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 0},
    {"GET / HTTP/1.1\r\n" HOST "X:\t a \t\r\nY:\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" HOST "X: \xc3\xa9\xff\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" HOST "Connection: ,keep-alive,, Upgrade\r\n\r\n", 0},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 000\r\n\r\n", 0},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999\r\n\r\n", 0},
    {"POST / HTTP/1.1\r\n" HOST "transfer-encoding: Chunked\r\n\r\n", 0},
    {"", -1},
    {"GET / HTTP/1.1\r\n" HOST "\r", -1},
    {"GET / HTTP/1.1\r\n" HOST, -1},
    {"\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.1\r\n\r\n", 400},
    {"GET / HTTP/1.1\n" HOST "\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "X : a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST ": a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "X\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "X(): a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "X: a\x01\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "X: a\x7f\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "Connection: a b\r\n\r\n", 400},
    {"GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /  HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.1 \r\n" HOST "\r\n", 400},
    {" GET / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET\t/\tHTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /\r\n", 400},
    {"GET / http/1.1\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.10\r\n" HOST "\r\n", 400},
    {"GET a HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET http://a/ HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET * HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /a#b HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /%4 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /%zz HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /%00 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /%0a HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /?a=% HTTP/1.1\r\n" HOST "\r\n", 400},
    {"G(T / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x3\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3 3\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     501},
    {"FROB / HTTP/1.1\r\n" HOST "\r\n", 501},
    {"get / HTTP/1.1\r\n" HOST "\r\n", 501},
    {"CONNECT a:80 HTTP/1.1\r\n" HOST "\r\n", 501},
    {"GET / HTTP/1.0\r\n\r\n", 505},
    {"GET / HTTP/1.2\r\n" HOST "\r\n", 505},
    {"PRI * HTTP/2.0\r\n\r\n", 505},
    {"POST / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n", 417},
};

static int verdict(enum http_parse result, const struct http_problem *problem)
{
    return result == HTTP_PARSE_DONE ? 0 : result == HTTP_PARSE_MORE ? -1 : problem->status;
}

static int parse(struct http_head *head, const char *text, size_t length, size_t step)
{
    struct http_problem problem = {0};
    enum http_parse result = HTTP_PARSE_MORE;
    http_head_init(head);
    for (size_t have = 0; have < length && result == HTTP_PARSE_MORE;) {
        have = length - have < step ? length : have + step;
        result = http_head_feed(head, text, have, &limits, &problem);
    }
    return verdict(result, &problem);
}

static void test_heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof head_cases / sizeof *head_cases; i++) {
        const struct head_case *test = &head_cases[i];
        struct http_head head;
        for (size_t step = 1; step <= strlen(test->text) + 1; step++) {
            int status = parse(&head, test->text, strlen(test->text), step);
            if (status != test->status) {
                fail_msg("case %zu in pieces of %zu: %d, not %d: %s", i, step, status, test->status,
                         test->text);
            }
        }
    }
}

/* NUL cannot be written in the table. */
static void test_nul(void **state)
{
    (void)state;
    static const char in_value[] = "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n";
    static const char in_target[] = "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n";
    struct http_head head;
    assert_int_equal(parse(&head, in_value, sizeof in_value - 1, 1000), 400);
    assert_int_equal(parse(&head, in_target, sizeof in_target - 1, 1000), 400);
}

static int parse_long(size_t target, size_t value, unsigned fields)
{
    struct buffer text = {0};
    struct http_head head;
    buffer_append_text(&text, "GET /");
    for (size_t i = 1; i < target; i++) {
        buffer_append_byte(&text, 'a');
    }
    buffer_append_text(&text, " HTTP/1.1\r\n" HOST);
    for (unsigned i = 1; i < fields; i++) {
        buffer_append_text(&text, "X: ");
        for (size_t j = 0; j < value; j++) {
            buffer_append_byte(&text, 'b');
        }
        buffer_append_text(&text, "\r\n");
    }
    buffer_append_text(&text, "\r\n");
    int status = parse(&head, (char *)text.data, text.length, 700);
    assert_int_equal(parse(&head, (char *)text.data, text.length, text.length), status);
    buffer_deinit(&text);
    return status;
}

static void test_limits(void **state)
{
    (void)state;
    const size_t around = strlen("GET  HTTP/1.1");
    assert_int_equal(parse_long(8192 - around, 0, 1), 0);
    assert_int_equal(parse_long(8193 - around, 0, 1), 414);
    assert_int_equal(parse_long(1, 0, 100), 0);
    assert_int_equal(parse_long(1, 0, 101), 431);
    const size_t rest = strlen("GET / HTTP/1.1\r\n" HOST "X: \r\n\r\n");
    assert_int_equal(parse_long(1, 16384 - rest, 2), 0);
    assert_int_equal(parse_long(1, 16385 - rest, 2), 431);
}

static void assert_range(const char *text, struct http_range range, const char *wanted)
{
    assert_int_equal(range.length, strlen(wanted));
    assert_memory_equal(text + range.at, wanted, range.length);
}

static void test_parts(void **state)
{
    (void)state;
    static const char text[] = "PUT /a%2fb?x=%41?y HTTP/1.1\r\nhOST: a\r\nX-Y:  one two \t\r\n"
                               "CONTENT-length: 12\r\nConnection: x , CLOSE\r\n"
                               "Expect: 100-Continue\r\n\r\nbody";
    struct http_head head;
    assert_int_equal(parse(&head, text, strlen(text), 7), 0);
    assert_int_equal(head.length, strlen(text) - 4);
    assert_int_equal(head.method, HTTP_PUT);
    assert_range(text, head.method_text, "PUT");
    assert_range(text, head.path, "/a%2fb");
    assert_range(text, head.query, "x=%41?y");
    assert_int_equal(head.field_count, 5);
    assert_range(text, head.fields[1].name, "X-Y");
    assert_range(text, head.fields[1].value, "one two");
    assert_int_equal(head.content_length, 12);
    assert_true(head.closes && head.expects_continue && !head.chunked);
}

static void test_path_decode(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"/a%41%7e", "/aA~"},
                                           {"/%2F%2f/%25", "/%2F%2F/%25"},
                                           {"/%252F", "/%252F"},
                                           {"/%2e%2E/..", "/../.."},
                                           {"/%c3%a9", "/\xc3\xa9"},
                                           {"//", "//"},
                                           {"*", "*"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char path[32];
        snprintf(path, sizeof path, "%s", pairs[i][0]);
        size_t length = http_path_decode(path, strlen(path));
        assert_int_equal(length, strlen(pairs[i][1]));
        assert_memory_equal(path, pairs[i][1], length);
    }
}

struct body_case {
    const char *text;
    const char *data; /* NULL: refused */
    int status;       /* -1: not complete */
    size_t behind;    /* bytes that are no longer the body's */
};

static const struct body_case body_cases[] = {
    {"0\r\n\r\n", "", 0, 0},
    {"5\r\nhello\r\n0\r\n\r\nGET", "hello", 0, 3},
    {"00005\r\nhello\r\n1\r\n!\r\n000\r\n\r\n", "hello!", 0, 0},
    {"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", 0, 0},
    {"5\r\nhel", "hel", -1, 0},
    {"5;a=b\r\nhello\r\n0\r\n\r\n", NULL, 400, 0},
    {"5 \r\nhello\r\n0\r\n\r\n", NULL, 400, 0},
    {" 5\r\nhello\r\n0\r\n\r\n", NULL, 400, 0},
    {"+5\r\nhello\r\n0\r\n\r\n", NULL, 400, 0},
    {"0x5\r\nhello\r\n0\r\n\r\n", NULL, 400, 0},
    {"-5\r\nhello\r\n0\r\n\r\n", NULL, 400, 0},
    {"g\r\n", NULL, 400, 0},
    {"\r\n", NULL, 400, 0},
    {"5\nhello\r\n0\r\n\r\n", NULL, 400, 0},
    {"5\r\nhello\n0\r\n\r\n", NULL, 400, 0},
    {"5\r\nhello0\r\n\r\n", NULL, 400, 0},
    {"5\r\nhello!\r\n0\r\n\r\n", NULL, 400, 0},
    {"0\r\nX: y\r\n\r\n", NULL, 400, 0},
    {"0\r\n\n", NULL, 400, 0},
    {"0\n\r\n", NULL, 400, 0},
    {"00000000000000000000000000000000000000000000000000000000000000000\r\n\r\n", NULL, 400, 0},
};

static int decode(const char *text, size_t step, struct buffer *data, size_t *used_out)
{
    size_t length = strlen(text);
    struct http_chunked chunked;
    struct http_problem problem = {0};
    enum http_parse result = HTTP_PARSE_MORE;
    http_chunked_init(&chunked);
    *used_out = 0;
    for (size_t have = 0; result == HTTP_PARSE_MORE && *used_out < length;) {
        have = length - have < step ? length : have + step;
        while (result == HTTP_PARSE_MORE && *used_out < have) {
            struct http_range range;
            size_t used;
            result = http_chunked_feed(&chunked, text + *used_out, have - *used_out, &used, &range,
                                       &problem);
            buffer_append(data, text + *used_out + range.at, range.length);
            *used_out += used;
        }
    }
    return verdict(result, &problem);
}

static void test_chunked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof body_cases / sizeof *body_cases; i++) {
        const struct body_case *test = &body_cases[i];
        for (size_t step = 1; step <= strlen(test->text); step++) {
            struct buffer data = {0};
            size_t used;
            int status = decode(test->text, step, &data, &used);
            if (status != test->status) {
                fail_msg("case %zu in pieces of %zu: %d, not %d", i, step, status, test->status);
            }
            if (test->data != NULL) {
                assert_string_equal(buffer_text(&data), test->data);
                assert_int_equal(used, strlen(test->text) - test->behind);
            }
            buffer_deinit(&data);
        }
    }
}

static void test_chunk_sizes_that_overflow(void **state)
{
    (void)state;
    static const char text[] = "FFFFFFFFFFFFFFFFF\r\nab";
    struct http_chunked chunked;
    struct http_problem problem;
    struct http_range data;
    size_t used;
    http_chunked_init(&chunked);
    assert_int_equal(http_chunked_feed(&chunked, text, strlen(text), &used, &data, &problem),
                     HTTP_PARSE_MORE);
    assert_true(chunked.total == UINT64_MAX);
}

static void test_query(void **state)
{
    (void)state;
    static const char text[] = "&a=1&b=%26%3D+x%2B&c&=d&e=f=g&h=%4";
    static const char *const pairs[][2] = {{"a", "1"}, {"b", "&= x+"}, {"c", ""},
                                           {"", "d"},  {"e", "f=g"},   {"h", ""}};
    struct http_text query = {text, strlen(text)};
    struct http_text name;
    struct http_text value;
    struct buffer scratch = {0};
    bool bad = false;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_false(bad);
        assert_true(http_query_next(&query, &scratch, &name, &value, &bad));
        assert_int_equal(name.length, strlen(pairs[i][0]));
        assert_memory_equal(name.data, pairs[i][0], name.length);
        assert_int_equal(value.length, strlen(pairs[i][1]));
        assert_memory_equal(value.data, pairs[i][1], value.length);
    }
    assert_true(bad);
    assert_false(http_query_next(&query, &scratch, &name, &value, &bad));
    buffer_deinit(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_path_decode),
        cmocka_unit_test(test_chunked),
        cmocka_unit_test(test_chunk_sizes_that_overflow),
        cmocka_unit_test(test_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
