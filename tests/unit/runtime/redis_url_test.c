/* What redis.url may say. */
#include "runtime/redis_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_good(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct redis_url url;
    } cases[] = {
        {"unix:/run/redis.sock", {.path = "/run/redis.sock", .port = 6379}},
        {"redis://host", {.host = "host", .port = 6379}},
        {"redis://host/", {.host = "host", .port = 6379}},
        {"redis://127.0.0.1:7000/3", {.host = "127.0.0.1", .port = 7000, .database = 3}},
        {"redis://[::1]:7000", {.host = "::1", .port = 7000}},
        {"redis://[::1]", {.host = "::1", .port = 6379}},
        {"redis://:secret@host", {.host = "host", .port = 6379, .password = "secret"}},
        {"redis://me:a%40b%3a@host:1/15",
         {.host = "host", .port = 1, .user = "me", .password = "a@b:", .database = 15}},
        {"redis://:a@b@host", {.host = "host", .port = 6379, .password = "a@b"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct redis_url url;
        struct error err;
        assert_int_equal(redis_url_parse(cases[i].text, &url, &err), 0);
        assert_string_equal(url.path, cases[i].url.path);
        assert_string_equal(url.host, cases[i].url.host);
        assert_int_equal(url.port, cases[i].url.port);
        assert_string_equal(url.user, cases[i].url.user);
        assert_string_equal(url.password, cases[i].url.password);
        assert_int_equal(url.database, cases[i].url.database);
    }
}

static void test_bad(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",           "host",           "http://host",     "rediss://host",    "unix:",
        "redis://",   "redis://:1",     "redis://host:0",  "redis://host:x",   "redis://host:65536",
        "redis://a@", "redis://key@h",  "redis://:%@host", "redis://:%0@host", "redis://:%00@host",
        "redis://[1", "redis://[::1]x", "redis://h/x",     "redis://h/1/2",    "redis://h:1:2",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct redis_url url;
        struct error err = {{0}};
        assert_int_equal(redis_url_parse(cases[i], &url, &err), -1);
        assert_int_not_equal(err.text[0], 0);
    }
}

static void test_a_reason_does_not_tell_the_secret(void **state)
{
    (void)state;
    struct redis_url url;
    struct error err;
    assert_int_equal(redis_url_parse("redis://:hunter2@host:x", &url, &err), -1);
    assert_null(strstr(err.text, "hunter2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_a_reason_does_not_tell_the_secret),
    };
    return cmocka_run_group_tests_name("redis_url", tests, NULL, NULL);
}
