/*
 * Opening a feed: the stream of all runs of a thread, or of all of a tenant, in the order of the
 * log. Positions are cursors that name one feed (runtime/feed_cursor.h); the connection goes to a
 * streamer together with the key that signs them, so that the streamer needs no secret of its own.
 */
#include "api/stream_feed.h"

#include "api/cursor.h"
#include "api/exchange.h"
#include "api/handover.h"
#include "api/request.h"
#include "api/store.h"
#include "api/stream.h"

#include <string.h>

static void feed_known(void *arg, enum db_status status, const struct db_result *result)
{
    struct exchange *exchange = arg;
    bool found = false;
    if (!exchange_resume(exchange)) {
        return;
    }
    if (status != DB_OK || db_rows(result) == 0) {
        exchange_unavailable(exchange);
        return;
    }
    store_read_feed(result, &exchange->stream.head, &found);
    if (!found) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such thread.", NULL);
        return;
    }
    if (stream_answers_head(exchange)) {
        return;
    }
    if (exchange->stream.latest) {
        exchange->stream.after_seq = exchange->stream.head;
    }
    handover_give(exchange->api->handover, exchange);
}

enum {
    PARAMETER_CURSOR,
    PARAMETER_FROM,
    PARAMETER_AFTER_SEQ,
    PARAMETER_FROM_SEQ,
    PARAMETER_TYPES,
    PARAMETERS
};

static int wrong(struct exchange *exchange, enum problem problem, const char *detail)
{
    exchange_problem(exchange, problem, detail, NULL);
    return -1;
}

static int read_cursor(struct exchange *exchange, const char *text, size_t length)
{
    uint64_t position = 0;
    if (feed_cursor_decode(&exchange->stream.signing, text, length, &position) != 0 ||
        position > INT64_MAX) {
        return wrong(exchange, PROBLEM_INVALID_CURSOR, "The cursor was not given out here.");
    }
    exchange->stream.after_seq = (int64_t)position;
    return 0;
}

/* ?from=start (which needs not be said) or latest. */
static int read_from(struct exchange *exchange, const struct request_parameter *parameters)
{
    const struct request_parameter *from = &parameters[PARAMETER_FROM];
    if (!from->given) {
        return 0;
    }
    exchange->stream.latest = strcmp(from->value, "latest") == 0;
    if (!exchange->stream.latest && strcmp(from->value, "start") != 0) {
        return wrong(exchange, PROBLEM_INVALID_PARAMETER, "from must be start or latest.");
    }
    if (parameters[PARAMETER_CURSOR].given) {
        return wrong(exchange, PROBLEM_INVALID_PARAMETER, "Give cursor or from, not both.");
    }
    return 0;
}

static int read_types(struct exchange *exchange, const struct request_parameter *types)
{
    if (types->given && exchange->stream.kind == STREAM_KIND_CHAT) {
        return wrong(exchange, PROBLEM_INVALID_PARAMETER, "A chat has its own choice of types.");
    }
    return request_types(exchange, types, &exchange->stream.types);
}

/* The header wins: a browser repeats the address it began with, and says there how far it came. */
static int read_position(struct exchange *exchange)
{
    struct request_parameter parameters[PARAMETERS] = {
        [PARAMETER_CURSOR] = {.name = "cursor"},
        [PARAMETER_FROM] = {.name = "from"},
        [PARAMETER_AFTER_SEQ] = {.name = "after_seq"},
        [PARAMETER_FROM_SEQ] = {.name = "fromSeq"},
        [PARAMETER_TYPES] = {.name = "types", .repeats = true}};
    const struct request_parameter *cursor = &parameters[PARAMETER_CURSOR];
    size_t count = 0;
    struct http_text last = http_request_field(exchange->request, "Last-Event-ID", &count);
    if (request_parameters(exchange, parameters, PARAMETERS) != 0) {
        return -1;
    }
    if (parameters[PARAMETER_AFTER_SEQ].given || parameters[PARAMETER_FROM_SEQ].given) {
        return wrong(exchange, PROBLEM_INVALID_PARAMETER,
                     "Events of several runs have no common seq: use cursor.");
    }
    if (read_from(exchange, parameters) != 0 ||
        read_types(exchange, &parameters[PARAMETER_TYPES]) != 0) {
        return -1;
    }
    if (cursor->given && read_cursor(exchange, cursor->value, cursor->length) != 0) {
        return -1;
    }
    if (count > 1) {
        return wrong(exchange, PROBLEM_INVALID_CURSOR, "Last-Event-ID was given twice.");
    }
    if (count == 1) {
        exchange->stream.latest = false;
        return read_cursor(exchange, last.data, last.length);
    }
    return 0;
}

static void open_feed(struct exchange *exchange, enum stream_kind kind)
{
    const struct cursor_key *secret = exchange->api->cursor_key;
    exchange->stream.kind = kind;
    feed_key_derive(secret->bytes, sizeof secret->bytes, kind, &exchange->who.tenant, &exchange->id,
                    &exchange->stream.signing);
    if (read_position(exchange) != 0) {
        return;
    }
    exchange_hold(exchange);
    store_get_feed(exchange->api->store, &exchange->who.tenant, &exchange->id, feed_known,
                   exchange);
}

static void open_of_thread(struct exchange *exchange, enum stream_kind kind)
{
    /* No run is in it, and to a streamer it means the whole tenant. */
    if (uuid_is_nil(&exchange->id)) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such thread.", NULL);
        return;
    }
    open_feed(exchange, kind);
}

void stream_feed_thread(struct exchange *exchange)
{
    open_of_thread(exchange, STREAM_KIND_THREAD);
}

void stream_feed_chat(struct exchange *exchange)
{
    open_of_thread(exchange, STREAM_KIND_CHAT);
}

void stream_feed_tenant(struct exchange *exchange)
{
    open_feed(exchange, STREAM_KIND_TENANT);
}
