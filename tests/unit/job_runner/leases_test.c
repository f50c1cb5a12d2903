/* Claims and their leases, where two things meet that rarely do: a shard that is lost, a clock that
 * jumps, a statement that fails. */
#include "job-runner/lease.h"

#include "alone.h"

static const struct uuid TOKEN = {{9, 1}};
static const struct uuid JOB = {{5, 1}};
static const struct alone_job running[] = {{.id = 1, .token = &TOKEN}};

static struct held *held_of(int64_t id)
{
    struct uuid key = map_number_key((uint64_t)id);
    return map_get(&alone.runner.lease->by_number, &key);
}

/* The look for leases that are over, now, as if it had been due `late_ms` ago; the next one is due
 * when the test says. */
static void look(int64_t late_ms)
{
    alone.runner.lease->due_ms = clock_monotonic_ms() - late_ms;
    event_active(alone.runner.lease->due_event, EV_TIMEOUT, 0);
    event_base_loop(alone.actor.base, EVLOOP_NONBLOCK);
    event_del(alone.runner.lease->due_event);
    alone_turn();
}

static struct lease_answer beat(const char *note)
{
    return lease_beat(alone.runner.lease, &JOB, &TOKEN, -1, note, strlen(note));
}

/* All places of a renewal are alive. */
static void renewed(void)
{
    PGresult *pg = alone_rows(1);
    alone_put_int8(pg, 0, 0, 1);
    alone_answer(&store_renew, DB_OK, pg);
}

static void a_claim_that_nobody_watches_is_not_given(void **state)
{
    static const struct alone_job waiting[] = {{.id = 1}};
    (void)state;
    alone_own(waiting, 1);
    struct claim_demand *demand = alone_demand(60000);
    assert_int_equal(alone_said()->what, JOB_CLAIM);
    struct uuid token = alone_said()->token;
    alone_reply(JOB_OUTCOME_OK);
    assert_true(lease_is_watched(alone.runner.lease, 1, &token));
    alone_hold(0);
    assert_false(lease_is_watched(alone.runner.lease, 1, &token));
    alone_payload(1);
    assert_int_equal(alone.given, 0);
    assert_int_equal(alone.change_count, 1);
    assert_int_equal(alone_said()->what, JOB_RELEASE);
    assert_true(uuid_equal(&alone_said()->token, &token));
    claim_close(&demand);
}

static void one_that_is_watched_is_given(void **state)
{
    static const struct alone_job waiting[] = {{.id = 1}};
    (void)state;
    alone_own(waiting, 1);
    struct claim_demand *demand = alone_demand(60000);
    alone_reply(JOB_OUTCOME_OK);
    alone_payload(1);
    assert_int_equal(alone.given, 1);
    assert_int_equal(alone.last.id, 1);
    assert_int_equal(alone.change_count, 0);
    claim_close(&demand);
}

static void a_kill_that_comes_behind_the_end_is_looked_up(void **state)
{
    const struct alone_job cancelled[] = {{.id = 1, .token = &TOKEN, .cancel = true}};
    (void)state;
    alone_own(cancelled, 1);
    look(0);
    assert_int_equal(alone_said()->what, JOB_KILL);
    alone_reply(JOB_OUTCOME_ENDED);
    assert_int_equal(lease_count(alone.runner.lease), 1); /* until the table has said how it is */
    alone_show(&store_open_rows, NULL, 0);
    assert_int_equal(lease_count(alone.runner.lease), 0);
    assert_int_equal(jobs_count(alone.runner.jobs), 0);
    look(0);
    assert_int_equal(alone.change_count, 0);
}

/* Not as we thought: it is beaten and ended like any other. */
static void and_one_that_runs_on_is_watched_on(void **state)
{
    const struct alone_job cancelled[] = {{.id = 1, .token = &TOKEN, .cancel = true}};
    (void)state;
    alone_own(cancelled, 1);
    look(0);
    alone_reply(JOB_OUTCOME_ENDED);
    assert_int_equal(alone.change_count, 0);
    assert_int_equal(beat("").state, JOB_BEAT_ALIVE);
    alone_show(&store_open_rows, cancelled, 1);
    look(0);
    assert_int_equal(alone.change_count, 1);
    assert_int_equal(alone_said()->what, JOB_KILL);
    assert_int_equal(beat("").state, JOB_BEAT_ELSEWHERE);
}

