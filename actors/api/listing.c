/* See listing.h. */
#include "api/listing.h"

#include "api/cursor.h"
#include "api/request.h"

#include <string.h>

/* The end of the year 9999: before everything. */
static const int64_t last_us = 253402300799999999;

struct store_view listing_view(const struct exchange *exchange)
{
    return (struct store_view){.tenant = exchange->who.tenant,
                               .all_tenants = (exchange->who.scopes & SCOPE_OPERATOR) != 0};
}

/* A cursor is good for one list, as one tenant sees it. */
static void write_scope(struct exchange *exchange, const struct store_listing *listing)
{
    uint8_t *at = exchange->list.scope;
    size_t name_length = strlen(exchange->list.name);
    memcpy(at, exchange->list.name, name_length);
    at += name_length;
    *at++ = listing->view.all_tenants ? 1 : 0;
    memcpy(at, listing->view.tenant.bytes, sizeof listing->view.tenant.bytes);
    at += sizeof listing->view.tenant.bytes;
    memcpy(at, listing->only_tenant.bytes, sizeof listing->only_tenant.bytes);
    at += sizeof listing->only_tenant.bytes;
    exchange->list.scope_length = (size_t)(at - exchange->list.scope);
}

enum { LIMIT, CURSOR, TENANT, PARAMETERS };

int listing_begin(struct exchange *exchange, const char *name, struct store_listing *listing)
{
    struct request_parameter parameters[PARAMETERS] = {[LIMIT] = {.name = "limit"},
                                                       [CURSOR] = {.name = "cursor"},
                                                       [TENANT] = {.name = "tenant_id"}};
    const struct request_parameter *given = &parameters[CURSOR];
    *listing = (struct store_listing){.view = listing_view(exchange), .before_us = last_us};
    memset(listing->before_id.bytes, 0xff, sizeof listing->before_id.bytes);
    if (request_parameters(exchange, parameters, PARAMETERS) != 0 ||
        request_limit(exchange, &parameters[LIMIT], &exchange->list.limit) != 0) {
        return -1;
    }
    if (parameters[TENANT].given && uuid_parse(parameters[TENANT].value, parameters[TENANT].length,
                                               &listing->only_tenant) != 0) {
        exchange_problem(exchange, PROBLEM_INVALID_PARAMETER,
                         "The parameter tenant_id must be a lower-case UUID.", NULL);
        return -1;
    }
    exchange->list.name = name;
    listing->limit = exchange->list.limit + 1;
    write_scope(exchange, listing);
    if (given->given) {
        struct cursor cursor;
        if (cursor_decode(exchange->api->cursor_key, given->value, given->length,
                          exchange->list.scope, exchange->list.scope_length, &cursor) != 0) {
            exchange_problem(exchange, PROBLEM_INVALID_CURSOR,
                             "The cursor was not given out for this list.", NULL);
            return -1;
        }
        listing->before_us = cursor.time_us;
        listing->before_id = cursor.id;
    }
    return 0;
}

/* One row more than asked for was read: it says whether there is a next page. */
void listing_show(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct store_item item = {0};
    char cursor[CURSOR_TEXT_SIZE];
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        exchange_unavailable(exchange);
        return;
    }
    struct api *api = exchange->api;
    int rows = db_rows(result);
    int shown = rows > exchange->list.limit ? exchange->list.limit : rows;
    buffer_clear(&api->text);
    buffer_printf(&api->text, "{\"%s\":[", exchange->list.name);
    for (int row = 0; row < shown; row++) {
        store_read_item(result, row, &item);
        buffer_append_text(&api->text, row > 0 ? "," : "");
        buffer_append(&api->text, item.text, item.length);
    }
    if (rows > shown) {
        cursor_encode(api->cursor_key, &(struct cursor){item.at_us, item.id}, exchange->list.scope,
                      exchange->list.scope_length, cursor);
        buffer_printf(&api->text, "],\"next_cursor\":\"%s\"}", cursor);
    } else {
        buffer_append_text(&api->text, "],\"next_cursor\":null}");
    }
    exchange_json(exchange, 200, &api->text);
}

void listing_one(struct exchange *exchange, int status, const char *more,
                 const struct db_result *result, const struct http_field *fields)
{
    struct store_item item;
    struct buffer *body = &exchange->api->text;
    store_read_item(result, 0, &item);
    buffer_clear(body);
    buffer_append_byte(body, '{');
    buffer_append_text(body, more);
    buffer_append(body, item.text + 1, item.length - 1);
    exchange_reply(exchange, status, "application/json", fields, body);
}

void listing_failed(struct exchange *exchange, enum db_status status)
{
    if (status == DB_LOST) {
        exchange_problem(exchange, PROBLEM_OUTCOME_UNKNOWN,
                         "It is not known whether this was done. Look before you repeat it.", NULL);
    } else {
        exchange_unavailable(exchange);
    }
}
