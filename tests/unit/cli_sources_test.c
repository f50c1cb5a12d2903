/*
 * Where settings come from: which source wins, what each refuses, and that the names of the
 * environment are unambiguous.
 */
#include "ops/cli/sources.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct sources sources;
    struct error err;
    char path[64];
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    sources_init(&fixture->sources);
    snprintf(fixture->path, sizeof fixture->path, "%s", "/tmp/sources-test.XXXXXX");
    int fd = mkstemp(fixture->path);
    assert_true(fd >= 0);
    close(fd);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    unlink(fixture->path);
    sources_deinit(&fixture->sources);
    free(fixture);
    return 0;
}

static int read_text(struct fixture *fixture, const char *text)
{
    FILE *file = fopen(fixture->path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return sources_read_file(&fixture->sources, fixture->path, &fixture->err);
}

static int read_variable(struct fixture *fixture, const char *variable)
{
    char copy[256];
    snprintf(copy, sizeof copy, "%s", variable);
    char *const environment[] = {"PATH=/bin", copy, NULL};
    return sources_read_environment(&fixture->sources, environment, &fixture->err);
}

static void test_file_wins_over_default(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(read_text(fixture, "# words\napi {\n  count = 3\n}\n"
                                        "server { listen = \"0.0.0.0:80\" }\n"
                                        "database { allow_unsafe = true }\n"),
                     0);
    assert_int_equal(settings_int(fixture->sources.settings, SETTING_API_COUNT), 3);
    assert_string_equal(settings_text(fixture->sources.settings, SETTING_SERVER_LISTEN),
                        "0.0.0.0:80");
    assert_true(settings_bool(fixture->sources.settings, SETTING_DATABASE_ALLOW_UNSAFE));
    assert_int_equal(fixture->sources.from[SETTING_API_COUNT], SOURCE_FILE);
    assert_int_equal(fixture->sources.from[SETTING_STREAMER_COUNT], SOURCE_DEFAULT);
}

static void test_environment_wins_over_file(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(read_text(fixture, "api { count = 3 }\n"), 0);
    assert_int_equal(read_variable(fixture, "SIGNALBOX_API_COUNT=4"), 0);
    assert_int_equal(settings_int(fixture->sources.settings, SETTING_API_COUNT), 4);
    assert_int_equal(fixture->sources.from[SETTING_API_COUNT], SOURCE_ENVIRONMENT);
}

static void test_files_that_are_refused(void **state)
{
    static const struct {
        const char *text, *told;
    } cases[] = {
        {"api { cuont = 3 }\n", "cuont"},
        {"nonsense { count = 3 }\n", "nonsense"},
        {"count = 3\n", "count"},
        {"api { count = 17 }\n", "1 to 16"},
        {"api { count = -1 }\n", "api.count"},
        {"api { count = 0x2 }\n", "api.count"},
        {"api { count = two }\n", "api.count"},
        {"database { allow_unsafe = yes }\n", "true or false"},
        {"instance { dir = /tmp }\n", "instance.dir"},
        {"auth { first_key = \"a:b\" }\n", "auth.first_key"},
        {"api { count = 3\n", ""},
        {"api { count 3 }\n", ""},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fixture->err.text[0] = '\0';
        assert_int_equal(read_text(fixture, cases[i].text), -1);
        assert_non_null(strstr(fixture->err.text, cases[i].told));
        assert_non_null(strstr(fixture->err.text, fixture->path));
    }
}

static void test_missing_file(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(sources_read_file(&fixture->sources, "/nonexistent/x.conf", &fixture->err),
                     -1);
    assert_non_null(strstr(fixture->err.text, "/nonexistent/x.conf"));
}

static void test_variables_that_are_refused(void **state)
{
    static const char *const variables[] = {
        "SIGNALBOX_API_CUONT=3",           "SIGNALBOX_=1",
        "SIGNALBOX_API_COUNT=0",           "SIGNALBOX_API_COUNT=",
        "SIGNALBOX_API_COUNT=3 ",          "SIGNALBOX_INSTANCE_DIR=/tmp",
        "SIGNALBOX_DATABASE_EMBEDDED=true"};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        fixture->err.text[0] = '\0';
        assert_int_equal(read_variable(fixture, variables[i]), -1);
        assert_int_not_equal(strlen(fixture->err.text), 0);
    }
}

