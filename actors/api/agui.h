/* POST /agui/{agent} and GET /agui/{agent}/runs/{run_id}: runs for clients of AG-UI 1.0
 * (docs/protocols.md). */
#ifndef SIGNALBOX_API_AGUI_H
#define SIGNALBOX_API_AGUI_H

struct exchange;

void agui_run(struct exchange *exchange);
void agui_attach(struct exchange *exchange);

#endif
