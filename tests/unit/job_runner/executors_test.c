/* Attempts of built-in kinds: they end exactly once, whatever happens around them. */
#include "job-runner/executors.h"

#include "fakes.h"
#include "runtime/base/clock.h"

#include <event2/event.h>

static void test_a_job_is_completed_once(void **state)
{
    (void)state;
    fake_start();
    assert_int_equal(fake.room, 10);
    assert_non_null(strstr(fake.types, "noop "));
    fake_give(1, "noop", "{\"warn\":true,\"progress\":40}", 1);
    assert_int_equal(fake.reports_count, 0); /* not from within the claim */
    fake_turn();
    assert_int_equal(fake.reports_count, 1);
    assert_int_equal(fake_last()->what, JOB_COMPLETE);
    assert_int_equal(fake_last()->events, 1);
    assert_string_equal(fake_last()->result, "{}");
    assert_int_equal(fake.percent, 40);
    fake_turn();
    assert_int_equal(fake.room, 10); /* the place is free before the outcome is known */
    assert_int_equal(fake.leases_count, 1);
    assert_int_equal(executors_count(fake.runner.executors).busy, 1);
    fake_answer(0, JOB_OUTCOME_OK);
    fake_turn();
    assert_int_equal(fake.leases_count, 0);
    struct executors_count count = executors_count(fake.runner.executors);
    assert_int_equal(count.busy, 0);
    assert_int_equal(count.begun, 1);
    assert_int_equal(count.success, 1);
}

static void test_room_is_what_is_free(void **state)
{
    (void)state;
    fake_set(SETTING_JOBS_EXECUTORS, "3");
    fake_start();
    fake_give(1, "noop", "{\"sleep_ms\":600000}", 1);
    fake_give(2, "noop", "{\"sleep_ms\":600000}", 1);
    fake_turn();
    assert_int_equal(fake.room, 1);
    fake_set(SETTING_JOBS_EXECUTORS, "1");
    executors_reload(fake.runner.executors);
    assert_int_equal(fake.room, 0);
    fake_set(SETTING_JOBS_EXECUTORS, "5");
    executors_reload(fake.runner.executors);
    assert_int_equal(fake.room, 3);
}

/* Many executors: a slow machine must not make a job of nothing long. */
static void test_short_jobs_are_claimed_ahead(void **state)
{
    (void)state;
    fake_set(SETTING_JOBS_EXECUTORS, "100");
    fake_set(SETTING_JOBS_CLAIM_AHEAD, "20");
    fake_start();
    assert_int_equal(fake.room, 100); /* nothing is known yet */
    fake_give(1, "noop", "{}", 1);
    fake_turn();
    assert_int_equal(fake.room, 120);
    fake_give(2, "noop", "{\"sleep_ms\":600000}", 1);
    fake_turn();
    assert_int_equal(fake.room, 119);
}

static void test_nothing_is_claimed_ahead_of_a_newcomer(void **state)
{
    (void)state;
    struct ready *ready = fake.runner.ready;
    const struct ready_filter anything = {0};
    int64_t ids[1];
    struct ready_job job = {.queue = "q", .type = "t", .concurrency_key = ""};
    fake_set(SETTING_JOBS_EXECUTORS, "100");
    fake_set(SETTING_JOBS_CLAIM_AHEAD, "20");
    fake_start();
    (void)ready_take(ready, clock_real_us(), &anything, ids, 0);
    for (uint8_t i = 1; i <= 2; i++) {
        job.id = i;
        job.tenant.bytes[0] = i;
        ready_put(ready, &job);
    }
    fake_give(1, "noop", "{}", 1);
    fake_turn();
    assert_int_equal(fake.room, 100);
}

static void test_what_waits_too_long_goes_back(void **state)
{
    (void)state;
    fake_set(SETTING_JOBS_EXECUTORS, "2");
    fake_set(SETTING_JOBS_CLAIM_AHEAD, "20");
    fake_start();
    for (int64_t id = 1; id <= 3; id++) {
        fake_give(id, "noop", "{\"sleep_ms\":600000}", 1);
    }
    fake_turn();
    assert_int_equal(fake.reports_count, 0);
    assert_int_equal(fake.room, 0);
    while (fake.reports_count == 0) {
        event_base_loop(fake.actor.base, EVLOOP_ONCE);
    }
    assert_int_equal(fake_last()->what, JOB_RELEASE);
    assert_int_equal(fake_last()->job.bytes[0], 3);
    assert_int_equal(fake.room, 0);
    fake_answer(0, JOB_OUTCOME_OK);
    fake_turn();
    assert_int_equal(fake.reports_count, 1);
}

