/*
 * What the http_*.c files of the server share; not for its users. A connection is a small state
 * machine on a plain libevent event: no bufferevent, because a request that fits one read and an
 * answer that fits one write then cost one system call each and an idle connection keeps no
 * buffers.
 */
#ifndef SIGNALBOX_RUNTIME_HTTP_INTERNAL_H
#define SIGNALBOX_RUNTIME_HTTP_INTERNAL_H

#include "runtime/base/list.h"
#include "runtime/base/map.h"
#include "runtime/http_deadline.h"
#include "runtime/http_parse.h"
#include "runtime/http_server.h"

#include <event2/event.h>

enum {
    HTTP_SCRATCH_BYTES = 64 << 10,
    HTTP_PIPELINE_BYTES = 64 << 10,   /* read ahead while a request is being answered */
    HTTP_BODY_STEP_BYTES = 256 << 10, /* memory given to a body ahead of its bytes */
    HTTP_BODY_BYTES_PER_S = 16 << 10, /* slowest body */
    HTTP_LINGER_MS = 5000,            /* for the client to read an answer before the close */
    HTTP_LINGER_DRAIN_MS = 500,       /* the same while draining */
    HTTP_FRESH_DRAIN_MS = 1000,       /* while draining, for the first request of a connection */
    HTTP_SPARE_REQUESTS = 256,
    HTTP_ACCEPT_BATCH = 4, /* a turn, so that processes on one listener share */
    HTTP_ACCEPT_RETRY_MS = 100
};

enum http_state {
    HTTP_IDLE, /* between requests, or new */
    HTTP_READING_HEAD,
    HTTP_READING_BODY,
    HTTP_HANDLING,  /* the caller has the request */
    HTTP_WRITING,   /* the answer did not fit the socket at once */
    HTTP_LINGERING, /* answered for the last time; reads to the end so that the answer is not lost
                       with a reset */
    HTTP_GONE       /* closed or handed over; freed by the resume event */
};

/* Which limit the connection's deadline stands for. */
enum http_wait { HTTP_WAIT_NONE, HTTP_WAIT_IDLE, HTTP_WAIT_HEAD, HTTP_WAIT_BODY, HTTP_WAIT_OTHER };

struct http_request {
    struct http_connection *connection; /* borrowed */
    struct http_head head;
    struct buffer bytes;    /* the head's text; does not move between head() and the answer */
    struct http_range path; /* decoded, in `bytes` */
    struct buffer body;
    struct http_chunked chunked;
    int64_t body_limit;
    int64_t body_since_ms;
    int64_t streamed_bytes;  /* of a streamed body, given to the caller */
    int64_t paused_since_ms; /* of a streamed body: since when no piece is wanted */
    int64_t started_us;
    bool accepted;     /* head() has let it in */
    bool handled;      /* handle() has got it */
    bool streamed;     /* the body goes to the caller piece by piece */
    bool wanted;       /* of a streamed body: one more piece */
    bool unread_body;  /* the connection cannot be used after the answer */
    bool needs_client; /* a client that stops sending has gone */
    void *user;
    struct http_request *next_spare;
};

struct http_connection {
    struct http_server *server; /* borrowed */
    struct list node;
    struct list resume_node; /* in server->resumable or server->gone */
    struct event *event;     /* owned */
    short interest;
    int fd;
    enum http_state state;
    bool running; /* http_connection_run is on the stack */
    bool ended;   /* the client has sent all it will */
    bool close_after;
    bool counted; /* in server->addresses */
    enum http_wait wait;
    int64_t wait_request;
    struct http_deadline deadline;
    int64_t opened_ms;
    int64_t requests;             /* answered */
    struct http_request *request; /* owned; NULL while idle */
    struct uuid address;
    struct buffer in;  /* read behind the request in progress */
    struct buffer out; /* what the socket did not take */
    size_t out_at;     /* of it, what the socket has taken since */
    const char *view;  /* while running: input not yet consumed, in `in` or the scratch */
    size_t view_length;
};

struct http_server {
    struct event_base *base;            /* borrowed */
    struct http_server_options options; /* settings not used after create */
    struct http_limits limits;
    int64_t head_timeout_ms;
    int64_t body_timeout_ms;
    int64_t write_stall_ms;
    int64_t idle_ms;
    int64_t connection_requests;
    int64_t connection_age_ms;
    int64_t per_address;
    size_t connections_max;
    struct event *accept; /* owned, as are the next three */
    struct event *accept_retry;
    struct event *resume;
    bool on_loopback; /* see http_request_is_loopback */
    bool accepting;
    bool draining;
    void (*drained)(void *arg);
    void *drained_arg;
    struct list connections;
    struct list resumable; /* idle with a request in `in` */
    struct list gone;      /* to be freed */
    size_t connection_count;
    struct map addresses; /* address -> count as a pointer */
    struct http_deadlines deadlines;
    struct http_request *spare;
    size_t spare_count;
    struct buffer head; /* of the answer being made */
    int64_t date_second;
    char date[32];
    char scratch[HTTP_SCRATCH_BYTES];
};

/* Takes over an accepted descriptor; `address` NULL: not counted. */
void http_connection_open(struct http_server *server, int fd, const struct uuid *address);
/* Closes at once, telling the caller of an unanswered request. */
void http_connection_close(struct http_connection *connection);
/* Lets go of the descriptor without closing it. */
int http_connection_detach(struct http_connection *connection, struct buffer *rest);
/* Reads and runs what has come. */
void http_connection_read(struct http_connection *connection);
/* The answer's bytes are sent (head in server->head, then body); frees the request. */
void http_connection_answer(struct http_connection *connection, const void *body, size_t length,
                            bool close_after);
void http_connection_expire(struct http_connection *connection);

/* Whether input may go into a request now. */
bool http_connection_is_reading(const struct http_connection *connection);
/* Brings events, deadline and memory in line with the state. */
void http_connection_settle(struct http_connection *connection);

/* input.c. Works through `length` bytes of input, which may lie in connection->in. */
void http_connection_run(struct http_connection *connection, const char *bytes, size_t length);
/* Answers with a problem and closes. Always false. */
bool http_connection_refuse(struct http_connection *connection, int status, const char *slug,
                            const char *detail);
/* Of the input, `size` bytes have been used. */
void http_input_consume(struct http_connection *connection, size_t size);
/* Makes room in the body for the bytes that come next, not for all that were promised. Returns how
 * many. */
size_t http_input_reserve(struct http_request *request);

/* http_body.c: the head of a request with a streamed body is complete. */
void http_body_begin(struct http_connection *connection);
/* Gives the caller one piece of what has come. True while there may be more to do. */
bool http_body_step(struct http_connection *connection);

/* server.c: a connection has left: it is freed by the resume event; accepting may go on. */
void http_server_forget(struct http_server *server, struct http_connection *connection);

/* request.c: from and to the pool. */
struct http_request *http_request_take(struct http_server *server,
                                       struct http_connection *connection);
void http_request_release(struct http_server *server, struct http_request *request);
/* Tells the caller that its request will never be answered, if it knows of it. */
void http_request_abandon(struct http_request *request);

/* reply.c: answers a framing problem and closes. */
void http_reply_problem(struct http_request *request, const struct http_problem *problem);

#endif
