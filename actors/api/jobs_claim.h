/* Handlers of what workers do: take jobs (jobs_claim.c), and say what becomes of them
 * (jobs_worker.c). */
#ifndef SIGNALBOX_API_JOBS_CLAIM_H
#define SIGNALBOX_API_JOBS_CLAIM_H

struct exchange;

void jobs_claim(struct exchange *exchange);
void jobs_heartbeat(struct exchange *exchange);
void jobs_progress(struct exchange *exchange);
void jobs_complete(struct exchange *exchange);
void jobs_fail(struct exchange *exchange);
void jobs_release(struct exchange *exchange);

#endif
