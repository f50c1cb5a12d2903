/* See store.h. */
#include "ops/cli/store.h"

#include "runtime/base/memory.h"
#include "runtime/base/number.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How often statements about roles are tried when others do the same. */
enum { ROLES_TRIES = 20 };

struct store {
    PGconn *connection;
    char refused[6]; /* SQLSTATE of the last refusal */
};

/* "signalbox" in ASCII bytes, cut to 63 bits: the advisory lock of the runner. */
#define MIGRATION_LOCK "8316289577430019439"

static const char session_sql[] = "set client_min_messages = warning; set search_path = public;"
                                  " set lock_timeout = '30s'; set time zone 'UTC'";
static const char lock_sql[] = "select pg_advisory_lock(" MIGRATION_LOCK ")";
static const char unlock_sql[] = "select pg_advisory_unlock(" MIGRATION_LOCK ")";
static const char database_known_sql[] = "select 1 from pg_database where datname = $1";
static const char make_database_sql[] =
    /* allows ddl: the database that the migrations are for */
    "create database " STORE_DATABASE " owner " STORE_OWNER " template template0 encoding 'UTF8'";
/* Everybody whom roles.sql makes, with what is still missing for this user. 'SET' exists from 16
 * on; before, every member may SET ROLE. */
static const char roles_missing_sql[] =
    "select r.name, p.oid is null,"
    "       p.oid is null or not pg_has_role(current_user, p.oid, $1), quote_ident(current_user)"
    "  from unnest(array['signalbox_owner', 'signalbox_api', 'signalbox_sequencer',"
    "                    'signalbox_streamer', 'signalbox_job_runner', 'signalbox_exporter'])"
    "       with ordinality as r (name, place) left join pg_roles p on p.rolname = r.name"
    " order by r.place";
static const char owner_may_create_sql[] =
    "select has_schema_privilege('" STORE_OWNER "', 'public', 'create')";
/* allows ddl: rights that the first migration needs */
static const char let_owner_create_sql[] = "grant create, usage on schema public to " STORE_OWNER;
static const char table_known_sql[] = "select to_regclass('public.schema_migrations') is not null";
static const char applied_sql[] =
    "select version, name, checksum,"
    "       to_char(applied_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
    "  from schema_migrations order by version";
static const char note_applied_sql[] =
    "insert into schema_migrations (version, name, checksum) values ($1::integer, $2, $3)";
static const char note_reverted_sql[] = "delete from schema_migrations where version = $1::integer";
static const char key_hash_sql[] = "select encode(hash, 'hex') from api_keys where public_id = $1";
static const char first_tenant_sql[] =
    "select tenant_id from tenants order by created_at, tenant_id limit 1";
static const char add_tenant_sql[] =
    "insert into tenants (tenant_id, name) values ($1::uuid, 'default')";
static const char add_key_sql[] =
    "with made as (insert into api_keys (key_id, tenant_id, public_id, hash, name, scopes, "
    "created_by)"
    "  values ($1::uuid, $2::uuid, $3, decode($4, 'hex'), 'first key',"
    "          '{read,append,admin,operator}', 'setup') returning key_id, tenant_id, public_id, "
    "scopes)"
    " insert into audit_log (audit_id, tenant_id, actor, action, object_id, after)"
    " select gen_random_uuid(), tenant_id, 'setup', 'key.create', key_id::text,"
    "        jsonb_build_object('public_id', public_id, 'scopes', scopes) from made";
static const char single_user_sql[] =
    "update installation set single_user = $1::boolean where single_user <> $1::boolean";

static void ignore_notice(void *arg SB_UNUSED, const char *message SB_UNUSED)
{
}

/* libpq's texts end with a line break and may have several lines. */
static int set_error(struct error *err, const char *message)
{
    error_set(err, "%s", message);
    size_t length = strlen(err->text);
    while (length > 0 && err->text[length - 1] == '\n') {
        err->text[--length] = '\0';
    }
    for (char *at = err->text; *at != '\0'; at++) {
        *at = *at == '\n' ? ' ' : *at;
    }
    return -1;
}

static enum store_outcome failed(struct store *store, const PGresult *result, struct error *err)
{
    if (PQstatus(store->connection) != CONNECTION_OK) {
        set_error(err, PQerrorMessage(store->connection));
        return STORE_UNREACHABLE;
    }
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    set_error(err, primary == NULL ? PQerrorMessage(store->connection) : primary);
    snprintf(store->refused, sizeof store->refused, "%s", state == NULL ? "" : state);
    /* Shutting down, starting up, too busy, waited too long for a lock. */
    bool passing = state != NULL && (strncmp(state, "57P", 3) == 0 ||
                                     strncmp(state, "53", 2) == 0 || strcmp(state, "55P03") == 0);
    return passing ? STORE_UNREACHABLE : STORE_REFUSED;
}

