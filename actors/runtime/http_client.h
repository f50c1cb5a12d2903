/*
 * The only caller of libcurl in the actors: requests to the outside on the event loop, behind the
 * guard of egress.h.
 *
 * A request follows no redirect, uses no proxy, no cookies, no connection of another request and no
 * decompression; it is bounded in time and in bytes. Certificates are verified, TLS 1.2 at least.
 * It belongs into a process that holds no secrets (actors/fetcher).
 */
#ifndef SIGNALBOX_RUNTIME_HTTP_CLIENT_H
#define SIGNALBOX_RUNTIME_HTTP_CLIENT_H

#include "runtime/base/buffer.h"
#include "runtime/egress.h"

#include <event2/event.h>
#include <stdint.h>

enum { HTTP_CLIENT_REQUESTS_MAX = 256 };

/* All borrowed for the call. */
struct http_client_request {
    const char *method; /* "GET", "POST" … */
    const char *url;
    const char *headers; /* lines "Name: value", each ended by LF; may be empty */
    const void *body;
    size_t body_length;
    int64_t timeout_ms; /* whole request, 1..600,000 */
    size_t answer_max;  /* bytes of the answer's body; more is an error */
};

/* Borrowed for the call. */
struct http_client_answer {
    int status;          /* 0: no answer; `error` says why */
    bool refused;        /* not even tried: the URL or its address is not allowed */
    const char *error;   /* "" when there is an answer */
    const char *headers; /* "name: value" lines, names in lower case, each ended by LF */
    size_t headers_length;
    const void *body;
    size_t body_length;
};

typedef void http_client_done_fn(void *arg, const struct http_client_answer *answer);

struct http_client;

/* `policy` is copied. Returns, caller destroys with http_client_destroy; requests under way end
 * unanswered. */
struct http_client *http_client_create(struct event_base *base, const struct egress_policy *policy,
                                       struct error *err);
void http_client_destroy(struct http_client **client);
/* `done` is called exactly once, from the loop, unless the client is destroyed first; at once, from within, for
 * a URL that is refused. -1: too many
 * requests under way. */
SB_MUST_CHECK int http_client_send(struct http_client *client,
                                   const struct http_client_request *request,
                                   http_client_done_fn *done, void *arg, struct error *err);

#endif
