/* What http_request sends, refuses to send, and makes of an answer. */
#include "job-runner/kinds/http_call.h"

#include "fakes.h"

static int read_call(struct http_call *call, const char *payload, struct error *err)
{
    *call = (struct http_call){0};
    err->text[0] = '\0';
    return http_call_read(call, (struct json_span){payload, strlen(payload)}, err);
}

static void test_a_whole_request(void **state)
{
    (void)state;
    struct http_call call;
    struct error err;
    assert_int_equal(read_call(&call,
                               "{\"method\":\"POST\",\"url\":\"https://a.example/x?y=\\u00e9\","
                               "\"headers\":{\"X-A\":\"b c\",\"Accept\":\"text/*\"},"
                               "\"json\": {\"a\": [1, 2]},\"timeout_ms\":5,"
                               "\"expect_status\":[200,404]}",
                               &err),
                     0);
    assert_string_equal(call.method, "POST");
    assert_string_equal(call.url, "https://a.example/x?y=\xc3\xa9");
    assert_string_equal(buffer_text(&call.headers),
                        "X-A: b c\nAccept: text/*\nContent-Type: application/json\n");
    assert_string_equal(call.body, "{\"a\": [1, 2]}");
    assert_int_equal(call.timeout_ms, 5);
    assert_int_equal(call.expected_count, 2);
    http_call_deinit(&call);
}

static void test_the_least_request(void **state)
{
    (void)state;
    struct http_call call;
    struct error err;
    assert_int_equal(read_call(&call, "{\"url\":\"https://a.example\"}", &err), 0);
    assert_string_equal(call.method, "GET");
    assert_null(call.body);
    assert_int_equal(call.headers.length, 0);
    assert_int_equal(call.timeout_ms, 30000);
    http_call_deinit(&call);
    assert_int_equal(read_call(&call,
                               "{\"url\":\"u\",\"json\":null,"
                               "\"headers\":{\"content-TYPE\":\"a/b\"}}",
                               &err),
                     0);
    assert_string_equal(buffer_text(&call.headers), "content-TYPE: a/b\n");
    assert_string_equal(call.body, "null");
    http_call_deinit(&call);
}

/* What would become a header, or a request, of its own; and what is not the payload's to say. */
static void test_what_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{}",
        "{\"url\":1}",
        "{\"url\":\"http://a/ b\"}",
        "{\"url\":\"http://a/\\r\\nX: y\"}",
        "{\"url\":\"http://a/\\n\"}",
        "{\"url\":\"u\",\"method\":\"GET / HTTP/1.1\\r\\nX: y\"}",
        "{\"url\":\"u\",\"method\":\"G T\"}",
        "{\"url\":\"u\",\"method\":\"\"}",
        "{\"url\":\"u\",\"method\":\"SEVENTEENLETTERSS\"}",
        "{\"url\":\"u\",\"headers\":[]}",
        "{\"url\":\"u\",\"headers\":{\"a\":1}}",
        "{\"url\":\"u\",\"headers\":{\"a\":\"b\\r\\nX-Evil: 1\"}}",
        "{\"url\":\"u\",\"headers\":{\"a\":\"b\\nX-Evil: 1\"}}",
        "{\"url\":\"u\",\"headers\":{\"a\":\"b\\rc\"}}",
        "{\"url\":\"u\",\"headers\":{\"a\":\"\\u007f\"}}",
        "{\"url\":\"u\",\"headers\":{\"a\":\" \"}}",
        "{\"url\":\"u\",\"headers\":{\"a: b\\r\\nc\":\"d\"}}",
        "{\"url\":\"u\",\"headers\":{\"\":\"d\"}}",
        "{\"url\":\"u\",\"headers\":{\"a b\":\"d\"}}",
        "{\"url\":\"u\",\"headers\":{\"Host\":\"internal\"}}",
        "{\"url\":\"u\",\"headers\":{\"content-length\":\"3\"}}",
        "{\"url\":\"u\",\"headers\":{\"Transfer-Encoding\":\"chunked\"}}",
        "{\"url\":\"u\",\"headers\":{\"Idempotency-Key\":\"mine\"}}",
        "{\"url\":\"u\",\"headers\":{\"Proxy-Authorization\":\"x\"}}",
        "{\"url\":\"u\",\"body\":{}}",
        "{\"url\":\"u\",\"body\":\"a\",\"json\":1}",
        "{\"url\":\"u\",\"timeout_ms\":0}",
        "{\"url\":\"u\",\"timeout_ms\":600001}",
        "{\"url\":\"u\",\"expect_status\":99}",
        "{\"url\":\"u\",\"expect_status\":\"200\"}",
        "{\"url\":\"u\",\"expect_status\":[200,1,201]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct http_call call;
        struct error err;
        if (read_call(&call, bad[i], &err) == 0) {
            fail_msg("taken: %s", bad[i]);
        }
        assert_non_null(strstr(err.text, "payload: "));
        assert_null(strstr(err.text, "X-Evil"));
        http_call_deinit(&call);
    }
}

