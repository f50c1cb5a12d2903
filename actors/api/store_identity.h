/*
 * SQL on who may do what: keys, sessions, tenants, the audit. Every change writes its line of the
 * audit in the same statement. Shown rows come as JSON text, made by the database.
 */
#ifndef SIGNALBOX_API_STORE_IDENTITY_H
#define SIGNALBOX_API_STORE_IDENTITY_H

#include "api/store_internal.h"

/* Of a key or a session. No row: unknown, revoked, ended. */
void store_find_key(struct store *store, const char *public_id, db_done_fn *done, void *arg);
void store_find_session(struct store *store, const char *public_id, db_done_fn *done, void *arg);
struct store_credential {
    struct uuid id;
    struct uuid tenant;
    const char *hash;   /* 32 bytes, borrowed from the result, as the texts */
    const char *scopes; /* "read,append" */
    size_t scopes_length;
    const char *user;
    size_t user_length;
    int64_t expires_us; /* real time; INT64_MAX: never */
};
void store_read_credential(const struct db_result *result, struct store_credential *out);
/* One row when that tenant exists. */
void store_find_tenant(struct store *store, const struct uuid *tenant, db_done_fn *done, void *arg);

/* One row with the text of the key set (JWKS) fetched from `url`, or none yet. */
void store_find_key_set(struct store *store, const char *url, db_done_fn *done, void *arg);

/* A row of anything that is shown: when, id, JSON text. */
struct store_item {
    int64_t at_us;
    struct uuid id;
    const char *text;
    size_t length;
};
void store_read_item(const struct db_result *result, int row, struct store_item *item_out);

/* Newest first, those behind `before`. */
struct store_listing {
    struct store_view view;
    struct uuid only_tenant; /* nil: all that the view shows */
    int64_t before_us;
    struct uuid before_id;
    int32_t limit;
};
void store_list_keys(struct store *store, const struct store_listing *listing, db_done_fn *done,
                     void *arg);
void store_list_tenants(struct store *store, const struct store_listing *listing, db_done_fn *done,
                        void *arg);
void store_list_audit(struct store *store, const struct store_listing *listing, db_done_fn *done,
                      void *arg);

/* Texts are borrowed, NUL-terminated. */
struct store_new_key {
    struct uuid id;
    struct uuid tenant;
    const char *public_id;
    const uint8_t *hash; /* 32 bytes */
    const char *name;
    const char *scopes; /* array literal */
    const char *user;
    int64_t expires_us; /* 0: never */
    const char *actor;
};
/* One item; no row: there is no such tenant. */
void store_make_key(struct store *store, const struct store_view *view,
                    const struct store_new_key *key, db_done_fn *done, void *arg);
/* One item behind a boolean: the key has the scope operator and was left alone because `operators`
 * is false. No row: not there. A key that was revoked before stays as it was. */
void store_revoke_key(struct store *store, const struct store_view *view, const struct uuid *key,
                      bool operators, const char *actor, db_done_fn *done, void *arg);
bool store_was_spared(const struct db_result *result);

/* One item. */
void store_make_tenant(struct store *store, const struct uuid *id, const char *name,
                       const char *actor, db_done_fn *done, void *arg);
/* One item; no row: not there, or not in view. */
void store_get_tenant(struct store *store, const struct store_view *view, const struct uuid *id,
                      db_done_fn *done, void *arg);

/* What a tenant may use and has used. One item; no row: not there, or not in view. */
void store_get_quota(struct store *store, const struct store_view *view, const struct uuid *tenant,
                     db_done_fn *done, void *arg);
/* -1: the installation's default; 0: no limit. In the order runs, events, bytes a day, concurrent
 * runs. One item; no row: there is no such tenant. */
enum { STORE_QUOTAS = 4 };
void store_set_quota(struct store *store, const struct uuid *tenant,
                     const int64_t quotas[STORE_QUOTAS], const char *actor, db_done_fn *done,
                     void *arg);

struct store_new_session {
    struct uuid id;
    struct uuid tenant;
    struct uuid key; /* nil: opened with a token */
    const char *public_id;
    const uint8_t *hash;
    const char *scopes;
    const char *user;
    int64_t expires_us;
    const char *actor;
};
/* One item. Also forgets sessions of the tenant that expired more than a day ago. */
void store_make_session(struct store *store, const struct store_new_session *session,
                        db_done_fn *done, void *arg);
/* One row, whether it had ended before or not. */
void store_end_session(struct store *store, const struct uuid *tenant, const struct uuid *session,
                       const char *actor, db_done_fn *done, void *arg);

#endif
