/*
 * GET /runs. A page is read by walking along an index, newest first; where a filter is so selective
 * that the walk would be long, it stops after STORE_WALK_ROWS rows. Then the index of what is rare
 * (ids, metadata) gives the page, or, for filters without one, the page ends there: it holds what
 * was found and has a cursor. So a page has its bound, however many runs there are.
 */
#include "api/cursor.h"
#include "api/exchange.h"
#include "api/request.h"
#include "api/runs.h"
#include "api/runs_filter.h"
#include "api/runs_view.h"
#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

enum {
    SCOPE_BYTES = 4 + 32,
    VERY_RARE_DIGITS = 7 /* those of a quarter of an hour: see STORE_RARE_DIGITS */
};

struct listing {
    struct exchange *exchange;
    struct store_runs_filter filter;
    struct store_runs_page page; /* its limit is one more than was asked for */
    uint8_t scope[SCOPE_BYTES];  /* what a cursor is good for: this list and its filters */
    bool count;                  /* the number of all is wanted too */
    struct buffer answer;        /* so far */
};

static void listing_destroy(struct listing *listing)
{
    runs_filter_deinit(&listing->filter);
    buffer_deinit(&listing->answer);
    free(listing);
}

/* An answer from the database has come; NULL: nobody waits for it any more, or it was none. */
static struct exchange *resume(struct listing *listing, enum db_status status)
{
    struct exchange *exchange = listing->exchange;
    if (!exchange_resume(exchange)) {
        listing_destroy(listing);
        return NULL;
    }
    if (status != DB_OK) {
        listing_destroy(listing);
        exchange_unavailable(exchange);
        return NULL;
    }
    return exchange;
}

static void finish(struct listing *listing)
{
    buffer_append_byte(&listing->answer, '}');
    exchange_json(listing->exchange, 200, &listing->answer);
    listing_destroy(listing);
}

static void counted(void *arg, enum db_status status, const struct db_result *result)
{
    struct listing *listing = arg;
    if (resume(listing, status) == NULL) {
        return;
    }
    int64_t count = store_read_count(result);
    bool exact = count <= STORE_COUNT_MAX;
    buffer_append_text(&listing->answer, ",\"total\":");
    buffer_append_int(&listing->answer, exact ? count : STORE_COUNT_MAX);
    buffer_append_text(&listing->answer,
                       exact ? ",\"total_is_exact\":true" : ",\"total_is_exact\":false");
    finish(listing);
}

static void close_page(struct listing *listing, const struct cursor *next)
{
    struct exchange *exchange = listing->exchange;
    char cursor[CURSOR_TEXT_SIZE];
    if (next == NULL) {
        buffer_append_text(&listing->answer, "],\"next_cursor\":null");
    } else {
        cursor_encode(exchange->api->cursor_key, next, listing->scope, sizeof listing->scope,
                      cursor);
        buffer_printf(&listing->answer, "],\"next_cursor\":\"%s\"", cursor);
    }
    if (!listing->count) {
        finish(listing);
        return;
    }
    exchange_hold(exchange);
    store_count_runs(exchange->api->store, &listing->filter, counted, listing);
}

/* Writes the rows. True when there are more behind them: one row more than asked for was read, or
 * the page was cut short by its size. *next_out is then the place of the last one shown. */
static bool write_rows(struct listing *listing, const struct db_result *result,
                       struct cursor *next_out)
{
    struct buffer *out = &listing->answer;
    struct store_run run = {0};
    size_t metadata = 0;
    int rows = store_page_rows(result);
    int shown = rows < listing->page.limit ? rows : listing->page.limit - 1;
    buffer_clear(out);
    buffer_append_text(out, "{\"runs\":[");
    for (int row = 0; row < shown; row++) {
        store_read_run(result, row, &run);
        metadata += run.metadata_length;
        if (row > 0) {
            buffer_append_byte(out, ',');
        }
        runs_view_write(out, &run);
    }
    *next_out = (struct cursor){run.created_us, run.id};
    return rows > shown || metadata >= STORE_PAGE_BYTES;
}

