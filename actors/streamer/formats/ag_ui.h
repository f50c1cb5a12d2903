/* AG-UI 1.0: a run as the events of the agent-user interaction protocol, in server-sent events. See
 * projection.h. */
#ifndef SIGNALBOX_STREAMER_FORMATS_AG_UI_H
#define SIGNALBOX_STREAMER_FORMATS_AG_UI_H

#include "streamer/formats/projection.h"

extern const struct projection_format ag_ui_format;

#endif
