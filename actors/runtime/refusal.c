/* See refusal.h. */
#include "runtime/refusal.h"

#include "contracts/generated/payloads.h"
#include "proto/messages.h"
#include "proto/outcome.h"
#include "proto/quota.h"
#include "runtime/base/clock.h"
#include "runtime/body.h"

#include <assert.h>

enum { DAY_S = 86400 };

void refusal_deinit(struct refusal *refusal)
{
    buffer_deinit(&refusal->detail);
    buffer_deinit(&refusal->pointer);
    schema_report_deinit(&refusal->report);
}

static void keep_text(struct buffer *kept, const char *text)
{
    buffer_clear(kept);
    buffer_append_text(kept, text);
    (void)buffer_text(kept);
}

int refusal_set(struct refusal *refusal, enum problem problem, const char *detail)
{
    keep_text(&refusal->detail, detail);
    refusal->problem = problem;
    refusal->extra = (struct problem_extra){0};
    refusal->retry_after_s = 0;
    return -1;
}

int refusal_at(struct refusal *refusal, enum problem problem, const char *pointer,
               const char *detail)
{
    (void)refusal_set(refusal, problem, detail);
    keep_text(&refusal->pointer, pointer);
    refusal->extra.pointer = (const char *)refusal->pointer.data;
    return -1;
}

int refusal_unknown_field(struct refusal *refusal, const char *pointer, struct json_span name)
{
    (void)refusal_set(refusal, PROBLEM_UNKNOWN_FIELD, "The request has a field not known here.");
    buffer_clear(&refusal->pointer);
    buffer_append_text(&refusal->pointer, pointer);
    body_pointer(&refusal->pointer, name);
    refusal->extra.pointer = buffer_text(&refusal->pointer);
    return -1;
}

/* Judges a second time, to say what is wrong. */
int refusal_schema(struct refusal *refusal, uint16_t node, struct json_span value,
                   const char *pointer, const char *detail)
{
    (void)refusal_at(refusal, PROBLEM_INVALID_PAYLOAD, pointer, detail);
    schema_report_deinit(&refusal->report);
    schema_report_init(&refusal->report, refusal->extra.pointer);
    bool valid = schema_check(&payload_schemas, node, value, &refusal->report);
    assert(!valid && refusal->report.count > 0);
    refusal->extra.pointer = NULL;
    refusal->extra.report = &refusal->report;
    return -1;
}

/* ---- what the sequencer answers ---- */

void refusal_busy(struct refusal *refusal)
{
    (void)refusal_set(refusal, PROBLEM_BUSY,
                      "Too many writes are waiting. Nothing was done; try again.");
}

void refusal_unknown(struct refusal *refusal)
{
    (void)refusal_set(refusal, PROBLEM_OUTCOME_UNKNOWN,
                      "There was no definite answer in time. Repeating the request with the same "
                      "Idempotency-Key is safe.");
}

static void producer_refused(struct refusal *refusal, const struct message_result *result,
                             int64_t producer_seq)
{
    struct problem_extra extra = {.number = (int64_t)result->expected};
    if (result->outcome == OUTCOME_PRODUCER_GAP) {
        extra.number_name = "expected_seq";
        extra.second_name = "received_seq";
        extra.second = producer_seq;
        (void)refusal_set(refusal, PROBLEM_PRODUCER_GAP,
                          "An append of this producer is missing before this one.");
    } else if (result->outcome == OUTCOME_PRODUCER_FENCED) {
        extra.number_name = "producer_epoch";
        (void)refusal_set(refusal, PROBLEM_PRODUCER_FENCED,
                          "A newer epoch of this producer has written.");
    } else {
        (void)refusal_set(refusal, PROBLEM_INVALID_PRODUCER,
                          "A new epoch of a producer begins with number 0.");
        return;
    }
    refusal->extra = extra;
}

