/*
 * Tenants, and the audit of what was done to them, as resources. An admin sees its own tenant; the
 * scope operator sees and makes all.
 */
#include "api/tenants.h"

#include "api/fields.h"
#include "api/listing.h"

#include <stdio.h>

void tenants_list(struct exchange *exchange)
{
    struct store_listing listing;
    if (listing_begin(exchange, "tenants", &listing) != 0) {
        return;
    }
    exchange_hold(exchange);
    store_list_tenants(exchange->api->store, &listing, listing_show, exchange);
}

void tenants_audit(struct exchange *exchange)
{
    struct store_listing listing;
    if (listing_begin(exchange, "entries", &listing) != 0) {
        return;
    }
    exchange_hold(exchange);
    store_list_audit(exchange->api->store, &listing, listing_show, exchange);
}

/* ---- GET /tenants/{id} ---- */

static void found(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        exchange_unavailable(exchange);
    } else if (db_rows(result) == 0) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such tenant.", NULL);
    } else {
        listing_one(exchange, 200, "", result, NULL);
    }
}

void tenants_get(struct exchange *exchange)
{
    const struct store_view view = listing_view(exchange);
    exchange_hold(exchange);
    store_get_tenant(exchange->api->store, &view, &exchange->id, found, exchange);
}

/* ---- POST /tenants ---- */

static void made(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        listing_failed(exchange, status);
    } else {
        listing_one(exchange, 201, "", result, NULL);
    }
}

void tenants_create(struct exchange *exchange)
{
    static const char *const known[] = {"name", NULL};
    const char *name;
    json_t *body = fields_read(exchange, known);
    if (body == NULL) {
        return;
    }
    if (settings_bool(exchange->api->actor->settings, SETTING_AUTH_SINGLE_USER)) {
        exchange_problem(exchange, PROBLEM_SINGLE_USER, "There is one tenant, and no other.", NULL);
    } else if (fields_text(exchange, body, "name", NULL, &name) == 0) {
        struct uuid id = uuid_new();
        exchange_hold(exchange);
        store_make_tenant(exchange->api->store, &id, name, exchange->who.actor, made, exchange);
    }
    json_decref(body);
}

/* ---- /tenants/{id}/quota ---- */

static const char *const quota_names[STORE_QUOTAS + 1] = {"runs_per_day", "events_per_day",
                                                          "bytes_per_day", "concurrent_runs", NULL};

void tenants_get_quota(struct exchange *exchange)
{
    const struct store_view view = listing_view(exchange);
    exchange_hold(exchange);
    store_get_quota(exchange->api->store, &view, &exchange->id, found, exchange);
}

static void quota_set(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        listing_failed(exchange, status);
    } else if (db_rows(result) == 0) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such tenant.", NULL);
    } else {
        listing_one(exchange, 200, "", result, NULL);
    }
}

static int read_quota(struct exchange *exchange, const json_t *value, const char *name,
                      int64_t *quota_out)
{
    char pointer[32];
    *quota_out = -1;
    if (value == NULL || json_is_null(value)) {
        return 0;
    }
    *quota_out = json_integer_value(value);
    if (!json_is_integer(value) || *quota_out < 0) {
        snprintf(pointer, sizeof pointer, "/%s", name);
        return fields_wrong(exchange, pointer,
                            "A quota is a whole number, 0 for no limit, null for the default.");
    }
    return 0;
}

void tenants_set_quota(struct exchange *exchange)
{
    int64_t quotas[STORE_QUOTAS];
    int result = 0;
    json_t *body = fields_read(exchange, quota_names);
    if (body == NULL) {
        return;
    }
    for (size_t i = 0; result == 0 && i < STORE_QUOTAS; i++) {
        result =
            read_quota(exchange, json_object_get(body, quota_names[i]), quota_names[i], &quotas[i]);
    }
    json_decref(body);
    if (result == 0) {
        exchange_hold(exchange);
        store_set_quota(exchange->api->store, &exchange->id, quotas, exchange->who.actor, quota_set,
                        exchange);
    }
}
