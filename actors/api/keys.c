/*
 * Api keys as a resource. A key is shown in the answer that makes it and never again: what is kept
 * is its keyed hash. An admin governs the keys of its own tenant; the scope operator governs all,
 * and only an operator gives it away or takes it.
 */
#include "api/keys.h"

#include "api/fields.h"
#include "api/listing.h"
#include "runtime/base/clock.h"

#include <sodium.h>
#include <string.h>

enum { LIFE_MAX_S = 10 * 366 * 86400 };

static bool is_operator(const struct exchange *exchange)
{
    return (exchange->who.scopes & SCOPE_OPERATOR) != 0;
}

/* ---- GET /keys ---- */

void keys_list(struct exchange *exchange)
{
    struct store_listing listing;
    if (listing_begin(exchange, "keys", &listing) != 0) {
        return;
    }
    exchange_hold(exchange);
    store_list_keys(exchange->api->store, &listing, listing_show, exchange);
}

/* ---- POST /keys ---- */

struct wish {
    struct uuid tenant;
    unsigned scopes;
    const char *name;
    const char *user;
    int64_t expires_us; /* 0: never */
};

static int read_scopes(struct exchange *exchange, const json_t *value, unsigned *scopes_out)
{
    const json_t *word;
    size_t index;
    *scopes_out = value == NULL ? SCOPE_TENANT : 0;
    if (value != NULL && !json_is_array(value)) {
        return fields_wrong(exchange, "/scopes", "scopes must be an array of names.");
    }
    json_array_foreach(value, index, word)
    {
        unsigned scope = json_is_string(word)
                             ? scope_parse(json_string_value(word), json_string_length(word))
                             : 0;
        if (scope == 0) {
            return fields_wrong(exchange, "/scopes",
                                "A scope is one of read, append, admin, operator.");
        }
        *scopes_out |= scope;
    }
    return 0;
}

static int read_tenant(struct exchange *exchange, const json_t *value, struct uuid *tenant_out)
{
    *tenant_out = exchange->who.tenant;
    if (value == NULL) {
        return 0;
    }
    if (!json_is_string(value) ||
        uuid_parse(json_string_value(value), json_string_length(value), tenant_out) != 0) {
        return fields_wrong(exchange, "/tenant_id", "tenant_id must be a lower-case UUID.");
    }
    return 0;
}

static int read_life(struct exchange *exchange, const json_t *value, int64_t *expires_us_out)
{
    int64_t life_s = json_integer_value(value);
    *expires_us_out = 0;
    if (value == NULL || json_is_null(value)) {
        return 0;
    }
    if (!json_is_integer(value) || life_s < 1 || life_s > LIFE_MAX_S) {
        return fields_wrong(
            exchange, "/expires_in_s",
            "expires_in_s must be a number of seconds, at most ten years, or null.");
    }
    *expires_us_out = clock_real_us() + life_s * 1000000;
    return 0;
}

static int read_wish(struct exchange *exchange, const json_t *body, struct wish *wish)
{
    const struct settings *settings = exchange->api->actor->settings;
    if (read_tenant(exchange, json_object_get(body, "tenant_id"), &wish->tenant) != 0 ||
        read_scopes(exchange, json_object_get(body, "scopes"), &wish->scopes) != 0 ||
        read_life(exchange, json_object_get(body, "expires_in_s"), &wish->expires_us) != 0 ||
        fields_text(exchange, body, "name", "", &wish->name) != 0 ||
        fields_text(exchange, body, "user", exchange->who.user, &wish->user) != 0) {
        return -1;
    }
    if (settings_bool(settings, SETTING_AUTH_SINGLE_USER) && strcmp(wish->user, "owner") != 0) {
        return fields_wrong(exchange, "/user", "This installation has one user, owner.");
    }
    return 0;
}

/* Nobody gives away more than it governs. */
static int may_make(struct exchange *exchange, const struct wish *wish)
{
    if (is_operator(exchange)) {
        return 0;
    }
    if (!uuid_equal(&wish->tenant, &exchange->who.tenant)) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such tenant.", NULL);
        return -1;
    }
    if ((wish->scopes & SCOPE_OPERATOR) != 0) {
        exchange_problem(exchange, PROBLEM_FORBIDDEN,
                         "Only a key with the scope operator gives that scope.", NULL);
        return -1;
    }
    return 0;
}

static void made(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct buffer key = {0};
    buffer_printf(&key, "\"key\":\"%s\",", exchange->secret.text);
    sodium_memzero(exchange->secret.text, sizeof exchange->secret.text);
    if (exchange_resume(exchange)) {
        if (status != DB_OK) {
            listing_failed(exchange, status);
        } else if (db_rows(result) == 0) {
            exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such tenant.", NULL);
        } else {
            struct buffer *scratch = &exchange->api->text;
            listing_one(exchange, 201, buffer_text(&key), result, NULL);
            sodium_memzero(scratch->data, scratch->length);
        }
    }
    sodium_memzero(key.data, key.capacity);
    buffer_deinit(&key);
}

static void make(struct exchange *exchange, const struct wish *wish)
{
    uint8_t hash[API_KEY_HASH_BYTES];
    struct buffer scopes = {0};
    const struct store_view view = listing_view(exchange);
    auth_make_secret(exchange->api->auth, API_KEY, exchange->secret.text,
                     exchange->secret.public_id, hash);
    scope_write(&scopes, wish->scopes, false);
    const struct store_new_key key = {.id = uuid_new(),
                                      .tenant = wish->tenant,
                                      .public_id = exchange->secret.public_id,
                                      .hash = hash,
                                      .name = wish->name,
                                      .scopes = buffer_text(&scopes),
                                      .user = wish->user,
                                      .expires_us = wish->expires_us,
                                      .actor = exchange->who.actor};
    exchange_hold(exchange);
    store_make_key(exchange->api->store, &view, &key, made, exchange);
    buffer_deinit(&scopes);
}

void keys_create(struct exchange *exchange)
{
    static const char *const known[] = {"tenant_id", "scopes", "expires_in_s",
                                        "name",      "user",   NULL};
    struct wish wish;
    json_t *body = fields_read(exchange, known);
    if (body == NULL) {
        return;
    }
    if (read_wish(exchange, body, &wish) == 0 && may_make(exchange, &wish) == 0) {
        make(exchange, &wish);
    }
    json_decref(body);
}

/* ---- DELETE /keys/{id} ---- */

static void revoked(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        listing_failed(exchange, status);
    } else if (db_rows(result) == 0) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such key.", NULL);
    } else if (store_was_spared(result)) {
        exchange_problem(exchange, PROBLEM_FORBIDDEN,
                         "Only a key with the scope operator revokes one that has it.", NULL);
    } else {
        listing_one(exchange, 200, "", result, NULL);
    }
}

void keys_revoke(struct exchange *exchange)
{
    const struct store_view view = listing_view(exchange);
    exchange_hold(exchange);
    store_revoke_key(exchange->api->store, &view, &exchange->id, is_operator(exchange),
                     exchange->who.actor, revoked, exchange);
}
