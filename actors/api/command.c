/* See command.h. */
#include "api/command.h"

#include <stdio.h>
#include <string.h>

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
    refusal_busy(&exchange->api->submission.refusal);
    exchange_refuse(exchange, &exchange->api->submission.refusal);
}

void command_unknown(struct exchange *exchange)
{
    refusal_unknown(&exchange->api->submission.refusal);
    exchange_refuse(exchange, &exchange->api->submission.refusal);
}

void command_refused(struct exchange *exchange, const struct message_result *result)
{
    refusal_outcome(&exchange->api->submission.refusal, result, exchange->producer_seq);
    exchange_refuse(exchange, &exchange->api->submission.refusal);
}

void command_jobs_refused(struct exchange *exchange, const struct message_jobs_result *result)
{
    const struct message_result same = {.outcome = result->outcome,
                                        .status = result->status,
                                        .quota = result->quota,
                                        .quota_limit = result->quota_limit,
                                        .quota_used = result->quota_used};
    command_refused(exchange, &same);
}
