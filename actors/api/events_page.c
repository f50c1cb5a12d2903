/*
 * Pages of a run's events, in the form that the client accepts. A client that accepts only a stream
 * is given that instead, and so is one that wants lines and `follow=true`.
 */
#include "api/accept.h"
#include "api/events.h"
#include "api/events_format.h"
#include "api/request.h"
#include "api/store.h"
#include "api/stream.h"
#include "runtime/base/number.h"

#include <stdio.h>
#include <string.h>

enum { NUMBER_SIZE = 24 };

/* ---- the answer ---- */

/* Up to where the page tells everything: behind it, the next one begins. */
static int64_t next_position(const struct exchange *exchange, const struct db_result *result,
                             int64_t head, int64_t last_shown, int shown)
{
    int64_t after = exchange->page.after_seq;
    if (shown == exchange->page.limit || shown < store_read_event_count(result)) {
        return last_shown;
    }
    return head - after > STORE_LOOKED_AT ? after + STORE_LOOKED_AT : head;
}

static void reply(struct exchange *exchange, int64_t head, int64_t next)
{
    char head_text[NUMBER_SIZE];
    char next_text[NUMBER_SIZE];
    bool json = exchange->page.format == EVENTS_JSON;
    struct http_field fields[] = {{"Vary", "Accept"},
                                  {json ? NULL : "Signalbox-Last-Seq", head_text},
                                  {"Signalbox-Next-After-Seq", next_text},
                                  {NULL, NULL}};
    (void)snprintf(head_text, sizeof head_text, "%lld", (long long)head);
    (void)snprintf(next_text, sizeof next_text, "%lld", (long long)next);
    exchange_reply(exchange, 200, events_format_type(exchange->page.format), fields,
                   &exchange->api->text);
}

static void end_json(struct buffer *body, int64_t head, int64_t next, bool some)
{
    buffer_append_text(body, "],\"last_seq\":");
    buffer_append_int(body, head);
    if (some) {
        buffer_append_text(body, ",\"next_after_seq\":");
        buffer_append_int(body, next);
    }
    buffer_append_byte(body, '}');
}

/* The plain page is read by a statement of its own, which knows neither thread nor count. */
static bool is_plain(const struct exchange *exchange)
{
    return exchange->page.format == EVENTS_JSON && exchange->page.types == 0;
}

static void write_page(struct exchange *exchange, const struct db_result *result)
{
    bool plain = is_plain(exchange);
    enum events_format format = exchange->page.format;
    struct buffer *body = &exchange->api->text;
    struct store_event event = {0};
    struct events_context context = {.tenant = exchange->who.tenant, .run = exchange->id};
    int64_t last = exchange->page.after_seq;
    int64_t next = 0;
    int shown = 0;
    if (!plain) {
        context.thread = store_read_event_thread(result);
    }
    buffer_clear(body);
    buffer_append_text(body, format == EVENTS_JSON    ? "{\"events\":["
                             : format == EVENTS_CLOUD ? "["
                                                      : "");
    for (int row = 0; row < db_rows(result); row++) {
        store_read_event(result, row, &event);
        if (event.seq == 0) {
            break;
        }
        events_format_add(body, format, &context, &event, row == 0);
        last = event.seq;
        shown++;
    }
    if (!plain) {
        next = next_position(exchange, result, event.head, last, shown);
    }
    if (format == EVENTS_JSON) {
        end_json(body, event.head, next, !plain);
    } else if (format == EVENTS_CLOUD) {
        buffer_append_byte(body, ']');
    }
    reply(exchange, event.head, next);
}

static void show_page(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    struct store_event event = {0};
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK) {
        exchange_unavailable(exchange);
        return;
    }
    if (db_rows(result) == 0) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such run.", NULL);
        return;
    }
    store_read_event(result, 0, &event);
    if (exchange->page.after_seq > event.head) {
        exchange_problem(exchange, PROBLEM_CURSOR_BEYOND_HEAD,
                         "The position lies behind the last event of the run.",
                         &(struct problem_extra){.number_name = "last_seq", .number = event.head});
        return;
    }
    write_page(exchange, result);
}

