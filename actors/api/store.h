/*
 * All SQL of the api: one connection, one table of statements, a deadline on every answer.
 *
 * A database that does not answer in time is treated as a lost connection: everything outstanding
 * ends as DB_LOST and the connection is made anew. The `done` callbacks are those of db.h.
 */
#ifndef SIGNALBOX_API_STORE_H
#define SIGNALBOX_API_STORE_H

#include "runtime/actor.h"
#include "runtime/db.h"

struct store;

/* A page stops growing here (bytes of payloads or metadata), whatever its limit in rows. */
#define STORE_PAGE_BYTES 4194304

/* Never waits. Returns, caller destroys with store_destroy (outstanding queries end as DB_LOST). */
struct store *store_create(const struct actor *actor);
void store_destroy(struct store **store);
bool store_is_connected(const struct store *store);

/* One row. */
void store_ping(struct store *store, db_done_fn *done, void *arg);

/* No row: unknown or revoked. */
void store_find_key(struct store *store, const char *public_id, db_done_fn *done, void *arg);
struct store_key {
    struct uuid key;
    struct uuid tenant;
    const char *hash; /* 32 bytes, borrowed from the result */
    bool read;
    bool append;
    bool admin;
    int64_t expires_us; /* real time; INT64_MAX: never */
};
void store_read_key(const struct db_result *result, struct store_key *key_out);

/* No row: not there, or another tenant's. */
void store_get_run(struct store *store, const struct uuid *tenant, const struct uuid *run,
                   db_done_fn *done, void *arg);

/* Newest first, those behind `before`. */
struct store_runs_filter {
    struct uuid tenant;
    int64_t before_us;
    struct uuid before_id;
    const char *status; /* NULL: any */
    struct uuid thread; /* nil: any */
    int32_t limit;      /* rows wanted; fewer come when their metadata is large */
};
void store_list_runs(struct store *store, const struct store_runs_filter *filter, db_done_fn *done,
                     void *arg);

struct store_run {
    struct uuid id;
    struct uuid thread; /* nil: none */
    struct uuid parent; /* nil: none */
    const char *status; /* borrowed, with its length, as metadata */
    size_t status_length;
    const char *metadata; /* a JSON object */
    size_t metadata_length;
    int64_t last_seq;
    int64_t created_us;
    int64_t started_us;   /* 0: not yet */
    int64_t completed_us; /* 0: not yet */
};
void store_read_run(const struct db_result *result, int row, struct store_run *run_out);

/* Position of a log. No row: not there, or another tenant's. */
void store_get_head(struct store *store, const struct uuid *tenant, const struct uuid *run,
                    db_done_fn *done, void *arg);
struct store_head {
    int64_t last_seq;
    bool closed;
};
/* The end of the log, and whether the tenant has runs in the thread; a nil thread counts as there.
 */
void store_get_feed(struct store *store, const struct uuid *tenant, const struct uuid *thread,
                    db_done_fn *done, void *arg);
void store_read_feed(const struct db_result *result, int64_t *position_out, bool *found_out);
void store_read_head(const struct db_result *result, struct store_head *head_out);

/* Events behind after_seq, each row with the head; one row without event when there are none; no
 * row when the run is not there or another tenant's. Fewer than `limit` come when they are large,
 * but never none. */
void store_page_events(struct store *store, const struct uuid *tenant, const struct uuid *run,
                       int64_t after_seq, int32_t limit, db_done_fn *done, void *arg);
struct store_event {
    int64_t head;
    int64_t seq; /* 0: the row holds no event */
    const char *type;
    size_t type_length;
    int64_t ts_us;
    const char *payload;
    size_t payload_length;
};
void store_read_event(const struct db_result *result, int row, struct store_event *event_out);

#endif