static void test_variables_of_the_family_pass(void **state)
{
    static const char *const variables[] = {"SIGNALBOX_INSTANCE=api-1", "SIGNALBOX_SETTINGS_FD=7",
                                            "SIGNALBOX_FDS=settings:4", "SIGNALBOX_TEST_BIN=x",
                                            "OTHER_API_COUNT=99"};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        assert_int_equal(read_variable(fixture, variables[i]), 0);
    }
}

static void test_urls_have_short_names(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(read_variable(fixture, "DATABASE_URL=postgresql://db.example/x"), 0);
    assert_int_equal(read_variable(fixture, "REDIS_URL=redis://cache.example"), 0);
    assert_string_equal(settings_text(fixture->sources.settings, SETTING_DATABASE_URL),
                        "postgresql://db.example/x");
    assert_string_equal(settings_text(fixture->sources.settings, SETTING_REDIS_URL),
                        "redis://cache.example");
    char *const both[] = {"SIGNALBOX_REDIS_URL=redis://ours.example",
                          "REDIS_URL=redis://theirs.example", NULL};
    assert_int_equal(sources_read_environment(&fixture->sources, both, &fixture->err), 0);
    assert_string_equal(settings_text(fixture->sources.settings, SETTING_REDIS_URL),
                        "redis://ours.example");
}

static void test_environment_names_are_unambiguous(void **state)
{
    (void)state;
    char *names[SETTING_COUNT];
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        names[id] = sources_environment_name((enum setting)id);
        for (unsigned other = 0; other < id; other++) {
            assert_string_not_equal(names[id], names[other]);
        }
    }
    assert_string_equal(names[SETTING_JOB_RUNNER_COUNT], "SIGNALBOX_JOB_RUNNER_COUNT");
    for (unsigned id = 0; id < SETTING_COUNT; id++) {
        free(names[id]);
    }
}

static void test_check_finds_what_does_not_fit(void **state)
{
    static const struct {
        enum setting id;
        const char *value;
        int result;
    } cases[] = {
        {SETTING_SERVER_LISTEN, "127.0.0.1:0", 0},
        {SETTING_SERVER_LISTEN, "localhost:8080", 0},
        {SETTING_SERVER_LISTEN, "[::1]:8080", 0},
        {SETTING_SERVER_LISTEN, "8080", -1},
        {SETTING_SERVER_LISTEN, ":8080", -1},
        {SETTING_SERVER_LISTEN, "::1:8080", -1},
        {SETTING_SERVER_LISTEN, "host:", -1},
        {SETTING_SERVER_LISTEN, "host:65536", -1},
        {SETTING_SERVER_LISTEN, "", -1},
        {SETTING_LOG_LEVEL, "loud", -1},
        {SETTING_LOG_FORMAT, "xml", -1},
        {SETTING_AUTH_PEPPER, "abc", -1},
        {SETTING_AUTH_PEPPER, "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
         -1},
        {SETTING_REDIS_URL, "unix:/run/redis.sock", 0},
        {SETTING_REDIS_URL, "rediss://cache.example", -1},
        {SETTING_REDIS_URL, "cache.example", -1},
        {SETTING_TRACE_OTLP_URL, "https://collector.example/v1/traces", 0},
        {SETTING_TRACE_OTLP_URL, "collector.example:4318", -1},
        {SETTING_WATCHDOG_WARN_MS, "10000", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sources sources;
        struct error err = {0};
        sources_init(&sources);
        assert_int_equal(sources_set(&sources, cases[i].id, cases[i].value, SOURCE_FLAG, &err), 0);
        assert_int_equal(sources_check(&sources, &err), cases[i].result);
        sources_deinit(&sources);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_file_wins_over_default, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_environment_wins_over_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_files_that_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_variables_that_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_variables_of_the_family_pass, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_urls_have_short_names, set_up, tear_down),
        cmocka_unit_test(test_environment_names_are_unambiguous),
        cmocka_unit_test(test_check_finds_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
