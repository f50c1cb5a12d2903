/*
 * What a worker says of its claim: POST /jobs/{id}/heartbeat, /progress, /complete, /fail, /release.
 * The token of the claim goes along with each and is what decides: a claim that has ended changes
 * nothing any more. Signs of life go to the job-runners, which keep them in memory; ends are commands
 * to the sequencer, which are right when they are repeated.
 */
#include "api/command.h"
#include "api/jobs_claim.h"
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

enum { NOTE_BYTES_MAX = 512, REASON_BYTES_MAX = 2048, RESULT_BYTES_MAX = 64 << 10 };
#define RETRY_MAX_MS (31LL * 86400000LL)

/* ---- the request ---- */

/* What a word may say besides the token; bits. */
enum { SAYS_PROGRESS = 1, SAYS_RESULT = 2, SAYS_ERROR = 4 };

struct word {
    struct uuid token;
    int64_t percent;    /* -1: not said */
    struct buffer text; /* owned: the note, or the reason */
    struct json_span result;
    struct json_span events;
    enum job_class class;
    int64_t retry_ms;
};

static int wrong(struct exchange *exchange, const char *pointer, const char *detail)
{
    exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD, detail,
                     &(struct problem_extra){.pointer = pointer});
    return -1;
}

static int take_percent(struct exchange *exchange, struct json_span value, struct word *word)
{
    if (body_is_null(value)) {
        return 0;
    }
    if (body_number(value, &word->percent) != 0 || word->percent > 100) {
        return wrong(exchange, "/percent", "percent must be a whole number from 0 to 100.");
    }
    return 0;
}

static int take_note(struct exchange *exchange, struct json_span value, struct word *word)
{
    if (body_is_null(value)) {
        return 0;
    }
    if (body_is_string(value)) {
        body_string(&word->text, value);
    }
    if (!body_is_string(value) || word->text.length > NOTE_BYTES_MAX) {
        return wrong(exchange, "/note", "note must be a text of at most 512 bytes.");
    }
    return 0;
}

static int take_result(struct exchange *exchange, struct json_span value, struct word *word)
{
    word->result = value;
    if (value.length > RESULT_BYTES_MAX) {
        exchange_problem(exchange, PROBLEM_TOO_LARGE, "The result is larger than 64 KiB.",
                         &(struct problem_extra){.pointer = "/result"});
        return -1;
    }
    return 0;
}

/* Words may be longer than what is kept of them: a worker that fails must be able to say so. */
static int take_error(struct exchange *exchange, struct json_span value, struct word *word)
{
    if (body_is_string(value)) {
        body_string(&word->text, value);
    }
    if (word->text.length == 0) {
        return wrong(exchange, "/error", "error must be a text that is not empty.");
    }
    if (word->text.length > REASON_BYTES_MAX) {
        size_t length = REASON_BYTES_MAX;
        while ((word->text.data[length] & 0xc0) == 0x80) {
            length--; /* not within a character */
        }
        word->text.length = length;
    }
    return 0;
}

static int take_class(struct exchange *exchange, struct json_span value, struct word *word)
{
    static const char *const names[] = {[JOB_CLASS_RETRYABLE] = "\"retryable\"",
                                        [JOB_CLASS_FATAL] = "\"fatal\"",
                                        [JOB_CLASS_RATE_LIMITED] = "\"rate_limited\""};
    if (body_is_null(value)) {
        return 0;
    }
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (body_is(value, names[i])) {
            word->class = (enum job_class)i;
            return 0;
        }
    }
    return wrong(exchange, "/class", "class must be retryable, fatal or rate_limited.");
}

static int take_retry(struct exchange *exchange, struct json_span value, struct word *word)
{
    if (body_is_null(value)) {
        return 0;
    }
    if (body_number(value, &word->retry_ms) != 0 || word->retry_ms > RETRY_MAX_MS) {
        return wrong(exchange, "/retry_after_ms",
                     "retry_after_ms must be a whole number from 0 to 2678400000.");
    }
    return 0;
}

static int take_member(struct exchange *exchange, struct json_span name, struct json_span value,
                       unsigned says, struct word *word)
{
    if (body_is(name, "token")) {
        return body_uuid(value, &word->token) == 0 && !uuid_is_nil(&word->token)
                   ? 0
                   : wrong(exchange, "/token", "token must be the one that came with the job.");
    }
    if ((says & SAYS_PROGRESS) != 0 && body_is(name, "percent")) {
        return take_percent(exchange, value, word);
    }
    if ((says & SAYS_PROGRESS) != 0 && body_is(name, "note")) {
        return take_note(exchange, value, word);
    }
    if ((says & SAYS_RESULT) != 0 && body_is(name, "result")) {
        return take_result(exchange, value, word);
    }
    if ((says & SAYS_RESULT) != 0 && body_is(name, "events")) {
        word->events = value;
        return 0;
    }
    if ((says & SAYS_ERROR) != 0 && body_is(name, "error")) {
        return take_error(exchange, value, word);
    }
    if ((says & SAYS_ERROR) != 0 && body_is(name, "class")) {
        return take_class(exchange, value, word);
    }
    if ((says & SAYS_ERROR) != 0 && body_is(name, "retry_after_ms")) {
        return take_retry(exchange, value, word);
    }
    request_unknown_field(exchange, "", name);
    return -1;
}

static int read_word(struct exchange *exchange, unsigned says, struct word *word)
{
    struct json_span object;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    *word = (struct word){.percent = -1};
    if (request_body(exchange, false, &object) != 0) {
        return -1;
    }
    while (json_pair(object, &cursor, &name, &value)) {
        if (take_member(exchange, name, value, says, word) != 0) {
            return -1;
        }
    }
    if (uuid_is_nil(&word->token)) {
        return wrong(exchange, "/token", "The token of the claim is needed.");
    }
    if ((says & SAYS_ERROR) != 0 && word->text.length == 0) {
        return wrong(exchange, "/error", "What went wrong is needed.");
    }
    return 0;
}

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
    struct word word;
    if (read_word(exchange, says, &word) == 0) {
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
    beat(exchange, SAYS_PROGRESS);
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
               ? wrong(exchange, "/events",
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
    struct word word;
    struct msgpack_sbuffer events;
    uint32_t event_count = 0;
    msgpack_sbuffer_init(&events);
    if (read_word(exchange, says, &word) == 0 &&
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
    end(exchange, JOB_COMPLETE, SAYS_RESULT);
}

void jobs_fail(struct exchange *exchange)
{
    end(exchange, JOB_FAIL, SAYS_ERROR);
}

void jobs_release(struct exchange *exchange)
{
    end(exchange, JOB_RELEASE, 0);
}
