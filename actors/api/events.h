/* POST and GET /runs/{id}/events. */
#ifndef SIGNALBOX_API_EVENTS_H
#define SIGNALBOX_API_EVENTS_H

struct exchange;

void events_append(struct exchange *exchange);
void events_page(struct exchange *exchange);

#endif