static void judge(const char *payload, int status, const char *headers, int64_t now_s,
                  struct http_call_verdict *verdict)
{
    struct http_call call;
    struct error err;
    struct message_fetched answer = {.status = (uint64_t)status,
                                     .headers = {(const uint8_t *)headers, strlen(headers)}};
    assert_int_equal(read_call(&call, payload, &err), 0);
    http_call_judge(&call, &answer, now_s, verdict);
    http_call_deinit(&call);
}

static void test_verdicts(void **state)
{
    (void)state;
    static const char any[] = "{\"url\":\"u\"}";
    static const char not_found[] = "{\"url\":\"u\",\"expect_status\":404}";
    enum { OK = -1 };
    static const struct {
        const char *payload;
        int status;
        const char *headers;
        int class;
        int64_t retry_ms;
    } cases[] = {
        {any, 200, "", OK, 0},
        {any, 299, "", OK, 0},
        {any, 300, "", JOB_CLASS_FATAL, 0},
        {any, 302, "location: http://b/\n", JOB_CLASS_FATAL, 0},
        {any, 400, "", JOB_CLASS_FATAL, 0},
        {any, 404, "", JOB_CLASS_FATAL, 0},
        {not_found, 404, "", OK, 0},
        {not_found, 200, "", JOB_CLASS_FATAL, 0},
        {any, 408, "", JOB_CLASS_RETRYABLE, 0},
        {any, 429, "", JOB_CLASS_RETRYABLE, 0},
        {any, 429, "retry-after: 7\n", JOB_CLASS_RATE_LIMITED, 7000},
        {any, 429, "x-retry-after: 7\n", JOB_CLASS_RETRYABLE, 0},
        {any, 429, "retry-after: 0\n", JOB_CLASS_RATE_LIMITED, 1000},
        {any, 429, "retry-after: soon\n", JOB_CLASS_RETRYABLE, 0},
        {any, 429, "retry-after: 99999999999999999999\n", JOB_CLASS_RETRYABLE, 0},
        {any, 429, "retry-after: 999999999\n", JOB_CLASS_RATE_LIMITED, 86400000},
        {any, 503, "a: b\nretry-after:  Fri, 20 Nov 2026 20:00:10 GMT \n", JOB_CLASS_RATE_LIMITED,
         10000},
        {any, 503, "retry-after: Fri, 20 Nov 2026 19:00:00 GMT\n", JOB_CLASS_RATE_LIMITED, 1000},
        {any, 503, "", JOB_CLASS_RETRYABLE, 0},
        {any, 500, "retry-after: 3\n", JOB_CLASS_RETRYABLE, 3000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_call_verdict verdict;
        judge(cases[i].payload, cases[i].status, cases[i].headers, 1795204800, &verdict);
        if (verdict.success != (cases[i].class == OK) ||
            (!verdict.success && (int)verdict.class != cases[i].class) ||
            verdict.retry_ms != cases[i].retry_ms) {
            fail_msg("case %zu: class %d, retry %lld", i, (int)verdict.class,
                     (long long)verdict.retry_ms);
        }
    }
}

static void test_no_answer(void **state)
{
    (void)state;
    static const char *const errors[] = {"its address is not allowed", "Could not connect",
                                         "the answer is too long"};
    struct http_call call = {0};
    struct http_call_verdict verdict;
    http_call_judge(&call, NULL, 0, &verdict);
    assert_false(verdict.success);
    assert_int_equal(verdict.class, JOB_CLASS_RETRYABLE);
    for (size_t i = 0; i < 3; i++) {
        struct message_fetched answer = {.refused = i == 0,
                                         .error = {(const uint8_t *)errors[i], strlen(errors[i])}};
        http_call_judge(&call, &answer, 0, &verdict);
        assert_false(verdict.success);
        assert_int_equal(verdict.class, i == 1 ? JOB_CLASS_RETRYABLE : JOB_CLASS_FATAL);
        assert_non_null(strstr(verdict.reason, errors[i]));
    }
}

/* The result as text, checked as JSON; the caller frees it. */
static char *result_of(const void *body, size_t length, const char *headers)
{
    static const struct json_limits limits = {8, 100};
    struct buffer out = {0};
    struct error err = {""};
    struct message_fetched answer = {.status = 200,
                                     .headers = {(const uint8_t *)headers, strlen(headers)},
                                     .body = {body, length}};
    http_call_result(&answer, &out);
    if (json_check(buffer_text(&out), out.length, &limits, NULL, &err) != JSON_OK) {
        fail_msg("%s in %s", err.text, buffer_text(&out));
    }
    assert_true(out.length <= 64 << 10);
    return buffer_text(&out);
}

static void expect_result(const void *body, size_t length, const char *wanted)
{
    char *result = result_of(body, length, "etag: \"x\"\nset-cookie: secret\n");
    assert_string_equal(result, wanted);
    free(result);
}

static void test_results(void **state)
{
    (void)state;
    expect_result("", 0, "{\"status\":200,\"headers\":{\"etag\":\"\\\"x\\\"\"},\"body\":\"\"}");
    expect_result("a\"\n\xc3\xa9", 5,
                  "{\"status\":200,\"headers\":{\"etag\":\"\\\"x\\\"\"},"
                  "\"body\":\"a\\\"\\n\xc3\xa9\"}");
    expect_result("\0\xff", 2,
                  "{\"status\":200,\"headers\":{\"etag\":\"\\\"x\\\"\"},\"body_base64\":\"AP8=\"}");
}

static void test_long_results_are_cut(void **state)
{
    (void)state;
    enum { LENGTH = HTTP_CALL_BODY_MAX + 10 };
    char *body = malloc(LENGTH);
    memset(body, 'a', LENGTH);
    memcpy(body + HTTP_CALL_BODY_MAX - 1, "\xc3\xa9", 2); /* cut in the middle */
    char *result = result_of(body, LENGTH, "");
    assert_non_null(strstr(result, "a\",\"body_truncated\":true}"));
    free(result);
    memset(body, '\n', LENGTH); /* twice as long as JSON text */
    result = result_of(body, HTTP_CALL_BODY_MAX, "");
    assert_non_null(strstr(result, "\"body_base64\":\"Cgo"));
    free(result);
    memset(body, 0xff, LENGTH);
    result = result_of(body, LENGTH, "");
    assert_non_null(strstr(result, "\"body_base64\":"));
    assert_non_null(strstr(result, "body_truncated"));
    free(result);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_request),
        cmocka_unit_test(test_the_least_request),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_long_results_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