static void test_no_more_than_max_jobs(void **state)
{
    (void)state;
    fake_set(SETTING_JOBS_MAX_JOBS, "2");
    fake_start();
    assert_int_equal(fake.room, 2);
    fake_give(1, "noop", "{}", 1);
    fake_turn();
    assert_int_equal(fake.room, 1);
    fake_give(2, "noop", "{}", 1);
    fake_turn();
    fake_answer(0, JOB_OUTCOME_OK);
    fake_answer(1, JOB_OUTCOME_OK);
    fake_turn();
    assert_int_equal(fake.room, 0);
    assert_true(executors_is_idle(fake.runner.executors));
}

static void test_failing_as_told(void **state)
{
    (void)state;
    static const char payload[] = "{\"fail\":2,\"class\":\"rate_limited\",\"retry_ms\":70}";
    fake_start();
    fake_give(1, "noop", payload, 2);
    fake_turn();
    assert_int_equal(fake_last()->what, JOB_FAIL);
    assert_int_equal(fake_last()->class, JOB_CLASS_RATE_LIMITED);
    assert_int_equal(fake_last()->retry_ms, 70);
    fake_give(2, "noop", payload, 3);
    fake_turn();
    assert_int_equal(fake_last()->what, JOB_COMPLETE);
}

static void test_a_bad_payload_is_fatal(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "[]",
        "1",
        "{\"sleep_ms\":-1}",
        "{\"sleep_ms\":\"1\"}",
        "{\"fail\":1.5}",
        "{\"class\":1}",
        "{\"class\":\"x\"}",
        "{\"warn\":1}",
        "{",
    };
    fake_start();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fake_give((int64_t)i + 1, "noop", bad[i], 1);
        fake_turn();
        assert_int_equal(fake_last()->what, JOB_FAIL);
        assert_int_equal(fake_last()->class, JOB_CLASS_FATAL);
        assert_true(fake_last()->reason[0] != '\0');
    }
}

/* Cancelled, or its claim lost: the kind is told, and what it had begun is undone. */
static void test_a_cancel_reaches_the_kind(void **state)
{
    (void)state;
    fake_start();
    fake_give(1, "noop", "{\"sleep_ms\":600000}", 1);
    fake_turn();
    fake.leases[0].cancelled(fake.leases[0].arg, false);
    assert_int_equal(fake.reports_count, 1);
    assert_int_equal(fake_last()->what, JOB_RELEASE);
    fake.leases[0].cancelled(fake.leases[0].arg, true); /* it has ended already */
    assert_int_equal(fake.reports_count, 1);
}

static void test_a_cancel_before_it_begins(void **state)
{
    (void)state;
    fake_start();
    fake_give(1, "noop", "{}", 1);
    fake.leases[0].cancelled(fake.leases[0].arg, true);
    fake_turn();
    assert_int_equal(fake.reports_count, 1);
    assert_int_equal(fake_last()->what, JOB_RELEASE);
    fake_answer(0, JOB_OUTCOME_LEASE_LOST);
    fake_turn();
    assert_int_equal(executors_count(fake.runner.executors).success, 0);
    assert_true(executors_is_idle(fake.runner.executors));
}

/* A completion that can never be taken must not be tried for ever. */
static void test_a_refused_completion_fails_the_job(void **state)
{
    static const enum job_outcome outcomes[] = {JOB_OUTCOME_RUN_CLOSED, JOB_OUTCOME_REFUSED};
    (void)state;
    fake_start();
    for (size_t i = 0; i < 2; i++) {
        fake_give((int64_t)i + 1, "noop", "{\"warn\":true}", 1);
        fake_turn();
        fake_answer(2 * i, outcomes[i]);
        assert_int_equal(fake.reports_count, 2 * i + 2);
        assert_int_equal(fake_last()->what, JOB_FAIL);
        assert_int_equal(fake_last()->class, JOB_CLASS_FATAL);
        assert_int_equal(fake_last()->events, 0);
        fake_answer(2 * i + 1, outcomes[i]);
        fake_turn();
        assert_true(executors_is_idle(fake.runner.executors));
    }
    assert_int_equal(executors_count(fake.runner.executors).success, 0);
}

static void test_a_drain_gives_everything_back(void **state)
{
    (void)state;
    fake_start();
    fake_give(1, "noop", "{\"sleep_ms\":600000}", 1);
    fake_turn();
    fake_give(2, "noop", "{}", 1); /* has not begun */
    fake.actor.draining = true;
    fake.runner.drain_until_ms = INT64_MAX / 4;
    executors_drain(fake.runner.executors);
    assert_false(fake.demand_open);
    assert_int_equal(fake.reports_count, 2);
    assert_int_equal(fake.reports[0].what, JOB_RELEASE);
    assert_int_equal(fake.reports[1].what, JOB_RELEASE);
    assert_false(executors_is_idle(fake.runner.executors));
    fake_answer(0, JOB_OUTCOME_OK);
    fake_answer(1, JOB_OUTCOME_OK);
    fake_turn();
    assert_true(executors_is_idle(fake.runner.executors));
    assert_int_equal(fake.settles, 1);
}

/* ---- a kind that finishes what it has begun ---- */

