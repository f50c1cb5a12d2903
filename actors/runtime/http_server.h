/*
 * HTTP/1.1 connections on libevent core: deadlines, limits, keep-alive, bodies, handing a
 * connection over. The grammar is in http_parse.h (no I/O, fuzzed); what a request means is the
 * caller's. One request at a time per connection: a pipelined one waits for the answer of the one
 * before it.
 *
 * Framing errors are answered here (400, 408, 413, 414, 417, 431, 501, 505: problem documents, then
 * close) and never reach handle(). The HTTP_ metrics are counted here.
 *
 * http_reply and http_request_detach may be called from within head() and handle() or later; no
 * callback runs from within them.
 */
#ifndef SIGNALBOX_RUNTIME_HTTP_SERVER_H
#define SIGNALBOX_RUNTIME_HTTP_SERVER_H

#include "runtime/base/buffer.h"
#include "runtime/base/error.h"
#include "runtime/base/settings.h"
#include "runtime/base/uuid.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server;
struct http_request;

/* A piece of text that is not NUL-terminated; borrowed. data NULL: absent. */
struct http_text {
    const char *data;
    size_t length;
};

struct http_field {
    const char *name;
    const char *value;
};

struct http_server_options {
    struct event_base *base;
    const struct settings *settings; /* http.* limits; borrowed for http_server_create */
    int listener;                    /* bound and listening, non-blocking; stays the caller's */
    int hold_ms; /* nothing is accepted for so long, unless http_server_accept is called */
    /* The head is complete. Return the limit of this request's body in bytes (above it: 413), or -1
     * after having answered already (the body is then not read and the connection closes behind the
     * answer if one is pending). With -1 the answer may also come later. */
    int64_t (*head)(void *arg, struct http_request *request);
    /* Head and body are complete. The answer comes from here or any time later through http_reply.
     */
    void (*handle)(void *arg, struct http_request *request);
    /* The next piece of a streamed body (http_request_stream_body), after each call of
     * http_request_read_body; `last`: there is no more, and the piece may be empty. The piece is
     * borrowed until the callback returns or the request is answered. May be NULL when no body is
     * streamed. */
    void (*body)(void *arg, struct http_request *request, void *user, struct http_text piece,
                 bool last);
    /* There will be no answer: the connection broke, or the server is destroyed. `user` as set by
     * http_request_set_user. http_reply must not be called any more. A request that head() has let
     * in and given a user, but that never came to handle() (its body was refused), is told of here
     * too. A client that only stops sending is still answered. May be NULL. */
    void (*abandoned)(void *arg, struct http_request *request, void *user);
    /* Fills `type`, `title` of a framing problem: see problem.h of the api; detail is a sentence.
     * Appends the body. */
    void (*problem)(void *arg, int status, const char *slug, const char *detail,
                    struct buffer *body);
    void *arg;
};

struct http_server *http_server_create(const struct http_server_options *options,
                                       struct error *err);
/* Begins to accept now; again, it changes nothing. */
void http_server_accept(struct http_server *server);
void http_server_destroy(struct http_server **server);
/* Takes no new connections; idle ones are closed, others after their answer (`Connection: close`), those
 * that have just come after their first request, or a second without one.
 * `done` is called once when none is left. */
void http_server_drain(struct http_server *server, void (*done)(void *arg), void *arg);
size_t http_server_connections(const struct http_server *server);

/* What was asked. All borrowed, valid until the answer. */
struct http_text http_request_method(const struct http_request *request);
/* Percent-decoded path without query; never holds control characters; "%2F" stays encoded. Dots and
 * double slashes are kept as they came. */
struct http_text http_request_path(const struct http_request *request);
/* Raw query without '?'; its escapes are well-formed. */
struct http_text http_request_query(const struct http_request *request);
/* First field of that name (case-insensitive), without surrounding blanks. `count_out` (may be
 * NULL): how many there are. */
struct http_text http_request_field(const struct http_request *request, const char *name,
                                    size_t *count_out);
/* All fields of that name as one value, joined by commas as RFC 9110, 5.3 has it; appended to `out`.
 * False when there is none. */
bool http_request_join_fields(const struct http_request *request, const char *name,
                              struct buffer *out);
struct http_text http_request_body(const struct http_request *request);
/* The listener it came in on is a local socket or bound to a loopback address. One bound to every
 * address is not, whoever calls: a proxy on this machine calls from here for the world. */
bool http_request_is_loopback(const struct http_request *request);
/* The client's address as 128 bits (IPv4 mapped into IPv6). False, and nothing is said, when it
 * calls from loopback or through a local socket. */
bool http_request_address(const struct http_request *request, struct uuid *address_out);
/* Monotonic time at which the head was complete. */
int64_t http_request_started_us(const struct http_request *request);

/* From within head() only: the body is not gathered. handle() is called as soon as the head is
 * complete, and nothing of the body is read before http_request_read_body. The limit that head()
 * returns holds for the whole body. An answer given before the last piece closes the connection. */
void http_request_stream_body(struct http_request *request);
bool http_request_is_streamed(const struct http_request *request);
/* One more piece is wanted: body() is called once, from the loop, and never from within this call.
 * While none is wanted the client is held back by its socket and no deadline runs. */
void http_request_read_body(struct http_request *request);

/* The answer is worth nothing, or harm is done, when nobody takes it: from now on a client that
 * stops sending has gone (abandoned() is called), as it usually has. */
void http_request_needs_client(struct http_request *request);
/* Whether the client is still there, as far as its socket knows now. */
bool http_request_is_there(const struct http_request *request);

void http_request_set_user(struct http_request *request, void *user);
void *http_request_user(const struct http_request *request);

/* Answers. `content_type` NULL: no body (204). Fields are NULL-terminated by name. Adds Date,
 * Content-Length, Connection. HEAD is answered without its body. The request is gone after the
 * call. */
void http_reply(struct http_request *request, int status, const char *content_type,
                const struct http_field *fields, const void *body, size_t length);
/* Takes the connection away: returns its descriptor (the caller closes it) and puts bytes already
 * read behind the request into `rest`. The request is gone after the call. Nothing has been written
 * to the socket. */
int http_request_detach(struct http_request *request, struct buffer *rest);

/* Query parameters: walks name=value pairs of a raw query (start with a copy of
 * http_request_query), percent-decoded into `scratch` until the next call; they may hold any byte,
 * '+' is a space, as forms write it. Returns false at the end. *bad_out is set when an escape is malformed. */
bool http_query_next(struct http_text *query, struct buffer *scratch, struct http_text *name_out,
                     struct http_text *value_out, bool *bad_out);

#endif
