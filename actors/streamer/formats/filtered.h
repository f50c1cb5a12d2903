/* STREAM_FORMAT_FILTERED: some types of native events, each naming the one shown before it. Pure; see projection.h. */
#ifndef SIGNALBOX_STREAMER_FORMATS_FILTERED_H
#define SIGNALBOX_STREAMER_FORMATS_FILTERED_H

#include "streamer/formats/projection.h"

extern const struct projection_format filtered_format;

#endif
