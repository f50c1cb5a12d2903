/* The statements of the streamer: it reads, and nothing else. */
#ifndef SIGNALBOX_STREAMER_STORE_H
#define SIGNALBOX_STREAMER_STORE_H

#include "runtime/db.h"

/* $1 uuid[] runs, $2 uuid[] tenants -> last_seq int8, closed bool, in the order asked; nulls for a
 * run that is not there. */
extern const struct db_statement store_heads;
enum { STORE_HEADS_LAST_SEQ, STORE_HEADS_CLOSED };

/* $1 uuid run, $2 uuid tenant, $3 int8 after, $4 int8 below, $5 int8 events at most, $6 int8 bytes
 * at most (one event always) -> seq int8, event_type, ts timestamptz, payload json, by seq. */
extern const struct db_statement store_page;
enum { STORE_PAGE_SEQ, STORE_PAGE_TYPE, STORE_PAGE_TS, STORE_PAGE_PAYLOAD };

/* $1 int4 shard -> position int8 of the last committed event. */
extern const struct db_statement store_position;
enum { STORE_POSITION };

/* A page of a feed by position. $1 int4 shard, $2 uuid tenant, $3 int8 after, $4 int8 up to, $5 int8
 * events at most, $6 int8 bytes at most (one event always). Then of a tenant $7 text[] types or null;
 * of a thread $7 uuid thread; of some types of a thread $7 uuid thread, $8 text[] types; of a chat $7
 * uuid thread. Always at least one row: up to where the page knows everything, at most; then, null
 * without events: cut (there are more events in the range), position, run, seq, type, ts, payload,
 * shown bool. Only in a chat an event may not be shown: its payload is then {message_id, role}. */
extern const struct db_statement store_tenant_page;
extern const struct db_statement store_thread_page;
extern const struct db_statement store_some_thread_page;
extern const struct db_statement store_chat_page;
enum {
    STORE_FEED_END,
    STORE_FEED_CUT,
    STORE_FEED_AT,
    STORE_FEED_RUN,
    STORE_FEED_SEQ,
    STORE_FEED_TYPE,
    STORE_FEED_TS,
    STORE_FEED_PAYLOAD,
    STORE_FEED_SHOWN
};

/* $1 int4 shard, $2 uuid tenant, $3 uuid thread or null for the whole tenant -> end of the log int8,
 * whether the tenant has such a thread. */
extern const struct db_statement store_feed_head;
enum { STORE_FEED_HEAD, STORE_FEED_HEAD_FOUND };

/* $1 uuid[] keys and sessions in use -> uuid of those that are no longer good. */
extern const struct db_statement store_ended_keys;
enum { STORE_ENDED_KEY };

/* The scope (db.h) of each of the above: $1 uuid, the tenant whose rows it may see, or null; $2
 * uuid[], the tenants of a query on several, or null. */
extern const struct db_statement store_scope;

#endif
