/*
 * What a worker says of its claim: POST /jobs/{id}/heartbeat, /progress, /complete, /fail, /release.
 * The token of the claim goes along with each and is what decides: a claim that has ended changes
 * nothing any more. Signs of life go to the job-runners, which keep them in memory; ends are commands
 * to the sequencer, which are right when they are repeated.
 */
#include "api/command.h"
#include "api/jobs_claim.h"
#include "api/jobs_word.h"
#include "api/request.h"
#include "api/runners.h"
#include "api/store_claims.h"
#include "proto/job.h"
#include "proto/outcome.h"
#include "runtime/base/fault.h"
#include "runtime/body.h"
#include "runtime/commands.h"

#include <sodium.h>
#include <string.h>

static void lease_lost(struct exchange *exchange)
{
    exchange_problem(exchange, PROBLEM_LEASE_LOST,
                     "The claim with this token has ended. Nothing was done.", NULL);
}

static void no_job(struct exchange *exchange)
{
    exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such job.", NULL);
}

/* ---- signs of life ---- */

/* No job-runner knows the job: it has ended, or its shard is between two of them. */
static void judge_claim(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        exchange_unavailable(exchange);
        return;
    }
    if (db_rows(result) == 0) {
        no_job(exchange);
        return;
    }
    struct uuid live = store_read_claim(result);
    if (sodium_memcmp(live.bytes, exchange->beat.token.bytes, sizeof live.bytes) == 0) {
        exchange_problem(exchange, PROBLEM_BUSY,
                         "No job-runner can take this now; the claim is live. Try again.", NULL);
    } else {
        lease_lost(exchange);
    }
}

static void beaten(void *arg, const struct message_job_beaten *answer)
{
    struct exchange *exchange = arg;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (answer == NULL) {
        exchange_hold(exchange);
        store_get_claim(exchange->api->store, &exchange->who.tenant, &exchange->id, judge_claim,
                        exchange);
        return;
    }
    if (answer->state != JOB_BEAT_ALIVE) {
        lease_lost(exchange);
        return;
    }
    struct buffer *body = &exchange->api->text;
    buffer_clear(body);
    buffer_printf(body, "{\"cancel\":%s,\"lease_ms\":%llu}", answer->cancel ? "true" : "false",
                  (unsigned long long)answer->lease_ms);
    exchange_json(exchange, 200, body);
}

static void beat(struct exchange *exchange, unsigned says)
{
    struct jobs_word word;
    if (jobs_word_read(exchange, says, &word) == 0) {
        struct message_job_beat message = {.percent = word.percent,
                                           .note = command_span(word.text.data, word.text.length)};
        memcpy(message.tenant, exchange->who.tenant.bytes, sizeof message.tenant);
        memcpy(message.job, exchange->id.bytes, sizeof message.job);
        memcpy(message.token, word.token.bytes, sizeof message.token);
        exchange->beat.token = word.token;
        exchange_hold(exchange);
        runners_beat(exchange->api->runners, &message, beaten, exchange);
    }
    buffer_deinit(&word.text);
}

void jobs_heartbeat(struct exchange *exchange)
{
    beat(exchange, 0);
}

void jobs_progress(struct exchange *exchange)
{
    beat(exchange, JOBS_WORD_PROGRESS);
}

/* ---- ends ---- */

static void answer_end(struct exchange *exchange, const struct message_jobs_result_job *job)
{
    static const char *const names[] = {[JOB_STATUS_PENDING] = "pending",
                                        [JOB_STATUS_RUNNING] = "running",
                                        [JOB_STATUS_SUCCESS] = "success",
                                        [JOB_STATUS_ERROR] = "error",
                                        [JOB_STATUS_CANCELLED] = "cancelled"};
    bool known = job->status >= JOB_STATUS_PENDING && job->status <= JOB_STATUS_CANCELLED;
    struct buffer *body = &exchange->api->text;
    char id[UUID_TEXT_SIZE];
    uuid_format(&exchange->id, id);
    buffer_clear(body);
    buffer_printf(body, "{\"id\":\"%s\",\"status\":\"%s\",\"attempts\":%llu}", id,
                  known ? names[job->status] : "unknown", (unsigned long long)job->attempt);
    SB_FAULT("api_before_answer");
    exchange_json(exchange, 200, body);
}

static void judge(struct exchange *exchange, const struct message_jobs_result_job *job)
{
    switch ((enum job_outcome)job->outcome) {
    case JOB_OUTCOME_OK:
        submission_count_usage(&exchange->usage, job->seq == 0);
        answer_end(exchange, job);
        return;
    case JOB_OUTCOME_NOT_FOUND:
        no_job(exchange);
        return;
    case JOB_OUTCOME_LEASE_LOST:
    case JOB_OUTCOME_NOT_READY:
    case JOB_OUTCOME_ENDED:
        lease_lost(exchange);
        return;
    case JOB_OUTCOME_RUN_CLOSED:
        exchange_problem(exchange, PROBLEM_RUN_CLOSED,
                         "The job's run has ended; its log takes no events any more.",
                         &(struct problem_extra){.pointer = "/events"});
        return;
    case JOB_OUTCOME_REFUSED:
        exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD, "The database refused the data.", NULL);
        return;
    case JOB_OUTCOME_EXISTS:
    case JOB_OUTCOME_NO_PARENT:
        break;
    }
    exchange_problem(exchange, PROBLEM_INTERNAL, "The outcome of the request was not understood.",
                     NULL);
}

