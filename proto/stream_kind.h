/* What one stream shows. The numbers travel in HANDOVER and HANDOFF. */
#ifndef SIGNALBOX_PROTO_STREAM_KIND_H
#define SIGNALBOX_PROTO_STREAM_KIND_H

enum stream_kind {
    STREAM_KIND_RUN = 0,    /* the events of one run, by seq */
    STREAM_KIND_THREAD = 1, /* the events of all runs of one thread, by log position */
    STREAM_KIND_TENANT = 2  /* all events of one tenant, by log position */
};

#endif
