/* The order of jobs: tables of cases, and thousands of random steps against ready_model.h. */
#include "job-runner/ready.h"

#include "ready_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SECOND_US = 1000000, AGEING_US = 60 * SECOND_US, START_US = 1000 * SECOND_US, IDS_MAX = 64 };

static const struct ready_filter anything;

static struct uuid tenant_of(unsigned n)
{
    return (struct uuid){.bytes = {0xaa, [15] = (uint8_t)n}};
}

/* Job `id` of tenant `n`, due since the start. */
static struct ready_job job_of(int64_t id, unsigned n)
{
    return (struct ready_job){.id = id,
                              .tenant = tenant_of(n),
                              .queue = "default",
                              .type = "work",
                              .concurrency_key = "",
                              .run_at_us = START_US};
}

static void put_many(struct ready *ready, int64_t first, int64_t count, unsigned tenant)
{
    for (int64_t id = first; id < first + count; id++) {
        struct ready_job job = job_of(id, tenant);
        ready_put(ready, &job);
    }
}

/* Takes up to `max` and compares with the ids, ended by 0. */
static void expect_take(struct ready *ready, int64_t now_us, const struct ready_filter *filter,
                        size_t max, const int64_t *expected)
{
    int64_t ids[IDS_MAX] = {0};
    size_t count = ready_take(ready, now_us, filter, ids, max);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ids[i], expected[i]);
    }
    assert_int_equal(expected[count], 0);
}

#define EXPECT_TAKE(ready, now_us, filter, max, ...) \
    expect_take(ready, now_us, filter, max, (const int64_t[]){__VA_ARGS__, 0})

static void test_tenants_take_turns(void **state)
{
    (void)state;
    struct ready *ready = ready_create(AGEING_US);
    put_many(ready, 1, 5, 1);
    put_many(ready, 11, 2, 2);
    put_many(ready, 21, 1, 3);
    EXPECT_TAKE(ready, START_US, &anything, 4, 1, 11, 21, 2);
    EXPECT_TAKE(ready, START_US, &anything, 1, 12);
    /* Who comes back after a rest is next, once. */
    put_many(ready, 22, 3, 3);
    EXPECT_TAKE(ready, START_US, &anything, 9, 22, 3, 23, 4, 24, 5);
    EXPECT_TAKE(ready, START_US, &anything, 9, 0);
    ready_destroy(&ready);
    assert_null(ready);
}

static void test_a_newcomer_is_seen(void **state)
{
    (void)state;
    struct ready *ready = ready_create(AGEING_US);
    EXPECT_TAKE(ready, START_US, &anything, 0, 0);
    put_many(ready, 1, 3, 1);
    assert_int_equal(ready_newcomer_us(ready), 0); /* nobody waits but itself */
    put_many(ready, 11, 1, 2);
    assert_int_equal(ready_newcomer_us(ready), START_US);
    EXPECT_TAKE(ready, START_US + 1, &anything, 2, 1, 11);
    put_many(ready, 4, 1, 1);
    assert_int_equal(ready_newcomer_us(ready), START_US); /* it had some */
    struct ready_job later = job_of(12, 2);
    later.run_at_us = START_US + 10;
    ready_put(ready, &later);
    assert_int_equal(ready_newcomer_us(ready), START_US);
    EXPECT_TAKE(ready, START_US + 20, &anything, 1, 2);
    assert_int_equal(ready_newcomer_us(ready), START_US + 20);
    ready_destroy(&ready);
}

static void test_turns_are_longer_when_many_are_taken(void **state)
{
    (void)state;
    struct ready *ready = ready_create(AGEING_US);
    put_many(ready, 1, 9, 1);
    put_many(ready, 11, 9, 2);
    EXPECT_TAKE(ready, START_US, &anything, 16, 1, 2, 11, 12, 3, 4, 13, 14, 5, 6, 15, 16, 7, 8, 17,
                18);
    EXPECT_TAKE(ready, START_US, &anything, 15, 9, 19);
    ready_destroy(&ready);
}

