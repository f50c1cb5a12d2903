/* See store_identity.h. */
#include "api/store_identity.h"

#include <assert.h>
#include <string.h>

enum { HASH_BYTES = 32 };

enum statement {
    STATEMENT_FIND_KEY,
    STATEMENT_FIND_SESSION,
    STATEMENT_FIND_TENANT,
    STATEMENT_FIND_KEY_SET,
    STATEMENT_LIST_KEYS,
    STATEMENT_LIST_TENANTS,
    STATEMENT_LIST_AUDIT,
    STATEMENT_MAKE_KEY,
    STATEMENT_REVOKE_KEY,
    STATEMENT_MAKE_TENANT,
    STATEMENT_GET_TENANT,
    STATEMENT_GET_QUOTA,
    STATEMENT_SET_QUOTA,
    STATEMENT_MAKE_SESSION,
    STATEMENT_END_SESSION,
    STATEMENT_COUNT
};

#define TIME(column) "to_char(" column " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

/* `revoked`: the time of revocation, an expression. */
#define KEY_ITEM(from, revoked)                                                              \
    from ".created_at, " from ".key_id, "                                                    \
         "json_build_object('id', " from ".key_id, 'tenant_id', " from                       \
         ".tenant_id, 'public_id', " from ".public_id, 'name', " from ".name, 'user', " from \
         ".user_name, 'scopes', " from ".scopes, 'created_by', " from                        \
         ".created_by, 'created_at', " TIME(from ".created_at") ", 'expires_at', " TIME(     \
             from ".expires_at") ", 'revoked_at', " TIME(revoked) ")::text"
#define TENANT_ITEM(from)                                            \
    from ".created_at, " from ".tenant_id, "                         \
         "json_build_object('id', " from ".tenant_id, 'name', " from \
         ".name, 'created_at', " TIME(from ".created_at") ")::text"
#define BEHIND(time, id)                                                    \
    " where (" time ", " id                                                 \
    ") < ($1::timestamptz, $2::uuid) and ($3::uuid is null or tenant_id = " \
    "$3::uuid) order by " time " desc, " id " desc limit $4::integer"
#define NOTE "insert into audit_log (audit_id, tenant_id, actor, action, object_id, before, after) "

