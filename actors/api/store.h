/*
 * All SQL of the api: one connection, one table of statements, a deadline on every answer.
 *
 * A database that does not answer in time is treated as a lost connection: everything outstanding
 * ends as DB_LOST and the connection is made anew. The `done` callbacks are those of db.h.
 *
 * Every query says whose rows it may see; the database's policies show it no others, so that a
 * forgotten condition finds nothing instead of another tenant's rows.
 */
#ifndef SIGNALBOX_API_STORE_H
#define SIGNALBOX_API_STORE_H

#include "runtime/actor.h"
#include "runtime/db.h"

struct store;

/* A page stops growing here (bytes of payloads or metadata), whatever its limit in rows. */
#define STORE_PAGE_BYTES 4194304

/* Never waits. `connected` tells each time the connection has come up or gone. Returns, caller destroys
 * with store_destroy (outstanding queries end as DB_LOST). */
struct store *store_create(const struct actor *actor, void (*connected)(void *arg, bool up),
                           void *arg);
void store_destroy(struct store **store);
bool store_is_connected(const struct store *store);

/* One row. */
void store_ping(struct store *store, db_done_fn *done, void *arg);

/* How far the logs of `count` runs reach; a row for each, in that order. */
void store_get_heads(struct store *store, const struct uuid *tenant, const struct uuid *runs,
                     size_t count, db_done_fn *done, void *arg);
struct store_head {
    int64_t last_seq;
    bool closed;
};
/* False: not there, or another tenant's. */
bool store_read_head(const struct db_result *result, int row, struct store_head *head_out);
/* The end of the log, and whether the tenant has runs in the thread; a nil thread counts as there.
 */
void store_get_feed(struct store *store, const struct uuid *tenant, const struct uuid *thread,
                    db_done_fn *done, void *arg);
void store_read_feed(const struct db_result *result, int64_t *position_out, bool *found_out);

/* Events behind after_seq, each row with the head; one row without event when there are none; no
 * row when the run is not there or another tenant's. Fewer than `limit` come when they are large,
 * but never none. */
void store_page_events(struct store *store, const struct uuid *tenant, const struct uuid *run,
                       int64_t after_seq, int32_t limit, db_done_fn *done, void *arg);
/* The same of some types (a mask of runtime/event_mask.h; 0: of all), with the run's thread. At most
 * STORE_LOOKED_AT events are looked at. */
enum { STORE_LOOKED_AT = 10000 };
void store_page_some_events(struct store *store, const struct uuid *tenant, const struct uuid *run,
                            int64_t after_seq, int32_t limit, uint64_t types, db_done_fn *done,
                            void *arg);
struct store_event {
    int64_t head;
    int64_t seq; /* 0: the row holds no event */
    const char *type;
    size_t type_length;
    int64_t ts_us;
    const char *payload;
    size_t payload_length;
    struct uuid trace; /* of its command, on the first event; nil: none */
};
void store_read_event(const struct db_result *result, int row, struct store_event *event_out);
/* Of store_page_some_events: nil without a thread. */
struct uuid store_read_event_thread(const struct db_result *result);
/* Events that match among those looked at; more than there are rows when the page was cut. */
int64_t store_read_event_count(const struct db_result *result);

#endif
