/* AG-UI: a whole run byte by byte, and what joins it. Real clients: tests/contract/test_ag_ui.py. */
#include "streamer/formats/ag_ui.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define RUN "0199a000-0000-7000-8000-00000000000a"

struct row {
    enum event_type number;
    const char *payload;
    const char *want; /* lines of the events, without `data: ` and empty lines; "" for nothing */
};

static enum projection_after take(struct projection *state, uint64_t seq, const struct row *row,
                                  struct buffer *out)
{
    struct native_event event = {.run_id = RUN,
                                 .seq = seq,
                                 .number = row->number,
                                 .type = event_type_name(row->number),
                                 .payload = row->payload,
                                 .payload_length = strlen(row->payload)};
    event.type_length = strlen(event.type);
    return ag_ui_format.take(state, &event, out);
}

/* The frames of `lines`, the last one with the seq. */
static void frames(const char *lines, uint64_t seq, struct buffer *out)
{
    while (*lines != '\0') {
        const char *end = strchr(lines, '\n');
        size_t length = end == NULL ? strlen(lines) : (size_t)(end - lines);
        buffer_printf(out, "data: %.*s\n", (int)length, lines);
        lines += length + (end != NULL);
        if (*lines == '\0') {
            buffer_printf(out, "id: %llu\n", (unsigned long long)seq);
        }
        buffer_append_byte(out, '\n');
    }
}

static void assert_frames(struct buffer *seen, const char *lines, uint64_t seq)
{
    struct buffer want = {0};
    frames(lines, seq, &want);
    assert_string_equal(buffer_text(seen), buffer_text(&want));
    buffer_deinit(&want);
}

static const struct row transcript[] = {
    {EVENT_TYPE_RUN_STARTED,
     "{\"metadata\":{\"client\":{\"thread_id\":\"t \\u00e9\",\"run_id\":\"r/1\"}}}",
     "{\"type\":\"RUN_STARTED\",\"threadId\":\"t \\u00e9\",\"runId\":\"r/1\",\"protocolVersion\":"
     "\"1.0\"}"},
    {EVENT_TYPE_TASK_STARTED, "{\"task_id\":\"1\",\"title\":\"Look\"}",
     "{\"type\":\"STEP_STARTED\",\"stepName\":\"Look\"}"},
    {EVENT_TYPE_MESSAGE_DELTA, "{\"message_id\":\"m\",\"delta\":\"a\\\"b\"}",
     "{\"type\":\"TEXT_MESSAGE_START\",\"messageId\":\"m\",\"role\":\"assistant\"}\n"
     "{\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":\"m\",\"delta\":\"a\\\"b\"}"},
    {EVENT_TYPE_MESSAGE_STARTED, "{\"message_id\":\"m\",\"role\":\"assistant\"}", ""},
    {EVENT_TYPE_TOOL_CALL_STARTED,
     "{\"tool_call_id\":\"c\",\"name\":\"find\",\"arguments\":{\"x\":\n1},\"message_id\":\"m\"}",
     "{\"type\":\"TOOL_CALL_START\",\"toolCallId\":\"c\",\"toolCallName\":\"find\","
     "\"parentMessageId\":\"m\"}\n"
     "{\"type\":\"TOOL_CALL_ARGS\",\"toolCallId\":\"c\",\"delta\":\"{\\\"x\\\":\\n1}\"}\n"
     "{\"type\":\"TOOL_CALL_END\",\"toolCallId\":\"c\"}"},
    {EVENT_TYPE_TOOL_CALL_COMPLETED, "{\"tool_call_id\":\"c\",\"name\":\"find\",\"result\":null}",
     "{\"type\":\"TOOL_CALL_RESULT\",\"messageId\":\"result:c\",\"toolCallId\":\"c\","
     "\"content\":\"null\",\"role\":\"tool\"}"},
    {EVENT_TYPE_TOOL_CALL_COMPLETED, "{\"tool_call_id\":\"c\",\"name\":\"find\",\"result\":null}",
     ""},
    {EVENT_TYPE_MESSAGE_COMPLETED, "{\"message_id\":\"m\",\"content\":\"a\\u0022bc\"}",
     "{\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":\"m\",\"delta\":\"c\"}\n"
     "{\"type\":\"TEXT_MESSAGE_END\",\"messageId\":\"m\"}"},
    {EVENT_TYPE_PLAN_CREATED, "{\"plan_id\":\"p\",\"tasks\":[]}",
     "{\"type\":\"ACTIVITY_SNAPSHOT\",\"messageId\":\"plan:p\",\"activityType\":\"plan\","
     "\"content\":{\"plan_id\":\"p\",\"tasks\":[]}}"},
    {EVENT_TYPE_STATE_DELTA, "{\"delta\":[{\"op\":\"add\",\"path\":\"/k\",\"value\":1}]}",
     "{\"type\":\"STATE_DELTA\",\"delta\":[{\"op\":\"add\",\"path\":\"/k\",\"value\":1}]}"},
    {EVENT_TYPE_STATE_DELTA, "{\"delta\":[{\"op\":\"add\",\"path\":\"k\",\"value\":1}]}",
     "{\"type\":\"CUSTOM\",\"name\":\"STATE_DELTA\",\"value\":{\"delta\":[{\"op\":\"add\",\"path\":"
     "\"k\",\"value\":1}]}}"},
    {EVENT_TYPE_USAGE_RECORDED,
     "{\"model\":\"x\",\"input_tokens\":9223372036854775807,\"output_tokens\":2,\"cost_micros\":"
     "null}",
     ""},
    {EVENT_TYPE_RUN_FINISHED, "{\"result\":null}",
     "{\"type\":\"STEP_FINISHED\",\"stepName\":\"Look\"}\n"
     "{\"type\":\"RUN_FINISHED\",\"threadId\":\"t "
     "\\u00e9\",\"runId\":\"r/1\",\"outcome\":{\"type\":"
     "\"success\"},\"usage\":[{\"inputTokens\":9007199254740991,\"outputTokens\":2,\"model\":\"x\"}"
     "]}"},
};

