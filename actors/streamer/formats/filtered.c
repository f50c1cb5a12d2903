/*
 * The native format of some event types only. Each event says in `prev_seq` which one was shown
 * before it, so a client can prove that it missed none. The event that ends the run is always shown.
 */
#include "streamer/formats/filtered.h"

#include "runtime/base/memory.h"

#include <stdlib.h>

struct projection {
    uint64_t types;
    uint64_t previous; /* seq of the last event shown; 0: none */
};

static struct projection *create(uint64_t types)
{
    struct projection *projection = memory_new(sizeof *projection);
    projection->types = types;
    return projection;
}

static struct projection *copy(const struct projection *projection)
{
    struct projection *twin = memory_new(sizeof *twin);
    *twin = *projection;
    return twin;
}

static void destroy(struct projection **projection)
{
    free(*projection);
    *projection = NULL;
}

static size_t size(const struct projection *projection)
{
    return sizeof *projection;
}

static bool is_shown(const struct projection *projection, enum event_type type)
{
    return projection->types == 0 || (projection->types >> type & 1) != 0 ||
           event_type_is_terminal(type);
}

static enum projection_after take(struct projection *projection, const struct native_event *event,
                                  struct buffer *out)
{
    if (is_shown(projection, event->number)) {
        buffer_append_text(out, "id: ");
        buffer_append_int(out, (int64_t)event->seq);
        buffer_append_text(out, "\ndata: ");
        native_append_object(out, event, &projection->previous);
        buffer_append_text(out, "\n\n");
        projection->previous = event->seq;
    }
    return PROJECTION_GOES_ON;
}

const struct projection_format filtered_format = {
    .name = "filtered",
    .content_type = "text/event-stream; charset=utf-8",
    .fields = "",
    .is_sse = true,
    .create = create,
    .copy = copy,
    .destroy = destroy,
    .size = size,
    .take = take,
};
