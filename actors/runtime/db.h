/*
 * The only caller of libpq in the actors: one connection on the event loop, pipeline mode, prepared
 * statements.
 *
 * Queries run in the order they are given, each in its own implicit transaction. When the
 * connection is lost every query not yet answered ends as DB_LOST (its outcome is unknown), and the
 * connection is made again by itself after 200 ms .. 5 s with jitter. A query given while
 * disconnected ends as DB_LOST at once (from the loop, never inside db_query).
 */
#ifndef SIGNALBOX_RUNTIME_DB_H
#define SIGNALBOX_RUNTIME_DB_H

#include "runtime/base/error.h"
#include "runtime/base/settings.h"
#include "runtime/base/uuid.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct db_result;

/* One named statement of a store.c. Prepared once per connection, on first use. `types` is a
 * space-separated list of the parameter types for the reader and for the check that prepares it
 * against the migrated schema; $n::type casts in the text are what PostgreSQL sees. */
struct db_statement {
    const char *name;
    const char *sql;
};

enum { DB_PARAMS_MAX = 128 };

/* Parameters in binary format, gathered with the db_param_* calls in $1.. order. Zero-initialised
 * is empty; reuse after db_params_clear; free with db_params_deinit. */
struct db_params {
    int count;
    size_t offset[DB_PARAMS_MAX];
    int length[DB_PARAMS_MAX];    /* -1: NULL */
    unsigned type[DB_PARAMS_MAX]; /* PostgreSQL type oid, 0: let the server say */
    uint8_t *bytes;
    size_t used;
    size_t capacity;
};

void db_params_clear(struct db_params *params);
void db_params_deinit(struct db_params *params);
void db_param_null(struct db_params *params);
void db_param_int4(struct db_params *params, int32_t value);
void db_param_int8(struct db_params *params, int64_t value);
void db_param_bool(struct db_params *params, bool value);
void db_param_uuid(struct db_params *params, const struct uuid *value);
void db_param_text(struct db_params *params, const char *text, size_t length);
void db_param_bytea(struct db_params *params, const void *bytes, size_t length);
/* Microseconds since 1970. */
void db_param_timestamptz(struct db_params *params, int64_t real_us);

/* Arrays: begin, `count` elements of the element calls, end. */
enum db_array {
    DB_ARRAY_UUID,
    DB_ARRAY_INT4,
    DB_ARRAY_INT8,
    DB_ARRAY_BOOL,
    DB_ARRAY_TEXT,
    DB_ARRAY_BYTEA,
    DB_ARRAY_JSON,
    DB_ARRAY_JSONB,
    DB_ARRAY_TIMESTAMPTZ
};
void db_array_begin(struct db_params *params, enum db_array kind, size_t count);
void db_array_null(struct db_params *params);
void db_array_uuid(struct db_params *params, const void *bytes16);
void db_array_int4(struct db_params *params, int32_t value);
void db_array_int8(struct db_params *params, int64_t value);
void db_array_bool(struct db_params *params, bool value);
void db_array_bytes(struct db_params *params, const void *bytes,
                    size_t length); /* TEXT, BYTEA, JSON, JSONB */
void db_array_timestamptz(struct db_params *params, int64_t real_us);
void db_array_end(struct db_params *params);

enum db_status {
    DB_OK,
    DB_REFUSED, /* the server said no: db_sqlstate(), db_message() */
    DB_LOST     /* connection lost or not there: outcome unknown */
};

/* Called once per query, from the loop. `result` is borrowed for the call; NULL when DB_LOST. */
typedef void db_done_fn(void *arg, enum db_status status, const struct db_result *result);

struct db_options {
    const struct settings *settings; /* keeps a reference until db_close */
    const char *role; /* signalbox_api …: logged in as, or SET ROLE (database.set_role) */
    const char *application_name; /* instance name */
    const char *session_settings; /* extra "-c name=value" options, or NULL */
    void (*connected)(
        void *arg,
        bool up); /* may be NULL; called after the first prepare-able state and at loss */
    void *arg;
};

/* Tells of each file that a connection of this URL may read: certificates, keys, passwords. */
void db_each_file(const char *url, void (*each)(void *arg, const char *path), void *arg);
/* Starts connecting; never waits. Returns, caller closes with db_close. */
struct db *db_open(struct event_base *base, const struct db_options *options);
/* Outstanding queries end as DB_LOST first. */
void db_close(struct db **db);
bool db_is_connected(const struct db *db);
/* Drops the connection as if it had been lost; it comes back by itself. */
void db_reset(struct db *db);
/* `statement` must live as long as the db. `params` are copied out before the call returns (NULL:
 * none). */
void db_query(struct db *db, const struct db_statement *statement, const struct db_params *params,
              db_done_fn *done, void *arg);
/* A statement that says whose rows its query may see: it runs just before the query, in the same
 * transaction, and what it says with set_config(..., true) ends with that. Its own result is dropped.
 */
struct db_scope {
    const struct db_statement *statement;
    const struct db_params *params;
};
/* db_query within a scope (NULL: none); `scope` is borrowed for the call. */
void db_query_in(struct db *db, const struct db_scope *scope, const struct db_statement *statement,
                 const struct db_params *params, db_done_fn *done, void *arg);
/* Queries given and not yet answered. */
size_t db_outstanding(const struct db *db);

const char *db_sqlstate(const struct db_result *result); /* "" when DB_OK */
const char *db_message(const struct db_result *result);
int db_rows(const struct db_result *result);
bool db_is_null(const struct db_result *result, int row, int column);
/* Binary values; the column must have that type (asserted by its length). */
int32_t db_int4(const struct db_result *result, int row, int column);
int64_t db_int8(const struct db_result *result, int row, int column);
bool db_bool(const struct db_result *result, int row, int column);
void db_uuid(const struct db_result *result, int row, int column, struct uuid *uuid_out);
int64_t db_timestamptz(const struct db_result *result, int row,
                       int column); /* microseconds since 1970 */
/* text, json, bytea, enum: borrowed with its length. jsonb: without its version byte. */
const char *db_bytes(const struct db_result *result, int row, int column, size_t *length_out);

#endif
