/* What every command to the sequencer has in common: who sends it, and what its outcomes mean to
 * the client. */
#ifndef SIGNALBOX_API_COMMAND_H
#define SIGNALBOX_API_COMMAND_H

#include "api/exchange.h"
#include "proto/messages.h"

enum { COMMAND_ACTOR_SIZE = AUTH_ACTOR_SIZE };

/* "key:PUBLIC_ID", "session:PUBLIC_ID", "user:SUBJECT", for the log. */
struct message_span command_actor(const struct exchange *exchange, char text[COMMAND_ACTOR_SIZE]);
struct message_span command_span(const void *data, size_t length);
/* The request's trace, its span and what is to be done with them, for these fields of a command. */
void command_trace(const struct exchange *exchange, uint8_t trace[16], uint64_t *span,
                   uint64_t *flags);
/* The window is full. */
void command_busy(struct exchange *exchange);
/* No definite outcome in time. */
void command_unknown(struct exchange *exchange);
/* Answers an outcome that is a refusal; OUTCOME_OK and OUTCOME_EXISTS are the caller's. */
void command_refused(struct exchange *exchange, const struct message_result *result);
/* The same of a command about jobs; OUTCOME_OK is the caller's. */
void command_jobs_refused(struct exchange *exchange, const struct message_jobs_result *result);

#endif
