/*
 * Compiled schemas: pointers and details of what is wrong, bounds of a report, exact numbers,
 * formats, equality (R030). That the verdicts are those of JSON Schema is shown by tests/contract.
 */
#include "runtime/schema.h"

#include "contracts/generated/payloads.h"
#include "runtime/json_scan.h"
#include "runtime/schema_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct json_span span(const char *text)
{
    return (struct json_span){text, strlen(text)};
}

struct payload_case {
    enum event_type type;
    const char *payload;
    const char *report; /* "pointer: detail|pointer: detail"; "" for a valid one */
};

static const struct payload_case payload_cases[] = {
    {EVENT_TYPE_MESSAGE_DELTA, "{\"message_id\":\"m\",\"delta\":\"\"}", ""},
    {EVENT_TYPE_MESSAGE_DELTA, "{ \"delta\" : \"x\" , \"more\":[{}], \"message_id\" : \"m\" }", ""},
    {EVENT_TYPE_MESSAGE_DELTA, "{\"\\u006dessage_id\":\"m\",\"d\\u0065lta\":\"\"}", ""},
    {EVENT_TYPE_MESSAGE_DELTA, "{}", "/p/message_id: Is missing.|/p/delta: Is missing."},
    {EVENT_TYPE_MESSAGE_DELTA, "[]", "/p: Must be an object."},
    {EVENT_TYPE_MESSAGE_DELTA, "{\"\\u006dessage_id\":\"\",\"delta\":null}",
     "/p/message_id: Must not be empty.|/p/delta: Must be a string."},
    {EVENT_TYPE_MESSAGE_EDITED, "{\"message_id\":\"m\",\"content\":1,\"version\":0}",
     "/p/content: Must be a string or null.|/p/version: Must be 1 or more."},
    {EVENT_TYPE_MESSAGE_EDITED, "{\"message_id\":\"m\",\"content\":null,\"version\":1e0}", ""},
    {EVENT_TYPE_MESSAGE_EDITED, "{\"message_id\":\"m\",\"content\":null,\"version\":1.5}",
     "/p/version: Must be an integer."},
    {EVENT_TYPE_TASK_PROGRESS, "{\"task_id\":\"t\",\"percent\":100.0}", ""},
    {EVENT_TYPE_TASK_PROGRESS, "{\"task_id\":\"t\",\"percent\":100.00000000000000000001}",
     "/p/percent: Must be 100 or less."},
    {EVENT_TYPE_PLAN_CREATED, "{\"plan_id\":\"p\",\"tasks\":[]}", ""},
    {EVENT_TYPE_PLAN_CREATED,
     "{\"plan_id\":\"p\",\"tasks\":[{\"task_id\":\"t\",\"title\":\"x\"},"
     "{\"title\":\"y\",\"depends_on\":[\"a\",\"\",3]},4]}",
     "/p/tasks/1/depends_on/1: Must not be empty.|/p/tasks/1/depends_on/2: Must be a string."
     "|/p/tasks/1/task_id: Is missing.|/p/tasks/2: Must be an object."},
    {EVENT_TYPE_CITATION_ADDED, "{\"citation_id\":\"c\",\"entity_id\":\"e\"}", ""},
    {EVENT_TYPE_CITATION_ADDED, "{\"citation_id\":\"c\"}",
     "/p: Needs a source_id or an entity_id."},
    {EVENT_TYPE_STATE_DELTA, "{\"delta\":[{\"op\":\"swap\",\"path\":\"\"}]}",
     "/p/delta/0/op: Must be one of \"add\", \"remove\", \"replace\", \"move\", \"copy\", "
     "\"test\"."},
    {EVENT_TYPE_STATE_DELTA, "{\"delta\":[{\"op\":\"\\u0061dd\",\"path\":\"\"}]}", ""},
    {EVENT_TYPE_CLARIFICATION_NEEDED,
     "{\"clarification_id\":\"q\",\"question\":\"?\",\"expires_at\":\"soon\"}",
     "/p/expires_at: Must be a time as RFC 3339 writes it, such as 2026-01-31T12:00:00.000000Z."},
    {EVENT_TYPE_RUN_STARTED, "{\"thread_id\":\"t\"}", "/p/thread_id: Must be a UUID."},
    {EVENT_TYPE_RUN_FINISHED, "{}", ""},
    {EVENT_TYPE_CUSTOM, "{\"name\":\"n\",\"value\":null}", ""},
};

