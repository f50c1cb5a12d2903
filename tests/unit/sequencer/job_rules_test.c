/* What follows from a change of a job, case by case. */
#include "sequencer/job_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const int64_t now_us = INT64_C(1700000000) * 1000000;
static const struct uuid live = {{1}};
static const struct uuid other = {{2}};
static const struct job_terms terms = {.max_attempts = 3, .run_takes = true};
static const struct job_retry retry = {.base_ms = 2000, .cap_ms = 600000, .chance = UINT32_MAX};

static struct job_now waiting(void)
{
    return (struct job_now){.status = JOB_STATUS_PENDING, .run_at_us = now_us, .claim = 4};
}

static struct job_now running(void)
{
    struct job_now now = waiting();
    now.token = live;
    return now;
}

static struct job_now ended(enum job_status status)
{
    struct job_now now = waiting();
    now.status = status;
    now.last_token = live;
    return now;
}

static struct message_span text(const char *words)
{
    return (struct message_span){(const uint8_t *)words, strlen(words)};
}

static struct message_change_jobs_change ask(enum job_change what, const struct uuid *token)
{
    struct message_change_jobs_change change = {
        .what = what, .worker = text("w"), .lease_ms = 1000, .percent = -1};
    memcpy(change.token, token->bytes, sizeof change.token);
    return change;
}

static struct job_decision decide(struct job_now now, enum job_change what,
                                  const struct uuid *token)
{
    struct message_change_jobs_change change = ask(what, token);
    return job_rules_change(&now, &terms, &change, &retry, now_us);
}

static struct job_decision fail_with(struct job_now now, enum job_class class, uint64_t retry_ms)
{
    struct message_change_jobs_change change = ask(JOB_FAIL, &live);
    change.class = class;
    change.retry_ms = retry_ms;
    return job_rules_change(&now, &terms, &change, &retry, now_us);
}

static void refused(struct job_decision decision, enum job_outcome outcome)
{
    assert_int_equal(decision.outcome, outcome);
    assert_false(decision.changes);
    assert_int_equal(decision.event, 0);
}

static void test_claims_only_what_may_run(void **state)
{
    (void)state;
    struct job_decision decision = decide(waiting(), JOB_CLAIM, &live);
    assert_int_equal(decision.event, EVENT_TYPE_JOB_STARTED);
    assert_int_equal(decision.next.claim, 5);
    assert_int_equal(decision.event_claim, 5);
    assert_int_equal(decision.attempt, 1);
    assert_true(job_rules_is_running(&decision.next));
    struct job_now blocked[7];
    for (size_t i = 0; i < 7; i++) {
        blocked[i] = waiting();
    }
    blocked[0].deps_left = 1;
    blocked[1].dep_failed = true;
    blocked[2].cancel = true;
    blocked[3].run_at_us = now_us + 1000000;
    blocked[4].token = other;
    blocked[5] = ended(JOB_STATUS_SUCCESS);
    blocked[6] = ended(JOB_STATUS_CANCELLED);
    for (size_t i = 0; i < 7; i++) {
        refused(decide(blocked[i], JOB_CLAIM, &live), JOB_OUTCOME_NOT_READY);
    }
    refused(decide(running(), JOB_CLAIM, &live), JOB_OUTCOME_OK);
    refused(decide(waiting(), JOB_CLAIM, &(struct uuid){{0}}), JOB_OUTCOME_REFUSED);
    struct job_now now = waiting();
    struct job_terms closed = {.max_attempts = 3};
    struct message_change_jobs_change change = ask(JOB_CLAIM, &live);
    refused(job_rules_change(&now, &closed, &change, &retry, now_us), JOB_OUTCOME_NOT_READY);
}

