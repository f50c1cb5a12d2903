/*
 * The parts of the job-runner around its executors, for tests: a claim that gives what the test says,
 * reports that are kept until the test answers them, leases that the test takes away.
 */
#ifndef SIGNALBOX_TESTS_JOB_RUNNER_FAKES_H
#define SIGNALBOX_TESTS_JOB_RUNNER_FAKES_H

#include "job-runner/attempt.h"
#include "job-runner/claim.h"
#include "job-runner/executors.h"
#include "job-runner/lease.h"
#include "job-runner/ready.h"
#include "job-runner/report.h"
#include "job-runner/runner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAKE_MAX = 64, FAKE_TEXT = 4096 };

/* One report, as it was said. */
struct fake_report {
    struct uuid job;
    enum job_change what;
    enum job_class class;
    int64_t retry_ms;
    char reason[FAKE_TEXT];
    char result[FAKE_TEXT];
    size_t events;
    report_done_fn *done;
    void *arg;
};

struct fake_lease {
    int64_t id;
    lease_cancelled_fn *cancelled;
    void *arg;
};

static struct fake {
    struct actor actor;
    struct job_runner runner;
    size_t room;
    bool demand_open;
    claim_given_fn *given;
    void *given_arg;
    char types[FAKE_TEXT];
    struct fake_report reports[FAKE_MAX];
    size_t reports_count;
    struct fake_lease leases[FAKE_MAX];
    size_t leases_count;
    int percent;
    char note[FAKE_TEXT];
    int settles;
} fake;

/* ---- what the executors call ---- */

struct claim_demand *claim_open(struct claim *claim, const struct claim_terms *terms)
{
    (void)claim;
    fake.given = terms->given;
    fake.given_arg = terms->arg;
    fake.demand_open = true;
    size_t used = 0;
    for (size_t i = 0; i < terms->filter.types_count; i++) {
        used += (size_t)snprintf(fake.types + used, sizeof fake.types - used, "%s ",
                                 terms->filter.types[i]);
    }
    return (struct claim_demand *)&fake;
}

void claim_close(struct claim_demand **demand)
{
    fake.demand_open = false;
    *demand = NULL;
}

void claim_set_room(struct claim_demand *demand, size_t room)
{
    assert_non_null(demand);
    fake.room = room;
}

void report_send(struct report *report, const struct report_change *change, report_done_fn *done,
                 void *arg)
{
    (void)report;
    struct fake_report *kept = &fake.reports[fake.reports_count++];
    assert_true(fake.reports_count < FAKE_MAX);
    *kept = (struct fake_report){.job = change->job,
                                 .what = change->what,
                                 .class = change->class,
                                 .retry_ms = change->retry_ms,
                                 .events = change->events_count,
                                 .done = done,
                                 .arg = arg};
    snprintf(kept->reason, sizeof kept->reason, "%.*s", (int)change->reason.length,
             change->reason.length == 0 ? "" : (const char *)change->reason.data);
    snprintf(kept->result, sizeof kept->result, "%.*s", (int)change->result.length,
             change->result.length == 0 ? "" : (const char *)change->result.data);
}

void lease_begin(struct lease *lease, int64_t id, const struct uuid *token, uint64_t lease_ms,
                 uint64_t delivery_ms, lease_cancelled_fn *cancelled, void *arg)
{
    (void)lease;
    (void)token;
    assert_true(lease_ms > 0 && delivery_ms == 0);
    fake.leases[fake.leases_count++] = (struct fake_lease){id, cancelled, arg};
}

void lease_end(struct lease *lease, int64_t id, const struct uuid *token)
{
    (void)lease;
    (void)token;
    for (size_t i = 0; i < fake.leases_count; i++) {
        if (fake.leases[i].id == id) {
            fake.leases[i] = fake.leases[--fake.leases_count];
            return;
        }
    }
    fail_msg("a lease that has not begun");
}

struct lease_answer lease_beat(struct lease *lease, const struct uuid *job,
                               const struct uuid *token, int percent, const char *note,
                               size_t note_length)
{
    (void)lease;
    (void)job;
    (void)token;
    fake.percent = percent;
    snprintf(fake.note, sizeof fake.note, "%.*s", (int)note_length, note);
    return (struct lease_answer){.state = JOB_BEAT_ALIVE};
}

void job_runner_worker_name(const struct job_runner *runner, unsigned n,
                            char name_out[JOB_RUNNER_WORKER_SIZE])
{
    (void)runner;
    snprintf(name_out, JOB_RUNNER_WORKER_SIZE, "test/1/%u", n);
}

void job_runner_settle(struct job_runner *runner)
{
    (void)runner;
    fake.settles++;
}

/* ---- what tests do ---- */

static SB_UNUSED void fake_set(enum setting id, const char *value)
{
    struct error err;
    assert_int_equal(settings_set(fake.actor.settings, id, value, &err), 0);
}

static SB_UNUSED int fake_open(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof fake);
    fake.percent = -2;
    fake.actor.base = event_base_new();
    fake.actor.settings = settings_create();
    fake.actor.instance = "job-runner-1";
    fake.runner.actor = &fake.actor;
    fake.runner.ready = ready_create(0);
    fake_set(SETTING_JOBS_CLAIM_AHEAD, "0");
    return 0;
}

static SB_UNUSED int fake_close(void **state)
{
    (void)state;
    executors_destroy(&fake.runner.executors);
    assert_int_equal(fake.leases_count, 0);
    ready_destroy(&fake.runner.ready);
    event_base_free(fake.actor.base);
    settings_destroy(&fake.actor.settings);
    return 0;
}

static SB_UNUSED void fake_turn(void)
{
    event_base_loop(fake.actor.base, EVLOOP_NONBLOCK);
}

static SB_UNUSED void fake_start(void)
{
    struct error err;
    if (executors_create(&fake.runner, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

/* One more job of that number, which begins in the next turn. */
static SB_UNUSED void fake_give(int64_t id, const char *type, const char *payload, unsigned attempt)
{
    char key[32];
    struct claimed claimed = {.id = id,
                              .job = {{(uint8_t)id}},
                              .token = {{9, (uint8_t)id}},
                              .tenant = {{7}},
                              .run = {{8}},
                              .key = key,
                              .type = type,
                              .queue = "default",
                              .attempt = attempt,
                              .max_attempts = 3,
                              .lease_ms = 60000,
                              .payload = {(const uint8_t *)payload, strlen(payload)}};
    snprintf(key, sizeof key, "key-%d", (int)id);
    fake.given(fake.given_arg, &claimed);
}

/* The last report; the test has made sure that there is one. */
static SB_UNUSED struct fake_report *fake_last(void)
{
    assert_true(fake.reports_count > 0);
    return &fake.reports[fake.reports_count - 1];
}

static SB_UNUSED void fake_answer(size_t index, enum job_outcome outcome)
{
    struct fake_report report = fake.reports[index];
    report.done(report.arg, outcome);
}

#endif
