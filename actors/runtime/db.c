/*
 * See db.h. States of the connection: waiting (a timer runs), connecting (PQconnectPoll), connected
 * (pipeline mode). A query is complete when the pipeline's sync behind it arrives: only then is its
 * transaction known to have ended.
 */
#include "runtime/db.h"

#include "runtime/base/clock.h"
#include "runtime/base/list.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/db_result.h"

#include <assert.h>
#include <libpq-fe.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    DB_RECONNECT_MS = 200,
    DB_RECONNECT_MAX_MS = 5000,
    DB_CONNECT_TIMEOUT_MS = 10000,
    DB_PREPARED_MAX = 64
};

struct query {
    struct list node;
    db_done_fn *done;
    void *arg;
    PGresult *result;                    /* owned; the last result seen, an error wins */
    const struct db_statement *fresh[2]; /* statements that are prepared on its way ... */
    unsigned prepares;                   /* ... so many ... */
    unsigned prepared;                   /* ... and so far with success */
};

struct db {
    struct event_base *base;   /* borrowed */
    struct db_options options; /* texts owned */
    PGconn *pg;                /* NULL while waiting */
    struct event *readable;
    struct event *writable;
    struct event *timer;  /* reconnect, or connect time-out */
    struct event *refuse; /* answers queries that could not be sent */
    struct list sent;     /* struct query, in order */
    struct list refused;  /* struct query, given while disconnected, or not taken by libpq */
    size_t outstanding;
    const struct db_statement *prepared[DB_PREPARED_MAX];
    size_t prepared_count;
    int64_t pause_ms;
    bool connected;
    bool was_connected;
    bool doubtful; /* a commit succeeded with a warning that a standby did not confirm it */
    bool broken;   /* a query was sent in part: nothing behind it can be told apart */
    bool closing;
};

static void on_timer(evutil_socket_t fd, short what, void *arg);
static void on_socket(evutil_socket_t fd, short what, void *arg);
static void lose(struct db *db, const char *why);

/* ---- the connection string ---- */

/* Session settings every actor gets: statement limits, so that nothing is held for long. Only such
 * as any role may set. */
static const char session_defaults[] =
    "-c statement_timeout=30s -c lock_timeout=5s "
    "-c idle_in_transaction_session_timeout=2s -c synchronous_commit=on -c "
    "client_min_messages=warning";

static PGconn *connect_start(const struct db *db)
{
    const struct settings *settings = db->options.settings;
    bool set_role = settings_bool(settings, SETTING_DATABASE_SET_ROLE);
    const char *extra = db->options.session_settings;
    char options[1024];
    snprintf(options, sizeof options, "%s %s %s%s", session_defaults, extra == NULL ? "" : extra,
             set_role ? "-c role=" : "", set_role ? db->options.role : "");
    const char *keys[] = {"dbname",
                          "options",
                          "application_name",
                          "keepalives_idle",
                          "keepalives_interval",
                          "keepalives_count",
                          "tcp_user_timeout",
                          set_role ? NULL : "user",
                          NULL};
    const char *values[] = {settings_text(settings, SETTING_DATABASE_URL),
                            options,
                            db->options.application_name,
                            "5",
                            "2",
                            "3",
                            "5000",
                            set_role ? NULL : db->options.role,
                            NULL};
    /* expand_dbname: the URL goes in as dbname; what follows it here wins over it. */
    return PQconnectStartParams(keys, values, 1);
}

/* Where libpq looks when the URL names no file. */
static void each_default_file(void (*each)(void *arg, const char *path), void *arg)
{
    static const char *const names[] = {".postgresql", ".pgpass", ".pg_service.conf"};
    const struct passwd *user = getpwuid(geteuid());
    char path[PATH_MAX];
    for (size_t i = 0; user != NULL && i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", user->pw_dir, names[i]);
        each(arg, path);
    }
}

void db_each_file(const char *url, void (*each)(void *arg, const char *path), void *arg)
{
    static const char *const keys[] = {"sslcert", "sslkey",    "sslrootcert",
                                       "sslcrl",  "sslcrldir", "passfile"};
    PQconninfoOption *options = PQconninfoParse(url, NULL);
    for (const PQconninfoOption *at = options; at != NULL && at->keyword != NULL; at++) {
        for (size_t i = 0; at->val != NULL && i < sizeof keys / sizeof keys[0]; i++) {
            if (strcmp(at->keyword, keys[i]) == 0) {
                each(arg, at->val);
            }
        }
    }
    PQconninfoFree(options);
    each_default_file(each, arg);
}

