/* What clients send to the log, judged without any transport. The whole list of mistakes is asked over
 * HTTP and over a WebSocket; here are the parts that both are made of. R129. */
#include "proto/messages.h"
#include "runtime/submission.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct submission submission;

static struct json_span span_of(const char *text)
{
    return (struct json_span){text, strlen(text)};
}

static int setup(void **state)
{
    (void)state;
    struct settings *settings = settings_create();
    submission_init(&submission, settings);
    settings_destroy(&settings);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    submission_deinit(&submission);
    return 0;
}

/* As a transport does it: every member to submission_append_member, then the events. */
static int append(const char *text, struct submission_append *append)
{
    struct json_span object;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    *append = (struct submission_append){.expected_seq = -1};
    if (submission_object(&submission, span_of(text), &object) != 0) {
        return -1;
    }
    while (json_pair(object, &cursor, &name, &value)) {
        switch (submission_append_member(&submission, append, name, value)) {
        case SUBMISSION_TAKEN:
            break;
        case SUBMISSION_NOT_MINE:
            return refusal_unknown_field(&submission.refusal, "", name);
        case SUBMISSION_REFUSED:
            return -1;
        }
    }
    return submission_append_events(&submission, append);
}

static void assert_refused(const char *text, enum problem problem, const char *pointer)
{
    struct submission_append members;
    assert_int_equal(append(text, &members), -1);
    assert_int_equal(submission.refusal.problem, problem);
    if (submission.refusal.extra.report != NULL) {
        assert_string_equal(schema_report_pointer(submission.refusal.extra.report, 0), pointer);
    } else if (pointer == NULL) {
        assert_null(submission.refusal.extra.pointer);
    } else {
        assert_string_equal(submission.refusal.extra.pointer, pointer);
    }
}

static void test_events_stand_as_append_has_them(void **state)
{
    (void)state;
    struct submission_append members;
    struct message_append_event item;
    assert_int_equal(append("{\"expected_seq\":4,\"events\":[{\"type\":\"CUSTOM\",\"payload\":"
                            "{\"name\":\"n\",\n\"value\":1.50}},{\"type\":\"CLARIFICATION_NEEDED\","
                            "\"payload\":{\"clarification_id\":\"\\u0071\",\"question\":\"?\"}}]}",
                            &members),
                     0);
    assert_int_equal(members.expected_seq, 4);
    assert_int_equal(submission.count, 2);
    struct message_list list = {(const uint8_t *)submission.events.data, submission.events.size, 2};
    assert_true(message_append_event_next(&list, &item));
    static const char payload[] = "{\"name\":\"n\", \"value\":1.50}"; /* its break is a blank */
    assert_int_equal(item.payload.length, sizeof payload - 1);
    assert_memory_equal(item.payload.data, payload, sizeof payload - 1);
    assert_int_equal(item.subject.length, 0);
    assert_true(message_append_event_next(&list, &item));
    assert_int_equal(item.subject.length, 1);
    assert_memory_equal(item.subject.data, "q", 1);
}

static void test_what_is_wrong_is_pointed_at(void **state)
{
    (void)state;
    assert_refused("{", PROBLEM_MALFORMED_JSON, NULL);
    assert_refused("[]", PROBLEM_INVALID_PAYLOAD, "");
    assert_refused("{\"a\":9223372036854775808}", PROBLEM_NUMBER_OUT_OF_RANGE, NULL);
    assert_refused("{\"events\":[],\"x~y\":1}", PROBLEM_UNKNOWN_FIELD, "/x~0y");
    assert_refused("{\"events\":[{\"type\":\"NOPE\"}]}", PROBLEM_UNKNOWN_EVENT_TYPE,
                   "/events/0/type");
    assert_refused("{\"type\":\"RUN_STARTED\"}", PROBLEM_RESERVED_EVENT_TYPE, "/type");
    assert_refused("{\"type\":\"CUSTOM\",\"payload\":{\"name\":1,\"value\":1}}",
                   PROBLEM_INVALID_PAYLOAD, "/payload/name");
    assert_refused("{\"type\":\"CUSTOM\",\"expected_seq\":\"1\"}", PROBLEM_INVALID_PAYLOAD,
                   "/expected_seq");
}

static void test_usage_is_what_the_events_tell(void **state)
{
    (void)state;
    struct submission_append members;
    static const char text[] =
        "{\"events\":[{\"type\":\"USAGE_RECORDED\",\"payload\":{\"model\":\"m\","
        "\"input_tokens\":3,\"output_tokens\":4,\"cost_micros\":null}},"
        "{\"type\":\"USAGE_RECORDED\",\"payload\":{\"model\":\"m\","
        "\"input_tokens\":1,\"output_tokens\":1,\"cost_micros\":9}}]}";
    for (int i = 0; i < 2; i++) { /* nothing is left of the one before */
        assert_int_equal(append(text, &members), 0);
        assert_int_equal(submission.usage.input_tokens, 4);
        assert_int_equal(submission.usage.output_tokens, 5);
        assert_int_equal(submission.usage.cost_micros, 9);
    }
}

static void test_producers(void **state)
{
    (void)state;
    const struct {
        const char *id;
        const char *epoch;
        const char *seq;
        bool keyed;
        int result;
    } cases[] = {
        {"p", "0", "9007199254740991", false, 0},
        {NULL, NULL, NULL, true, 0},
        {"p", "0", NULL, false, -1},
        {NULL, "0", "0", false, -1},
        {"p", "0", "0", true, -1},
        {"", "0", "0", false, -1},
        {"\x7f", "0", "0", false, -1},
        {"p", "-1", "0", false, -1},
        {"p", "0", "9007199254740992", false, -1},
        {"p", "\"0\"", "0", false, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct submission_producer producer;
        struct submission_producer_texts texts = {.keyed = cases[i].keyed};
        texts.id = cases[i].id == NULL ? texts.id : span_of(cases[i].id);
        texts.epoch = cases[i].epoch == NULL ? texts.epoch : span_of(cases[i].epoch);
        texts.seq = cases[i].seq == NULL ? texts.seq : span_of(cases[i].seq);
        assert_int_equal(submission_producer_read(&submission, &texts, &producer), cases[i].result);
        if (cases[i].result != 0) {
            assert_int_equal(submission.refusal.problem, PROBLEM_INVALID_PRODUCER);
        }
    }
}

static void test_a_document_says_it_all(void **state)
{
    (void)state;
    struct buffer text = {0};
    (void)refusal_at(&submission.refusal, PROBLEM_INVALID_CURSOR, "/cursor", "Not \"ours\".");
    refusal_write(&text, &submission.refusal);
    assert_string_equal(buffer_text(&text),
                        "{\"type\":\"/problems/invalid-cursor\",\"title\":\"Invalid cursor\","
                        "\"status\":400,\"detail\":\"Not \\\"ours\\\".\",\"errors\":[{\"pointer\":"
                        "\"/cursor\",\"detail\":\"Not \\\"ours\\\".\"}]}");
    buffer_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_events_stand_as_append_has_them, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_wrong_is_pointed_at, setup, teardown),
        cmocka_unit_test_setup_teardown(test_usage_is_what_the_events_tell, setup, teardown),
        cmocka_unit_test_setup_teardown(test_producers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_document_says_it_all, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
