/* Jobs of one request that wait for each other: names found, circles found. */
#include "api/jobs_graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct jobs_graph *graph_of(size_t count, const char *const *names)
{
    struct jobs_graph *graph = jobs_graph_create(count);
    for (size_t i = 0; i < count; i++) {
        jobs_graph_name(graph, i, names[i], strlen(names[i]));
    }
    return graph;
}

static size_t found(struct jobs_graph *graph, const char *name)
{
    size_t job = SIZE_MAX;
    return jobs_graph_find(graph, name, strlen(name), &job) ? job : SIZE_MAX;
}

static void test_names(void **state)
{
    (void)state;
    static const char *const names[] = {"b", "ab", "a", "b", "abc"};
    struct jobs_graph *graph = graph_of(5, names);
    assert_int_equal(found(graph, "a"), 2);
    assert_int_equal(found(graph, "ab"), 1);
    assert_int_equal(found(graph, "abc"), 4);
    assert_int_equal(found(graph, "b"), 0); /* the first of two */
    assert_int_equal(found(graph, "c"), SIZE_MAX);
    assert_int_equal(found(graph, "abcd"), SIZE_MAX);
    assert_int_equal(found(graph, ""), SIZE_MAX);
    jobs_graph_destroy(&graph);
    assert_null(graph);
    jobs_graph_destroy(&graph);
}

struct wait {
    size_t job;
    size_t parent;
};

/* SIZE_MAX: there is none. */
static size_t circle_of(size_t count, const struct wait *waits, size_t wait_count)
{
    size_t job = SIZE_MAX;
    struct jobs_graph *graph = jobs_graph_create(count);
    for (size_t i = 0; i < wait_count; i++) {
        jobs_graph_wait(graph, waits[i].job, waits[i].parent);
    }
    if (!jobs_graph_circle(graph, &job)) {
        job = SIZE_MAX;
    }
    jobs_graph_destroy(&graph);
    return job;
}

static void test_circles(void **state)
{
    (void)state;
    assert_int_equal(circle_of(3, NULL, 0), SIZE_MAX);
    /* A diamond, said twice: 0 first, 3 last. */
    static const struct wait diamond[] = {{1, 0}, {2, 0}, {3, 1}, {3, 2}, {3, 1}};
    assert_int_equal(circle_of(4, diamond, 5), SIZE_MAX);
    static const struct wait backwards[] = {{0, 1}, {1, 2}, {2, 3}};
    assert_int_equal(circle_of(4, backwards, 3), SIZE_MAX);
    static const struct wait self[] = {{1, 0}, {2, 2}};
    assert_int_equal(circle_of(3, self, 2), 2);
    static const struct wait two[] = {{1, 0}, {2, 1}, {1, 2}};
    assert_int_equal(circle_of(3, two, 3), 1);
    /* What only waits for a circle cannot begin either. */
    static const struct wait behind[] = {{0, 1}, {1, 2}, {2, 1}};
    assert_int_equal(circle_of(3, behind, 3), 0);
}

static void test_a_long_chain(void **state)
{
    (void)state;
    enum { JOBS = 1000 };
    struct jobs_graph *graph = jobs_graph_create(JOBS);
    size_t job;
    for (size_t i = 1; i < JOBS; i++) {
        jobs_graph_wait(graph, i - 1, i);
    }
    assert_false(jobs_graph_circle(graph, &job));
    jobs_graph_wait(graph, JOBS - 1, 0);
    assert_true(jobs_graph_circle(graph, &job));
    jobs_graph_destroy(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_circles),
        cmocka_unit_test(test_a_long_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
