/*
 * retention: prunes what has ended long ago, of its own tenant, by the policy in its payload. Off
 * unless somebody queues or schedules it.
 *
 *   {"success_days": 7, "error_days": 30, "runs_days": 90, "dry_run": false}
 *
 * What is not named is kept for ever. The sequencer does it (PRUNE), a step at a time, and writes the
 * audit; a pruned job leaves its key, a pruned run goes whole. Result: {"jobs", "runs", "events",
 * "dry_run"}.
 */
#include "job-runner/kinds/kinds.h"
#include "job-runner/payload.h"
#include "runtime/base/buffer.h"
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"

#include "proto/outcome.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DAYS_MAX = 36500, STEP_JOBS = 1000, STEP_RUNS = 200, FULL_MS = 50, PROGRESS_STEPS = 16 };

static const int64_t day_us = INT64_C(86400000000);

struct pruning {
    struct attempt *attempt;
    struct event *again; /* the window of commands is full */
    enum prune what;
    int64_t success_before;
    int64_t error_before;
    int64_t runs_before;
    bool dry;
    int64_t after;
    uint8_t after_run[16];
    uint64_t jobs;
    uint64_t runs;
    uint64_t events;
    unsigned steps;
};

static struct attempt *destroy(struct pruning *pruning)
{
    struct attempt *attempt = pruning->attempt;
    commands_forget(attempt_commands(attempt), pruning);
    attempt_set_state(attempt, NULL);
    event_free(pruning->again);
    free(pruning);
    return attempt;
}

static void finish(struct pruning *pruning)
{
    char result[160];
    int length = snprintf(result, sizeof result,
                          "{\"jobs\":%llu,\"runs\":%llu,\"events\":%llu,\"dry_run\":%s}",
                          (unsigned long long)pruning->jobs, (unsigned long long)pruning->runs,
                          (unsigned long long)pruning->events, pruning->dry ? "true" : "false");
    attempt_complete(destroy(pruning), result, (size_t)length);
}

static void say_progress(struct pruning *pruning)
{
    char note[96];
    if (pruning->steps++ % PROGRESS_STEPS == 0) {
        snprintf(note, sizeof note, "%llu jobs, %llu runs", (unsigned long long)pruning->jobs,
                 (unsigned long long)pruning->runs);
        attempt_progress(pruning->attempt, -1, note);
    }
}

/* ---- steps ---- */

static void next_step(struct pruning *pruning);

/* The jobs first: what their runs keep of them is less then. */
static void next_range(struct pruning *pruning)
{
    if (pruning->what == PRUNE_JOBS && pruning->runs_before > 0) {
        pruning->what = PRUNE_RUNS;
        pruning->after = 0;
        memset(pruning->after_run, 0, sizeof pruning->after_run);
        next_step(pruning);
    } else {
        finish(pruning);
    }
}

static void on_pruned(void *arg, enum command_state state, const struct message_result *result)
{
    struct pruning *pruning = arg;
    if (state == COMMAND_UNKNOWN) {
        attempt_fail(destroy(pruning), JOB_CLASS_RETRYABLE, "the sequencer does not answer", 0);
        return;
    }
    if (result->outcome != OUTCOME_OK) {
        attempt_fail(destroy(pruning), JOB_CLASS_RETRYABLE, "the sequencer refused a step", 0);
        return;
    }
    *(pruning->what == PRUNE_JOBS ? &pruning->jobs : &pruning->runs) += result->first_seq;
    pruning->events += result->quota_used;
    pruning->after = (int64_t)result->last_seq;
    memcpy(pruning->after_run, result->run, sizeof pruning->after_run);
    say_progress(pruning);
    if (result->expected != 0) {
        next_step(pruning);
    } else {
        next_range(pruning);
    }
}

static void next_step(struct pruning *pruning)
{
    char job[UUID_TEXT_SIZE];
    struct uuid id = attempt_job(pruning->attempt);
    struct uuid tenant = attempt_tenant(pruning->attempt);
    bool runs = pruning->what == PRUNE_RUNS;
    static const char actor[] = "job retention";
    uuid_format(&id, job);
    struct message_prune message = {
        .actor = {(const uint8_t *)actor, sizeof actor - 1},
        .object = {(const uint8_t *)job, strlen(job)},
        .what = pruning->what,
        .after = pruning->after,
        .success_before = runs ? pruning->runs_before : pruning->success_before,
        .error_before = runs ? 0 : pruning->error_before,
        .max = runs ? STEP_RUNS : STEP_JOBS,
        .dry = pruning->dry,
    };
    memcpy(message.tenant, tenant.bytes, sizeof message.tenant);
    memcpy(message.after_run, pruning->after_run, sizeof message.after_run);
    if (commands_prune(attempt_commands(pruning->attempt), &message, on_pruned, pruning) != 0) {
        event_add(pruning->again, &(struct timeval){0, FULL_MS * 1000});
    }
}

static void on_again(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    next_step(arg);
}

/* ---- the kind ---- */

static int read_days(struct json_span payload, const char *name, int64_t now_us,
                     int64_t *before_out, struct error *err)
{
    int64_t days = 0;
    if (payload_int(payload, name, 1, DAYS_MAX, &days, err) != 0) {
        return -1;
    }
    *before_out = days == 0 ? 0 : now_us - days * day_us;
    return 0;
}

static int read_policy(struct pruning *pruning, struct error *err)
{
    struct json_span payload;
    int64_t now_us = clock_real_us();
    if (payload_read(pruning->attempt, &payload, err) != 0 ||
        read_days(payload, "success_days", now_us, &pruning->success_before, err) != 0 ||
        read_days(payload, "error_days", now_us, &pruning->error_before, err) != 0 ||
        read_days(payload, "runs_days", now_us, &pruning->runs_before, err) != 0 ||
        payload_bool(payload, "dry_run", &pruning->dry, err) != 0) {
        return -1;
    }
    if (pruning->success_before == 0 && pruning->error_before == 0 && pruning->runs_before == 0) {
        return error_set(err, "payload: success_days, error_days or runs_days is wanted");
    }
    return 0;
}

static void begin(struct attempt *attempt)
{
    struct pruning *pruning = memory_new(sizeof *pruning);
    struct error err;
    pruning->attempt = attempt;
    pruning->again = event_new(attempt_actor(attempt)->base, -1, 0, on_again, pruning);
    attempt_set_state(attempt, pruning);
    if (read_policy(pruning, &err) != 0) {
        attempt_fail(destroy(pruning), JOB_CLASS_FATAL, err.text, 0);
        return;
    }
    bool jobs = pruning->success_before > 0 || pruning->error_before > 0;
    pruning->what = jobs ? PRUNE_JOBS : PRUNE_RUNS;
    next_step(pruning);
}

/* What was pruned so far is pruned. */
static void cancel(struct attempt *attempt)
{
    attempt_release(destroy(attempt_state(attempt)));
}

const struct kind kind_retention = {
    .type = "retention",
    .does = "prunes jobs and runs that ended longer ago than its payload says",
    .idempotency = "what is gone is not found again: a second time goes on where the first stopped",
    .begin = begin,
    .cancel = cancel,
};
