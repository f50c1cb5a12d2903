/*
 * Opening a stream. The api judges the request (who, which run, from where) and then gives the
 * connection itself to a streamer, which writes the head of the response: restarting an api
 * process drops no stream.
 */
#include "api/stream.h"

#include "api/exchange.h"
#include "api/handover.h"
#include "api/request.h"
#include "api/stream_heads.h"
#include "runtime/base/number.h"

#include <string.h>

bool stream_answers_head(struct exchange *exchange)
{
    struct http_text method = http_request_method(exchange->request);
    bool is_head = method.length == 4 && memcmp(method.data, "HEAD", 4) == 0;
    if (is_head) {
        exchange_reply(exchange, 200,
                       exchange->stream.format == STREAM_FORMAT_NDJSON
                           ? "application/x-ndjson"
                           : "text/event-stream; charset=utf-8",
                       NULL, NULL);
    }
    return is_head;
}

static void head_known(struct exchange *exchange, enum db_status status,
                       const struct store_head *head)
{
    if (status != DB_OK) {
        exchange_unavailable(exchange);
        return;
    }
    if (head == NULL) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such run.", NULL);
        return;
    }
    if (head->closed && exchange->stream.after_seq >= head->last_seq) {
        exchange_reply(exchange, 204, NULL, NULL, NULL);
        return;
    }
    /* The native form says so in the stream, which lines cannot. */
    if (exchange->stream.format == STREAM_FORMAT_NDJSON &&
        exchange->stream.after_seq > head->last_seq) {
        exchange_problem(
            exchange, PROBLEM_CURSOR_BEYOND_HEAD,
            "The position lies behind the last event of the run.",
            &(struct problem_extra){.number_name = "last_seq", .number = head->last_seq});
        return;
    }
    if (stream_answers_head(exchange)) {
        return;
    }
    exchange->stream.head = head->last_seq;
    handover_give(exchange->api->handover, exchange);
}

static int wrong_position(struct exchange *exchange, const char *name)
{
    struct buffer detail = {0};
    buffer_printf(&detail, "%s must be the number of an event.", name);
    exchange_problem(exchange, PROBLEM_INVALID_CURSOR, buffer_text(&detail), NULL);
    buffer_deinit(&detail);
    return -1;
}

/* Types and position. The header wins: a browser repeats the address it began with, and says there
 * how far it came. */
static int read_request(struct exchange *exchange)
{
    struct request_parameter parameters[] = {
        {.name = "after_seq"}, {.name = "fromSeq"}, {.name = "types", .repeats = true}};
    size_t count = 0;
    struct http_text last = http_request_field(exchange->request, "Last-Event-ID", &count);
    int64_t *after_seq = &exchange->stream.after_seq;
    if (request_parameters(exchange, parameters, 3) != 0 ||
        request_types(exchange, &parameters[2], &exchange->stream.types) != 0) {
        return -1;
    }
    if (parameters[0].given && parameters[1].given) {
        exchange_problem(exchange, PROBLEM_INVALID_PARAMETER,
                         "after_seq and fromSeq say the same: give one of them.", NULL);
        return -1;
    }
    for (size_t i = 0; i < 2; i++) {
        if (parameters[i].given &&
            number_parse(parameters[i].value, parameters[i].length, after_seq) != 0) {
            return wrong_position(exchange, parameters[i].name);
        }
    }
    if (count > 0 && (count > 1 || number_parse(last.data, last.length, after_seq) != 0)) {
        return wrong_position(exchange, "Last-Event-ID");
    }
    return 0;
}

static void open_as(struct exchange *exchange, enum stream_format format)
{
    if (read_request(exchange) != 0) {
        return;
    }
    if (format != STREAM_FORMAT_NATIVE && exchange->stream.types != 0) {
        exchange_problem(exchange, PROBLEM_INVALID_PARAMETER,
                         "Live, types needs Accept: text/event-stream.", NULL);
        return;
    }
    exchange->stream.kind = STREAM_KIND_RUN;
    exchange->stream.format = format == STREAM_FORMAT_NATIVE && exchange->stream.types != 0
                                  ? STREAM_FORMAT_FILTERED
                                  : format;
    stream_heads_ask(exchange->api->stream_heads, exchange, head_known);
}

void stream_open(struct exchange *exchange)
{
    open_as(exchange, STREAM_FORMAT_NATIVE);
}

void stream_open_lines(struct exchange *exchange)
{
    open_as(exchange, STREAM_FORMAT_NDJSON);
}