static void found(void *arg, enum db_status status, const struct db_result *result)
{
    struct listing *listing = arg;
    struct cursor next;
    if (resume(listing, status) == NULL) {
        return;
    }
    bool more = write_rows(listing, result, &next);
    close_page(listing, more ? &next : NULL);
}

/* Whether an index finds at once what a walk would be long for. */
static bool is_rare(const struct store_runs_filter *filter)
{
    return filter->metadata.length > 0 || store_common_digits(filter) >= STORE_RARE_DIGITS;
}

static void walked(void *arg, enum db_status status, const struct db_result *result)
{
    struct listing *listing = arg;
    struct exchange *exchange = resume(listing, status);
    struct cursor next;
    struct cursor edge;
    if (exchange == NULL) {
        return;
    }
    if (write_rows(listing, result, &next)) {
        close_page(listing, &next);
    } else if (!store_read_edge(result, &edge.time_us, &edge.id)) {
        close_page(listing, NULL);
    } else if (is_rare(&listing->filter)) {
        exchange_hold(exchange);
        store_find_runs(exchange->api->store, &listing->filter, &listing->page, found, listing);
    } else {
        close_page(listing, &edge);
    }
}

/* ---- the request ---- */

enum { LIST_LIMIT = RUNS_FILTER_FIELDS, LIST_CURSOR, LIST_COUNT, LIST_PARAMETERS };

static int read_count(struct exchange *exchange, const struct request_parameter *parameter,
                      bool *count_out)
{
    *count_out = parameter->given && strcmp(parameter->value, "true") == 0;
    if (parameter->given && !*count_out && strcmp(parameter->value, "false") != 0) {
        exchange_problem(exchange, PROBLEM_INVALID_PARAMETER,
                         "The parameter count must be true or false.", NULL);
        return -1;
    }
    return 0;
}

static int read_cursor(struct listing *listing, const struct request_parameter *parameter)
{
    struct cursor cursor;
    /* The end of the year 9999, and the greatest id: before everything. */
    listing->page.before_us = 253402300799999999;
    memset(listing->page.before_id.bytes, 0xff, sizeof listing->page.before_id.bytes);
    memcpy(listing->scope, "runs", 4);
    runs_filter_digest(&listing->filter, listing->scope + 4);
    if (!parameter->given) {
        return 0;
    }
    if (cursor_decode(listing->exchange->api->cursor_key, parameter->value, parameter->length,
                      listing->scope, sizeof listing->scope, &cursor) != 0) {
        exchange_problem(listing->exchange, PROBLEM_INVALID_CURSOR,
                         "The cursor was not given out for this list.", NULL);
        return -1;
    }
    listing->page.before_us = cursor.time_us;
    listing->page.before_id = cursor.id;
    return 0;
}

static int read_listing(struct listing *listing)
{
    struct exchange *exchange = listing->exchange;
    struct request_parameter parameters[LIST_PARAMETERS] = {0};
    int32_t limit;
    runs_filter_parameters(parameters);
    parameters[LIST_LIMIT].name = "limit";
    parameters[LIST_CURSOR].name = "cursor";
    parameters[LIST_COUNT].name = "count";
    if (request_parameters(exchange, parameters, LIST_PARAMETERS) != 0 ||
        request_limit(exchange, &parameters[LIST_LIMIT], &limit) != 0 ||
        read_count(exchange, &parameters[LIST_COUNT], &listing->count) != 0 ||
        runs_filter_from_query(exchange, parameters, &listing->filter) != 0) {
        return -1;
    }
    listing->page.limit = limit + 1;
    return read_cursor(listing, &parameters[LIST_CURSOR]);
}

void runs_list(struct exchange *exchange)
{
    struct listing *listing = memory_new(sizeof *listing);
    listing->exchange = exchange;
    if (read_listing(listing) != 0) {
        listing_destroy(listing);
        return;
    }
    exchange_hold(exchange);
    if (store_common_digits(&listing->filter) >= VERY_RARE_DIGITS) {
        store_find_runs(exchange->api->store, &listing->filter, &listing->page, found, listing);
    } else {
        store_walk_runs(exchange->api->store, &listing->filter, &listing->page, walked, listing);
    }
}
