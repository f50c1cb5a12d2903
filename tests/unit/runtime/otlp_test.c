/* Spans as OTLP says them, where a collector may be, and the bounds of what waits for one. */
#include "runtime/otlp.h"
#include "runtime/spans.h"

#include "runtime/base/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <string.h>

static void test_where_a_collector_may_be(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        int port;
    } cases[] = {
        {"http://127.0.0.1:4318/v1/traces", 4318},
        {"https://collector.example/v1/traces", 443},
        {"http://collector", 80},
        {"http://collector?x=1:2", 80},
        {"https://[2001:db8::1]:65535/", 65535},
        {"http://[::1]", 80},
        {"", -1},
        {"ftp://collector/", -1},
        {"collector:4318", -1},
        {"http://", -1},
        {"http://:4318/", -1},
        {"http:///v1/traces", -1},
        {"http://collector:0/", -1},
        {"http://collector:65536/", -1},
        {"http://collector:/", -1},
        {"http://collector:4318x/", -1},
        {"http://somebody:secret@collector/", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(otlp_port(cases[i].url), cases[i].port);
    }
}

static const char *text_at(json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void test_spans_are_written_round_the_end_of_the_ring(void **state)
{
    (void)state;
    struct span ring[3] = {
        {.id = 2, .parent = 1, .name = "last", .start_us = 5, .end_us = 7, .kind = SPAN_INTERNAL},
        {.name = "not asked for"},
        {.id = 1, .method = "GET", .route = "/runs/{}", .status = 500, .failed = true},
    };
    struct buffer out = {0};
    memset(ring[0].trace, 0xab, sizeof ring[0].trace);
    otlp_write(&out, "api-\"1\"", ring, 3, 2, 2);
    json_t *root = json_loadb((const char *)out.data, out.length, JSON_REJECT_DUPLICATES, NULL);
    json_t *part = json_array_get(json_object_get(root, "resourceSpans"), 0);
    json_t *scope = json_array_get(json_object_get(part, "scopeSpans"), 0);
    json_t *spans = json_object_get(scope, "spans");
    assert_int_equal(json_array_size(spans), 2);
    json_t *first = json_array_get(spans, 0);
    json_t *second = json_array_get(spans, 1);
    assert_string_equal(text_at(first, "name"), "GET /runs/{}");
    assert_null(json_object_get(first, "parentSpanId"));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(first, "status"), "code")),
                     2);
    assert_string_equal(text_at(second, "name"), "last");
    assert_string_equal(text_at(second, "traceId"), "abababababababababababababababab");
    assert_string_equal(text_at(second, "spanId"), "0000000000000002");
    assert_string_equal(text_at(second, "parentSpanId"), "0000000000000001");
    assert_string_equal(text_at(second, "startTimeUnixNano"), "5000");
    assert_string_equal(text_at(second, "endTimeUnixNano"), "7000");
    assert_null(json_object_get(second, "status"));
    assert_int_equal(json_array_size(json_object_get(second, "attributes")), 0);
    json_decref(root);
    buffer_deinit(&out);
}

/* A loop that never turns is a collector that never answers. */
static void test_what_finds_no_room_is_dropped_and_counted(void **state)
{
    (void)state;
    struct error err;
    struct actor actor = {
        .instance = "api-1", .settings = settings_create(), .base = event_base_new()};
    struct spans *spans;
    assert_int_equal(spans_create(&actor, &spans, &err), 0);
    assert_null(spans);
    assert_int_equal(settings_set(actor.settings, SETTING_TRACE_OTLP_URL, "collector", &err), 0);
    assert_int_equal(spans_create(&actor, &spans, &err), -1);
    assert_int_equal(settings_set(actor.settings, SETTING_TRACE_OTLP_URL, "http://[::1]:9/", &err),
                     0);
    assert_int_equal(spans_create(&actor, &spans, &err), 0);
    int64_t before = metric_get(METRIC_SPANS_DROPPED);
    for (int i = 0; i < 4096; i++) {
        spans_add(spans, &(struct span){.id = 1, .name = "x"});
    }
    assert_int_equal(metric_get(METRIC_SPANS_DROPPED) - before, 0);
    for (int i = 0; i < 10; i++) {
        spans_add(spans, &(struct span){.id = 1, .name = "x"});
    }
    assert_int_equal(metric_get(METRIC_SPANS_DROPPED) - before, 10);
    spans_destroy(&spans);
    assert_null(spans);
    assert_int_equal(metric_get(METRIC_SPANS_DROPPED) - before, 4106);
    event_base_free(actor.base);
    settings_destroy(&actor.settings);
}

static void test_which_traces_are_exported(void **state)
{
    (void)state;
    struct error err;
    struct actor actor = {.settings = settings_create(), .base = event_base_new()};
    struct spans *spans;
    const struct trace told = {.given = true, .sampled = true};
    const struct trace quiet = {.given = true};
    const struct trace own = {.sampled = true};
    assert_false(spans_want(NULL, &told));
    assert_int_equal(settings_set(actor.settings, SETTING_TRACE_OTLP_URL, "http://[::1]:9/", &err),
                     0);
    for (int all = 0; all < 2; all++) {
        assert_int_equal(
            settings_set(actor.settings, SETTING_TRACE_ALL, all ? "true" : "false", &err), 0);
        assert_int_equal(spans_create(&actor, &spans, &err), 0);
        assert_true(spans_want(spans, &told));
        assert_int_equal(spans_want(spans, &quiet), all);
        assert_int_equal(spans_want(spans, &own), all);
        spans_destroy(&spans);
    }
    event_base_free(actor.base);
    settings_destroy(&actor.settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_a_collector_may_be),
        cmocka_unit_test(test_spans_are_written_round_the_end_of_the_ring),
        cmocka_unit_test(test_what_finds_no_room_is_dropped_and_counted),
        cmocka_unit_test(test_which_traces_are_exported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
