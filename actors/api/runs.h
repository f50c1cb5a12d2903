/* POST /runs, GET /runs, GET /runs/{id}. */
#ifndef SIGNALBOX_API_RUNS_H
#define SIGNALBOX_API_RUNS_H

struct exchange;

void runs_create(struct exchange *exchange);
void runs_list(struct exchange *exchange);
void runs_get(struct exchange *exchange);

#endif
