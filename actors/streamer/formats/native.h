/* The native format: one run event as one server-sent event in one HTTP chunk. Pure. */
#ifndef SIGNALBOX_STREAMER_FORMATS_NATIVE_H
#define SIGNALBOX_STREAMER_FORMATS_NATIVE_H

#include "contracts/generated/event_types.h"
#include "runtime/base/buffer.h"
#include "runtime/base/uuid.h"

#include <stddef.h>
#include <stdint.h>

/* One event; all texts are borrowed. */
struct native_event {
    const char *cursor; /* the `id` of a feed; NULL: the seq */
    const char *run_id; /* UUID_TEXT_SIZE */
    uint64_t seq;
    int64_t ts_us; /* microseconds since 1970 */
    enum event_type number;
    const char *type;   /* its name */
    size_t type_length; /* at most NATIVE_TYPE_MAX */
    const char *payload;
    size_t payload_length;
};

enum { NATIVE_TYPE_MAX = 63, NATIVE_PREFIX_MAX = 320 };

/* An event ready to be written: its size is known, its payload not yet copied. */
struct native_frame {
    const struct native_event *event; /* borrowed */
    char prefix[NATIVE_PREFIX_MAX];   /* chunk head and everything before the payload */
    size_t prefix_length;
    size_t size; /* of the whole frame */
};

/* Appends the event's JSON object on one line; `prev_seq` becomes a member unless it is NULL. */
void native_append_object(struct buffer *out, const struct native_event *event,
                          const uint64_t *prev_seq);
void native_prepare(struct native_frame *frame, const struct native_event *event);
/* Writes exactly frame->size bytes. */
void native_write(const struct native_frame *frame, uint8_t *out);

#endif