static void test_only_the_live_claim_reports(void **state)
{
    (void)state;
    const enum job_change reports[] = {JOB_COMPLETE, JOB_FAIL, JOB_RELEASE, JOB_EXPIRE,
                                       JOB_PROGRESS};
    const struct uuid none = {{0}};
    for (size_t i = 0; i < sizeof reports / sizeof reports[0]; i++) {
        refused(decide(running(), reports[i], &other), JOB_OUTCOME_LEASE_LOST);
        refused(decide(running(), reports[i], &none), JOB_OUTCOME_LEASE_LOST);
        refused(decide(waiting(), reports[i], &none), JOB_OUTCOME_LEASE_LOST);
        refused(decide(ended(JOB_STATUS_SUCCESS), reports[i], &other), JOB_OUTCOME_LEASE_LOST);
    }
}

static void test_a_repeated_report_is_known_by_how_it_ended(void **state)
{
    (void)state;
    refused(decide(ended(JOB_STATUS_SUCCESS), JOB_COMPLETE, &live), JOB_OUTCOME_OK);
    refused(decide(ended(JOB_STATUS_CANCELLED), JOB_COMPLETE, &live), JOB_OUTCOME_OK);
    refused(decide(ended(JOB_STATUS_ERROR), JOB_COMPLETE, &live), JOB_OUTCOME_LEASE_LOST);
    refused(decide(ended(JOB_STATUS_ERROR), JOB_FAIL, &live), JOB_OUTCOME_OK);
    refused(decide(ended(JOB_STATUS_SUCCESS), JOB_FAIL, &live), JOB_OUTCOME_LEASE_LOST);
    struct job_now again = waiting();
    again.last_token = live;
    refused(decide(again, JOB_FAIL, &live), JOB_OUTCOME_OK);
    refused(decide(again, JOB_RELEASE, &live), JOB_OUTCOME_OK);
    refused(decide(again, JOB_COMPLETE, &live), JOB_OUTCOME_LEASE_LOST);
    refused(decide(ended(JOB_STATUS_SUCCESS), JOB_PROGRESS, &live), JOB_OUTCOME_ENDED);
}

static void test_success_or_cancelled_is_decided_at_the_end(void **state)
{
    (void)state;
    struct job_decision decision = decide(running(), JOB_COMPLETE, &live);
    assert_int_equal(decision.event, EVENT_TYPE_JOB_COMPLETED);
    assert_int_equal(decision.next.status, JOB_STATUS_SUCCESS);
    assert_int_equal(decision.next.attempts, 1);
    assert_true(uuid_equal(&decision.next.last_token, &live));
    struct job_now told = running();
    told.cancel = true;
    const enum job_change reports[] = {JOB_COMPLETE, JOB_FAIL, JOB_RELEASE, JOB_EXPIRE};
    for (size_t i = 0; i < sizeof reports / sizeof reports[0]; i++) {
        decision = decide(told, reports[i], &live);
        assert_int_equal(decision.event, EVENT_TYPE_JOB_CANCELLED);
        assert_int_equal(decision.next.status, JOB_STATUS_CANCELLED);
        assert_false(job_rules_is_running(&decision.next));
    }
}

static void test_failures_by_class(void **state)
{
    (void)state;
    struct job_decision decision = fail_with(running(), JOB_CLASS_RETRYABLE, 0);
    assert_int_equal(decision.event, EVENT_TYPE_JOB_RETRYING);
    assert_int_equal(decision.next.attempts, 1);
    assert_int_equal(decision.next.run_at_us, now_us + 2000000);
    decision = fail_with(running(), JOB_CLASS_RETRYABLE, 70);
    assert_int_equal(decision.next.run_at_us, now_us + 70000);
    decision = fail_with(running(), JOB_CLASS_RATE_LIMITED, 5000);
    assert_int_equal(decision.event, EVENT_TYPE_JOB_RETRYING);
    assert_int_equal(decision.next.attempts, 0);
    decision = fail_with(running(), JOB_CLASS_FATAL, 0);
    assert_int_equal(decision.event, EVENT_TYPE_JOB_FAILED);
    assert_string_equal(decision.class, "fatal");
    struct job_now last = running();
    last.attempts = 2;
    assert_int_equal(fail_with(last, JOB_CLASS_RETRYABLE, 0).event, EVENT_TYPE_JOB_FAILED);
    assert_int_equal(fail_with(last, JOB_CLASS_RATE_LIMITED, 0).event, EVENT_TYPE_JOB_RETRYING);
    refused(fail_with(running(), (enum job_class)9, 0), JOB_OUTCOME_REFUSED);
}

