/* What a client is told when its stream is refused because a limit is reached. Pure. */
#ifndef SIGNALBOX_STREAMER_REFUSAL_H
#define SIGNALBOX_STREAMER_REFUSAL_H

#include "runtime/base/buffer.h"
#include "streamer/formats/projection.h"

/* The whole answer; the connection is cut behind it. `format` NULL: native. */
void refusal_append(struct buffer *out, const struct projection_format *format, int64_t now_us,
                    unsigned retry_ms);

#endif
