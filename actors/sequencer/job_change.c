/* CHANGE_JOBS: changes of jobs, each decided on its own by job_rules.c. See jobs.h. */
#include "sequencer/commands.h"

#include "runtime/base/clock.h"
#include "runtime/json.h"

#include <string.h>

static const struct json_limits json_limits = {.depth = 512, .keys = SIZE_MAX};

static bool is_json(struct message_span text)
{
    struct error err;
    return json_check((const char *)text.data, text.length, &json_limits, NULL, &err) == JSON_OK;
}

static uint32_t next_chance(struct jobs *jobs)
{
    /* xorshift: spreads retries, no secret */
    uint32_t x = jobs->chance;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return jobs->chance = x;
}

static struct job_retry retry_rule(struct sequencer *sequencer)
{
    const struct settings *settings = sequencer->actor->settings;
    return (struct job_retry){.base_ms = settings_int(settings, SETTING_JOBS_RETRY_BASE_MS),
                              .cap_ms = settings_int(settings, SETTING_JOBS_RETRY_CAP_MS),
                              .chance = next_chance(&sequencer->jobs)};
}

static bool run_takes(const struct run *run)
{
    enum run_status status = runs_status(run);
    return status == RUN_RUNNING || status == RUN_INTERRUPTED;
}

/* ---- events that a worker writes with its end ---- */

static bool next_event(const struct job_work *work, size_t change, size_t *at,
                       const struct message_change_jobs_event **event_out)
{
    while (*at < work->events_count) {
        const struct message_change_jobs_event *event = &work->events[(*at)++];
        if (event->index == change) {
            *event_out = event;
            return true;
        }
    }
    return false;
}

/* Only what says something about the work: nothing that moves the run or that the server writes. */
static enum job_outcome check_events(const struct job_work *work, size_t change,
                                     const struct run *run)
{
    const struct message_change_jobs_event *event;
    size_t at = 0;
    while (next_event(work, change, &at, &event)) {
        enum event_type type = (enum event_type)event->type;
        if (event->type < EVENT_TYPE_RUN_STARTED || event->type > EVENT_TYPE_MAX ||
            event_type_is_reserved(type) || event_type_is_terminal(type) ||
            status_is_lifecycle(type) || !is_json(event->payload)) {
            return JOB_OUTCOME_REFUSED;
        }
        if (!run_takes(run) && runs_status(run) != RUN_CANCELLING) {
            return JOB_OUTCOME_RUN_CLOSED;
        }
    }
    return JOB_OUTCOME_OK;
}

static void count_events(const struct job_work *work, size_t change, int64_t *events,
                         int64_t *bytes)
{
    const struct message_change_jobs_event *event;
    size_t at = 0;
    while (next_event(work, change, &at, &event)) {
        *events += 1;
        *bytes += (int64_t)event->payload.length;
    }
}

static void add_events(struct sequencer *sequencer, const struct command *command, size_t change,
                       struct run *run)
{
    const struct message_change_jobs_event *event;
    size_t at = 0;
    while (next_event(command->work, change, &at, &event)) {
        jobs_add_row(sequencer, run, (enum event_type)event->type, event->payload, command);
    }
}

/* ---- one change ---- */

static struct job_decision decide(struct sequencer *sequencer, const struct command *command,
                                  size_t i, struct run *run)
{
    const struct job_work *work = command->work;
    const struct job_item *item = &work->items[i];
    const struct message_change_jobs_change *change = &work->changes[i];
    const struct job_now *now = jobs_now(sequencer, item->job);
    struct job_terms terms = {.max_attempts = item->job->max_attempts,
                              .on_dep_fail = item->job->on_dep_fail,
                              .run_takes = run_takes(run),
                              .run_stops = runs_status(run) == RUN_CANCELLING,
                              .asked_again = command->recover};
    struct job_retry retry = retry_rule(sequencer);
    struct job_decision decision = job_rules_change(now, &terms, change, &retry, clock_real_us());
    enum job_outcome outcome = JOB_OUTCOME_OK;
    if (decision.event != 0 && change->what == JOB_COMPLETE) {
        outcome = change->result.length > 0 && !is_json(change->result)
                      ? JOB_OUTCOME_REFUSED
                      : check_events(work, i, run);
    }
    if (outcome != JOB_OUTCOME_OK) {
        decision = (struct job_decision){.outcome = outcome, .next = *now};
    }
    return decision;
}