static void test_weights_are_shares(void **state)
{
    (void)state;
    struct ready *ready = ready_create(AGEING_US);
    put_many(ready, 1, 9, 1);
    put_many(ready, 11, 9, 2);
    struct uuid heavy = tenant_of(1);
    ready_set_weight(ready, &heavy, 3);
    /* The turn goes on in the next take. */
    EXPECT_TAKE(ready, START_US, &anything, 2, 1, 2);
    EXPECT_TAKE(ready, START_US, &anything, 6, 3, 11, 4, 5, 6, 12);
    ready_destroy(&ready);
}

static void test_takes_of_one_tenant_are_no_turns(void **state)
{
    (void)state;
    struct ready *ready = ready_create(AGEING_US);
    put_many(ready, 1, 5, 1);
    put_many(ready, 11, 5, 2);
    struct uuid first = tenant_of(1);
    struct uuid nobody = tenant_of(9);
    EXPECT_TAKE(ready, START_US, &(struct ready_filter){.tenant = &first}, 2, 1, 2);
    EXPECT_TAKE(ready, START_US, &(struct ready_filter){.tenant = &nobody}, 2, 0);
    EXPECT_TAKE(ready, START_US, &anything, 3, 3, 11, 4);
    ready_destroy(&ready);
}

static void test_priority_then_age_then_id(void **state)
{
    (void)state;
    struct ready *ready = ready_create(AGEING_US);
    /* Due so many seconds before the start: the rows in the order of running. */
    static const struct {
        int64_t id;
        int priority;
        int64_t waited_s;
    } rows[] = {
        {1, 2, 0},  {9, 0, 119}, /* not quite as urgent as the one above */
        {8, 0, 61}, {3, 1, 0},   {2, 0, 59}, {4, 0, 0},
        {5, 0, 0},  {6, -1, 59}, {7, -1, 0}, {10, -99, 0},
    };
    size_t count = sizeof rows / sizeof rows[0];
    for (size_t i = count; i > 0; i--) {
        struct ready_job job = job_of(rows[i - 1].id, 1);
        job.priority = rows[i - 1].priority;
        job.run_at_us -= rows[i - 1].waited_s * SECOND_US;
        job.type = i % 2 == 0 ? "work" : "play";
        ready_put(ready, &job);
    }
    for (size_t i = 0; i < count; i++) {
        EXPECT_TAKE(ready, START_US, &anything, 1, rows[i].id);
    }
    ready_destroy(&ready);
}

static void test_without_ageing_priority_is_all(void **state)
{
    (void)state;
    struct ready *ready = ready_create(0);
    struct ready_job old = job_of(1, 1);
    old.run_at_us = 1;
    struct ready_job urgent = job_of(2, 1);
    urgent.priority = 1;
    ready_put(ready, &old);
    ready_put(ready, &urgent);
    EXPECT_TAKE(ready, START_US, &anything, 2, 2, 1);
    ready_destroy(&ready);
}

static void test_not_before_its_time(void **state)
{
    (void)state;
    struct ready *ready = ready_create(AGEING_US);
    struct ready_job later = job_of(1, 1);
    later.run_at_us = START_US + 5;
    later.priority = 9;
    ready_put(ready, &later);
    put_many(ready, 2, 2, 1);
    EXPECT_TAKE(ready, START_US, &anything, 1, 2);
    assert_int_equal(ready_next_us(ready, START_US), START_US + 5);
    struct ready_depth depth = ready_depth(ready, NULL, NULL, START_US);
    assert_int_equal(depth.waiting, 2);
    assert_int_equal(depth.due, 1);
    assert_int_equal(depth.running, 1);
    assert_int_equal(depth.oldest_us, START_US);
    /* Seen by depth without a take. */
    assert_int_equal(ready_depth(ready, NULL, "default", START_US + 5).due, 2);
    assert_int_equal(ready_next_us(ready, START_US + 5), INT64_MAX);
    EXPECT_TAKE(ready, START_US + 4, &anything, 1, 3);
    EXPECT_TAKE(ready, START_US + 4, &anything, 1, 0);
    EXPECT_TAKE(ready, START_US + 5, &anything, 1, 1);
    ready_destroy(&ready);
}