static void changed(void *arg, enum command_state state, const struct message_jobs_result *result)
{
    struct exchange *exchange = arg;
    struct message_list cursor;
    struct message_jobs_result_job job;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (state == COMMAND_UNKNOWN) {
        exchange_problem(exchange, PROBLEM_OUTCOME_UNKNOWN,
                         "There was no definite answer in time. Repeating the request is safe.",
                         NULL);
        return;
    }
    cursor = result->jobs;
    if (result->outcome == OUTCOME_OK && message_jobs_result_job_next(&cursor, &job)) {
        judge(exchange, &job);
        return;
    }
    struct message_result refused = {.outcome = result->outcome,
                                     .status = result->status,
                                     .quota = result->quota,
                                     .quota_limit = result->quota_limit,
                                     .quota_used = result->quota_used};
    command_refused(exchange, &refused);
}

/* One change of one job, with the events it brings. */
static void send_end(struct exchange *exchange, struct message_change_jobs_change *change,
                     const struct msgpack_sbuffer *events, uint32_t event_count)
{
    char actor[COMMAND_ACTOR_SIZE];
    struct msgpack_sbuffer changes;
    msgpack_sbuffer_init(&changes);
    memcpy(change->job, exchange->id.bytes, sizeof change->job);
    message_change_jobs_change_encode(&changes, change);
    struct message_change_jobs message = {
        .actor = command_actor(exchange, actor),
        .changes = {(const uint8_t *)changes.data, changes.size, 1},
        .events = {(const uint8_t *)events->data, events->size, event_count}};
    memcpy(message.tenant, exchange->who.tenant.bytes, sizeof message.tenant);
    command_trace(exchange, message.trace, &message.span, &message.trace_flags);
    SB_FAULT("api_before_command");
    exchange_hold(exchange);
    int sent = commands_change_jobs(exchange->api->commands, &message, changed, exchange);
    SB_FAULT("api_after_command");
    if (sent != 0 && exchange_resume(exchange)) {
        command_busy(exchange);
    }
    msgpack_sbuffer_destroy(&changes);
}

/* What decides how the run goes on is said to the run itself, not by the end of a job. */
static int check_type(struct exchange *exchange, uint64_t type)
{
    return event_type_is_terminal((enum event_type)type) || type == EVENT_TYPE_RUN_INTERRUPTED ||
                   type == EVENT_TYPE_RUN_RESUMED || type == EVENT_TYPE_CLARIFICATION_NEEDED ||
                   type == EVENT_TYPE_CLARIFICATION_ANSWERED
               ? jobs_word_wrong(
                     exchange, "/events",
                     "Events that end, interrupt or resume a run cannot come with the end of a "
                     "job.")
               : 0;
}

/* The events, checked as those of an append, as CHANGE_JOBS has them. */
static int read_events(struct exchange *exchange, struct json_span list,
                       struct msgpack_sbuffer *events, uint32_t *count_out)
{
    struct submission *submission = &exchange->api->submission;
    struct submission_append append = {.list = list, .expected_seq = -1};
    struct message_append_event event;
    struct json_span cursor = {0};
    if (list.data == NULL || body_is_null(list) ||
        (body_is_array(list) && json_element(list, &cursor).data == NULL)) {
        return 0;
    }
    if (submission_append_events(submission, &append) != 0) {
        exchange_refuse(exchange, &submission->refusal);
        return -1;
    }
    struct message_list checked = {(const uint8_t *)submission->events.data,
                                   submission->events.size, submission->count};
    while (message_append_event_next(&checked, &event)) {
        struct message_change_jobs_event item = {.type = event.type, .payload = event.payload};
        if (check_type(exchange, event.type) != 0) {
            return -1;
        }
        message_change_jobs_event_encode(events, &item);
    }
    *count_out = submission->count;
    exchange->usage = submission->usage;
    return 0;
}

static void end(struct exchange *exchange, enum job_change what, unsigned says)
{
    struct jobs_word word;
    struct msgpack_sbuffer events;
    uint32_t event_count = 0;
    msgpack_sbuffer_init(&events);
    if (jobs_word_read(exchange, says, &word) == 0 &&
        read_events(exchange, word.events, &events, &event_count) == 0) {
        struct message_change_jobs_change change = {
            .what = what,
            .class = word.class,
            .reason = command_span(word.text.data, word.text.length),
            .retry_ms = (uint64_t)word.retry_ms,
            .result = command_span(word.result.data, word.result.length),
            .percent = -1};
        memcpy(change.token, word.token.bytes, sizeof change.token);
        send_end(exchange, &change, &events, event_count);
    }
    buffer_deinit(&word.text);
    msgpack_sbuffer_destroy(&events);
}

void jobs_complete(struct exchange *exchange)
{
    end(exchange, JOB_COMPLETE, JOBS_WORD_RESULT);
}

void jobs_fail(struct exchange *exchange)
{
    end(exchange, JOB_FAIL, JOBS_WORD_ERROR);
}

void jobs_release(struct exchange *exchange)
{
    end(exchange, JOB_RELEASE, 0);
}
