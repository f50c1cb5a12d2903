/*
 * The jobs of runs, as a resource; what is promised about them is in docs/jobs.md. What workers ask
 * and report is elsewhere (jobs_claim.c and its neighbours).
 */
#ifndef SIGNALBOX_API_JOBS_H
#define SIGNALBOX_API_JOBS_H

#include "api/exchange.h"

void jobs_enqueue(struct exchange *exchange);   /* POST /runs/{id}/jobs */
void jobs_list_run(struct exchange *exchange);  /* GET /runs/{id}/jobs */
void jobs_list(struct exchange *exchange);      /* GET /jobs */
void jobs_get(struct exchange *exchange);       /* GET /jobs/{id} */
void jobs_cancel(struct exchange *exchange);    /* POST /jobs/{id}/cancel */
void jobs_retry(struct exchange *exchange);     /* POST /jobs/{id}/retry */
void jobs_retry_all(struct exchange *exchange); /* POST /jobs/retry */

#endif