static void test_queue_concurrency(void **state)
{
    (void)state;
    struct ready *ready = ready_create(AGEING_US);
    struct uuid tenant = tenant_of(1);
    ready_set_rules(ready, &tenant, "default", &(struct ready_rules){.concurrency = 2});
    put_many(ready, 1, 5, 1);
    put_many(ready, 11, 1, 2);
    EXPECT_TAKE(ready, START_US, &anything, 9, 1, 11, 2);
    ready_remove(ready, 1);
    EXPECT_TAKE(ready, START_US, &anything, 9, 3);
    /* Given back: the same one again. */
    struct ready_job back = job_of(2, 1);
    ready_put(ready, &back);
    assert_true(ready_is_waiting(ready, 2));
    EXPECT_TAKE(ready, START_US, &anything, 9, 2);
    assert_false(ready_is_waiting(ready, 2));
    /* One more, which somebody else has claimed: over the limit, and it still counts. */
    struct ready_job other = job_of(4, 1);
    ready_put_running(ready, &other);
    ready_remove(ready, 2);
    EXPECT_TAKE(ready, START_US, &anything, 9, 0);
    ready_remove(ready, 3);
    EXPECT_TAKE(ready, START_US, &anything, 9, 5);
    ready_set_rules(ready, &tenant, "default", NULL);
    put_many(ready, 6, 2, 1);
    EXPECT_TAKE(ready, START_US, &anything, 9, 6, 7);
    ready_destroy(&ready);
}

static struct ready_job keyed(int64_t id, const char *key, const char *type)
{
    struct ready_job job = job_of(id, 1);
    job.concurrency_key = key;
    job.type = type;
    return job;
}

static void test_concurrency_keys(void **state)
{
    (void)state;
    struct ready *ready = ready_create(AGEING_US);
    for (int64_t id = 1; id <= 6; id++) {
        struct ready_job job = keyed(id, id % 2 == 1 ? "odd" : "even", id <= 4 ? "work" : "play");
        ready_put(ready, &job);
    }
    EXPECT_TAKE(ready, START_US, &anything, 9, 1, 2);
    EXPECT_TAKE(ready, START_US, &anything, 9, 0);
    /* A key that is free again is free for every type: 3 and 5 wait for it. */
    ready_remove(ready, 1);
    static const char *const play[] = {"play"};
    const struct ready_filter players = {.types = play, .types_count = 1};
    EXPECT_TAKE(ready, START_US, &players, 9, 5);
    ready_remove(ready, 5);
    EXPECT_TAKE(ready, START_US, &anything, 9, 3);
    /* The best of those that wait leaves: the next is there when the key is free. */
    ready_remove(ready, 4);
    ready_remove(ready, 2);
    EXPECT_TAKE(ready, START_US, &anything, 9, 6);
    /* Two at once from now on. */
    for (int64_t id = 11; id <= 15; id++) {
        struct ready_job job = keyed(id, "odd", "work");
        ready_put(ready, &job);
    }
    EXPECT_TAKE(ready, START_US, &anything, 9, 0);
    struct uuid tenant = tenant_of(1);
    ready_set_rules(ready, &tenant, "default", &(struct ready_rules){.key_concurrency = 2});
    EXPECT_TAKE(ready, START_US, &anything, 9, 11);
    ready_set_rules(ready, &tenant, "default", &(struct ready_rules){.key_concurrency = 0});
    EXPECT_TAKE(ready, START_US, &anything, 9, 12, 13, 14, 15);
    ready_destroy(&ready);
}

