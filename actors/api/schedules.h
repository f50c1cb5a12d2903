/* Schedules of jobs, as a resource (docs/schedules.md). */
#ifndef SIGNALBOX_API_SCHEDULES_H
#define SIGNALBOX_API_SCHEDULES_H

#include "api/exchange.h"

void schedules_list(struct exchange *exchange);   /* GET /schedules */
void schedules_get(struct exchange *exchange);    /* GET /schedules/{name} */
void schedules_set(struct exchange *exchange);    /* PUT /schedules/{name} */
void schedules_delete(struct exchange *exchange); /* DELETE /schedules/{name} */

#endif
