/*
 * One request and its answer, from the end of the body until nobody holds it any more.
 *
 * The client may go while the database, the sequencer or Redis still owes an answer: each such
 * debt is a hold, and the exchange lives until the last one is given back. `request` is NULL as
 * soon as it was answered or the client has gone.
 */
#ifndef SIGNALBOX_API_EXCHANGE_H
#define SIGNALBOX_API_EXCHANGE_H

#include "api/api.h"
#include "api/auth.h"
#include "api/events.h"
#include "api/limit.h"
#include "api/match.h"
#include "proto/job.h"
#include "runtime/feed_cursor.h"
#include "runtime/http_server.h"
#include "runtime/submission.h"
#include "runtime/problem.h"
#include "runtime/trace.h"
#include "runtime/ws_accept.h"

#include <event2/event.h>

enum { EXCHANGE_FIELDS_MAX = 4 };

struct ndjson;
struct runners_call;

/* An answer that waits for something to be done before it is given. */
struct exchange_deferred {
    bool given;
    enum problem problem;
    struct buffer body; /* owned by whoever has the struct */
};

struct exchange {
    struct list node; /* in api->spare, or in the queue of whoever holds it */
    struct api *api;
    struct http_request *request;
    const struct route *route;
    struct http_text segment; /* what "{}" stood for; valid while `request` is */
    struct http_text second;  /* the same of a second "{}" */
    struct principal who;
    struct uuid id; /* of the run, or the thread, in the path */
    uint64_t number;
    struct trace trace;            /* of the request: its traceparent, or begun here */
    int64_t producer_seq;          /* Producer-Seq of the request; -1: none */
    struct submission_usage usage; /* told by the events of the command under way */
    int64_t lines_accepted;        /* of a body in lines, told with every problem; -1: it is none */
    struct exchange_deferred
        *deferred;       /* where a problem goes instead of being answered; or NULL */
    const char *problem; /* slug of what was answered, for the log */
    unsigned holds;
    int64_t retry_after_s;                   /* of a quota; 0: as usual */
    struct limit_note limit;                 /* what the answer says of rate limits */
    void (*next)(struct exchange *exchange); /* where it goes when the limits let it through */
    /* Told when the client goes while the exchange waits; may be NULL. */
    void (*abandoned)(struct exchange *exchange);
    /* What the handler keeps while it waits. */
    union {
        struct {
            bool created; /* answer 201 with the run as it was when created */
        } run;
        struct {
            int64_t after_seq;
            uint64_t types; /* those that are shown: 1 << enum event_type; 0: all */
            int32_t limit;
            enum events_format format;
        } page;
        struct {
            struct uuid source;
            int64_t seq;
        } fork;
        struct {
            int32_t limit;
            uint8_t scope[64]; /* what the cursor is good for */
            size_t scope_length;
            const char *name; /* of the array that is shown */
        } list;
        struct {
            char text[API_KEY_TEXT_SIZE]; /* of a key or session that is being made; to be wiped */
            char public_id[API_KEY_PUBLIC_ID_SIZE];
            int64_t expires_us;
        } secret;
        struct {
            enum stream_kind kind;
            enum stream_format format; /* of a run */
            uint64_t types;            /* as in HANDOVER; 0: all */
            int64_t stop_after;        /* of a conversation */
            bool join;                 /* what the run has come to, then what follows */
            int64_t after_seq;         /* of a feed: log position */
            int64_t head;
            int64_t queued_ms;
            struct feed_key signing;     /* of a feed's cursors */
            bool latest;                 /* a feed from its end on */
            char accept[WS_ACCEPT_SIZE]; /* of a WebSocket */
        } stream;
        struct ndjson *ndjson;
        struct {
            struct runners_call *call;
        } claim;
        struct {
            struct uuid token; /* of the claim that says it is alive */
        } beat;
        struct {
            enum job_change what;
            bool changed;
        } job;
        struct {
            bool database;
            bool redis;
            bool redis_told;
            bool database_told;
            struct event *timer;
        } ready;
    };
};

/* The exchange of a request, set as its user. Holds one hold, given back by the answer. */
struct exchange *exchange_begin(struct api *api, struct http_request *request);
/* The client has gone. */
void exchange_abandon(struct exchange *exchange);
/* Somebody will call back. */
void exchange_hold(struct exchange *exchange);
/* Gives a hold back. True while the client still waits for an answer. With false the exchange may
 * be gone: do nothing more with it. */
SB_MUST_CHECK bool exchange_resume(struct exchange *exchange);
/* The answer needs no more of the connection than its descriptor: see http_request_detach. What the
 * client has sent behind the request is appended to `rest`; NULL: dropped, it had nothing to say. */
int exchange_detach(struct exchange *exchange, struct buffer *rest);
/* Frees the exchanges kept for reuse. */
void exchange_free_spare(struct api *api);

/* Answers; the exchange may be gone after the call. */
void exchange_reply(struct exchange *exchange, int status, const char *content_type,
                    const struct http_field *fields, const struct buffer *body);
void exchange_json(struct exchange *exchange, int status, const struct buffer *body);
void exchange_problem(struct exchange *exchange, enum problem problem, const char *detail,
                      const struct problem_extra *extra);
/* What a check said was wrong. */
void exchange_refuse(struct exchange *exchange, const struct refusal *refusal);
/* A problem that went to exchange->deferred. */
void exchange_reply_deferred(struct exchange *exchange, struct exchange_deferred *deferred);
/* 503 for a database that is not there or refused. */
void exchange_unavailable(struct exchange *exchange);

#endif