static void test_payloads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof payload_cases / sizeof payload_cases[0]; i++) {
        const struct payload_case *row = &payload_cases[i];
        struct schema_report report;
        struct buffer found = {0};
        schema_report_init(&report, "/p");
        bool valid =
            schema_check(&payload_schemas, payload_node(row->type), span(row->payload), &report);
        for (size_t k = 0; k < report.count; k++) {
            buffer_printf(&found, "%s%s: %s", k == 0 ? "" : "|", schema_report_pointer(&report, k),
                          schema_report_detail(&report, k));
        }
        assert_string_equal(buffer_text(&found), row->report);
        assert_int_equal(valid, row->report[0] == '\0');
        assert_int_equal(valid, schema_check(&payload_schemas, payload_node(row->type),
                                             span(row->payload), NULL));
        buffer_deinit(&found);
        schema_report_deinit(&report);
    }
}

static void test_a_number_that_is_no_type(void **state)
{
    (void)state;
    assert_int_equal(payload_node((enum event_type)0), 0);
    assert_int_equal(payload_node((enum event_type)(EVENT_TYPE_MAX + 1)), 0);
    for (unsigned i = 1; i <= EVENT_TYPE_MAX; i++) {
        assert_int_not_equal(payload_node((enum event_type)i), 0);
    }
}

