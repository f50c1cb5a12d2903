/* See projection.h. A new format is a file with its table, and a line here. */
#include "streamer/formats/projection.h"

extern const struct projection_format ag_ui_format;
extern const struct projection_format filtered_format;
extern const struct projection_format ndjson_format;

const struct projection_format *projection_format(enum stream_format format)
{
    switch (format) {
    case STREAM_FORMAT_FILTERED:
        return &filtered_format;
    case STREAM_FORMAT_NDJSON:
        return &ndjson_format;
    case STREAM_FORMAT_AG_UI:
        return &ag_ui_format;
    case STREAM_FORMAT_AI_SDK:
    case STREAM_FORMAT_NATIVE:
        break;
    }
    return NULL;
}
