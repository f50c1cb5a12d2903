/* POST and GET /runs/{id}/events. */
#ifndef SIGNALBOX_API_EVENTS_H
#define SIGNALBOX_API_EVENTS_H

struct exchange;

/* What a page is written as. */
enum events_format { EVENTS_JSON, EVENTS_STREAM, EVENTS_LINES, EVENTS_CLOUD, EVENTS_FORMATS };

void events_append(struct exchange *exchange);
/* The page, or, when the client wants a stream, that. */
void events_page(struct exchange *exchange);

#endif
