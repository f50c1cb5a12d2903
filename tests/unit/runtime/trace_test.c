/* traceparent: what is taken over, and that anything else begins a trace of its own. */
#include "runtime/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ID "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"

static void begin(struct trace *trace, const char *text)
{
    trace_begin(trace, text, strlen(text));
}

static void test_taken_over(void **state)
{
    (void)state;
    static const char *const good[] = {
        "00-" ID "-" PARENT "-01",
        "00-" ID "-" PARENT "-ff",
        "cc-" ID "-" PARENT "-01",
        "cc-" ID "-" PARENT "-01-what-the-future-will-be",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct trace trace;
        char id[TRACE_ID_TEXT_SIZE];
        char parent[TRACE_SPAN_TEXT_SIZE];
        begin(&trace, good[i]);
        trace_id_format(trace.id, id);
        trace_span_format(trace.parent, parent);
        assert_string_equal(id, ID);
        assert_string_equal(parent, PARENT);
        assert_true(trace.sampled && trace.given);
        assert_true(trace.span != 0 && trace.span != trace.parent);
    }
    struct trace trace;
    begin(&trace, "00-" ID "-" PARENT "-00");
    assert_false(trace.sampled);
    assert_true(trace.given);
}

static void test_anything_else_begins_anew(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "00",
        "00-" ID "-" PARENT,
        "00-" ID "-" PARENT "-0",
        "00-" ID "-" PARENT "-01-",
        "00-" ID "-" PARENT "-01-more",
        "00-" ID "-" PARENT "-011",
        "cc-" ID "-" PARENT "-01.what",
        "ff-" ID "-" PARENT "-01",
        "0-" ID "-" PARENT "-01",
        "00_" ID "_" PARENT "_01",
        " 00-" ID "-" PARENT "-01",
        "00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01",
        "00-0af7651916cd43dd8448eb211c80319g-" PARENT "-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" ID "-0000000000000000-01",
        "00-" ID "-b7ad6b716920333-001",
    };
    struct trace before = {.span = 0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct trace trace;
        char id[TRACE_ID_TEXT_SIZE];
        begin(&trace, bad[i]);
        trace_id_format(trace.id, id);
        assert_string_not_equal(id, ID);
        assert_false(trace_is_none(trace.id));
        assert_int_equal(trace.parent, 0);
        assert_true(trace.sampled && !trace.given);
        assert_memory_not_equal(trace.id, before.id, sizeof trace.id);
        before = trace;
    }
}

static void test_a_child_points_to_its_parent(void **state)
{
    (void)state;
    struct trace trace;
    struct trace child;
    trace_begin(&trace, NULL, 0);
    trace_child(&child, &trace);
    assert_memory_equal(child.id, trace.id, sizeof trace.id);
    assert_int_equal(child.parent, trace.span);
    assert_true(child.span != trace.span);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken_over),
        cmocka_unit_test(test_anything_else_begins_anew),
        cmocka_unit_test(test_a_child_points_to_its_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
