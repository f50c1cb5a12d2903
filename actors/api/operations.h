/* What operators ask: /health, /ready, /metrics, and the pages that problem types name. */
#ifndef SIGNALBOX_API_OPERATIONS_H
#define SIGNALBOX_API_OPERATIONS_H

struct exchange;

void operations_health(struct exchange *exchange);
void operations_ready(struct exchange *exchange);
void operations_metrics(struct exchange *exchange);
void operations_problem(struct exchange *exchange);

#endif