static const struct db_statement statements[STATEMENT_COUNT] = {
    [STATEMENT_FIND_KEY] = {"api_find_key",
                            "select key_id, tenant_id, hash, array_to_string(scopes, ','), "
                            "       user_name, expires_at from find_api_key($1::text)"},
    [STATEMENT_FIND_SESSION] = {"api_find_session",
                                "select session_id, tenant_id, hash, array_to_string(scopes, ','), "
                                "       user_name, expires_at from find_session($1::text)"},
    [STATEMENT_FIND_TENANT] = {"api_find_tenant",
                               "select 1 from tenants where tenant_id = $1::uuid"},
    [STATEMENT_FIND_KEY_SET] = {"api_find_key_set",
                                "select body from jwks_documents where url = $1::text"},
    [STATEMENT_LIST_KEYS] = {"api_list_keys",
                             "select " KEY_ITEM("k", "k.revoked_at") " from api_keys k" BEHIND(
                                 "created_at", "key_id")},
    [STATEMENT_LIST_TENANTS] = {"api_list_tenants",
                                "select " TENANT_ITEM("t") " from tenants t" BEHIND("created_at",
                                                                                    "tenant_id")},
    [STATEMENT_LIST_AUDIT] =
        {"api_list_audit",
         "select at, audit_id, json_build_object('id', audit_id, 'tenant_id', tenant_id, "
         "'at', " TIME(
             "at") ", 'actor', actor, 'action', action, 'object_id', object_id, 'before', before, "
                   "  'after', after)::text from audit_log" BEHIND("at", "audit_id")},
    [STATEMENT_MAKE_KEY] =
        {"api_make_key",
         "with made as (insert into api_keys (key_id, tenant_id, public_id, hash, name, scopes, "
         "                                    user_name, expires_at, created_by) "
         "              select $1::uuid, tenant_id, $3::text, $4::bytea, $5::text, "
         "$6::text::text[], "
         "                     $7::text, $8::timestamptz, $9::text "
         "                from tenants where tenant_id = $2::uuid "
         "              returning key_id, tenant_id, public_id, name, scopes, user_name, "
         "created_by, "
         "                        created_at, expires_at, revoked_at), "
         "     noted as (" NOTE
         "select $10::uuid, tenant_id, created_by, 'key.create', key_id::text, "
         "                      null, jsonb_build_object('public_id', public_id, 'name', name, "
         "                        'scopes', scopes, 'user', user_name, 'expires_at', expires_at) "
         "                 from made) "
         "select " KEY_ITEM("m", "m.revoked_at") " from made m"},
    [STATEMENT_REVOKE_KEY] =
        {"api_revoke_key",
         "with ended as (update api_keys set revoked_at = now() "
         "                where key_id = $1::uuid and revoked_at is null "
         "                  and ($2::boolean or not scopes @> array['operator']) "
         "               returning key_id, tenant_id, revoked_at), "
         "     noted as (" NOTE "select $4::uuid, tenant_id, $3::text, 'key.revoke', key_id::text, "
         "                      jsonb_build_object('revoked_at', null), "
         "                      jsonb_build_object('revoked_at', revoked_at) from ended) "
         "select " KEY_ITEM(
             "k", "coalesce(k.revoked_at, e.revoked_at)") ", "
                                                          "       scopes @> array['operator'] and "
                                                          "not $2::boolean "
                                                          "  from api_keys k left join ended e "
                                                          "using (key_id, tenant_id) where "
                                                          "k.key_id = $1::uuid"},
    [STATEMENT_MAKE_TENANT] =
        {"api_make_tenant",
         "with made as (insert into tenants (tenant_id, name) values ($1::uuid, $2::text) "
         "              returning tenant_id, name, created_at), "
         "     noted as (" NOTE
         "select $4::uuid, $1::uuid, $3::text, 'tenant.create', $1::uuid::text, "
         "                      null, jsonb_build_object('name', name) from made) "
         "select " TENANT_ITEM("m") " from made m"},
    [STATEMENT_GET_TENANT] = {"api_get_tenant",
                              "select " TENANT_ITEM(
                                  "t") " from tenants t where tenant_id = $1::uuid"},
    [STATEMENT_GET_QUOTA] =
        {"api_get_quota",
         "select now(), t.tenant_id, json_build_object('tenant_id', t.tenant_id, "
         "         'runs_per_day', q.runs_per_day, 'events_per_day', q.events_per_day, "
         "         'bytes_per_day', q.bytes_per_day, 'concurrent_runs', q.concurrent_runs, "
         "         'used', case when u.day is not null then json_build_object('day', u.day, "
         "           'runs', u.runs, 'events', u.events, 'bytes', u.bytes, "
         "           'active_runs', u.active_runs) end)::text "
         "  from tenants t left join tenant_quotas q on q.tenant_id = t.tenant_id "
         "  left join lateral (select * from tenant_usage l where l.tenant_id = t.tenant_id "
         "                      order by l.day desc limit 1) u on true "
         " where t.tenant_id = $1::uuid"},
    [STATEMENT_SET_QUOTA] =
        {"api_set_quota",
         "with known as (select t.tenant_id, to_jsonb(q) - 'tenant_id' - 'updated_at' as old "
         "                 from tenants t left join tenant_quotas q on q.tenant_id = t.tenant_id "
         "                where t.tenant_id = $1::uuid), "
         "     noted as (" NOTE
         "select $7::uuid, k.tenant_id, $6::text, 'tenant.quota', k.tenant_id::text, k.old, "
         "       jsonb_build_object('runs_per_day', $2::bigint, 'events_per_day', $3::bigint, "
         "         'bytes_per_day', $4::bigint, 'concurrent_runs', $5::bigint) from known k "
         "  cross join lateral (select set_tenant_quota(k.tenant_id, $2::bigint, $3::bigint, "
         "                                             $4::bigint, $5::bigint)) done "
         "returning tenant_id) "
         "select now(), tenant_id, json_build_object('tenant_id', tenant_id, "
         "         'runs_per_day', $2::bigint, 'events_per_day', $3::bigint, "
         "         'bytes_per_day', $4::bigint, 'concurrent_runs', $5::bigint)::text from noted"},
    [STATEMENT_MAKE_SESSION] =
        {"api_make_session",
         "with gone as (delete from sessions where tenant_id = $2::uuid "
         "                 and expires_at < now() - interval '1 day'), "
         "     made as (insert into sessions (session_id, tenant_id, key_id, public_id, hash, "
         "                                    user_name, scopes, expires_at) "
         "              values ($1::uuid, $2::uuid, $3::uuid, $4::text, $5::bytea, $6::text, "
         "                      $7::text::text[], $8::timestamptz) "
         "              returning session_id, tenant_id, user_name, scopes, created_at, "
         "expires_at), "
         "     noted as (" NOTE "select $10::uuid, tenant_id, $9::text, 'session.start', "
         "                      session_id::text, null, jsonb_build_object('scopes', scopes, "
         "                        'user', user_name, 'expires_at', expires_at) from made) "
         "select created_at, session_id, json_build_object('id', session_id, 'tenant_id', "
         "tenant_id, "
         "         'user', user_name, 'scopes', scopes, 'expires_at', " TIME(
             "expires_at") ")::text "
                           "  from made"},
    [STATEMENT_END_SESSION] = {"api_end_session",
                               "with ended as (update sessions set ended_at = now() "
                               "                where session_id = $1::uuid and ended_at is null "
                               "               returning session_id, tenant_id), "
                               "     noted as (" NOTE
                               "select $3::uuid, tenant_id, $2::text, 'session.end', "
                               "                      session_id::text, null, null from ended) "
                               "select count(*) from ended"},
};

