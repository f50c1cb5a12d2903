/*
 * The UI message stream of the AI SDK: each run is one assistant message whose parts are its texts,
 * reasoning, tool calls and sources, and data-* parts for what only we have (docs/protocols.md).
 * Only part types that versions 6 and 7 of the client know are sent: an unknown one makes it throw.
 */
#ifndef SIGNALBOX_STREAMER_FORMATS_AI_SDK_H
#define SIGNALBOX_STREAMER_FORMATS_AI_SDK_H

#include "streamer/formats/projection.h"

extern const struct projection_format ai_sdk_format;

#endif