static void test_rates(void **state)
{
    (void)state;
    struct ready *ready = ready_create(AGEING_US);
    struct uuid tenant = tenant_of(1);
    ready_set_rules(ready, &tenant, "default",
                    &(struct ready_rules){.rate_per_minute = 60, .rate_burst = 2});
    put_many(ready, 1, 9, 1);
    EXPECT_TAKE(ready, START_US, &anything, 9, 1, 2);
    assert_int_equal(ready_next_us(ready, START_US), START_US + SECOND_US);
    EXPECT_TAKE(ready, START_US + SECOND_US - 1, &anything, 9, 0);
    EXPECT_TAKE(ready, START_US + SECOND_US, &anything, 9, 3);
    /* The clock goes back an hour: no longer shut out than by the burst. */
    EXPECT_TAKE(ready, START_US - 3600 * (int64_t)SECOND_US, &anything, 9, 0);
    EXPECT_TAKE(ready, START_US - 3598 * (int64_t)SECOND_US, &anything, 9, 4, 5);
    ready_destroy(&ready);
}

static void test_pauses_and_holds(void **state)
{
    (void)state;
    struct ready *ready = ready_create(AGEING_US);
    struct uuid tenant = tenant_of(1);
    put_many(ready, 1, 9, 1);
    ready_pause_type(ready, &tenant, "", true);
    EXPECT_TAKE(ready, START_US, &anything, 1, 0);
    EXPECT_TAKE(ready, START_US, &(struct ready_filter){.tenant = &tenant}, 1, 0);
    ready_pause_type(ready, &tenant, "", false);
    EXPECT_TAKE(ready, START_US, &anything, 1, 1);
    ready_pause_type(ready, &tenant, "work", true);
    EXPECT_TAKE(ready, START_US, &anything, 1, 0);
    ready_pause_type(ready, &tenant, "work", false);
    EXPECT_TAKE(ready, START_US, &anything, 1, 2);
    ready_set_rules(ready, &tenant, "default", &(struct ready_rules){.paused = true});
    EXPECT_TAKE(ready, START_US, &anything, 1, 0);
    assert_int_equal(ready_depth(ready, &tenant, NULL, START_US).due, 7);
    ready_set_rules(ready, &tenant, "default", NULL);
    EXPECT_TAKE(ready, START_US, &anything, 1, 3);
    ready_hold_type(ready, &tenant, "work", START_US + 7);
    EXPECT_TAKE(ready, START_US + 6, &anything, 1, 0);
    assert_int_equal(ready_next_us(ready, START_US + 6), START_US + 7);
    EXPECT_TAKE(ready, START_US + 7, &anything, 1, 4);
    ready_destroy(&ready);
}

static void test_filters(void **state)
{
    (void)state;
    struct ready *ready = ready_create(AGEING_US);
    static const char *const queues[] = {"slow", "default"};
    static const char *const types[] = {"work", "play", "rest"};
    for (int64_t id = 1; id <= 12; id++) {
        struct ready_job job = job_of(id, 1);
        job.queue = queues[id % 2];
        job.type = types[id % 3];
        ready_put(ready, &job);
    }
    const struct ready_filter rows[] = {
        {.types_never = types, .types_never_count = 2},
        {.types = types + 1, .types_count = 2},
        {.queues = queues, .queues_count = 1},
        /* What is named may be among the others too. */
        {.types = types, .types_count = 1, .types_never = types, .types_never_count = 1},
        {.queues = queues, .queues_count = 2, .types = queues, .types_count = 2},
    };
    EXPECT_TAKE(ready, START_US, &rows[0], 2, 2, 5);
    EXPECT_TAKE(ready, START_US, &rows[1], 2, 1, 4);
    EXPECT_TAKE(ready, START_US, &rows[2], 2, 6, 8);
    EXPECT_TAKE(ready, START_US, &rows[3], 1, 3);
    EXPECT_TAKE(ready, START_US, &rows[4], 1, 0);
    ready_destroy(&ready);
}

