/* Pages of a run's events. */
#include "api/events.h"

#include "api/request.h"
#include "api/store.h"
#include "runtime/base/clock.h"
#include "runtime/base/number.h"

static void write_event(struct buffer *out, const struct store_event *event)
{
    char ts[CLOCK_TEXT_SIZE];
    clock_format(event->ts_us, ts);
    buffer_append_text(out, "{\"seq\":");
    buffer_append_int(out, event->seq);
    buffer_append_text(out, ",\"type\":\"");
    buffer_append(out, event->type, event->type_length);
    buffer_append_text(out, "\",\"ts\":\"");
    buffer_append_text(out, ts);
    buffer_append_text(out, "\",\"payload\":");
    buffer_append(out, event->payload, event->payload_length);
    if (!uuid_is_nil(&event->trace)) {
        char trace[TRACE_ID_TEXT_SIZE];
        trace_id_format(event->trace.bytes, trace);
        buffer_append_text(out, ",\"trace_id\":\"");
        buffer_append_text(out, trace);
        buffer_append_byte(out, '"');
    }
    buffer_append_byte(out, '}');
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
    int rows = db_rows(result);
    if (rows == 0) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, "There is no such run.", NULL);
        return;
    }
    struct buffer *body = &exchange->api->text;
    buffer_clear(body);
    buffer_append_text(body, "{\"events\":[");
    for (int row = 0; row < rows; row++) {
        store_read_event(result, row, &event);
        if (event.seq == 0) {
            break;
        }
        if (row > 0) {
            buffer_append_byte(body, ',');
        }
        write_event(body, &event);
    }
    if (exchange->page.after_seq > event.head) {
        exchange_problem(exchange, PROBLEM_CURSOR_BEYOND_HEAD,
                         "The position lies behind the last event of the run.",
                         &(struct problem_extra){.number_name = "last_seq", .number = event.head});
        return;
    }
    buffer_append_text(body, "],\"last_seq\":");
    buffer_append_int(body, event.head);
    buffer_append_byte(body, '}');
    exchange_json(exchange, 200, body);
}

void events_page(struct exchange *exchange)
{
    struct request_parameter parameters[] = {{.name = "after_seq"}, {.name = "limit"}};
    const struct request_parameter *after = &parameters[0];
    int64_t after_seq = 0;
    int32_t limit;
    if (request_parameters(exchange, parameters, 2) != 0 ||
        request_limit(exchange, &parameters[1], &limit) != 0) {
        return;
    }
    if (after->given && number_parse(after->value, after->length, &after_seq) != 0) {
        exchange_problem(exchange, PROBLEM_INVALID_CURSOR, "after_seq must be a whole number.",
                         NULL);
        return;
    }
    exchange->page.after_seq = after_seq;
    exchange_hold(exchange);
    store_page_events(exchange->api->store, &exchange->who.tenant, &exchange->id, after_seq, limit,
                      show_page, exchange);
}