/* *result_out may be NULL when the rows do not matter; else the caller clears it on OK. */
static enum store_outcome query(struct store *store, const char *sql, int count,
                                const char *const *values, PGresult **result_out, struct error *err)
{
    PGresult *result = PQexecParams(store->connection, sql, count, NULL, values, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        enum store_outcome outcome = failed(store, result, err);
        PQclear(result);
        return outcome;
    }
    if (result_out != NULL) {
        *result_out = result;
    } else {
        PQclear(result);
    }
    return STORE_OK;
}

enum store_outcome store_script(struct store *store, const char *sql, struct error *err)
{
    PGresult *result = PQexec(store->connection, sql);
    ExecStatusType status = PQresultStatus(result);
    enum store_outcome outcome = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK
                                     ? STORE_OK
                                     : failed(store, result, err);
    PQclear(result);
    return outcome;
}

/* Roles and who is a member of them belong to all databases of a server, and advisory locks to one:
 * whoever prepares another database may do the same at this moment. Such a refusal (it was there
 * already, or "tuple concurrently updated") comes when the other has committed; then it goes. */
static enum store_outcome roles_script(struct store *store, const char *sql, struct error *err)
{
    static const char *const raced[] = {"23505", "42710", "XX000"};
    enum store_outcome outcome = STORE_REFUSED;
    for (int tries = 0; tries < ROLES_TRIES; tries++) {
        bool again = false;
        outcome = store_script(store, sql, err);
        for (size_t i = 0; outcome == STORE_REFUSED && i < sizeof raced / sizeof *raced; i++) {
            again = again || strcmp(store->refused, raced[i]) == 0;
        }
        if (!again) {
            break;
        }
    }
    return outcome;
}

/* A truth value in the first column of the first row. */
static enum store_outcome ask(struct store *store, const char *sql, int count,
                              const char *const *values, bool *yes_out, struct error *err)
{
    PGresult *result = NULL;
    enum store_outcome outcome = query(store, sql, count, values, &result, err);
    if (outcome == STORE_OK) {
        *yes_out = PQntuples(result) > 0 && strcmp(PQgetvalue(result, 0, 0), "f") != 0;
        PQclear(result);
    }
    return outcome;
}

static PGconn *connect_to(const struct store_target *target, const char *database, const char *role)
{
    /* The URL is expanded where it stands; what comes later wins. */
    const char *keywords[8] = {"dbname", "connect_timeout", "fallback_application_name"};
    const char *values[8] = {target->url, "10", "signalbox"};
    size_t count = 3;
    if (database != NULL) {
        keywords[count] = "dbname";
        values[count++] = database;
    }
    if (target->embedded) {
        keywords[count] = "user";
        values[count++] = role == NULL ? "postgres" : role;
    }
    keywords[count] = NULL;
    values[count] = NULL;
    return PQconnectdbParams(keywords, values, 1);
}

enum store_outcome store_open(const struct store_target *target, const char *database,
                              const char *role, struct store **store_out, struct error *err)
{
    struct store *store = memory_new(sizeof *store);
    enum store_outcome outcome = STORE_UNREACHABLE;
    store->connection = connect_to(target, database, role);
    if (PQstatus(store->connection) != CONNECTION_OK) {
        set_error(err, PQerrorMessage(store->connection));
    } else {
        PQsetNoticeProcessor(store->connection, ignore_notice, NULL);
        outcome = store_script(store, session_sql, err);
    }
    if (outcome == STORE_OK && role != NULL && !target->embedded) {
        char set_role[128];
        snprintf(set_role, sizeof set_role, "set role %s", role);
        outcome = store_script(store, set_role, err);
    }
    if (outcome != STORE_OK) {
        store_close(&store);
        return outcome;
    }
    *store_out = store;
    return STORE_OK;
}

void store_close(struct store **store)
{
    if (*store != NULL) {
        PQfinish((*store)->connection);
        free(*store);
        *store = NULL;
    }
}

enum store_outcome store_make_database(struct store *store, struct error *err)
{
    bool known = false;
    const char *const values[] = {STORE_DATABASE};
    enum store_outcome outcome = ask(store, database_known_sql, 1, values, &known, err);
    return outcome != STORE_OK || known ? outcome : store_script(store, make_database_sql, err);
}

/* Tries it; a refusal becomes work for an administrator. */
static enum store_outcome try_or_note(struct store *store, const char *sql,
                                      struct buffer *statements, struct error *err)
{
    enum store_outcome outcome = roles_script(store, sql, err);
    if (outcome == STORE_REFUSED) {
        buffer_printf(statements, "%s;\n", sql);
        return STORE_OK;
    }
    return outcome;
}