/* What has ended with its run goes on in a run of its own. */
static struct run *run_to_go_on(struct sequencer *sequencer, const struct command *command,
                                struct job *job, struct run *run, struct job_decision *decision)
{
    if (!status_is_closed(runs_status(run)) || decision->event != EVENT_TYPE_JOB_QUEUED) {
        return run;
    }
    struct run *made = job_runs_make(sequencer, command, &run->id, NULL, &job->tenant);
    decision->next.run = made->id;
    decision->next.detached = true;
    return made;
}

static struct job_answer answer_of(const struct job *job, const struct job_decision *decision,
                                   int64_t seq)
{
    const struct job_now *next = &decision->next;
    return (struct job_answer){.job = job->job,
                               .outcome = decision->outcome,
                               .status = job_rules_status(next),
                               .attempt = next->attempts + (job_rules_is_running(next) ? 1 : 0),
                               .run = next->run,
                               .seq = seq};
}

/* A change before it, of the same command, may have moved the job to another run. */
static struct run *run_of(const struct sequencer *sequencer, const struct job_item *item)
{
    const struct uuid *id = &jobs_now(sequencer, item->job)->run;
    return uuid_equal(id, &item->run->id) ? item->run : runs_get(sequencer, id);
}

static bool is_visible(const struct command *command, const struct job *job)
{
    return job != NULL && !job->pruned &&
           (uuid_is_nil(&command->tenant) || uuid_equal(&job->tenant, &command->tenant));
}

/* Events that come with an end are judged like those of an append, if that end is one. What the
 * server's own workers write (of any tenant) is only counted. */
static bool events_are_admitted(struct sequencer *sequencer, struct command *command)
{
    const struct job_work *work = command->work;
    int64_t events = 0;
    int64_t bytes = 0;
    if (work->events_count == 0 || uuid_is_nil(&command->tenant)) {
        return true;
    }
    for (size_t i = 0; i < work->changes_count; i++) {
        const struct job_item *item = &work->items[i];
        if (work->changes[i].what == JOB_COMPLETE && is_visible(command, item->job) &&
            decide(sequencer, command, i, run_of(sequencer, item)).event != 0) {
            count_events(work, i, &events, &bytes);
        }
    }
    return events == 0 || quota_admits(sequencer, command, 0, events, bytes);
}

static void change_one(struct sequencer *sequencer, struct command *command, size_t i)
{
    struct job_work *work = command->work;
    struct job_item *item = &work->items[i];
    struct job *job = item->job;
    if (!is_visible(command, job)) {
        work->answers[i] = (struct job_answer){.job = item->name, .outcome = JOB_OUTCOME_NOT_FOUND};
        return;
    }
    struct run *run = run_of(sequencer, item);
    struct job_decision decision = decide(sequencer, command, i, run);
    if (decision.event == 0 && !decision.changes) {
        work->answers[i] = answer_of(job, &decision, 0);
        return;
    }
    const struct message_change_jobs_change *change = &work->changes[i];
    run = run_to_go_on(sequencer, command, job, run, &decision);
    if (change->what == JOB_COMPLETE) {
        add_events(sequencer, command, i, run);
    }
    struct job_step step = {.command = command,
                            .reason = change->reason,
                            .result = change->result,
                            .percent = change->percent};
    int64_t seq = jobs_apply(sequencer, job, run, &decision, &step);
    work->answers[i] = answer_of(job, &decision, seq);
}

void job_change_evaluate(struct sequencer *sequencer, struct command *command)
{
    if (!events_are_admitted(sequencer, command)) {
        return;
    }
    commands_nothing_to_do(command);
    for (size_t i = 0; i < command->work->changes_count; i++) {
        change_one(sequencer, command, i);
    }
}