/* R030: characters are counted, not bytes, and an escape is one. */
static void test_length_counts_characters(void **state)
{
    (void)state;
    static const struct {
        const char *character;
        unsigned count;
        bool fits;
    } rows[] = {{"x", 255, true},
                {"x", 256, false},
                {"\xf0\x9f\x98\x80", 255, true},
                {"\xf0\x9f\x98\x80", 256, false},
                {"\\ud83d\\ude00", 255, true},
                {"\\ud83d\\ude00", 256, false},
                {"\\n", 255, true},
                {"\\u00e9", 256, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buffer text = {0};
        buffer_append_text(&text, "{\"delta\":\"\",\"message_id\":\"");
        for (unsigned k = 0; k < rows[i].count; k++) {
            buffer_append_text(&text, rows[i].character);
        }
        buffer_append_text(&text, "\"}");
        struct json_span value = {(char *)text.data, text.length};
        assert_int_equal(
            schema_check(&payload_schemas, payload_node(EVENT_TYPE_MESSAGE_DELTA), value, NULL),
            rows[i].fits);
        buffer_deinit(&text);
    }
}

static void test_a_report_is_bounded(void **state)
{
    (void)state;
    struct buffer text = {0};
    struct schema_report report;
    buffer_append_text(&text, "{\"plan_id\":\"p\",\"tasks\":[0");
    for (int i = 1; i < 1000; i++) {
        buffer_append_text(&text, ",0");
    }
    buffer_append_text(&text, "]}");
    schema_report_init(&report, NULL);
    assert_false(schema_check(&payload_schemas, payload_node(EVENT_TYPE_PLAN_CREATED),
                              (struct json_span){(char *)text.data, text.length}, &report));
    assert_int_equal(report.count, SCHEMA_ERRORS_MAX);
    assert_true(report.more);
    assert_string_equal(schema_report_pointer(&report, 15), "/tasks/15");
    schema_report_deinit(&report);
    buffer_deinit(&text);
}

/* A table of its own: {"additionalProperties": {"type": "boolean", ...}}. */
static void test_pointers_of_any_names(void **state)
{
    (void)state;
    static const struct schema_node nodes[] = {{.types = SCHEMA_EVERY_TYPE},
                                               {.types = SCHEMA_OBJECT, .additional = 2},
                                               {.types = SCHEMA_BOOLEAN}};
    static const struct schema_table table = {.nodes = nodes};
    char name[3000];
    struct buffer text = {0};
    struct schema_report report;
    memset(name, 'n', sizeof name);
    buffer_append_text(&text, "{\"a~b/c\":1,\"\\u00e9\\/\\\"\":1,\"\":1,\"good\":true,\"");
    buffer_append(&text, name, 1023);
    buffer_append_text(&text, "\":1,\"");
    buffer_append(&text, name, 1024);
    buffer_append_text(&text, "\":1,\"");
    buffer_append(&text, name, sizeof name);
    buffer_append_text(&text, "\":1}");
    schema_report_init(&report, NULL);
    assert_false(
        schema_check(&table, 1, (struct json_span){(char *)text.data, text.length}, &report));
    assert_int_equal(report.count, 6);
    assert_string_equal(schema_report_pointer(&report, 0), "/a~0b~1c");
    assert_string_equal(schema_report_pointer(&report, 1), "/\xc3\xa9~1\"");
    assert_string_equal(schema_report_pointer(&report, 2), "/");
    assert_int_equal(strlen(schema_report_pointer(&report, 3)), 1024);
    assert_string_equal(schema_report_pointer(&report, 4), "");
    assert_string_equal(schema_report_pointer(&report, 5), "");
    schema_report_deinit(&report);
    buffer_deinit(&text);
}

static int sign(int order)
{
    return order < 0 ? -1 : order > 0;
}

static void test_numbers_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *left;
        const char *right;
        int order;
    } rows[] = {
        {"0", "-0", 0},
        {"0", "0.000e5", 0},
        {"1", "1.0", 0},
        {"100", "1e2", 0},
        {"1.50e1", "15", 0},
        {"0.05", "5E-2", 0},
        {"0.05", "0.5", -1},
        {"-1", "1", -1},
        {"-2", "-1", -1},
        {"-0.1", "0", -1},
        {"0", "-0.1", 1},
        {"9223372036854775807", "9223372036854775806", 1},
        {"9007199254740993", "9007199254740992", 1},
        {"100.00000000000000000001", "100", 1},
        {"99.99999999999999999999", "100", -1},
        {"12", "1.25e1", -1},
        {"1e300", "1e299", 1},
        {"1e-300", "0", 1},
        {"0e99999999999999999999", "0", 0},
        {"1e-99999999999999999999", "0", 1},
        {"10", "9", 1},
        {"123.456", "123.4560", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct json_span left = span(rows[i].left);
        struct json_span right = span(rows[i].right);
        assert_int_equal(sign(schema_value_compare(left, right)), rows[i].order);
        assert_int_equal(sign(schema_value_compare(right, left)), -rows[i].order);
        assert_int_equal(schema_value_equal(left, right), rows[i].order == 0);
    }
    static const char *const whole[] = {"0",     "-0.0", "1.0",    "1e2",
                                        "1.5e1", "100",  "1.20e1", "0e-5"};
    static const char *const broken[] = {"0.5", "1.5", "1e-1", "1.25e1", "100.1", "5e-324"};
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        assert_true(schema_value_is_whole(span(whole[i])));
    }
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        assert_false(schema_value_is_whole(span(broken[i])));
    }
}

