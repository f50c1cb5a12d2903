/* The forms in which pages show events: members of a JSON page, lines, CloudEvents. Pure. */
#ifndef SIGNALBOX_API_EVENTS_FORMAT_H
#define SIGNALBOX_API_EVENTS_FORMAT_H

#include "api/events.h"
#include "api/store.h"
#include "runtime/base/buffer.h"
#include "runtime/base/uuid.h"

#include <stdint.h>

/* What all events of a page have in common. */
struct events_context {
    struct uuid tenant;
    struct uuid run;
    struct uuid thread; /* nil: none, or not known */
};

/* Media type of an answer, without parameters. */
const char *events_format_type(enum events_format format);
/* Appends one event; `first`: of the page. Never for EVENTS_STREAM. */
void events_format_add(struct buffer *out, enum events_format format,
                       const struct events_context *context, const struct store_event *event,
                       bool first);

#endif
