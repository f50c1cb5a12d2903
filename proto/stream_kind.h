/* What one stream shows, and as what. The numbers travel in HANDOVER and HANDOFF. */
#ifndef SIGNALBOX_PROTO_STREAM_KIND_H
#define SIGNALBOX_PROTO_STREAM_KIND_H

#include <stdint.h>

#include <stdint.h>

enum stream_kind {
    STREAM_KIND_RUN = 0,    /* the events of one run, by seq */
    STREAM_KIND_THREAD = 1, /* the events of all runs of one thread, by log position */
    STREAM_KIND_TENANT = 2, /* all events of one tenant, by log position */
    STREAM_KIND_CHAT = 3,   /* the assistant's messages in one thread, by log position */
    STREAM_KIND_SOCKET = 4  /* a WebSocket: its client says what it wants */
};

/* How the events of a run are written. */
enum stream_format {
    STREAM_FORMAT_NATIVE = 0,   /* server-sent events of the native interface */
    STREAM_FORMAT_FILTERED = 1, /* the same, of some event types only */
    STREAM_FORMAT_NDJSON = 2,   /* one JSON object a line */
    STREAM_FORMAT_AG_UI = 3,
    STREAM_FORMAT_AI_SDK = 4
};

/* In place of a position of a run (`after_seq` of HANDOVER, `cursor` of HANDOFF): the run so far in
 * short, in the words of a format that has them, then what follows. No seq is ever that large. */
#define STREAM_AFTER_JOIN UINT64_MAX

/* What the key of a WebSocket may do besides reading; or-ed in HANDOVER and HANDOFF. */
enum stream_right { STREAM_MAY_APPEND = 1 };

#endif