static void test_equality(void **state)
{
    (void)state;
    static const struct {
        const char *left;
        const char *right;
        bool equal;
    } rows[] = {
        {"true", "true", true},
        {"true", "false", false},
        {"null", "false", false},
        {"1", "true", false},
        {"0", "false", false},
        {"\"a\"", "\"\\u0061\"", true},
        {"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"", true},
        {"\"a\"", "\"ab\"", false},
        {"\"\\u0061\"", "\"ab\"", false},
        {"[1,2]", "[1.0, 2]", true},
        {"[1,2]", "[2,1]", false},
        {"[1,2]", "[1]", false},
        {"[]", "{}", false},
        {"{\"a\":1,\"b\":[]}", "{\"b\" :[ ],\"\\u0061\":1}", true},
        {"{\"a\":1}", "{\"a\":1,\"b\":2}", false},
        {"{\"a\":1}", "{\"b\":1}", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(schema_value_equal(span(rows[i].left), span(rows[i].right)),
                         rows[i].equal);
        assert_int_equal(schema_value_equal(span(rows[i].right), span(rows[i].left)),
                         rows[i].equal);
    }
    assert_true(schema_value_text_is(span("a\\\\b"), "a\\b", 3));
    assert_false(schema_value_text_is(span("a\\\\b"), "a\\", 2));
    assert_false(schema_value_text_is(span("a\\n"), "a\\n", 3));
}

static void test_formats(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool time;
    } times[] = {
        {"2026-01-31T12:00:00Z", true},
        {"2026-01-31t12:00:00.123456z", true},
        {"2026-01-31T12:00:00+05:30", true},
        {"2026-01-31T12:00:00-15:59", true},
        {"2026-01-31T12:00:00-16:00", false}, /* no displacement PostgreSQL knows */
        {"0000-01-01T00:00:00Z", false},
        {"0001-01-01T00:00:00Z", true},
        {"2024-02-29T00:00:00Z", true},
        {"2026-02-29T00:00:00Z", false},
        {"2000-02-29T00:00:00Z", true},
        {"1900-02-29T00:00:00Z", false},
        {"2026-13-01T00:00:00Z", false},
        {"2026-00-01T00:00:00Z", false},
        {"2026-04-31T00:00:00Z", false},
        {"2026-01-31T24:00:00Z", false},
        {"2026-01-31T12:60:00Z", false},
        {"1998-12-31T23:59:60Z", true},
        {"1998-12-31T23:58:60Z", false},
        {"1998-12-31T15:59:60.5-08:00", true},
        {"1998-12-31T22:59:60Z", false},
        {"1998-12-31T23:59:60.000Z", true},
        {"1998-12-31T23:59:60.5Z", false}, /* PostgreSQL takes no part of it */
        {"2026-01-31T12:00:00.1234567890123456789012345678901234567890123Z", true},
        {"2026-01-31T12:00:00.12345678901234567890123456789012345678901234Z", false},
        {"2026-01-31T12:00:61Z", false},
        {"2026-01-31 12:00:00Z", false},
        {"2026-01-31T12:00:00", false},
        {"2026-01-31T12:00:00.Z", false},
        {"2026-01-31T12:00:00Z ", false},
        {"2026-1-31T12:00:00Z", false},
        {"2026-01-31", false},
        {"", false},
        {"2026-01-31T12\\u003a00:00Z", true}, /* escapes are undone */
    };
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        assert_int_equal(schema_value_has_format(span(times[i].text), SCHEMA_DATE_TIME),
                         times[i].time);
    }
    static const char uuid[] = "3f0e8a52-6c1d-4c7e-9a53-0c9f3f6c1b11";
    assert_true(schema_value_has_format(span(uuid), SCHEMA_UUID));
    assert_true(schema_value_has_format(span("3F0E8A52-6C1D-4C7E-9A53-0C9F3F6C1B11"), SCHEMA_UUID));
    assert_false(schema_value_has_format((struct json_span){uuid, 35}, SCHEMA_UUID));
    assert_false(
        schema_value_has_format(span("3f0e8a52a6c1d-4c7e-9a53-0c9f3f6c1b11"), SCHEMA_UUID));
    assert_false(
        schema_value_has_format(span("3f0e8a52-6c1d-4c7e-9a53-0c9f3f6c1b1g"), SCHEMA_UUID));
    assert_true(schema_value_has_format(span("anything"), SCHEMA_NO_FORMAT));
}

static void test_characters(void **state)
{
    (void)state;
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\\n\\u20ac\\ud83d\\ude00\\/";
    static const uint32_t wanted[] = {'a', 0xe9, 0x20ac, 0x1f600, '\n', 0x20ac, 0x1f600, '/'};
    const char *at = text;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        assert_int_equal(json_next_character(&at), wanted[i]);
    }
    assert_ptr_equal(at, text + sizeof text - 1);
    assert_int_equal(schema_value_characters(span(text), 100), 8);
    assert_int_equal(schema_value_characters(span(text), 3), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_payloads),
        cmocka_unit_test(test_a_number_that_is_no_type),
        cmocka_unit_test(test_length_counts_characters),
        cmocka_unit_test(test_a_report_is_bounded),
        cmocka_unit_test(test_pointers_of_any_names),
        cmocka_unit_test(test_numbers_are_exact),
        cmocka_unit_test(test_equality),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_characters),
    };
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