static void test_a_lost_lease_raises_the_fence(void **state)
{
    (void)state;
    struct job_decision decision = decide(running(), JOB_EXPIRE, &live);
    assert_int_equal(decision.event, EVENT_TYPE_JOB_RETRYING);
    assert_int_equal(decision.event_claim, 4);
    assert_int_equal(decision.next.claim, 5);
    assert_int_equal(decision.next.attempts, 1);
    assert_true(uuid_is_nil(&decision.next.last_token));
    struct job_now last = running();
    last.attempts = 2;
    decision = decide(last, JOB_EXPIRE, &live);
    assert_int_equal(decision.event, EVENT_TYPE_JOB_FAILED);
    assert_string_equal(decision.reason, "stuck_job_timeout");
    struct message_change_jobs_change never = ask(JOB_EXPIRE, &live);
    never.class = JOB_CLASS_RATE_LIMITED;
    decision = job_rules_change(&last, &terms, &never, &retry, now_us);
    assert_int_equal(decision.event, 0);
    assert_true(decision.changes);
    assert_int_equal(decision.next.attempts, 2);
    assert_int_equal(decision.next.claim, 5);
}

static void test_cancel_kill_retry_skip(void **state)
{
    (void)state;
    const struct uuid none = {{0}};
    assert_int_equal(decide(waiting(), JOB_CANCEL, &none).event, EVENT_TYPE_JOB_CANCELLED);
    struct job_decision decision = decide(running(), JOB_CANCEL, &none);
    assert_true(decision.changes && decision.next.cancel && decision.event == 0);
    refused(decide(ended(JOB_STATUS_CANCELLED), JOB_CANCEL, &none), JOB_OUTCOME_OK);
    refused(decide(ended(JOB_STATUS_SUCCESS), JOB_CANCEL, &none), JOB_OUTCOME_ENDED);
    refused(decide(running(), JOB_KILL, &none), JOB_OUTCOME_NOT_READY);
    struct job_now told = running();
    told.cancel = true;
    decision = decide(told, JOB_KILL, &none);
    assert_int_equal(decision.event, EVENT_TYPE_JOB_CANCELLED);
    assert_int_equal(decision.next.claim, 5);
    refused(decide(told, JOB_KILL, &other), JOB_OUTCOME_NOT_READY);
    refused(decide(waiting(), JOB_RETRY, &none), JOB_OUTCOME_ENDED);
    refused(decide(ended(JOB_STATUS_SUCCESS), JOB_RETRY, &none), JOB_OUTCOME_ENDED);
    decision = decide(ended(JOB_STATUS_ERROR), JOB_RETRY, &other);
    assert_int_equal(decision.event, EVENT_TYPE_JOB_QUEUED);
    assert_int_equal(decision.next.claim, 5);
    refused(decide(decision.next, JOB_RETRY, &other), JOB_OUTCOME_OK);
    refused(decide(waiting(), JOB_SKIP, &none), JOB_OUTCOME_NOT_READY);
    struct job_now skipped = waiting();
    skipped.dep_failed = true;
    assert_int_equal(decide(skipped, JOB_SKIP, &none).event, EVENT_TYPE_JOB_CANCELLED);
    struct job_terms fails = {.max_attempts = 3, .on_dep_fail = JOB_DEP_FAIL_FAIL};
    struct message_change_jobs_change change = ask(JOB_SKIP, &none);
    assert_int_equal(job_rules_change(&skipped, &fails, &change, &retry, now_us).event,
                     EVENT_TYPE_JOB_FAILED);
    refused(decide(running(), (enum job_change)77, &none), JOB_OUTCOME_REFUSED);
}