/* ---- ends of queries ---- */

static void finish(struct db *db, struct query *query, enum db_status status)
{
    struct db_result result = {query->result};
    list_remove(&query->node);
    db->outstanding--;
    query->done(query->arg, status, status == DB_LOST ? NULL : &result);
    PQclear(query->result);
    free(query);
}

static void finish_all_lost(struct db *db, struct list *queries)
{
    struct list *first;
    while ((first = list_first(queries)) != NULL) {
        finish(db, LIST_ENTRY(first, struct query, node), DB_LOST);
    }
}

static void on_refuse(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct db *db = arg;
    if (db->broken) {
        lose(db, "a query could not be sent");
    }
    /* Only those that are here now: a callback may give the next one at once. */
    struct list batch;
    list_init(&batch);
    LIST_FOR_EACH(node, &db->refused)
    {
        list_remove(node);
        list_append(&batch, node);
    }
    finish_all_lost(db, &batch);
}

/* ---- life of the connection ---- */

static struct timeval milliseconds(int64_t ms)
{
    return (struct timeval){ms / 1000, ms % 1000 * 1000};
}

static void watch(struct db *db, bool write_too)
{
    event_add(db->readable, NULL);
    if (write_too) {
        event_add(db->writable, NULL);
    } else {
        event_del(db->writable);
    }
}

static void wire(struct db *db)
{
    int fd = PQsocket(db->pg);
    assert(db->readable == NULL);
    db->readable = event_new(db->base, fd, EV_READ | EV_PERSIST, on_socket, db);
    db->writable = event_new(db->base, fd, EV_WRITE | EV_PERSIST, on_socket, db);
}

static void unwire(struct db *db)
{
    if (db->readable != NULL) {
        event_free(db->readable);
        event_free(db->writable);
        db->readable = db->writable = NULL;
    }
}

static void flush(struct db *db)
{
    int left = PQflush(db->pg);
    if (left < 0) {
        lose(db, PQerrorMessage(db->pg));
    } else {
        watch(db, left > 0);
    }
}

/* A wait for a synchronous standby that was cancelled comes as a warning behind a successful
 * commit: unknown, not success. Known by the server's function, because the text comes in the
 * server's language. */
static void on_notice(void *arg, const PGresult *notice)
{
    struct db *db = arg;
    const char *function = PQresultErrorField(notice, PG_DIAG_SOURCE_FUNCTION);
    const char *message = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
    if (function != NULL && strcmp(function, "SyncRepWaitForLSN") == 0) {
        db->doubtful = true;
    } else {
        LOG_WARN("database notice", LOG_TEXT("notice", message));
    }
}

static void become_connected(struct db *db)
{
    if (PQsetnonblocking(db->pg, 1) != 0 || PQenterPipelineMode(db->pg) != 1) {
        lose(db, "cannot enter pipeline mode");
        return;
    }
    event_del(db->timer);
    db->connected = true;
    db->prepared_count = 0;
    db->doubtful = false;
    db->pause_ms = DB_RECONNECT_MS;
    metric_set(METRIC_DATABASE_CONNECTED, 1);
    if (db->was_connected) {
        metric_add(METRIC_DATABASE_RECONNECTS, 1);
        LOG_INFO("database connected again");
    }
    db->was_connected = true;
    watch(db, false);
    if (db->options.connected != NULL) {
        db->options.connected(db->options.arg, true);
    }
}

static void poll_connect(struct db *db)
{
    /* The next address gets a new socket, often with the old one's number: the old one must be out
     * of the loop. */
    unwire(db);
    PostgresPollingStatusType status = PQconnectPoll(db->pg);
    switch (status) {
    case PGRES_POLLING_OK:
        wire(db);
        become_connected(db);
        return;
    case PGRES_POLLING_READING:
    case PGRES_POLLING_WRITING:
        wire(db);
        event_add(status == PGRES_POLLING_WRITING ? db->writable : db->readable, NULL);
        return;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE:
        break;
    }
    lose(db, PQerrorMessage(db->pg));
}

