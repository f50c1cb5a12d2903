/* What a job-runner knows of jobs and rules while statements about them are under way. */
#include "job-runner/jobs.h"

#include "alone.h"

#include <poll.h>

enum { PATIENCE_MS = 20000, BOUND_MS = 500 };

static const struct alone_job waiting[] = {{.id = 1}};

/* ---- shards ---- */

static void a_shard_that_goes_before_it_was_read_leaves_nothing(void **state)
{
    struct jobs *jobs = alone.runner.jobs;
    (void)state;
    alone_know_rules();
    alone_hold(1U << ALONE_SHARD);
    assert_false(jobs_is_known(jobs));
    assert_non_null(alone_asked(&store_open_page));
    alone_hold(0);
    assert_true(jobs_is_known(jobs));
    alone_show(&store_open_page, waiting, 1);
    assert_int_equal(jobs_count(jobs), 0);
    assert_null(alone_asked(&store_open_page));
}

/* The reading under way began for the first time it was ours: what ran then may not be what runs now,
 * and nothing is begun before it has been read anew. */
static void and_one_that_comes_back_is_read_anew(void **state)
{
    struct jobs *jobs = alone.runner.jobs;
    (void)state;
    alone_know_rules();
    struct claim_demand *demand = alone_demand(60000);
    alone_hold(1U << ALONE_SHARD);
    alone_hold(0);
    alone_hold(1U << ALONE_SHARD);
    alone_show(&store_open_page, waiting, 1);
    assert_false(jobs_is_known(jobs));
    assert_int_equal(alone.change_count, 0);
    alone_show(&store_open_page, waiting, 1);
    assert_true(jobs_is_known(jobs));
    assert_int_equal(alone_said()->what, JOB_CLAIM);
    claim_close(&demand);
}

/* ---- doubts ---- */

static void heard_of(struct jobs *jobs)
{
    const struct change change = {
        .said = {.job = alone_job_of(1), .what = JOB_PROGRESS, .percent = -1}};
    jobs_outcome(jobs, &change, &(struct change_outcome){.outcome = JOB_OUTCOME_OK});
}

/* A row that is older than what was heard meanwhile settles no doubt. */
static void a_job_in_doubt_is_looked_up_until_it_is_known(void **state)
{
    struct jobs *jobs = alone.runner.jobs;
    (void)state;
    alone_own(waiting, 1);
    jobs_doubt(jobs, 1);
    alone_turn();
    struct claim_demand *demand = alone_demand(60000);
    assert_int_equal(alone.change_count, 0);
    heard_of(jobs);
    alone_show(&store_open_rows, waiting, 1);
    assert_int_equal(alone.change_count, 0);
    alone_show(&store_open_rows, waiting, 1);
    assert_int_equal(alone_said()->what, JOB_CLAIM);
    assert_null(alone_asked(&store_open_rows));
    claim_close(&demand);
}

static void one_that_is_gone_is_forgotten_whatever_was_heard(void **state)
{
    struct jobs *jobs = alone.runner.jobs;
    (void)state;
    alone_own(waiting, 1);
    jobs_doubt(jobs, 1);
    alone_turn();
    heard_of(jobs);
    alone_show(&store_open_rows, NULL, 0);
    assert_int_equal(jobs_count(jobs), 1);
    alone_show(&store_open_rows, NULL, 0);
    assert_int_equal(jobs_count(jobs), 0);
}

/* ---- rules ---- */

static void nothing_is_claimed_until_changed_rules_are_read(void **state)
{
    (void)state;
    alone_own(waiting, 1);
    rules_changed(alone.runner.rules);
    struct claim_demand *demand = alone_demand(60000);
    assert_false(rules_are_known(alone.runner.rules));
    assert_int_equal(alone.change_count, 0);
    alone_answer(&store_rules, DB_OK, alone_rows(8));
    assert_int_equal(alone_said()->what, JOB_CLAIM);
    claim_close(&demand);
}

/* The reading that was under way may have begun before the change. */
static void a_change_during_a_reading_is_read_by_another(void **state)
{
    struct rules *rules = alone.runner.rules;
    (void)state;
    alone_know_rules();
    rules_read(rules);
    rules_changed(rules);
    alone_answer(&store_rules, DB_OK, alone_rows(8));
    assert_false(rules_are_known(rules));
    alone_answer(&store_rules, DB_OK, alone_rows(8));
    assert_true(rules_are_known(rules));
    assert_null(alone_asked(&store_rules));
}

/* A tenant that changes its rules for ever stops nobody for ever. */
static void rules_that_cannot_be_read_hold_claims_up_for_a_while_only(void **state)
{
    (void)state;
    alone_own(waiting, 1);
    int64_t begun_ms = clock_monotonic_ms();
    rules_changed(alone.runner.rules);
    struct claim_demand *demand = alone_demand(60000);
    while (alone.change_count == 0 && clock_monotonic_ms() < begun_ms + PATIENCE_MS) {
        rules_changed(alone.runner.rules);
        alone_turn();
        (void)poll(NULL, 0, 5);
    }
    assert_int_equal(alone_said()->what, JOB_CLAIM);
    assert_true(clock_monotonic_ms() - begun_ms >= BOUND_MS);
    assert_non_null(alone_asked(&store_rules)); /* still not answered */
    claim_close(&demand);
}

static void rules_that_were_never_read_hold_claims_up_for_ever(void **state)
{
    (void)state;
    alone_hold(1U << ALONE_SHARD);
    alone_show(&store_open_page, waiting, 1);
    rules_changed(alone.runner.rules);
    struct claim_demand *demand = alone_demand(60000);
    int64_t end_ms = clock_monotonic_ms() + BOUND_MS + 100;
    while (clock_monotonic_ms() < end_ms) {
        alone_turn();
        (void)poll(NULL, 0, 20);
    }
    assert_int_equal(alone.change_count, 0);
    claim_close(&demand);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, alone_open, alone_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_shard_that_goes_before_it_was_read_leaves_nothing),
        TEST(and_one_that_comes_back_is_read_anew),
        TEST(a_job_in_doubt_is_looked_up_until_it_is_known),
        TEST(one_that_is_gone_is_forgotten_whatever_was_heard),
        TEST(nothing_is_claimed_until_changed_rules_are_read),
        TEST(a_change_during_a_reading_is_read_by_another),
        TEST(rules_that_cannot_be_read_hold_claims_up_for_a_while_only),
        TEST(rules_that_were_never_read_hold_claims_up_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
