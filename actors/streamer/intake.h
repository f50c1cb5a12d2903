/* Frames of the event bus: committed events, and beats that tell whether any were lost. */
#ifndef SIGNALBOX_STREAMER_INTAKE_H
#define SIGNALBOX_STREAMER_INTAKE_H

#include "runtime/base/error.h"

#include <stdint.h>

struct streamer;

SB_MUST_CHECK int intake_start(struct streamer *streamer, struct error *err);
void intake_stop(struct streamer *streamer);
/* Silence is a sign of loss, too. */
void intake_tick(struct streamer *streamer, int64_t now_ms);

#endif