static void give(struct store *store, const struct store_view *view, enum statement statement,
                 db_done_fn *done, void *arg)
{
    store_give_view(store, view, &statements[statement], done, arg);
}

static struct db_params *store_params(struct store *store)
{
    return &store->params;
}

static void add_text(struct db_params *params, const char *text)
{
    db_param_text(params, text, strlen(text));
}

static void add_id(struct db_params *params, const struct uuid *id)
{
    if (uuid_is_nil(id)) {
        db_param_null(params);
    } else {
        db_param_uuid(params, id);
    }
}

static void add_new_id(struct db_params *params)
{
    struct uuid id = uuid_new();
    db_param_uuid(params, &id);
}

static void add_time(struct db_params *params, int64_t real_us)
{
    if (real_us == 0) {
        db_param_null(params);
    } else {
        db_param_timestamptz(params, real_us);
    }
}

/* ---- who asks ---- */

void store_find_key(struct store *store, const char *public_id, db_done_fn *done, void *arg)
{
    add_text(store_params(store), public_id);
    give(store, NULL, STATEMENT_FIND_KEY, done, arg);
}

void store_find_session(struct store *store, const char *public_id, db_done_fn *done, void *arg)
{
    add_text(store_params(store), public_id);
    give(store, NULL, STATEMENT_FIND_SESSION, done, arg);
}

void store_read_credential(const struct db_result *result, struct store_credential *out)
{
    size_t hash_length;
    db_uuid(result, 0, 0, &out->id);
    db_uuid(result, 0, 1, &out->tenant);
    out->hash = db_bytes(result, 0, 2, &hash_length);
    assert(hash_length == HASH_BYTES);
    out->scopes = db_bytes(result, 0, 3, &out->scopes_length);
    out->user = db_bytes(result, 0, 4, &out->user_length);
    out->expires_us = db_is_null(result, 0, 5) ? INT64_MAX : db_timestamptz(result, 0, 5);
}

void store_find_key_set(struct store *store, const char *url, db_done_fn *done, void *arg)
{
    db_param_text(&store->params, url, strlen(url));
    store_give(store, NULL, &statements[STATEMENT_FIND_KEY_SET], done, arg);
}

void store_find_tenant(struct store *store, const struct uuid *tenant, db_done_fn *done, void *arg)
{
    db_param_uuid(store_params(store), tenant);
    give(store, &(struct store_view){.tenant = *tenant}, STATEMENT_FIND_TENANT, done, arg);
}

/* ---- lists ---- */

void store_read_item(const struct db_result *result, int row, struct store_item *item_out)
{
    item_out->at_us = db_timestamptz(result, row, 0);
    db_uuid(result, row, 1, &item_out->id);
    item_out->text = db_bytes(result, row, 2, &item_out->length);
}

static void list(struct store *store, const struct store_listing *listing, enum statement statement,
                 db_done_fn *done, void *arg)
{
    struct db_params *params = store_params(store);
    db_param_timestamptz(params, listing->before_us);
    db_param_uuid(params, &listing->before_id);
    add_id(params, &listing->only_tenant);
    db_param_int4(params, listing->limit);
    give(store, &listing->view, statement, done, arg);
}