/* A quota of a day is open again at midnight UTC. */
static void quota_refused(struct refusal *refusal, const struct message_result *result)
{
    static const char *const names[] = {[QUOTA_RUNS_PER_DAY] = "runs_per_day",
                                        [QUOTA_EVENTS_PER_DAY] = "events_per_day",
                                        [QUOTA_BYTES_PER_DAY] = "bytes_per_day",
                                        [QUOTA_CONCURRENT_RUNS] = "concurrent_runs",
                                        [QUOTA_JOBS_PER_RUN] = "jobs_per_run"};
    bool known = result->quota > QUOTA_NONE && result->quota <= QUOTA_JOBS_PER_RUN;
    (void)refusal_set(refusal, PROBLEM_QUOTA_EXCEEDED, "A quota of the tenant is used up.");
    if (known && result->quota < QUOTA_CONCURRENT_RUNS) {
        refusal->retry_after_s = DAY_S - clock_real_us() / (1000 * 1000) % DAY_S;
    }
    refusal->extra = (struct problem_extra){.name = known ? names[result->quota] : NULL,
                                            .number_name = "limit",
                                            .number = (int64_t)result->quota_limit,
                                            .second_name = "used",
                                            .second = (int64_t)result->quota_used};
}

static void refuse_with_head(struct refusal *refusal, enum problem problem, const char *detail,
                             const struct message_result *result)
{
    (void)refusal_set(refusal, problem, detail);
    refusal->extra.number_name = "last_seq";
    refusal->extra.number = (int64_t)result->last_seq;
}

void refusal_outcome(struct refusal *refusal, const struct message_result *result,
                     int64_t producer_seq)
{
    switch ((enum command_outcome)result->outcome) {
    case OUTCOME_NOT_FOUND:
        (void)refusal_set(refusal, PROBLEM_NOT_FOUND, "There is no such run.");
        return;
    case OUTCOME_ID_TAKEN:
        (void)refusal_set(refusal, PROBLEM_RUN_ID_TAKEN, "A run with this id cannot be created.");
        return;
    case OUTCOME_RUN_CLOSED:
        (void)refusal_set(refusal, PROBLEM_RUN_CLOSED,
                          "The run has ended; its log does not grow any more.");
        return;
    case OUTCOME_RUN_PENDING:
        (void)refusal_set(refusal, PROBLEM_RUN_PENDING, "The run has not started yet.");
        return;
    case OUTCOME_SEQ_CONFLICT:
        refuse_with_head(refusal, PROBLEM_SEQ_CONFLICT, "expected_seq is not the head of the run.",
                         result);
        return;
    case OUTCOME_KEY_MISMATCH:
        (void)refusal_set(refusal, PROBLEM_IDEMPOTENCY_MISMATCH,
                          "This Idempotency-Key was used before with another body.");
        return;
    case OUTCOME_REFUSED:
        (void)refusal_set(refusal, PROBLEM_INVALID_PAYLOAD, "The database refused the data.");
        return;
    case OUTCOME_PRODUCER_GAP:
    case OUTCOME_PRODUCER_FENCED:
    case OUTCOME_PRODUCER_EPOCH:
        producer_refused(refusal, result, producer_seq);
        return;
    case OUTCOME_QUOTA:
        quota_refused(refusal, result);
        return;
    case OUTCOME_THREAD_BUSY:
        (void)refusal_set(refusal, PROBLEM_THREAD_BUSY,
                          "Another run of the thread has not ended yet.");
        return;
    case OUTCOME_NOT_INTERRUPTED:
        (void)refusal_set(refusal, PROBLEM_NOT_INTERRUPTED, "The run does not wait for an answer.");
        return;
    case OUTCOME_WRONG_CLARIFICATION:
        (void)refusal_set(refusal, PROBLEM_CLARIFICATION_MISMATCH,
                          "The run waits for no answer to this question.");
        return;
    case OUTCOME_QUESTION_ASKED:
        (void)refusal_set(refusal, PROBLEM_CLARIFICATION_MISMATCH,
                          "A question of this clarification_id was asked in the run before.");
        return;
    case OUTCOME_SEQ_BEYOND_HEAD:
        refuse_with_head(refusal, PROBLEM_SEQ_BEYOND_HEAD,
                         "seq is not an event that a fork can take along.", result);
        return;
    case OUTCOME_OK:
    case OUTCOME_EXISTS:
        break;
    }
    (void)refusal_set(refusal, PROBLEM_INTERNAL, "The outcome of the request was not understood.");
}

void refusal_write(struct buffer *out, const struct refusal *refusal)
{
    problem_write(out, refusal->problem, (const char *)refusal->detail.data, &refusal->extra);
}
