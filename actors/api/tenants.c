/*
 * Tenants, and the audit of what was done to them, as resources. An admin sees its own tenant; the
 * scope operator sees and makes all.
 */
#include "api/tenants.h"

#include "api/fields.h"
#include "api/listing.h"

#include <string.h>

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