static void test_a_changed_job(void **state)
{
    (void)state;
    struct ready *ready = ready_create(AGEING_US);
    put_many(ready, 1, 3, 1);
    struct ready_job job = job_of(3, 1);
    job.priority = 1;
    ready_put(ready, &job);
    EXPECT_TAKE(ready, START_US, &anything, 1, 3);
    job.run_at_us = START_US + 100; /* tried again, later */
    ready_put(ready, &job);
    EXPECT_TAKE(ready, START_US, &anything, 9, 1, 2);
    EXPECT_TAKE(ready, START_US + 100, &anything, 9, 3);
    ready_remove(ready, 77);
    assert_int_equal(ready_depth(ready, NULL, NULL, START_US).running, 3);
    ready_destroy(&ready);
}

static void count_queue(void *arg, const struct uuid *tenant, const char *queue,
                        const struct ready_depth *depth)
{
    size_t *seen = arg;
    seen[tenant->bytes[15]] += depth->waiting * 100 + depth->running;
    assert_string_equal(queue, "default");
}

static void test_each_queue(void **state)
{
    (void)state;
    struct ready *ready = ready_create(AGEING_US);
    put_many(ready, 1, 3, 1);
    put_many(ready, 11, 2, 2);
    put_many(ready, 21, 1, 3);
    ready_remove(ready, 21);
    EXPECT_TAKE(ready, START_US, &anything, 1, 1);
    size_t seen[4] = {0};
    ready_each_queue(ready, START_US, count_queue, seen);
    assert_int_equal(seen[1], 201);
    assert_int_equal(seen[2], 200);
    assert_int_equal(seen[3], 0);
    ready_destroy(&ready);
}

/* ---- against the model ---- */

static const char *const queue_names[] = {"a", "b", "c"};
static const char *const type_names[] = {"t1", "t2", "t3", "t4"};
static const char *const key_names[] = {"", "", "", "k1", "k2", "k3"};

struct play {
    struct ready *ready;
    struct model model;
    uint64_t random;
    int64_t now_us;
};

static unsigned pick(struct play *play, unsigned below)
{
    play->random = play->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(play->random >> 33) % below;
}

static struct ready_job random_job(struct play *play)
{
    struct ready_job job = {.id = 1 + pick(play, MODEL_JOBS - 1),
                            .tenant = tenant_of(pick(play, 5)),
                            .queue = queue_names[pick(play, 3)],
                            .type = type_names[pick(play, 4)],
                            .concurrency_key = key_names[pick(play, 6)],
                            .priority = (int)pick(play, 5) - 2};
    job.run_at_us = play->now_us - 20 + pick(play, 30);
    return job;
}

static struct ready_filter random_filter(struct play *play, struct uuid *tenant)
{
    struct ready_filter filter = {0};
    if (pick(play, 4) == 0) {
        *tenant = tenant_of(pick(play, 5));
        filter.tenant = tenant;
    }
    if (pick(play, 3) == 0) {
        filter.queues = queue_names + pick(play, 2);
        filter.queues_count = 1 + pick(play, 2);
    }
    if (pick(play, 3) == 0) {
        filter.types = type_names + pick(play, 3);
        filter.types_count = 1 + pick(play, 2);
    }
    if (pick(play, 3) == 0) {
        filter.types_never = type_names + pick(play, 2);
        filter.types_never_count = 1 + pick(play, 3);
    }
    return filter;
}

static void step_put(struct play *play)
{
    struct ready_job job = random_job(play);
    bool running = pick(play, 8) == 0;
    model_put(&play->model, &job, running);
    (running ? ready_put_running : ready_put)(play->ready, &job);
}

static void step_again(struct play *play)
{
    const struct model_job *one = &play->model.jobs[1 + pick(play, MODEL_JOBS - 1)];
    if (one->known) {
        struct ready_job job = one->job;
        if (pick(play, 2) == 0) {
            job.run_at_us = play->now_us + pick(play, 20);
        }
        model_put(&play->model, &job, false);
        ready_put(play->ready, &job);
    }
}

