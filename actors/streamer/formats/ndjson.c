/* One native event object a line. Every line stands for itself. */
#include "streamer/formats/ndjson.h"

#include "runtime/base/memory.h"

#include <stdlib.h>

struct projection {
    uint8_t nothing;
};

static struct projection *create(uint64_t types)
{
    (void)types;
    return memory_new(sizeof(struct projection));
}

static struct projection *copy(const struct projection *projection)
{
    (void)projection;
    return create(0);
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

static enum projection_after take(struct projection *projection, const struct native_event *event,
                                  struct buffer *out)
{
    (void)projection;
    native_append_object(out, event, NULL);
    buffer_append_byte(out, '\n');
    return PROJECTION_GOES_ON;
}

const struct projection_format ndjson_format = {
    .name = "ndjson",
    .content_type = "application/x-ndjson",
    .fields = "",
    .is_stateless = true,
    .create = create,
    .copy = copy,
    .destroy = destroy,
    .size = size,
    .take = take,
};