static void test_a_retry_is_one_retry_and_only_where_it_can_run(void **state)
{
    (void)state;
    const struct {
        struct job_now now;
        struct job_terms terms;
        enum job_outcome outcome;
    } cases[] = {
        {ended(JOB_STATUS_ERROR), {.run_stops = true}, JOB_OUTCOME_RUN_CLOSED},
        {ended(JOB_STATUS_CANCELLED), {.run_stops = true}, JOB_OUTCOME_RUN_CLOSED},
        {ended(JOB_STATUS_ERROR), {.run_stops = true, .asked_again = true}, JOB_OUTCOME_RUN_CLOSED},
        {ended(JOB_STATUS_ERROR), {.asked_again = true}, JOB_OUTCOME_OK},
        {ended(JOB_STATUS_CANCELLED), {.asked_again = true}, JOB_OUTCOME_OK},
        {ended(JOB_STATUS_SUCCESS), {.asked_again = true}, JOB_OUTCOME_ENDED},
        {ended(JOB_STATUS_SUCCESS), {.run_stops = true}, JOB_OUTCOME_ENDED},
        {waiting(), {.run_stops = true}, JOB_OUTCOME_ENDED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct message_change_jobs_change change = ask(JOB_RETRY, &other);
        refused(job_rules_change(&cases[i].now, &cases[i].terms, &change, &retry, now_us),
                cases[i].outcome);
    }
    /* Of a run that has ended it goes on in another. */
    struct message_change_jobs_change change = ask(JOB_RETRY, &other);
    struct job_now now = ended(JOB_STATUS_ERROR);
    struct job_terms closed = {.max_attempts = 3};
    assert_true(job_rules_change(&now, &closed, &change, &retry, now_us).changes);
}

static void test_the_end_of_a_run(void **state)
{
    (void)state;
    struct job_now now = running();
    struct job_decision decision = job_rules_run_ends(&now, true);
    assert_int_equal(decision.event, EVENT_TYPE_JOB_CANCELLED);
    assert_int_equal(decision.next.claim, 5);
    decision = job_rules_run_ends(&now, false);
    assert_true(decision.changes && decision.next.cancel);
    now.cancel = true;
    assert_false(job_rules_run_ends(&now, false).changes);
    now = waiting();
    assert_int_equal(job_rules_run_ends(&now, false).event, EVENT_TYPE_JOB_CANCELLED);
}

static void test_pauses_double_up_to_a_cap(void **state)
{
    (void)state;
    const int64_t most[] = {2000, 4000, 8000, 16000, 32000, 64000, 128000, 256000, 512000, 600000};
    struct job_retry least = retry;
    least.chance = 0;
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(job_rules_delay_ms(&retry, i + 1), most[i]);
        assert_int_equal(job_rules_delay_ms(&least, i + 1), most[i] / 2);
    }
    assert_int_equal(job_rules_delay_ms(&retry, 1000), 600000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claims_only_what_may_run),
        cmocka_unit_test(test_only_the_live_claim_reports),
        cmocka_unit_test(test_a_repeated_report_is_known_by_how_it_ended),
        cmocka_unit_test(test_success_or_cancelled_is_decided_at_the_end),
        cmocka_unit_test(test_failures_by_class),
        cmocka_unit_test(test_a_lost_lease_raises_the_fence),
        cmocka_unit_test(test_cancel_kill_retry_skip),
        cmocka_unit_test(test_a_retry_is_one_retry_and_only_where_it_can_run),
        cmocka_unit_test(test_the_end_of_a_run),
        cmocka_unit_test(test_pauses_double_up_to_a_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
