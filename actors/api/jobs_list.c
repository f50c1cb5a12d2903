/*
 * GET /jobs and /runs/{id}/jobs. A page looks at a bounded number of rows: it may hold fewer jobs than
 * were asked for, and have a cursor all the same.
 */
#include "api/cursor.h"
#include "api/jobs.h"
#include "api/jobs_view.h"
#include "api/names.h"
#include "api/request.h"
#include "api/store_jobs.h"
#include "runtime/base/memory.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { SCOPE_BYTES = 4 + 32, KEY_BYTES_MAX = 512 };

struct listing {
    struct exchange *exchange;
    struct store_jobs_filter filter; /* its texts are in `texts` */
    struct buffer texts;
    uint8_t scope[SCOPE_BYTES]; /* what a cursor is good for: this list and its filters */
    int32_t limit;
};

static void listing_destroy(struct listing *listing)
{
    buffer_deinit(&listing->texts);
    free(listing);
}

static void show_page(struct listing *listing, const struct db_result *result)
{
    struct exchange *exchange = listing->exchange;
    struct buffer *out = &exchange->api->text;
    struct store_job job = {0};
    char cursor[CURSOR_TEXT_SIZE];
    size_t bytes = 0;
    int rows = store_jobs_rows(result);
    int shown = rows > listing->limit ? listing->limit : rows;
    buffer_clear(out);
    buffer_append_text(out, "{\"jobs\":[");
    for (int row = 0; row < shown; row++) {
        store_read_job(result, row, &job);
        bytes += store_job_bytes(&job);
        buffer_append_text(out, row > 0 ? "," : "");
        jobs_view_write(out, &job);
    }
    bool more = rows > shown || bytes >= STORE_PAGE_BYTES;
    int64_t next = more ? job.number : store_read_jobs_edge(result);
    if (next == 0) {
        buffer_append_text(out, "],\"next_cursor\":null}");
    } else {
        cursor_encode(exchange->api->cursor_key, &(struct cursor){.time_us = next}, listing->scope,
                      sizeof listing->scope, cursor);
        buffer_printf(out, "],\"next_cursor\":\"%s\"}", cursor);
    }
    exchange_json(exchange, 200, out);
}

/* An empty list of a run: is there such a run? */
static void run_found(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct store_head head;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        exchange_unavailable(exchange);
    } else if (!store_read_head(result, 0, &head)) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such run.", NULL);
    } else {
        struct buffer *body = &exchange->api->text;
        buffer_clear(body);
        buffer_append_text(body, "{\"jobs\":[],\"next_cursor\":null}");
        exchange_json(exchange, 200, body);
    }
}

static void listed(void *arg, enum db_status status, const struct db_result *result)
{
    struct listing *listing = arg;
    struct exchange *exchange = listing->exchange;
    if (!exchange_resume(exchange)) {
        listing_destroy(listing);
        return;
    }
    bool of_run = exchange->segment.data != NULL;
    if (status != DB_OK) {
        exchange_unavailable(exchange);
    } else if (of_run && store_jobs_rows(result) == 0 && store_read_jobs_edge(result) == 0) {
        exchange_hold(exchange);
        store_get_heads(exchange->api->store, &exchange->who.tenant, &exchange->id, 1, run_found,
                        exchange);
    } else {
        show_page(listing, result);
    }
    listing_destroy(listing);
}

/* ---- the request ---- */

enum {
    LIST_LIMIT,
    LIST_CURSOR,
    LIST_STATUS,
    LIST_QUEUE,
    LIST_TYPE,
    LIST_RUN,
    LIST_KEY,
    LIST_PARAMETERS
};

static int bad(struct exchange *exchange, const char *detail)
{
    exchange_problem(exchange, PROBLEM_INVALID_PARAMETER, detail, NULL);
    return -1;
}

/* Names joined by commas, or given repeatedly. */
static int read_statuses(struct exchange *exchange, const struct request_parameter *parameter,
                         unsigned *statuses_out)
{
    const char *at = parameter->value;
    const char *end = at + parameter->length;
    while (parameter->given && at <= end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma == NULL ? end : comma;
        enum job_status status;
        if (!store_find_job_status(at, (size_t)(stop - at), &status)) {
            return bad(exchange, "A status is one of pending, running, success, error, cancelled.");
        }
        *statuses_out |= 1U << status;
        at = stop + 1;
    }
    return 0;
}

/* A name that a column may hold. Where it stands in listing->texts: 0 when it is not given. */
static int keep_text(struct listing *listing, const struct request_parameter *parameter,
                     size_t most, size_t *at_out)
{
    struct buffer *texts = &listing->texts;
    *at_out = 0;
    if (!parameter->given) {
        return 0;
    }
    if (!names_are_sound(parameter->value, parameter->length, most)) {
        return bad(listing->exchange, "A queue, a type or a key is a text, and not that long.");
    }
    buffer_append_byte(texts, '\0');
    *at_out = texts->length;
    buffer_append(texts, parameter->value, parameter->length);
    buffer_append_byte(texts, '\0');
    return 0;
}