/* ---- the request ---- */

/* -1: answered. */
static int choose_format(struct exchange *exchange, enum events_format *format_out)
{
    const char *offers[EVENTS_FORMATS];
    struct buffer accept = {0};
    size_t chosen = EVENTS_JSON;
    for (unsigned i = 0; i < EVENTS_FORMATS; i++) {
        offers[i] = events_format_type((enum events_format)i);
    }
    (void)http_request_join_fields(exchange->request, "Accept", &accept);
    int fits =
        accept_choose((const char *)accept.data, accept.length, offers, EVENTS_FORMATS, &chosen);
    buffer_deinit(&accept);
    *format_out = (enum events_format)chosen;
    if (fits != 0) {
        exchange_problem(exchange, PROBLEM_NOT_ACCEPTABLE,
                         "Events are given as application/json, text/event-stream, "
                         "application/x-ndjson or application/cloudevents-batch+json.",
                         NULL);
    }
    return fits;
}

static int read_follow(struct exchange *exchange, const struct request_parameter *follow,
                       enum events_format format, bool *follow_out)
{
    *follow_out = follow->given && strcmp(follow->value, "true") == 0;
    if (follow->given && !*follow_out && strcmp(follow->value, "false") != 0) {
        exchange_problem(exchange, PROBLEM_INVALID_PARAMETER, "follow must be true or false.",
                         NULL);
        return -1;
    }
    if (*follow_out && format != EVENTS_LINES) {
        exchange_problem(exchange, PROBLEM_INVALID_PARAMETER,
                         "follow=true needs Accept: application/x-ndjson or text/event-stream.",
                         NULL);
        return -1;
    }
    return 0;
}

enum { AFTER_SEQ, LIMIT, TYPES, FOLLOW, PARAMETERS };

void events_page(struct exchange *exchange)
{
    struct request_parameter parameters[PARAMETERS] = {[AFTER_SEQ] = {.name = "after_seq"},
                                                       [LIMIT] = {.name = "limit"},
                                                       [TYPES] = {.name = "types", .repeats = true},
                                                       [FOLLOW] = {.name = "follow"}};
    const struct request_parameter *after = &parameters[AFTER_SEQ];
    enum events_format format;
    int64_t after_seq = 0;
    int32_t limit;
    uint64_t types;
    bool follow = false;
    if (choose_format(exchange, &format) != 0) {
        return;
    }
    if (format == EVENTS_STREAM) {
        stream_open(exchange);
        return;
    }
    if (request_parameters(exchange, parameters, PARAMETERS) != 0 ||
        read_follow(exchange, &parameters[FOLLOW], format, &follow) != 0) {
        return;
    }
    if (follow) {
        stream_open_lines(exchange);
        return;
    }
    if (request_limit(exchange, &parameters[LIMIT], &limit) != 0 ||
        request_types(exchange, &parameters[TYPES], &types) != 0) {
        return;
    }
    if (after->given && number_parse(after->value, after->length, &after_seq) != 0) {
        exchange_problem(exchange, PROBLEM_INVALID_CURSOR, "after_seq must be a whole number.",
                         NULL);
        return;
    }
    exchange->page.after_seq = after_seq;
    exchange->page.limit = limit;
    exchange->page.types = types;
    exchange->page.format = format;
    exchange_hold(exchange);
    if (is_plain(exchange)) {
        store_page_events(exchange->api->store, &exchange->who.tenant, &exchange->id, after_seq,
                          limit, show_page, exchange);
    } else {
        store_page_some_events(exchange->api->store, &exchange->who.tenant, &exchange->id,
                               after_seq, limit, types, show_page, exchange);
    }
}
