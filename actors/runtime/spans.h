/*
 * What an actor tells a collector of the traces it takes part in (setting trace.otlp_url; see
 * docs/traces.md). Spans wait in a bounded ring and go out by a fetcher of their own, once a second
 * or by the 512, one request at a time. What finds no room, or no collector, is dropped and counted:
 * nothing else ever waits for it.
 */
#ifndef SIGNALBOX_RUNTIME_SPANS_H
#define SIGNALBOX_RUNTIME_SPANS_H

#include "runtime/actor.h"
#include "runtime/otlp.h"

struct spans;

/* Reads the settings. *spans_out is NULL when nothing is to be exported; otherwise the caller
 * destroys it with spans_destroy. -1: the URL is none. */
SB_MUST_CHECK int spans_create(struct actor *actor, struct spans **spans_out, struct error *err);
/* What has not been sent is dropped. */
void spans_destroy(struct spans **spans);
/* Whether spans of this trace, begun here, are exported. `spans` may be NULL, here only. */
bool spans_want(const struct spans *spans, const struct trace *trace);
/* Copies it. */
void spans_add(struct spans *spans, const struct span *span);

#endif