static int read_texts(struct listing *listing, const struct request_parameter *parameters)
{
    size_t queue;
    size_t type;
    size_t key;
    if (keep_text(listing, &parameters[LIST_QUEUE], NAMES_BYTES_MAX, &queue) != 0 ||
        keep_text(listing, &parameters[LIST_TYPE], NAMES_BYTES_MAX, &type) != 0 ||
        keep_text(listing, &parameters[LIST_KEY], KEY_BYTES_MAX, &key) != 0) {
        return -1;
    }
    const char *texts = (const char *)listing->texts.data;
    listing->filter.queue = queue == 0 ? NULL : texts + queue;
    listing->filter.type = type == 0 ? NULL : texts + type;
    listing->filter.key = key == 0 ? NULL : texts + key;
    return 0;
}

static int read_run(struct listing *listing, const struct request_parameter *parameter)
{
    struct exchange *exchange = listing->exchange;
    struct uuid *run = &listing->filter.run;
    if (parameter->given && uuid_parse(parameter->value, parameter->length, run) != 0) {
        return bad(exchange, "The parameter run_id must be a lower-case UUID.");
    }
    if (exchange->segment.data != NULL) {
        *run = exchange->id; /* of the path */
    }
    return 0;
}

/* A cursor is good for one tenant and one filter. */
static void write_scope(struct listing *listing)
{
    const struct store_jobs_filter *filter = &listing->filter;
    const char *const texts[] = {filter->queue, filter->type, filter->key};
    crypto_generichash_state state;
    (void)crypto_generichash_init(&state, NULL, 0, SCOPE_BYTES - 4);
    (void)crypto_generichash_update(&state, filter->tenant.bytes, sizeof filter->tenant.bytes);
    (void)crypto_generichash_update(&state, (const uint8_t *)&filter->statuses,
                                    sizeof filter->statuses);
    (void)crypto_generichash_update(&state, filter->run.bytes, sizeof filter->run.bytes);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *text = texts[i] == NULL ? "" : texts[i];
        (void)crypto_generichash_update(&state, (const uint8_t *)text, strlen(text) + 1);
    }
    memcpy(listing->scope, "jobs", 4);
    (void)crypto_generichash_final(&state, listing->scope + 4, SCOPE_BYTES - 4);
}

static int read_listing(struct listing *listing, int64_t *before_out)
{
    struct exchange *exchange = listing->exchange;
    struct request_parameter parameters[LIST_PARAMETERS] = {
        [LIST_LIMIT] = {.name = "limit"},
        [LIST_CURSOR] = {.name = "cursor"},
        [LIST_STATUS] = {.name = "status", .repeats = true},
        [LIST_QUEUE] = {.name = "queue"},
        [LIST_TYPE] = {.name = "job_type"},
        [LIST_RUN] = {.name = "run_id"},
        [LIST_KEY] = {.name = "job_key"}};
    const struct request_parameter *given = &parameters[LIST_CURSOR];
    struct cursor cursor = {.time_us = INT64_MAX};
    listing->filter.tenant = exchange->who.tenant;
    if (request_parameters(exchange, parameters, LIST_PARAMETERS) != 0 ||
        request_limit(exchange, &parameters[LIST_LIMIT], &listing->limit) != 0 ||
        read_statuses(exchange, &parameters[LIST_STATUS], &listing->filter.statuses) != 0 ||
        read_texts(listing, parameters) != 0 || read_run(listing, &parameters[LIST_RUN]) != 0) {
        return -1;
    }
    write_scope(listing);
    if (given->given && cursor_decode(exchange->api->cursor_key, given->value, given->length,
                                      listing->scope, sizeof listing->scope, &cursor) != 0) {
        exchange_problem(exchange, PROBLEM_INVALID_CURSOR,
                         "The cursor was not given out for this list.", NULL);
        return -1;
    }
    *before_out = cursor.time_us;
    return 0;
}

void jobs_list(struct exchange *exchange)
{
    struct listing *listing = memory_new(sizeof *listing);
    int64_t before;
    listing->exchange = exchange;
    if (read_listing(listing, &before) != 0) {
        listing_destroy(listing);
        return;
    }
    exchange_hold(exchange);
    store_list_jobs(exchange->api->store, &listing->filter, before, listing->limit + 1, listed,
                    listing);
}

void jobs_list_run(struct exchange *exchange)
{
    jobs_list(exchange); /* its run stands in the path */
}
