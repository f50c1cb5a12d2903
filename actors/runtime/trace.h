/*
 * W3C Trace Context: which request of a client something belongs to, told from process to process
 * and in log lines. Pure but for the random numbers, which name and protect nothing.
 */
#ifndef SIGNALBOX_RUNTIME_TRACE_H
#define SIGNALBOX_RUNTIME_TRACE_H

#include "runtime/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TRACE_ID_BYTES = 16, TRACE_ID_TEXT_SIZE = 33, TRACE_SPAN_TEXT_SIZE = 17 };

/* What travels with a trace. */
enum trace_flag {
    TRACE_GIVEN = 1,   /* the client named it: it is stored with what the request writes */
    TRACE_RECORDED = 2 /* spans of it are exported */
};

struct trace {
    uint8_t id[TRACE_ID_BYTES]; /* all zero: none */
    uint64_t parent;            /* span of the caller; 0: none */
    uint64_t span;              /* ours; never 0 in a trace */
    bool given;                 /* it is the caller's */
    bool sampled;               /* the caller records it, or there is no caller */
    bool recorded;              /* spans of it are exported; false when it begins */
};

/* Takes over a `traceparent`, or begins a trace of its own when `text` is NULL or anything but a
 * correct one: version 00 exactly, later versions by their first four fields. Either way with a new
 * span. */
void trace_begin(struct trace *trace, const char *text, size_t length);
/* A span within the trace: the child's parent is our span. */
void trace_child(struct trace *child, const struct trace *trace);
/* A number for a span, not 0. */
uint64_t trace_new_span(void);
bool trace_is_none(const uint8_t id[TRACE_ID_BYTES]);
void trace_id_format(const uint8_t id[TRACE_ID_BYTES], char text[TRACE_ID_TEXT_SIZE]);
void trace_span_format(uint64_t span, char text[TRACE_SPAN_TEXT_SIZE]);

#endif