static enum store_outcome roles_missing(struct store *store, PGresult **result_out,
                                        struct error *err)
{
    bool has_set = PQserverVersion(store->connection) >= 160000;
    const char *const values[] = {has_set ? "SET" : "MEMBER"};
    return query(store, roles_missing_sql, 1, values, result_out, err);
}

static bool any_role_absent(const PGresult *result)
{
    for (int row = 0; row < PQntuples(result); row++) {
        if (PQgetvalue(result, row, 1)[0] == 't') {
            return true;
        }
    }
    return false;
}

static enum store_outcome grant_roles(struct store *store, const PGresult *missing,
                                      struct buffer *statements, struct error *err)
{
    enum store_outcome outcome = STORE_OK;
    for (int row = 0; outcome == STORE_OK && row < PQntuples(missing); row++) {
        char sql[256];
        const char *role = PQgetvalue(missing, row, 0);
        const char *user = PQgetvalue(missing, row, 3);
        if (PQgetvalue(missing, row, 1)[0] == 't') {
            /* allows ddl: text for an administrator */
            buffer_printf(statements, "create role %s login;\n", role);
            buffer_printf(statements, "grant %s to %s;\n", role, user);
        } else if (PQgetvalue(missing, row, 2)[0] == 't') {
            snprintf(sql, sizeof sql, "grant %s to %s", role, user);
            outcome = try_or_note(store, sql, statements, err);
        }
    }
    return outcome;
}

/* The migrations' tables are in schema public. */
static enum store_outcome open_schema(struct store *store, bool owner_exists,
                                      struct buffer *statements, struct error *err)
{
    bool may_create = false;
    if (!owner_exists) {
        buffer_printf(statements, "%s;\n", let_owner_create_sql);
        return STORE_OK;
    }
    enum store_outcome outcome = ask(store, owner_may_create_sql, 0, NULL, &may_create, err);
    if (outcome != STORE_OK || may_create) {
        return outcome;
    }
    outcome = try_or_note(store, let_owner_create_sql, statements, err);
    /* Without the right to grant, GRANT only warns. */
    if (outcome == STORE_OK && statements->length == 0) {
        outcome = ask(store, owner_may_create_sql, 0, NULL, &may_create, err);
        if (outcome == STORE_OK && !may_create) {
            buffer_printf(statements, "%s;\n", let_owner_create_sql);
        }
    }
    return outcome;
}

static enum store_outcome make_roles(struct store *store, const char *roles_sql,
                                     struct buffer *statements, struct error *err)
{
    PGresult *missing = NULL;
    enum store_outcome outcome = roles_missing(store, &missing, err);
    if (outcome == STORE_OK && any_role_absent(missing)) {
        PQclear(missing);
        missing = NULL;
        /* A refusal shows in what is missing afterwards. */
        outcome = roles_script(store, roles_sql, err);
        outcome = outcome == STORE_UNREACHABLE ? outcome : roles_missing(store, &missing, err);
    }
    if (outcome == STORE_OK) {
        bool owner_exists = PQgetvalue(missing, 0, 1)[0] != 't';
        outcome = grant_roles(store, missing, statements, err);
        outcome = outcome == STORE_OK ? open_schema(store, owner_exists, statements, err) : outcome;
    }
    PQclear(missing);
    return outcome;
}

/* One at a time in this database: two GRANTs on one object at once, and one of them fails. */
enum store_outcome store_make_roles(struct store *store, const char *roles_sql,
                                    struct buffer *statements, struct error *err)
{
    enum store_outcome outcome = query(store, lock_sql, 0, NULL, NULL, err);
    if (outcome != STORE_OK) {
        return outcome;
    }
    outcome = make_roles(store, roles_sql, statements, err);
    if (outcome == STORE_OK) {
        outcome = query(store, unlock_sql, 0, NULL, NULL, err); /* else the session ends with it */
    }
    return outcome;
}

enum store_outcome store_lock_migrations(struct store *store, struct error *err)
{
    return query(store, lock_sql, 0, NULL, NULL, err);
}

static void copy_cell(char *out, size_t size, const PGresult *result, int row, int column)
{
    snprintf(out, size, "%s", PQgetvalue(result, row, column));
}

static int read_migration(const PGresult *result, int row, struct store_migration *out)
{
    const char *version = PQgetvalue(result, row, 0);
    int64_t number = 0;
    if (number_parse(version, strlen(version), &number) != 0 || number > 9999) {
        return -1;
    }
    out->version = (int)number;
    copy_cell(out->name, sizeof out->name, result, row, 1);
    copy_cell(out->checksum, sizeof out->checksum, result, row, 2);
    copy_cell(out->applied_at, sizeof out->applied_at, result, row, 3);
    return 0;
}