static void what_is_said_of_progress_survives_a_failed_write(void **state)
{
    (void)state;
    alone_own(running, 1);
    assert_int_equal(beat("page 4").state, JOB_BEAT_ALIVE);
    assert_false(lease_flush_now(alone.runner.lease));
    assert_true(alone_asked_with(&store_renew, "page 4"));
    alone_answer(&store_renew, DB_LOST, NULL);
    (void)lease_flush_now(alone.runner.lease);
    assert_true(alone_asked_with(&store_renew, "page 4"));
    renewed();
    (void)beat("");
    (void)lease_flush_now(alone.runner.lease);
    assert_non_null(alone_asked(&store_renew));
    assert_false(alone_asked_with(&store_renew, "page 4")); /* once */
}

static void what_is_said_meanwhile_is_written_next(void **state)
{
    (void)state;
    alone_own(running, 1);
    (void)beat("page 4");
    (void)lease_flush_now(alone.runner.lease);
    (void)beat("page 5");
    renewed();
    (void)lease_flush_now(alone.runner.lease);
    assert_true(alone_asked_with(&store_renew, "page 5"));
}

/* Beats that came while the process stood still are read before anything is ended. */
static void after_a_jump_of_the_clock_beats_are_heard_first(void **state)
{
    (void)state;
    alone_own(running, 1);
    held_of(1)->over_ms = clock_monotonic_ms() - 1;
    look(60000);
    assert_null(alone_asked(&store_confirm));
    assert_int_equal(beat("").state, JOB_BEAT_ALIVE);
    look(60000); /* once only, however often it jumps */
    assert_null(alone_asked(&store_confirm));
    held_of(1)->over_ms = clock_monotonic_ms() - 1;
    look(60000);
    assert_null(alone_asked(&store_confirm));
    look(60000);
    assert_non_null(alone_asked(&store_confirm));
}

static void a_beat_that_was_answered_is_written_though_the_shard_goes(void **state)
{
    (void)state;
    alone_own(running, 1);
    (void)beat("page 4");
    (void)lease_flush_now(alone.runner.lease);
    assert_int_equal(beat("page 5").state, JOB_BEAT_ALIVE);
    alone_hold(0);
    assert_int_equal(beat("page 6").state, JOB_BEAT_ELSEWHERE); /* another one's now */
    renewed();
    (void)lease_flush_now(alone.runner.lease);
    assert_true(alone_asked_with(&store_renew, "page 5"));
    renewed();
    assert_int_equal(lease_count(alone.runner.lease), 0);
}

static void one_that_comes_back_before_that_is_watched_again(void **state)
{
    (void)state;
    alone_own(running, 1);
    (void)beat("page 4");
    (void)lease_flush_now(alone.runner.lease);
    (void)beat("page 5");
    alone_hold(0);
    alone_hold(1U << ALONE_SHARD);
    alone_show(&store_open_page, running, 1);
    assert_int_equal(beat("page 6").state, JOB_BEAT_ALIVE);
    renewed();
    (void)lease_flush_now(alone.runner.lease);
    assert_true(alone_asked_with(&store_renew, "page 6"));
    renewed();
    assert_int_equal(lease_count(alone.runner.lease), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, alone_open, alone_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_claim_that_nobody_watches_is_not_given),
        TEST(one_that_is_watched_is_given),
        TEST(a_kill_that_comes_behind_the_end_is_looked_up),
        TEST(and_one_that_runs_on_is_watched_on),
        TEST(what_is_said_of_progress_survives_a_failed_write),
        TEST(what_is_said_meanwhile_is_written_next),
        TEST(after_a_jump_of_the_clock_beats_are_heard_first),
        TEST(a_beat_that_was_answered_is_written_though_the_shard_goes),
        TEST(one_that_comes_back_before_that_is_watched_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