static void step_remove(struct play *play)
{
    int64_t id = 1 + pick(play, MODEL_JOBS - 1);
    play->model.jobs[id].known = false;
    ready_remove(play->ready, id);
}

static void step_rules(struct play *play)
{
    struct uuid id = tenant_of(pick(play, 5));
    struct model_tenant *tenant = model_tenant(&play->model, &id);
    struct model_queue *queue = model_queue(tenant, queue_names[pick(play, 3)]);
    unsigned old = queue->rules.rate_per_minute;
    queue->rules = (struct ready_rules){.paused = pick(play, 8) == 0,
                                        .concurrency = pick(play, 3) * pick(play, 6),
                                        .key_concurrency = pick(play, 4),
                                        .rate_per_minute = pick(play, 2) * 700001,
                                        .rate_burst = pick(play, 4)};
    bool none = pick(play, 6) == 0;
    if (none) {
        queue->rules = (struct ready_rules){.key_concurrency = 1};
    }
    if (old != queue->rules.rate_per_minute) {
        queue->rate.rest = 0;
    }
    if (none) {
        queue->rate = (struct gcra){0};
    }
    ready_set_rules(play->ready, &id, queue->name, none ? NULL : &queue->rules);
}

static void step_types(struct play *play)
{
    struct uuid id = tenant_of(pick(play, 5));
    struct model_tenant *tenant = model_tenant(&play->model, &id);
    struct model_type *type = model_type(tenant, type_names[pick(play, 4)]);
    switch (pick(play, 4)) {
    case 0:
        type->held_until_us = play->now_us - 5 + pick(play, 40);
        ready_hold_type(play->ready, &id, type->name, type->held_until_us);
        break;
    case 1:
        type->paused = pick(play, 3) == 0;
        ready_pause_type(play->ready, &id, type->name, type->paused);
        break;
    case 2:
        tenant->paused = pick(play, 3) == 0;
        ready_pause_type(play->ready, &id, "", tenant->paused);
        break;
    default:
        tenant->weight = 1 + pick(play, 3);
        ready_set_weight(play->ready, &id, tenant->weight);
    }
}

static void step_take(struct play *play)
{
    struct uuid tenant;
    struct ready_filter filter = random_filter(play, &tenant);
    size_t max = pick(play, 24);
    int64_t expected[IDS_MAX];
    int64_t peeked[IDS_MAX];
    int64_t taken[IDS_MAX];
    size_t peeks = 0;
    bool peek = pick(play, 2) == 0;
    if (peek) {
        peeks = ready_peek(play->ready, play->now_us, &filter, peeked, max);
    }
    size_t count = model_take(&play->model, play->now_us, &filter, expected, max);
    assert_int_equal(ready_take(play->ready, play->now_us, &filter, taken, max), count);
    assert_memory_equal(taken, expected, count * sizeof *taken);
    if (peek) {
        assert_int_equal(peeks, count);
        assert_memory_equal(peeked, expected, count * sizeof *taken);
    }
}

static size_t runnable(struct play *play, int64_t now_us)
{
    size_t count = 0;
    for (size_t i = 0; i < MODEL_JOBS; i++) {
        count += model_may_run(&play->model, &play->model.jobs[i], now_us) ? 1 : 0;
    }
    return count;
}