void store_list_keys(struct store *store, const struct store_listing *listing, db_done_fn *done,
                     void *arg)
{
    list(store, listing, STATEMENT_LIST_KEYS, done, arg);
}

void store_list_tenants(struct store *store, const struct store_listing *listing, db_done_fn *done,
                        void *arg)
{
    list(store, listing, STATEMENT_LIST_TENANTS, done, arg);
}

void store_list_audit(struct store *store, const struct store_listing *listing, db_done_fn *done,
                      void *arg)
{
    list(store, listing, STATEMENT_LIST_AUDIT, done, arg);
}

/* ---- changes ---- */

void store_make_key(struct store *store, const struct store_view *view,
                    const struct store_new_key *key, db_done_fn *done, void *arg)
{
    struct db_params *params = store_params(store);
    db_param_uuid(params, &key->id);
    db_param_uuid(params, &key->tenant);
    add_text(params, key->public_id);
    db_param_bytea(params, key->hash, HASH_BYTES);
    add_text(params, key->name);
    add_text(params, key->scopes);
    add_text(params, key->user);
    add_time(params, key->expires_us);
    add_text(params, key->actor);
    add_new_id(params);
    give(store, view, STATEMENT_MAKE_KEY, done, arg);
}

void store_revoke_key(struct store *store, const struct store_view *view, const struct uuid *key,
                      bool operators, const char *actor, db_done_fn *done, void *arg)
{
    struct db_params *params = store_params(store);
    db_param_uuid(params, key);
    db_param_bool(params, operators);
    add_text(params, actor);
    add_new_id(params);
    give(store, view, STATEMENT_REVOKE_KEY, done, arg);
}

bool store_was_spared(const struct db_result *result)
{
    return db_bool(result, 0, 3);
}

void store_make_tenant(struct store *store, const struct uuid *id, const char *name,
                       const char *actor, db_done_fn *done, void *arg)
{
    struct db_params *params = store_params(store);
    db_param_uuid(params, id);
    add_text(params, name);
    add_text(params, actor);
    add_new_id(params);
    give(store, &(struct store_view){.all_tenants = true}, STATEMENT_MAKE_TENANT, done, arg);
}

void store_get_tenant(struct store *store, const struct store_view *view, const struct uuid *id,
                      db_done_fn *done, void *arg)
{
    db_param_uuid(store_params(store), id);
    give(store, view, STATEMENT_GET_TENANT, done, arg);
}

void store_get_quota(struct store *store, const struct store_view *view, const struct uuid *tenant,
                     db_done_fn *done, void *arg)
{
    db_param_uuid(store_params(store), tenant);
    give(store, view, STATEMENT_GET_QUOTA, done, arg);
}

void store_set_quota(struct store *store, const struct uuid *tenant,
                     const int64_t quotas[STORE_QUOTAS], const char *actor, db_done_fn *done,
                     void *arg)
{
    struct db_params *params = store_params(store);
    db_param_uuid(params, tenant);
    for (size_t i = 0; i < STORE_QUOTAS; i++) {
        if (quotas[i] < 0) {
            db_param_null(params);
        } else {
            db_param_int8(params, quotas[i]);
        }
    }
    add_text(params, actor);
    add_new_id(params);
    give(store, &(struct store_view){.all_tenants = true}, STATEMENT_SET_QUOTA, done, arg);
}

void store_make_session(struct store *store, const struct store_new_session *session,
                        db_done_fn *done, void *arg)
{
    struct db_params *params = store_params(store);
    db_param_uuid(params, &session->id);
    db_param_uuid(params, &session->tenant);
    add_id(params, &session->key);
    add_text(params, session->public_id);
    db_param_bytea(params, session->hash, HASH_BYTES);
    add_text(params, session->user);
    add_text(params, session->scopes);
    db_param_timestamptz(params, session->expires_us);
    add_text(params, session->actor);
    add_new_id(params);
    give(store, &(struct store_view){.tenant = session->tenant}, STATEMENT_MAKE_SESSION, done, arg);
}

void store_end_session(struct store *store, const struct uuid *tenant, const struct uuid *session,
                       const char *actor, db_done_fn *done, void *arg)
{
    struct db_params *params = store_params(store);
    db_param_uuid(params, session);
    add_text(params, actor);
    add_new_id(params);
    give(store, &(struct store_view){.tenant = *tenant}, STATEMENT_END_SESSION, done, arg);
}
