/* Queues of jobs, as a resource: how they stand, what is asked of them; and what is paused. */
#ifndef SIGNALBOX_API_QUEUES_H
#define SIGNALBOX_API_QUEUES_H

#include "api/exchange.h"

void queues_list(struct exchange *exchange);        /* GET /queues */
void queues_get(struct exchange *exchange);         /* GET /queues/{name} */
void queues_set(struct exchange *exchange);         /* PUT /queues/{name} */
void queues_reset(struct exchange *exchange);       /* DELETE /queues/{name} */
void queues_pause_type(struct exchange *exchange);  /* PUT /job-types/{type}/pause */
void queues_resume_type(struct exchange *exchange); /* DELETE /job-types/{type}/pause */
void queues_pause_all(struct exchange *exchange);   /* PUT /jobs/pause */
void queues_resume_all(struct exchange *exchange);  /* DELETE /jobs/pause */

#endif