static const char joined[] =
    "{\"type\":\"RUN_STARTED\",\"threadId\":\"t \\u00e9\",\"runId\":\"r/1\",\"protocolVersion\":"
    "\"1.0\"}\n"
    "{\"type\":\"MESSAGES_SNAPSHOT\",\"messages\":[{\"role\":\"assistant\",\"id\":\"m\","
    "\"content\":"
    "\"\",\"toolCalls\":[{\"type\":\"function\",\"id\":\"c\",\"function\":{\"name\":\"find\","
    "\"arguments\":\"{\\\"x\\\":\\n1}\"}}]}]}\n"
    "{\"type\":\"STATE_SNAPSHOT\",\"snapshot\":{}}\n"
    "{\"type\":\"STEP_STARTED\",\"stepName\":\"Look\"}\n"
    "{\"type\":\"TEXT_MESSAGE_START\",\"messageId\":\"m\",\"role\":\"assistant\"}\n"
    "{\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":\"m\",\"delta\":\"a\\\"b\"}";

/* And a copy from any point gives the same bytes. */
static void test_transcript(void **unused)
{
    (void)unused;
    struct projection *state = ag_ui_format.create(0);
    struct buffer out = {0};
    for (size_t i = 0; i < sizeof transcript / sizeof transcript[0]; i++) {
        struct projection *copy = ag_ui_format.copy(state);
        struct buffer copied = {0};
        buffer_clear(&out);
        assert_int_equal(take(state, i + 1, &transcript[i], &out), PROJECTION_GOES_ON);
        assert_frames(&out, transcript[i].want, i + 1);
        (void)take(copy, i + 1, &transcript[i], &copied);
        assert_string_equal(buffer_text(&copied), buffer_text(&out));
        buffer_deinit(&copied);
        ag_ui_format.destroy(&copy);
        if (i == 4) {
            buffer_clear(&out);
            assert_int_equal(ag_ui_format.join(state, &out), PROJECTION_GOES_ON);
            assert_frames(&out, joined, 5);
        }
    }
    buffer_deinit(&out);
    ag_ui_format.destroy(&state);
    assert_null(state);
}

static void test_question(void **unused)
{
    (void)unused;
    static const struct row rows[] = {
        {EVENT_TYPE_RUN_STARTED, "{}",
         "{\"type\":\"RUN_STARTED\",\"threadId\":\"" RUN "\",\"runId\":\"" RUN
         "\",\"protocolVersion\":\"1.0\"}"},
        {EVENT_TYPE_CLARIFICATION_NEEDED,
         "{\"clarification_id\":\"q\",\"question\":\"?\",\"schema\":true,\"expires_at\":\"2030-01-"
         "01T00:00:00Z\"}",
         "{\"type\":\"MESSAGES_SNAPSHOT\",\"messages\":[]}\n"
         "{\"type\":\"RUN_FINISHED\",\"threadId\":\"" RUN "\",\"runId\":\"" RUN
         "\",\"outcome\":{\"type\":\"interrupt\",\"interrupts\":[{\"reason\":\"input_required\","
         "\"id\":\"q\",\"message\":\"?\",\"expiresAt\":\"2030-01-01T00:00:00Z\"}]}}"},
        {EVENT_TYPE_WARNING, "{\"message\":\"w\"}", ""},
        {EVENT_TYPE_CLARIFICATION_ANSWERED,
         "{\"clarification_id\":\"q\",\"response\":1,\"client_run_id\":\"two\"}",
         "{\"type\":\"RUN_STARTED\",\"threadId\":\"" RUN
         "\",\"runId\":\"two\",\"protocolVersion\":\"1.0\"}\n"
         "{\"type\":\"MESSAGES_SNAPSHOT\",\"messages\":[]}\n"
         "{\"type\":\"CUSTOM\",\"name\":\"WARNING\",\"value\":{\"message\":\"w\"}}"},
        {EVENT_TYPE_RUN_FAILED, "{\"reason\":\"r\",\"error\":{\"message\":\"m\"}}",
         "{\"type\":\"RUN_ERROR\",\"message\":\"m\",\"code\":\"r\"}"},
        {EVENT_TYPE_WARNING, "{\"message\":\"behind the end\"}", ""},
    };
    struct projection *state = ag_ui_format.create(0);
    struct buffer out = {0};
    assert_int_equal(ag_ui_format.join(state, &out), PROJECTION_GOES_ON);
    assert_int_equal(out.length, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        buffer_clear(&out);
        assert_int_equal(take(state, i + 1, &rows[i], &out),
                         i == 1 ? PROJECTION_PAUSES : PROJECTION_GOES_ON);
        assert_frames(&out, rows[i].want, i + 1);
        buffer_clear(&out);
        assert_int_equal(ag_ui_format.join(state, &out),
                         i == 1 || i == 2 ? PROJECTION_PAUSES : PROJECTION_GOES_ON);
    }
    buffer_deinit(&out);
    ag_ui_format.destroy(&state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transcript),
        cmocka_unit_test(test_question),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