static void check(struct play *play)
{
    int64_t next_us = ready_next_us(play->ready, play->now_us);
    assert_true(next_us > play->now_us);
    if (next_us == INT64_MAX) {
        next_us = play->now_us + 1000 * (int64_t)SECOND_US;
    }
    assert_int_equal(runnable(play, next_us - 1), runnable(play, play->now_us));
    struct ready_depth depth = {0};
    struct uuid id = tenant_of(pick(play, 5));
    const char *queue = queue_names[pick(play, 3)];
    for (size_t i = 0; i < MODEL_JOBS; i++) {
        const struct model_job *one = &play->model.jobs[i];
        bool waits = one->known && !one->running;
        assert_int_equal(ready_is_waiting(play->ready, (int64_t)i), waits);
        if (!one->known || !uuid_equal(&one->job.tenant, &id) ||
            strcmp(one->job.queue, queue) != 0) {
            continue;
        }
        depth.running += waits ? 0 : 1;
        depth.waiting += waits ? 1 : 0;
        if (waits && one->job.run_at_us <= play->now_us) {
            depth.due++;
            if (depth.oldest_us == 0 || one->job.run_at_us < depth.oldest_us) {
                depth.oldest_us = one->job.run_at_us;
            }
        }
    }
    struct ready_depth told = ready_depth(play->ready, &id, queue, play->now_us);
    assert_memory_equal(&told, &depth, sizeof depth);
}

static void step(struct play *play)
{
    switch (pick(play, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
        step_put(play);
        break;
    case 5:
        step_again(play);
        break;
    case 6:
    case 7:
    case 8:
        step_remove(play);
        break;
    case 9:
        step_rules(play);
        break;
    case 10:
        step_types(play);
        break;
    case 11:
    case 12:
        play->now_us += pick(play, 10) * pick(play, 10);
        break;
    default:
        step_take(play);
    }
}

static void test_like_the_model(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 12; seed++) {
        struct play *play = calloc(1, sizeof *play);
        assert_non_null(play);
        int64_t ageing_us = seed % 4 == 0 ? 0 : seed % 4 == 1 ? 3 : 10;
        *play = (struct play){.ready = ready_create(ageing_us), .random = seed, .now_us = START_US};
        play->model.ageing_us = ageing_us;
        for (unsigned n = 0; n < 5; n++) { /* tenants are known in this order */
            struct uuid id = tenant_of(n);
            model_tenant(&play->model, &id);
            ready_set_weight(play->ready, &id, 1);
        }
        for (int i = 0; i < 4000; i++) {
            step(play);
            if (i % 16 == 0) {
                check(play);
            }
        }
        ready_destroy(&play->ready);
        free(play);
    }
}

/* A key that is used up is looked at once, not once a take. */
static void test_a_crowd_costs_nothing_while_it_waits(void **state)
{
    (void)state;
    enum { CROWD = 100000 };
    struct ready *ready = ready_create(AGEING_US);
    for (int64_t id = 1; id <= CROWD; id++) {
        struct ready_job job = keyed(id, "one", "work");
        ready_put(ready, &job);
    }
    /* With a look at all of them each time, this would be ten thousand million. */
    for (int64_t id = 1; id <= CROWD; id++) {
        int64_t got = 0;
        assert_int_equal(ready_take(ready, START_US, &anything, &got, 1), 1);
        assert_int_equal(got, id);
        assert_int_equal(ready_take(ready, START_US, &anything, &got, 1), 0);
        ready_remove(ready, id);
    }
    assert_int_equal(ready_depth(ready, NULL, NULL, START_US).waiting, 0);
    ready_destroy(&ready);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tenants_take_turns),
        cmocka_unit_test(test_a_newcomer_is_seen),
        cmocka_unit_test(test_turns_are_longer_when_many_are_taken),
        cmocka_unit_test(test_weights_are_shares),
        cmocka_unit_test(test_takes_of_one_tenant_are_no_turns),
        cmocka_unit_test(test_priority_then_age_then_id),
        cmocka_unit_test(test_without_ageing_priority_is_all),
        cmocka_unit_test(test_not_before_its_time),
        cmocka_unit_test(test_queue_concurrency),
        cmocka_unit_test(test_concurrency_keys),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_pauses_and_holds),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_a_changed_job),
        cmocka_unit_test(test_each_queue),
        cmocka_unit_test(test_like_the_model),
        cmocka_unit_test(test_a_crowd_costs_nothing_while_it_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