static int cancelled;

static void slow_begin(struct attempt *attempt)
{
    attempt_set_state(attempt, &cancelled);
}

static void slow_cancel(struct attempt *attempt)
{
    cancelled++;
    attempt_release(attempt);
}

static void on_ended(void *arg, struct attempt *attempt)
{
    (void)arg;
    assert_false(attempt_is_open(attempt));
}

static void on_settled(void *arg, struct attempt *attempt, bool success)
{
    (void)attempt;
    *(int *)arg = success ? 1 : 2;
}

static void fail_with_a_cut(struct attempt *attempt)
{
    attempt_fail(attempt, JOB_CLASS_FATAL, "caf\xc3\xa9 \xc3", 0);
}

static void test_words_that_were_cut(void **state)
{
    (void)state;
    static const struct kind cut = {.type = "cut", .begin = fail_with_a_cut};
    int settled = 0;
    struct attempt_watcher watcher = {on_ended, on_settled, &settled};
    struct claimed claimed = {.id = 5, .key = "k", .type = "cut", .lease_ms = 1};
    struct attempt *attempt = attempt_create(&fake.runner, &claimed, &cut, &watcher);
    attempt_begin(attempt);
    assert_string_equal(fake_last()->reason, "caf\xc3\xa9 ");
    fake_answer(0, JOB_OUTCOME_OK);
    attempt_destroy(&attempt);
}

static void test_a_patient_stop(void **state)
{
    (void)state;
    static const struct kind slow = {.type = "slow",
                                     .does = "waits",
                                     .idempotency = "has no effect",
                                     .begin = slow_begin,
                                     .cancel = slow_cancel,
                                     .finishes = true};
    int settled = 0;
    struct attempt_watcher watcher = {on_ended, on_settled, &settled};
    struct claimed claimed = {.id = 5, .key = "k", .type = "slow", .lease_ms = 1};
    struct attempt *attempt = attempt_create(&fake.runner, &claimed, &slow, &watcher);
    char key[ATTEMPT_EFFECT_KEY_SIZE];
    char other[ATTEMPT_EFFECT_KEY_SIZE];
    cancelled = 0;
    attempt_begin(attempt);
    attempt_effect_key(attempt, "", key);
    attempt_effect_key(attempt, "b", other);
    assert_int_equal(strlen(key), 64);
    assert_string_not_equal(key, other);
    attempt_stop(attempt, true);
    assert_int_equal(cancelled, 0);
    attempt_stop(attempt, false);
    assert_int_equal(cancelled, 1);
    attempt_stop(attempt, false); /* it has ended */
    assert_int_equal(cancelled, 1);
    fake_answer(0, JOB_OUTCOME_OK);
    assert_int_equal(settled, 2); /* given back is no success */
    attempt_destroy(&attempt);
}

static void test_the_effect_key_is_of_the_job(void **state)
{
    (void)state;
    static const struct kind none = {.type = "none"};
    struct attempt_watcher watcher = {on_ended, on_settled, NULL};
    struct claimed claimed = {.id = 5, .key = "k", .type = "none", .lease_ms = 1, .attempt = 1};
    char keys[4][ATTEMPT_EFFECT_KEY_SIZE];
    for (size_t i = 0; i < 4; i++) {
        claimed.attempt = i == 1 ? 2 : 1; /* another attempt: the same key */
        claimed.key = i == 2 ? "l" : "k";
        claimed.tenant.bytes[0] = i == 3;
        struct attempt *attempt = attempt_create(&fake.runner, &claimed, &none, &watcher);
        attempt_effect_key(attempt, "", keys[i]);
        attempt_destroy(&attempt);
    }
    assert_string_equal(keys[0], keys[1]);
    assert_string_not_equal(keys[0], keys[2]);
    assert_string_not_equal(keys[0], keys[3]);
}

#define WITH_FAKES(test) cmocka_unit_test_setup_teardown(test, fake_open, fake_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FAKES(test_a_job_is_completed_once),
        WITH_FAKES(test_room_is_what_is_free),
        WITH_FAKES(test_short_jobs_are_claimed_ahead),
        WITH_FAKES(test_nothing_is_claimed_ahead_of_a_newcomer),
        WITH_FAKES(test_what_waits_too_long_goes_back),
        WITH_FAKES(test_no_more_than_max_jobs),
        WITH_FAKES(test_failing_as_told),
        WITH_FAKES(test_a_bad_payload_is_fatal),
        WITH_FAKES(test_a_cancel_reaches_the_kind),
        WITH_FAKES(test_a_cancel_before_it_begins),
        WITH_FAKES(test_a_refused_completion_fails_the_job),
        WITH_FAKES(test_a_drain_gives_everything_back),
        WITH_FAKES(test_a_patient_stop),
        WITH_FAKES(test_words_that_were_cut),
        WITH_FAKES(test_the_effect_key_is_of_the_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
