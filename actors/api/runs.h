/* What the interface offers on runs, one function a route; see the runs_*.c files. */
#ifndef SIGNALBOX_API_RUNS_H
#define SIGNALBOX_API_RUNS_H

struct exchange;

/* runs_create.c: POST /runs. */
void runs_create(struct exchange *exchange);
/* runs.c: GET /runs/{id}. */
void runs_get(struct exchange *exchange);
/* runs_list.c: GET /runs. */
void runs_list(struct exchange *exchange);
/* runs_lifecycle.c: POST /runs/{id}/cancel, /resume, /fork, /heartbeat. */
void runs_cancel(struct exchange *exchange);
void runs_resume(struct exchange *exchange);
void runs_fork(struct exchange *exchange);
void runs_heartbeat(struct exchange *exchange);
/* runs_cancel_all.c: POST /runs/cancel. */
void runs_cancel_all(struct exchange *exchange);

#endif
