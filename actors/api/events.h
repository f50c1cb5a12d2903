/* POST and GET /runs/{id}/events. */
#ifndef SIGNALBOX_API_EVENTS_H
#define SIGNALBOX_API_EVENTS_H

#include "runtime/json.h"

struct exchange;

void events_append(struct exchange *exchange);
void events_page(struct exchange *exchange);
/* Adds one event, as an append has it, to those in api->events. -1: answered. */
SB_MUST_CHECK int events_add(struct exchange *exchange, struct json_span object);

#endif
