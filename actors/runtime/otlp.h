/*
 * Spans in the words of OpenTelemetry: OTLP/HTTP with a JSON body (ExportTraceServiceRequest). Pure.
 */
#ifndef SIGNALBOX_RUNTIME_OTLP_H
#define SIGNALBOX_RUNTIME_OTLP_H

#include "runtime/base/buffer.h"
#include "runtime/base/uuid.h"
#include "runtime/trace.h"

enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER = 2, SPAN_CLIENT = 3, SPAN_PRODUCER = 4 };

/* Something that took time, within a trace. Texts are borrowed for ever: they are constants. */
struct span {
    uint8_t trace[TRACE_ID_BYTES];
    uint64_t id;
    uint64_t parent; /* 0: none */
    enum span_kind kind;
    const char *name;   /* NULL: method and route */
    const char *method; /* of a request; NULL: it is none */
    const char *route;
    int64_t start_us; /* real time */
    int64_t end_us;
    struct uuid run;
    int status;         /* HTTP status of a request's answer; 0: none was given */
    int64_t first_seq;  /* of what it wrote; 0: nothing */
    int64_t batch_rows; /* events of the batch it was written with; 0: not said */
    bool failed;
};

/* The body of one request. `spans`: `count` of them in a ring of `capacity`, from `first` on. */
void otlp_write(struct buffer *out, const char *instance, const struct span *ring, size_t capacity,
                size_t first, size_t count);
/* Where a collector listens: http:// or https://, a host, a port or none, a path. Returns the port;
 * -1: it is no such URL, or names a user. */
int otlp_port(const char *url);

#endif
