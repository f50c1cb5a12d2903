/* See command.h. */
#include "api/command.h"

#include "proto/outcome.h"
#include "proto/quota.h"
#include "runtime/base/clock.h"

#include <stdio.h>
#include <string.h>

enum { COMMAND_DAY_S = 86400 };

struct message_span command_span(const void *data, size_t length)
{
    return (struct message_span){data, length};
}

struct message_span command_actor(const struct exchange *exchange, char text[COMMAND_ACTOR_SIZE])
{
    int length = snprintf(text, COMMAND_ACTOR_SIZE, "%s", exchange->who.actor);
    return command_span(text, (size_t)length);
}

void command_trace(const struct exchange *exchange, uint8_t trace[16], uint64_t *span,
                   uint64_t *flags)
{
    memcpy(trace, exchange->trace.id, sizeof exchange->trace.id);
    *span = exchange->trace.span;
    *flags = (exchange->trace.given ? TRACE_GIVEN : 0U) |
             (exchange->trace.recorded ? TRACE_RECORDED : 0U);
}

void command_busy(struct exchange *exchange)
{
    exchange_problem(exchange, PROBLEM_BUSY,
                     "Too many writes are waiting. Nothing was done; try again.", NULL);
}

void command_unknown(struct exchange *exchange)
{
    exchange_problem(exchange, PROBLEM_OUTCOME_UNKNOWN,
                     "There was no definite answer in time. Repeating the request with the same "
                     "Idempotency-Key is safe.",
                     NULL);
}

static void producer_refused(struct exchange *exchange, const struct message_result *result)
{
    struct problem_extra extra = {.number = (int64_t)result->expected};
    if (result->outcome == OUTCOME_PRODUCER_GAP) {
        extra.number_name = "expected_seq";
        extra.second_name = "received_seq";
        extra.second = exchange->producer_seq;
        exchange_problem(exchange, PROBLEM_PRODUCER_GAP,
                         "An append of this producer is missing before this one.", &extra);
    } else if (result->outcome == OUTCOME_PRODUCER_FENCED) {
        extra.number_name = "producer_epoch";
        exchange_problem(exchange, PROBLEM_PRODUCER_FENCED,
                         "A newer epoch of this producer has written.", &extra);
    } else {
        exchange_problem(exchange, PROBLEM_INVALID_PRODUCER,
                         "A new epoch of a producer begins with number 0.", NULL);
    }
}

/* A quota of a day is open again at midnight UTC. */
static void quota_refused(struct exchange *exchange, const struct message_result *result)
{
    static const char *const names[] = {[QUOTA_RUNS_PER_DAY] = "runs_per_day",
                                        [QUOTA_EVENTS_PER_DAY] = "events_per_day",
                                        [QUOTA_BYTES_PER_DAY] = "bytes_per_day",
                                        [QUOTA_CONCURRENT_RUNS] = "concurrent_runs"};
    bool known = result->quota > QUOTA_NONE && result->quota <= QUOTA_CONCURRENT_RUNS;
    if (known && result->quota != QUOTA_CONCURRENT_RUNS) {
        exchange->retry_after_s = COMMAND_DAY_S - clock_real_us() / (1000 * 1000) % COMMAND_DAY_S;
    }
    exchange_problem(exchange, PROBLEM_QUOTA_EXCEEDED, "A quota of the tenant is used up.",
                     &(struct problem_extra){.name = known ? names[result->quota] : NULL,
                                             .number_name = "limit",
                                             .number = (int64_t)result->quota_limit,
                                             .second_name = "used",
                                             .second = (int64_t)result->quota_used});
}

void command_refused(struct exchange *exchange, const struct message_result *result)
{
    switch ((enum command_outcome)result->outcome) {
    case OUTCOME_NOT_FOUND:
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such run.", NULL);
        return;
    case OUTCOME_ID_TAKEN:
        exchange_problem(exchange, PROBLEM_RUN_ID_TAKEN, "A run with this id cannot be created.",
                         NULL);
        return;
    case OUTCOME_RUN_CLOSED:
        exchange_problem(exchange, PROBLEM_RUN_CLOSED,
                         "The run has ended; its log does not grow any more.", NULL);
        return;
    case OUTCOME_RUN_PENDING:
        exchange_problem(exchange, PROBLEM_RUN_PENDING, "The run has not started yet.", NULL);
        return;
    case OUTCOME_SEQ_CONFLICT:
        exchange_problem(exchange, PROBLEM_SEQ_CONFLICT, "expected_seq is not the head of the run.",
                         &(struct problem_extra){.number_name = "last_seq",
                                                 .number = (int64_t)result->last_seq});
        return;
    case OUTCOME_KEY_MISMATCH:
        exchange_problem(exchange, PROBLEM_IDEMPOTENCY_MISMATCH,
                         "This Idempotency-Key was used before with another body.", NULL);
        return;
    case OUTCOME_REFUSED:
        exchange_problem(exchange, PROBLEM_INVALID_PAYLOAD, "The database refused the data.", NULL);
        return;
    case OUTCOME_PRODUCER_GAP:
    case OUTCOME_PRODUCER_FENCED:
    case OUTCOME_PRODUCER_EPOCH:
        producer_refused(exchange, result);
        return;
    case OUTCOME_QUOTA:
        quota_refused(exchange, result);
        return;
    case OUTCOME_THREAD_BUSY:
        exchange_problem(exchange, PROBLEM_THREAD_BUSY,
                         "Another run of the thread has not ended yet.", NULL);
        return;
    case OUTCOME_NOT_INTERRUPTED:
        exchange_problem(exchange, PROBLEM_NOT_INTERRUPTED, "The run does not wait for an answer.",
                         NULL);
        return;
    case OUTCOME_WRONG_CLARIFICATION:
        exchange_problem(exchange, PROBLEM_CLARIFICATION_MISMATCH,
                         "The run waits for no answer to this question.", NULL);
        return;
    case OUTCOME_QUESTION_ASKED:
        exchange_problem(exchange, PROBLEM_CLARIFICATION_MISMATCH,
                         "A question of this clarification_id was asked in the run before.", NULL);
        return;
    case OUTCOME_SEQ_BEYOND_HEAD:
        exchange_problem(exchange, PROBLEM_SEQ_BEYOND_HEAD,
                         "seq is not an event that a fork can take along.",
                         &(struct problem_extra){.number_name = "last_seq",
                                                 .number = (int64_t)result->last_seq});
        return;
    case OUTCOME_OK:
    case OUTCOME_EXISTS:
        break;
    }
    exchange_problem(exchange, PROBLEM_INTERNAL, "The outcome of the request was not understood.",
                     NULL);
}
