/* Log lines: what passes as ours, how it looks as text, how foreign lines are wrapped. */
#include "supervisor/log_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *text)
{
    struct log_line line;
    return log_line_parse(text, strlen(text), &line);
}

static void takes_flat_objects_only(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{\"a\":1}",
        "{ \"a\" : \"b\\\"c\\u00e9\" , \"d\" : -1.5e+3 , \"e\":true,\"f\":null,\"g\":false } ",
        "{\"message\":\"\"}",
    };
    static const char *const bad[] = {
        "",           "{}",          "{\"a\":1",         "{\"a\":1}x",     "{\"a\":{}}",
        "{\"a\":[]}", "{a:1}",       "{\"a\":01}",       "{\"a\":1.}",     "{\"a\":\"\\x\"}",
        "{\"a\"}",    "{\"a\":\"b}", "{\"a\":\"\\u12\"", "{\"a\":nul}",    "[1]",
        "text",       "{\"a\":1,}",  "{\"a\":-}",        "{\"a\":\"\t\"}", "{\"a\":1e}",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(parse(good[i]), 0);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (parse(bad[i]) == 0) {
            fail_msg("accepted: %s", bad[i]);
        }
    }
}

static void too_many_fields_are_not_ours(void **state)
{
    (void)state;
    struct buffer text = {0};
    buffer_append_text(&text, "{\"a\":1");
    for (int i = 0; i < LOG_LINE_FIELDS_MAX; i++) {
        buffer_append_text(&text, ",\"b\":2");
    }
    buffer_append_text(&text, "}");
    assert_int_equal(parse(buffer_text(&text)), -1);
    buffer_deinit(&text);
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    const char *whole = "{\"ts\":\"x\",\"n\":-12.5e3,\"t\":true,\"s\":\"\\u00e9\\\\\"}";
    struct log_line line;
    for (size_t length = 0; length < strlen(whole); length++) {
        assert_int_equal(log_line_parse(whole, length, &line), -1);
    }
    assert_int_equal(log_line_parse(whole, strlen(whole), &line), 0);
}

static void check_shown(const char *json, const char *wanted)
{
    struct buffer out = {0};
    log_line_show(&out, json, strlen(json), false);
    assert_string_equal(buffer_text(&out), wanted);
    buffer_deinit(&out);
}

static void shows_text_for_people(void **state)
{
    (void)state;
    check_shown("{\"ts\":\"2026-11-20T09:44:24.123456Z\",\"level\":\"warn\",\"actor\":\"api-1\","
                "\"generation\":7,\"message\":\"say \\\"hi\\\"\",\"path\":\"a\\\\b\"}",
                "09:44:24.123 warn  api-1        say \"hi\" generation=7 path=a\\b\n");
    /* Escapes that could steer a terminal stay escapes. */
    check_shown("{\"message\":\"\\u001b[2J\\n\"}", "\\u001b[2J\\n\n");
    check_shown("{\"message\":\"a\x7f"
                "b\xc2\x9b"
                "c\xc3\x9f\"}",
                "a?b?c\xc3\x9f\n");
    check_shown("not ours", "not ours\n");
    check_shown("{\"no\":\"message\"}", "{\"no\":\"message\"}\n");
    check_shown("{\"ts\":1,\"level\":2,\"message\":3}", "2     3\n");
}

static void check_complaint(const char *json, const char *wanted)
{
    struct buffer out = {0};
    struct log_line line;
    assert_int_equal(log_line_parse(json, strlen(json), &line), 0);
    log_line_complaint(&out, &line);
    assert_string_equal(buffer_text(&out), wanted);
    buffer_deinit(&out);
}

static void picks_out_complaints(void **state)
{
    (void)state;
    check_complaint("{\"ts\":\"x\",\"level\":\"error\",\"actor\":\"prepare\",\"message\":\"no\","
                    "\"reason\":\"it is \\\"late\\\"\",\"generation\":4,\"tries\":3}",
                    "no, reason it is \"late\", tries 3");
    check_complaint("{\"level\":\"warn\",\"message\":\"hm\"}", "hm");
    check_complaint("{\"level\":\"info\",\"message\":\"up\"}", "");
    check_complaint("{\"level\":\"error\"}", "");
    check_complaint("{\"message\":\"x\"}", "");
}

static void check_level(enum log_line_kind kind, const char *text, const char *level)
{
    struct buffer out = {0};
    struct log_line line;
    log_line_wrap(&out, kind, "name", text, strlen(text));
    assert_int_equal(log_line_parse((const char *)out.data, out.length, &line), 0);
    assert_int_equal(line.count, 4);
    assert_memory_equal(line.fields[1].value + 1, level, strlen(level));
    buffer_deinit(&out);
}

static void wraps_foreign_lines(void **state)
{
    (void)state;
    check_level(LOG_LINE_ACTOR, "==1==ERROR: AddressSanitizer", "error");
    check_level(LOG_LINE_ONE_SHOT, "anything", "info");
    check_level(LOG_LINE_POSTGRES, "[1] LOG:  ready", "info");
    check_level(LOG_LINE_POSTGRES, "[1] ERROR:  one statement", "warn");
    check_level(LOG_LINE_POSTGRES, "[1] FATAL:  one session", "warn");
    check_level(LOG_LINE_POSTGRES, "[1] PANIC:  no", "error");
    check_level(LOG_LINE_REDIS, "1:M 20 Nov # WARNING overcommit", "warn");
    check_level(LOG_LINE_REDIS, "1:M 20 Nov # Server initialized", "info");
    check_level(LOG_LINE_REDIS, "bytes \xff\x01 \"quoted\"", "info");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_flat_objects_only), cmocka_unit_test(too_many_fields_are_not_ours),
        cmocka_unit_test(every_cut_is_refused),    cmocka_unit_test(shows_text_for_people),
        cmocka_unit_test(wraps_foreign_lines),     cmocka_unit_test(picks_out_complaints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
