/* The replay mapping: which events a recorded conversation becomes, and that the way back finds
 * every difference. */
#include "ops/cli/conversation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char LINE[] =
    "{\"task_id\":3,\"reward\":0.5,\"messages\":["
    "{\"role\":\"system\",\"content\":\"be kind\"},"
    "{\"role\":\"user\",\"content\":\"h\xc3\xa9llo\"},"
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":["
    "{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{ }\"}}]},"
    "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"name\":\"f\",\"content\":\"\"},"
    "{\"role\":\"assistant\",\"content\":\"done\"}]}";

static const char *const EVENTS[] = {
    "{\"type\":\"MESSAGE_COMPLETED\",\"payload\":{\"message_id\":\"message-1\",\"role\":\"system\","
    "\"content\":\"be kind\"}}",
    "{\"type\":\"MESSAGE_COMPLETED\",\"payload\":{\"message_id\":\"message-2\",\"role\":\"user\","
    "\"content\":\"h\xc3\xa9llo\"}}",
    "{\"type\":\"TOOL_CALL_STARTED\",\"payload\":{\"tool_call_id\":\"c1\",\"name\":\"f\","
    "\"arguments\":\"{ }\"}}",
    "{\"type\":\"TOOL_CALL_COMPLETED\",\"payload\":{\"tool_call_id\":\"c1\",\"name\":\"f\","
    "\"result\":\"\"}}",
    "{\"type\":\"MESSAGE_STARTED\",\"payload\":{\"message_id\":\"message-5\","
    "\"role\":\"assistant\"}}",
    "{\"type\":\"MESSAGE_DELTA\",\"payload\":{\"message_id\":\"message-5\",\"delta\":\"done\"}}",
    "{\"type\":\"MESSAGE_COMPLETED\",\"payload\":{\"message_id\":\"message-5\","
    "\"role\":\"assistant\",\"content\":\"done\"}}",
    "{\"type\":\"RUN_FINISHED\",\"payload\":{}}",
};

enum { EVENT_COUNT = sizeof EVENTS / sizeof EVENTS[0] };

static struct conversation *parse(const char *line)
{
    struct error err = {""};
    struct conversation *conversation = conversation_create(line, strlen(line), &err);
    assert_string_equal(err.text, "");
    return conversation;
}

static void test_events(void **state SB_UNUSED)
{
    struct conversation *conversation = parse(LINE);
    assert_string_equal(conversation->metadata, "{\"task_id\":3,\"reward\":0.5}");
    assert_int_equal(conversation->event_count, EVENT_COUNT);
    for (size_t i = 0; i < EVENT_COUNT; i++) {
        assert_string_equal(conversation->events[i].json, EVENTS[i]);
    }
    conversation_destroy(&conversation);
}

/* 200 two-byte characters: 80, 80 and 40 of them, none cut. */
static void test_deltas_count_characters(void **state SB_UNUSED)
{
    struct buffer line = {0};
    buffer_append_text(&line, "{\"messages\":[{\"role\":\"assistant\",\"content\":\"");
    for (int i = 0; i < 200; i++) {
        buffer_append_text(&line, "\xc3\xa9");
    }
    buffer_append_text(&line, "\"}]}");
    struct conversation *conversation = parse(buffer_text(&line));
    assert_int_equal(conversation->event_count, 6);
    static const size_t characters[] = {80, 80, 40};
    for (size_t i = 0; i < 3; i++) {
        json_t *event = json_loads(conversation->events[i + 1].json, 0, NULL);
        const json_t *delta = json_object_get(json_object_get(event, "payload"), "delta");
        assert_int_equal(json_string_length(delta), 2 * characters[i]);
        json_decref(event);
    }
    conversation_destroy(&conversation);
    buffer_deinit(&line);
}

static void test_refuses_what_is_no_conversation(void **state SB_UNUSED)
{
    static const char *const lines[] = {
        "",
        "[]",
        "{}",
        "{\"messages\":{}}",
        "{\"messages\":[{\"content\":\"x\"}]}",
        "{\"messages\":[{\"role\":\"judge\",\"content\":\"x\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":7}]}",
        "{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}",
        "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\"}]}]}",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct error err = {""};
        assert_null(conversation_create(lines[i], strlen(lines[i]), &err));
        assert_string_not_equal(err.text, "");
    }
}

/* Feeds a log made of EVENTS, with one of them replaced (at >= 0) or left out (`with` NULL). */
static int rebuild_with(int at, const char *with, struct error *err)
{
    struct rebuild *rebuild = rebuild_create();
    json_int_t seq = 1;
    json_t *started = json_pack("{s:I, s:s, s:{}}", "seq", seq, "type", "RUN_STARTED", "payload");
    int failed = rebuild_event(rebuild, started, err);
    json_decref(started);
    for (int i = 0; i < EVENT_COUNT && failed == 0; i++) {
        const char *text = i == at ? with : EVENTS[i];
        if (text == NULL) {
            continue;
        }
        json_t *event = json_loads(text, 0, NULL);
        json_object_set_new(event, "seq", json_integer(++seq));
        failed = rebuild_event(rebuild, event, err);
        json_decref(event);
    }
    if (failed == 0) {
        failed = rebuild_compare(rebuild, LINE, strlen(LINE), err);
    }
    rebuild_destroy(&rebuild);
    return failed;
}

static void test_comparison(void **state SB_UNUSED)
{
    static const struct {
        int at;
        const char *with;
        const char *says;
    } cases[] = {
        {0, NULL, "turn 1: role differs"},
        {1,
         "{\"type\":\"MESSAGE_COMPLETED\",\"payload\":{\"message_id\":\"m\",\"role\":\"user\","
         "\"content\":\"hello\"}}",
         "turn 2: text differs from byte 2"},
        {2,
         "{\"type\":\"TOOL_CALL_STARTED\",\"payload\":{\"tool_call_id\":\"c1\",\"name\":\"f\","
         "\"arguments\":\"{}\"}}",
         "turn 3: tool call differs from byte 2"},
        {3, NULL, "turn 4: recorded a tool result, logged a text"},
        {5, NULL, "seq 7: the deltas of message-5 do not give its content"},
        {6, NULL, "4 are in the log"},
        {7, NULL, "the run has not ended"},
        {7, "{\"type\":\"RUN_FAILED\",\"payload\":{}}", "RUN_FAILED has no place"},
    };
    struct error err = {""};
    assert_int_equal(rebuild_with(-1, NULL, &err), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(rebuild_with(cases[i].at, cases[i].with, &err), -1);
        if (strstr(err.text, cases[i].says) == NULL) {
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, err.text, cases[i].says);
        }
    }
}

static void test_log_must_be_dense(void **state SB_UNUSED)
{
    struct rebuild *rebuild = rebuild_create();
    struct error err = {""};
    json_t *event = json_pack("{s:i, s:s, s:{}}", "seq", 2, "type", "RUN_STARTED", "payload");
    assert_int_equal(rebuild_event(rebuild, event, &err), -1);
    json_decref(event);
    rebuild_destroy(&rebuild);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_deltas_count_characters),
        cmocka_unit_test(test_refuses_what_is_no_conversation),
        cmocka_unit_test(test_comparison),
        cmocka_unit_test(test_log_must_be_dense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
