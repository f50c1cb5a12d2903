/*
 * POST /jobs/{id}/cancel and /retry: one change of one job, decided by the sequencer. Asked again
 * nothing happens, and the answer is the job as it is.
 */
#include "api/command.h"
#include "api/jobs.h"
#include "api/jobs_view.h"
#include "api/request.h"
#include "api/store_jobs.h"
#include "proto/outcome.h"
#include "runtime/base/fault.h"
#include "runtime/body.h"
#include "runtime/commands.h"

#include <string.h>

enum { REASON_CHARACTERS_MAX = 500 };

/* What an ended job may be asked for. */
static const char cancel_too_late[] = "The job has ended, and not by being cancelled.";
static const char retry_of_success[] =
    "The job has ended with success; there is nothing to repeat.";

/* ---- the answer ---- */

/* Whether the job is as this change would have it, though there was nothing to change. */
static bool is_as_wanted(enum job_change what, enum job_status status)
{
    return what == JOB_CANCEL ? status == JOB_STATUS_CANCELLED
                              : status == JOB_STATUS_PENDING || status == JOB_STATUS_RUNNING;
}

static void shown(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct store_job job;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        command_unknown(exchange);
        return;
    }
    if (db_rows(result) == 0) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such job.", NULL);
        return;
    }
    store_read_job(result, 0, &job);
    if (!exchange->job.changed && !is_as_wanted(exchange->job.what, job.status)) {
        exchange_problem(exchange, PROBLEM_JOB_ENDED,
                         exchange->job.what == JOB_CANCEL ? cancel_too_late : retry_of_success,
                         NULL);
        return;
    }
    struct buffer *body = &exchange->api->text;
    buffer_clear(body);
    jobs_view_write(body, &job);
    exchange_json(exchange, 200, body);
}

static void changed(void *arg, enum command_state state, const struct message_jobs_result *result)
{
    struct exchange *exchange = arg;
    struct message_jobs_result_job one = {.outcome = JOB_OUTCOME_NOT_FOUND};
    if (!exchange_resume(exchange)) {
        return;
    }
    if (state == COMMAND_UNKNOWN) {
        command_unknown(exchange);
        return;
    }
    if (result->outcome != OUTCOME_OK) {
        command_jobs_refused(exchange, result);
        return;
    }
    SB_FAULT("api_before_answer");
    struct message_list cursor = result->jobs;
    bool is_told = message_jobs_result_job_next(&cursor, &one);
    if (is_told && one.outcome == JOB_OUTCOME_RUN_CLOSED) {
        exchange_problem(
            exchange, PROBLEM_RUN_CLOSED,
            "The job's run is being cancelled; when that has ended the job can be retried.", NULL);
        return;
    }
    bool known = is_told && (one.outcome == JOB_OUTCOME_OK || one.outcome == JOB_OUTCOME_ENDED);
    if (!known) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such job.", NULL);
        return;
    }
    exchange->job.changed = one.outcome == JOB_OUTCOME_OK;
    exchange_hold(exchange);
    store_get_job(exchange->api->store, &exchange->who.tenant, &exchange->id, shown, exchange);
}

/* ---- the request ---- */

/* {"reason"?}: appended to `reason` without escapes. */
static int read_reason(struct exchange *exchange, struct buffer *reason)
{
    struct json_span object;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    if (request_body(exchange, true, &object) != 0) {
        return -1;
    }
    while (json_pair(object, &cursor, &name, &value)) {
        if (!body_is(name, "reason")) {
            request_unknown_field(exchange, "", name);
            return -1;
        }
        if (body_is_null(value)) {
            continue;
        }
        if (!body_is_string(value) || body_string_length(value) > REASON_CHARACTERS_MAX) {
            exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD,
                             "reason must be a text of at most 500 characters.",
                             &(struct problem_extra){.pointer = "/reason"});
            return -1;
        }
        body_string(reason, value);
    }
    return 0;
}

static void change(struct exchange *exchange, enum job_change what, const struct buffer *reason)
{
    char actor[COMMAND_ACTOR_SIZE];
    struct msgpack_sbuffer changes;
    struct message_change_jobs_change one = {
        .what = what, .reason = command_span(reason->data, reason->length), .percent = -1};
    msgpack_sbuffer_init(&changes);
    memcpy(one.job, exchange->id.bytes, sizeof one.job);
    struct uuid token = uuid_new(); /* asked again after a death, it is known by this */
    memcpy(one.token, token.bytes, sizeof one.token);
    message_change_jobs_change_encode(&changes, &one);
    struct message_change_jobs message = {
        .actor = command_actor(exchange, actor),
        .changes = {(const uint8_t *)changes.data, changes.size, 1},
    };
    memcpy(message.tenant, exchange->who.tenant.bytes, sizeof message.tenant);
    command_trace(exchange, message.trace, &message.span, &message.trace_flags);
    exchange->job.what = what;
    SB_FAULT("api_before_command");
    exchange_hold(exchange);
    int sent = commands_change_jobs(exchange->api->commands, &message, changed, exchange);
    SB_FAULT("api_after_command");
    if (sent != 0 && exchange_resume(exchange)) {
        command_busy(exchange);
    }
    msgpack_sbuffer_destroy(&changes);
}

static void read_and_change(struct exchange *exchange, enum job_change what)
{
    struct buffer reason = {0};
    if (read_reason(exchange, &reason) == 0) {
        change(exchange, what, &reason);
    }
    buffer_deinit(&reason);
}

void jobs_cancel(struct exchange *exchange)
{
    read_and_change(exchange, JOB_CANCEL);
}

void jobs_retry(struct exchange *exchange)
{
    read_and_change(exchange, JOB_RETRY);
}