static void start_connecting(struct db *db)
{
    struct timeval limit = milliseconds(DB_CONNECT_TIMEOUT_MS);
    db->pg = connect_start(db);
    if (db->pg == NULL || PQstatus(db->pg) == CONNECTION_BAD) {
        lose(db, db->pg == NULL ? "out of memory" : PQerrorMessage(db->pg));
        return;
    }
    /* From the start: a server that dies as we connect says so in a notice, which libpq would else
     * write to stderr. */
    PQsetNoticeReceiver(db->pg, on_notice, db);
    event_add(db->timer, &limit);
    wire(db);
    event_add(db->writable, NULL); /* libpq: as if the last poll had said WRITING */
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct db *db = arg;
    if (db->pg != NULL) {
        lose(db, "the connection attempt took too long");
    } else {
        start_connecting(db);
    }
}

/* One line of libpq's text, which ends with a line break and may hold several. */
static void log_loss(const struct db *db, const char *why)
{
    char line[256];
    snprintf(line, sizeof line, "%.*s", (int)strcspn(why, "\n"), why);
    if (db->connected || db->pause_ms == DB_RECONNECT_MS) {
        LOG_WARN("database not connected", LOG_TEXT("error", line));
    } else {
        LOG_DEBUG("database still not connected", LOG_TEXT("error", line));
    }
}

static void lose(struct db *db, const char *why)
{
    bool was_up = db->connected;
    unsigned noise = 0;
    if (!db->closing) {
        log_loss(db, why);
    }
    db->connected = db->broken = false;
    metric_set(METRIC_DATABASE_CONNECTED, 0);
    unwire(db);
    PQfinish(db->pg);
    db->pg = NULL;
    if (!db->closing) {
        /* +-25 %, so that actors do not come back in step. */
        ssize_t got = getrandom(&noise, sizeof noise, GRND_NONBLOCK);
        int64_t pause_ms = db->pause_ms * (got < 0 ? 100 : 75 + noise % 51) / 100;
        struct timeval pause = milliseconds(pause_ms);
        event_add(db->timer, &pause);
        db->pause_ms =
            db->pause_ms * 2 > DB_RECONNECT_MAX_MS ? DB_RECONNECT_MAX_MS : db->pause_ms * 2;
    }
    finish_all_lost(db, &db->sent);
    if (was_up && db->options.connected != NULL) {
        db->options.connected(db->options.arg, false);
    }
}

/* ---- results ---- */

static bool is_error(const PGresult *result)
{
    return result != NULL && PQresultStatus(result) == PGRES_FATAL_ERROR;
}

static void forget_prepared(struct db *db, const struct db_statement *statement)
{
    for (size_t i = 0; i < db->prepared_count; i++) {
        if (db->prepared[i] == statement) {
            db->prepared[i] = db->prepared[--db->prepared_count];
            return;
        }
    }
}

static void complete_first(struct db *db)
{
    struct list *first = list_first(&db->sent);
    assert(first != NULL);
    struct query *query = LIST_ENTRY(first, struct query, node);
    if (is_error(query->result)) {
        for (unsigned i = query->prepared; i < query->prepares; i++) {
            forget_prepared(db, query->fresh[i]);
        }
        finish(db, query, DB_REFUSED);
    } else {
        finish(db, query, DB_OK);
    }
}

/* Takes one result; false when the connection has gone (and `db` has lost it). */
static bool take_result(struct db *db, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_PIPELINE_SYNC) {
        PQclear(result);
        if (db->doubtful) {
            lose(db, "a commit was not confirmed by its standby");
            return false;
        }
        complete_first(db);
        return db->connected;
    }
    struct list *first = list_first(&db->sent);
    if (first == NULL || status == PGRES_PIPELINE_ABORTED) {
        PQclear(result);
        return true;
    }
    struct query *query = LIST_ENTRY(first, struct query, node);
    if (query->prepared < query->prepares && status == PGRES_COMMAND_OK) {
        query->prepared++;
        PQclear(result);
    } else if (is_error(query->result)) {
        PQclear(result);
    } else {
        PQclear(query->result);
        query->result = result;
    }
    return true;
}

static void read_results(struct db *db)
{
    if (PQconsumeInput(db->pg) != 1) {
        lose(db, PQerrorMessage(db->pg));
        return;
    }
    int empty = 0;
    while (db->connected && !list_is_empty(&db->sent) && PQisBusy(db->pg) == 0) {
        PGresult *result = PQgetResult(db->pg);
        if (result == NULL) {
            /* The end of one command's results; two in a row: nothing is there yet. */
            if (++empty > 1) {
                break;
            }
            continue;
        }
        empty = 0;
        if (!take_result(db, result)) {
            return;
        }
    }
    if (db->connected && PQstatus(db->pg) != CONNECTION_OK) {
        lose(db, PQerrorMessage(db->pg));
    }
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct db *db = arg;
    if (!db->connected) {
        poll_connect(db);
        return;
    }
    if ((what & EV_READ) != 0) {
        read_results(db);
    }
    if (db->connected) {
        flush(db);
    }
}