enum store_outcome store_applied(struct store *store, struct store_migration **list_out,
                                 size_t *count_out, struct error *err)
{
    bool known = false;
    PGresult *result = NULL;
    *list_out = NULL;
    *count_out = 0;
    enum store_outcome outcome = ask(store, table_known_sql, 0, NULL, &known, err);
    if (outcome != STORE_OK || !known) {
        return outcome;
    }
    outcome = query(store, applied_sql, 0, NULL, &result, err);
    if (outcome != STORE_OK) {
        return outcome;
    }
    size_t count = (size_t)PQntuples(result);
    struct store_migration *list = memory_array(count, sizeof *list);
    for (size_t i = 0; i < count; i++) {
        if (read_migration(result, (int)i, &list[i]) != 0) {
            error_set(err, "schema_migrations holds a version that no Signalbox writes");
            outcome = STORE_REFUSED;
        }
    }
    PQclear(result);
    if (outcome != STORE_OK) {
        free(list);
        return outcome;
    }
    *list_out = list;
    *count_out = count;
    return STORE_OK;
}

/* Ends the transaction that `outcome` is about. */
static enum store_outcome finish(struct store *store, enum store_outcome outcome, struct error *err)
{
    if (outcome == STORE_OK) {
        return store_script(store, "commit", err);
    }
    struct error ignored;
    (void)store_script(store, "rollback", &ignored);
    return outcome;
}

enum store_outcome store_apply(struct store *store, const char *sql, int version, const char *name,
                               const char *checksum, struct error *err)
{
    char number[16];
    snprintf(number, sizeof number, "%d", version);
    const char *const values[] = {number, name, checksum};
    enum store_outcome outcome = store_script(store, "begin", err);
    if (outcome != STORE_OK) {
        return outcome;
    }
    outcome = store_script(store, sql, err);
    outcome = outcome == STORE_OK ? query(store, note_applied_sql, 3, values, NULL, err) : outcome;
    return finish(store, outcome, err);
}

enum store_outcome store_revert(struct store *store, const char *sql, int version,
                                struct error *err)
{
    char number[16];
    snprintf(number, sizeof number, "%d", version);
    const char *const values[] = {number};
    enum store_outcome outcome = store_script(store, "begin", err);
    if (outcome != STORE_OK) {
        return outcome;
    }
    outcome = store_script(store, sql, err);
    outcome = outcome == STORE_OK ? query(store, note_reverted_sql, 1, values, NULL, err) : outcome;
    return finish(store, outcome, err);
}

/* The oldest tenant, or a new one. */
static enum store_outcome first_tenant(struct store *store, char tenant_out[UUID_TEXT_SIZE],
                                       struct error *err)
{
    PGresult *result = NULL;
    enum store_outcome outcome = query(store, first_tenant_sql, 0, NULL, &result, err);
    if (outcome != STORE_OK) {
        return outcome;
    }
    bool found = PQntuples(result) > 0;
    if (found) {
        copy_cell(tenant_out, UUID_TEXT_SIZE, result, 0, 0);
    }
    PQclear(result);
    if (found) {
        return STORE_OK;
    }
    struct uuid fresh = uuid_new();
    uuid_format(&fresh, tenant_out);
    const char *const values[] = {tenant_out};
    return query(store, add_tenant_sql, 1, values, NULL, err);
}

static enum store_outcome add_key(struct store *store, const char *public_id, const char *hash_hex,
                                  struct error *err)
{
    char tenant[UUID_TEXT_SIZE];
    char key[UUID_TEXT_SIZE];
    struct uuid fresh = uuid_new();
    uuid_format(&fresh, key);
    const char *const values[] = {key, tenant, public_id, hash_hex};
    enum store_outcome outcome = store_script(store, "begin", err);
    if (outcome != STORE_OK) {
        return outcome;
    }
    outcome = first_tenant(store, tenant, err);
    outcome = outcome == STORE_OK ? query(store, add_key_sql, 4, values, NULL, err) : outcome;
    return finish(store, outcome, err);
}

enum store_outcome store_add_first_key(struct store *store, const char *public_id,
                                       const char *hash_hex, enum store_key *key_out,
                                       struct error *err)
{
    PGresult *result = NULL;
    const char *const values[] = {public_id};
    enum store_outcome outcome = query(store, key_hash_sql, 1, values, &result, err);
    if (outcome != STORE_OK) {
        return outcome;
    }
    bool found = PQntuples(result) > 0;
    bool same = found && strcmp(PQgetvalue(result, 0, 0), hash_hex) == 0;
    PQclear(result);
    *key_out = !found ? STORE_KEY_ADDED : same ? STORE_KEY_KNOWN : STORE_KEY_OTHER_HASH;
    return found ? STORE_OK : add_key(store, public_id, hash_hex, err);
}

enum store_outcome store_set_single_user(struct store *store, bool single, struct error *err)
{
    const char *const values[] = {single ? "true" : "false"};
    return query(store, single_user_sql, 1, values, NULL, err);
}
