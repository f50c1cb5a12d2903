/* See projection.h. A new format is a file with its table, and a line here. */
#include "streamer/formats/projection.h"

#include "streamer/formats/ag_ui.h"
#include "streamer/formats/ai_sdk.h"
#include "streamer/formats/filtered.h"
#include "streamer/formats/ndjson.h"

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
        return &ai_sdk_format;
    case STREAM_FORMAT_NATIVE:
        break;
    }
    return NULL;
}
