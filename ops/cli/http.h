/*
 * HTTP client of the command line: requests to one Signalbox over libcurl's multi interface, driven
 * by http_run(). The only caller of libcurl in this program.
 */
#ifndef SIGNALBOX_CLI_HTTP_H
#define SIGNALBOX_CLI_HTTP_H

#include "runtime/base/buffer.h"
#include "runtime/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http;

struct http_answer {
    int status;             /* 0: none came; `reason` says why */
    bool complete;          /* the body ended as it should, not broken off */
    const char *reason;     /* transport error, or "" */
    int64_t retry_after_ms; /* Retry-After; -1: none */
    struct buffer *body;    /* empty when `chunk` took it */
};

/* Bytes of a 200 body as they come. -1 breaks the request off. */
typedef int http_chunk_fn(void *arg, const void *bytes, size_t length);
/* Called once per request; `answer` is borrowed for the call. */
typedef void http_done_fn(void *arg, const struct http_answer *answer);

/* Everything but `body` is copied; `body` must stay until `done`. */
struct http_call {
    const char *method;
    const char *path;            /* "/api/v1/runs" with its query */
    const char *idempotency_key; /* or NULL */
    const char *last_event_id;   /* or NULL */
    const char *body;            /* JSON, or NULL */
    size_t body_length;
    int64_t timeout_ms; /* of the whole request; 0: none, but silence_ms */
    int64_t silence_ms; /* no byte for this long ends it; 0: no limit */
    http_chunk_fn *chunk;
    http_done_fn *done;
    void *arg;
};

/* `address` is HOST:PORT, `key` an api key; both are copied. Returns, caller destroys with
 * http_destroy (open requests end without `done`). */
struct http *http_create(const char *address, const char *key);
void http_destroy(struct http **http);
/* The server moved: requests from now on go there. */
void http_set_target(struct http *http, const char *address, const char *key);
void http_send(struct http *http, const struct http_call *call);
/* Moves open requests on; waits at most `wait_ms` for something to happen. */
void http_run(struct http *http, int64_t wait_ms);
/* One GET, waiting for its answer; the body is put into `body`. Returns the status, 0 and err when
 * none came. */
int http_get(struct http *http, const char *path, struct buffer *body, struct error *err);
/* "409 run-closed: The run has ended" from a problem document, or just the status. */
void http_problem(const struct http_answer *answer, struct error *err);

#endif
