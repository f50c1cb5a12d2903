/* Sets of event types, as filters of streams and pages have them: 1 << enum event_type for each
 * member; 0 stands for no filter. Pure. */
#ifndef SIGNALBOX_RUNTIME_EVENT_MASK_H
#define SIGNALBOX_RUNTIME_EVENT_MASK_H

#include "contracts/generated/event_types.h"
#include "runtime/base/error.h"
#include "runtime/db.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Names joined by commas, at least one. -1: one of them is no event type (the empty one is none). */
SB_MUST_CHECK int event_mask_parse(const char *text, size_t length, uint64_t *mask_out);
bool event_mask_has(uint64_t mask, enum event_type type);
/* Whether every bit stands for a type. */
bool event_mask_is_sound(uint64_t mask);
/* Adds the names as text[], or null for 0. */
void event_mask_param(struct db_params *params, uint64_t mask);

#endif