/* ---- queries ---- */

static bool is_prepared(const struct db *db, const struct db_statement *statement)
{
    for (size_t i = 0; i < db->prepared_count; i++) {
        if (db->prepared[i] == statement) {
            return true;
        }
    }
    return false;
}

static bool send_statement(struct db *db, struct query *query, const struct db_statement *statement,
                           const struct db_params *params)
{
    const char *values[DB_PARAMS_MAX];
    int formats[DB_PARAMS_MAX];
    int count = params == NULL ? 0 : params->count;
    for (int i = 0; i < count; i++) {
        values[i] = params->length[i] < 0 ? NULL : (const char *)params->bytes + params->offset[i];
        formats[i] = 1;
    }
    if (!is_prepared(db, statement)) {
        assert(db->prepared_count < DB_PREPARED_MAX);
        if (PQsendPrepare(db->pg, statement->name, statement->sql, count,
                          params == NULL ? NULL : params->type) != 1) {
            return false;
        }
        db->prepared[db->prepared_count++] = statement;
        query->fresh[query->prepares++] = statement;
    }
    return PQsendQueryPrepared(db->pg, statement->name, count, values,
                               params == NULL ? NULL : params->length, formats, 1) == 1;
}

/* What stands before one sync is one transaction. */
static bool send_query(struct db *db, struct query *query, const struct db_scope *scope,
                       const struct db_statement *statement, const struct db_params *params)
{
    return (scope == NULL || send_statement(db, query, scope->statement, scope->params)) &&
           send_statement(db, query, statement, params) && PQpipelineSync(db->pg) == 1;
}

void db_query(struct db *db, const struct db_statement *statement, const struct db_params *params,
              db_done_fn *done, void *arg)
{
    db_query_in(db, NULL, statement, params, done, arg);
}

void db_query_in(struct db *db, const struct db_scope *scope, const struct db_statement *statement,
                 const struct db_params *params, db_done_fn *done, void *arg)
{
    struct query *query = memory_new(sizeof *query);
    query->done = done;
    query->arg = arg;
    list_init(&query->node);
    db->outstanding++;
    db->broken = db->broken || (db->connected && !send_query(db, query, scope, statement, params));
    if (db->connected && !db->broken) {
        list_append(&db->sent, &query->node);
        /* What can go now goes now; a failure shows on the socket, never inside this call. */
        if (PQflush(db->pg) != 0) {
            event_add(db->writable, NULL);
        }
        return;
    }
    /* By way of the timers: who asks again at once must not keep the loop from its sockets. */
    list_append(&db->refused, &query->node);
    event_add(db->refuse, &(struct timeval){0, 0});
}

struct db *db_open(struct event_base *base, const struct db_options *options)
{
    struct db *db = memory_new(sizeof *db);
    db->base = base;
    db->options = *options;
    db->options.role = memory_string(options->role);
    db->options.application_name = memory_string(options->application_name);
    if (options->session_settings != NULL) {
        db->options.session_settings = memory_string(options->session_settings);
    }
    db->pause_ms = DB_RECONNECT_MS;
    list_init(&db->sent);
    list_init(&db->refused);
    db->timer = event_new(base, -1, 0, on_timer, db);
    db->refuse = event_new(base, -1, 0, on_refuse, db);
    event_active(db->timer, EV_TIMEOUT, 0);
    return db;
}

void db_close(struct db **db)
{
    if (*db == NULL) {
        return;
    }
    (*db)->closing = true;
    (*db)->options.connected = NULL;
    if ((*db)->pg != NULL) {
        lose(*db, "closing");
    }
    finish_all_lost(*db, &(*db)->refused);
    event_free((*db)->timer);
    event_free((*db)->refuse);
    free((char *)(*db)->options.role);
    free((char *)(*db)->options.application_name);
    free((char *)(*db)->options.session_settings);
    free(*db);
    *db = NULL;
}

bool db_is_connected(const struct db *db)
{
    return db->connected;
}

void db_reset(struct db *db)
{
    if (db->pg != NULL) {
        lose(db, "reset");
    }
}

size_t db_outstanding(const struct db *db)
{
    return db->outstanding;
}
