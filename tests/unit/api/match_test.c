/* From method and path to a route. */
#include "api/match.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct route table[] = {
    {"POST", "/api/v1/runs", SCOPE_APPEND, NULL, .append_body = false},
    {"GET", "/api/v1/runs", SCOPE_READ, NULL, .append_body = false},
    {"GET", "/api/v1/runs/{}", SCOPE_READ, NULL, .append_body = false},
    {"POST", "/api/v1/runs/{}/events", SCOPE_APPEND, NULL, .append_body = true},
    {"GET", "/health", SCOPE_OPEN, NULL, .append_body = false},
    {"GET", "/api/v1/agents/{}/runs/{}", SCOPE_READ, NULL, .free_ids = true},
};

static enum match_result find(const char *method, const char *path, struct match *match)
{
    struct http_text method_text = {method, strlen(method)};
    struct http_text path_text = {path, strlen(path)};
    return match_route(table, sizeof table / sizeof *table, method_text, path_text, match);
}

static void test_found(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        const char *path;
        size_t route;
        const char *segment;
    } cases[] = {
        {"POST", "/api/v1/runs", 0, NULL},         {"GET", "/api/v1/runs", 1, NULL},
        {"HEAD", "/api/v1/runs", 1, NULL},         {"GET", "/api/v1/runs/x", 2, "x"},
        {"HEAD", "/api/v1/runs/x", 2, "x"},        {"POST", "/api/v1/runs/abc/events", 3, "abc"},
        {"GET", "/api/v1/runs/%2F..", 2, "%2F.."}, {"GET", "/health", 4, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct match match;
        assert_int_equal(find(cases[i].method, cases[i].path, &match), MATCH_FOUND);
        assert_ptr_equal(match.route, &table[cases[i].route]);
        if (cases[i].segment == NULL) {
            assert_null(match.segment.data);
        } else {
            assert_int_equal(match.segment.length, strlen(cases[i].segment));
            assert_memory_equal(match.segment.data, cases[i].segment, match.segment.length);
        }
    }
}

static void test_two_segments(void **state)
{
    (void)state;
    struct match match;
    assert_int_equal(find("GET", "/api/v1/agents/a%2Fb/runs/7", &match), MATCH_FOUND);
    assert_ptr_equal(match.route, &table[5]);
    assert_int_equal(match.segment.length, strlen("a%2Fb"));
    assert_memory_equal(match.segment.data, "a%2Fb", match.segment.length);
    assert_int_equal(match.second.length, 1);
    assert_memory_equal(match.second.data, "7", 1);
    assert_int_equal(find("GET", "/api/v1/runs/x", &match), MATCH_FOUND);
    assert_null(match.second.data);
}

static void test_no_such_path(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "",
        "/",
        "/health/",
        "/HEALTH",
        "/healthy",
        "//health",
        "/api/v1/runs/",
        "/api/v1/run",
        "/api/v1//runs",
        "/api/v1/runs//events",
        "/api/v1/runs/x/events/",
        "/api/v1/runs/x/y/events",
        "/api/v1/runs/x/",
        "/api/v1/../v1/runs",
        "/api/v1/runs;x",
    };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct match match;
        assert_int_equal(find("GET", paths[i], &match), MATCH_NO_PATH);
    }
}

static void test_no_such_method(void **state)
{
    (void)state;
    struct match match;
    assert_int_equal(find("DELETE", "/api/v1/runs", &match), MATCH_NO_METHOD);
    assert_string_equal(match.allow, "POST, GET, HEAD");
    assert_int_equal(find("HEAD", "/api/v1/runs/x/events", &match), MATCH_NO_METHOD);
    assert_string_equal(match.allow, "POST");
    assert_int_equal(find("get", "/health", &match), MATCH_NO_METHOD);
    assert_string_equal(match.allow, "GET, HEAD");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_two_segments),
        cmocka_unit_test(test_no_such_path),
        cmocka_unit_test(test_no_such_method),
    };
    return cmocka_run_group_tests_name("match", tests, NULL, NULL);
}
