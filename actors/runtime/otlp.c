/* See otlp.h. Numbers of 64 bits are strings in the JSON mapping of Protocol Buffers. */
#include "runtime/otlp.h"

#include "runtime/base/number.h"

#include <string.h>

enum { HTTPS_PORT = 443, HTTP_PORT = 80, STATUS_ERROR = 2 };

static void begin_attribute(struct buffer *out, bool *first, const char *key)
{
    buffer_printf(out, "%s{\"key\":\"%s\",\"value\":", *first ? "" : ",", key);
    *first = false;
}

static void put_text(struct buffer *out, bool *first, const char *key, const char *value)
{
    begin_attribute(out, first, key);
    buffer_append_text(out, "{\"stringValue\":");
    buffer_append_json(out, value, strlen(value));
    buffer_append_text(out, "}}");
}

static void put_number(struct buffer *out, bool *first, const char *key, int64_t value)
{
    if (value != 0) {
        begin_attribute(out, first, key);
        buffer_printf(out, "{\"intValue\":\"%lld\"}}", (long long)value);
    }
}

static void put_attributes(struct buffer *out, const struct span *span)
{
    bool first = true;
    buffer_append_text(out, ",\"attributes\":[");
    if (span->method != NULL) {
        put_text(out, &first, "http.request.method", span->method);
        put_text(out, &first, "http.route", span->route);
        put_number(out, &first, "http.response.status_code", span->status);
    }
    if (!uuid_is_nil(&span->run)) {
        char run[UUID_TEXT_SIZE];
        uuid_format(&span->run, run);
        put_text(out, &first, "signalbox.run_id", run);
    }
    put_number(out, &first, "signalbox.first_seq", span->first_seq);
    put_number(out, &first, "signalbox.batch_events", span->batch_rows);
    buffer_append_byte(out, ']');
}

static void put_name(struct buffer *out, const struct span *span)
{
    if (span->name != NULL) {
        buffer_append_json(out, span->name, strlen(span->name));
    } else {
        buffer_printf(out, "\"%s %s\"", span->method, span->route);
    }
}

static void put_span(struct buffer *out, const struct span *span)
{
    char trace[TRACE_ID_TEXT_SIZE];
    char id[TRACE_SPAN_TEXT_SIZE];
    trace_id_format(span->trace, trace);
    trace_span_format(span->id, id);
    buffer_printf(out, "{\"traceId\":\"%s\",\"spanId\":\"%s\"", trace, id);
    if (span->parent != 0) {
        trace_span_format(span->parent, id);
        buffer_printf(out, ",\"parentSpanId\":\"%s\"", id);
    }
    buffer_append_text(out, ",\"name\":");
    put_name(out, span);
    buffer_printf(out,
                  ",\"kind\":%d,\"startTimeUnixNano\":\"%lld000\",\"endTimeUnixNano\":\"%lld000\"",
                  (int)span->kind, (long long)span->start_us, (long long)span->end_us);
    put_attributes(out, span);
    if (span->failed) {
        buffer_printf(out, ",\"status\":{\"code\":%d}", STATUS_ERROR);
    }
    buffer_append_byte(out, '}');
}

void otlp_write(struct buffer *out, const char *instance, const struct span *ring, size_t capacity,
                size_t first, size_t count)
{
    bool begins = true;
    buffer_append_text(out, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
    put_text(out, &begins, "service.name", "signalbox");
    put_text(out, &begins, "service.version", SB_VERSION);
    put_text(out, &begins, "service.instance.id", instance);
    buffer_append_text(out, "]},\"scopeSpans\":[{\"scope\":{\"name\":\"signalbox\"},\"spans\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            buffer_append_byte(out, ',');
        }
        put_span(out, &ring[(first + i) % capacity]);
    }
    buffer_append_text(out, "]}]}]}");
}

/* "8.8.8.8:4318" or "[::1]:4318" or without a port. */
static int port_of(const char *authority, size_t length, int usual)
{
    const char *bracket = memchr(authority, ']', length);
    size_t host = bracket == NULL ? 0 : (size_t)(bracket + 1 - authority);
    const char *colon = memchr(authority + host, ':', length - host);
    int64_t port = 0;
    if (colon == NULL) {
        return length == 0 ? -1 : usual;
    }
    size_t digits = length - (size_t)(colon + 1 - authority);
    if (colon == authority || number_parse(colon + 1, digits, &port) != 0 || port < 1 ||
        port > 65535) {
        return -1;
    }
    return (int)port;
}

int otlp_port(const char *url)
{
    static const char plain[] = "http://";
    static const char secure[] = "https://";
    bool is_plain = strncmp(url, plain, sizeof plain - 1) == 0;
    if (!is_plain && strncmp(url, secure, sizeof secure - 1) != 0) {
        return -1;
    }
    const char *authority = url + (is_plain ? sizeof plain : sizeof secure) - 1;
    size_t length = strcspn(authority, "/?#");
    if (memchr(authority, '@', length) != NULL) {
        return -1;
    }
    return port_of(authority, length, is_plain ? HTTP_PORT : HTTPS_PORT);
}
