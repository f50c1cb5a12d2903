/* STREAM_FORMAT_NDJSON: one native event object a line. Pure; see projection.h. */
#ifndef SIGNALBOX_STREAMER_FORMATS_NDJSON_H
#define SIGNALBOX_STREAMER_FORMATS_NDJSON_H

#include "streamer/formats/projection.h"

extern const struct projection_format ndjson_format;

#endif
