/* Bounds that are not settings: wire formats and tables rely on them. */
#ifndef SIGNALBOX_BASE_LIMITS_H
#define SIGNALBOX_BASE_LIMITS_H

enum {
    LIMIT_COMMAND_FRAME_BYTES = 4 << 20, /* commands to the sequencer and its replies */
    LIMIT_EVENT_FRAME_BYTES = 1 << 20,  /* frames on the event bus; the sequencer splits below it */
    LIMIT_SMALL_FRAME_BYTES = 64 << 10, /* everything else */
    LIMIT_HANDOFF_FRAME_BYTES = 192 << 10, /* a stream on its way to the successor */
    LIMIT_APPEND_EVENTS = 1000,
    LIMIT_IDEMPOTENCY_KEY_BYTES = 255,
    LIMIT_LOG_LINE_BYTES = 64 << 10,
    LIMIT_SOCKET_PATH_BYTES = 107
};

#endif
