/* Answers: see http_server.h. The head is assembled in one buffer of the server's and leaves
 * together with the body in one write. */
#include "runtime/base/clock.h"
#include "runtime/base/metrics.h"
#include "runtime/http_internal.h"

#include <assert.h>
#include <string.h>
#include <time.h>

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {{200, "OK"},
                   {201, "Created"},
                   {202, "Accepted"},
                   {204, "No Content"},
                   {304, "Not Modified"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {408, "Request Timeout"},
                   {409, "Conflict"},
                   {410, "Gone"},
                   {412, "Precondition Failed"},
                   {413, "Content Too Large"},
                   {414, "URI Too Long"},
                   {415, "Unsupported Media Type"},
                   {417, "Expectation Failed"},
                   {422, "Unprocessable Content"},
                   {426, "Upgrade Required"},
                   {429, "Too Many Requests"},
                   {431, "Request Header Fields Too Large"},
                   {500, "Internal Server Error"},
                   {501, "Not Implemented"},
                   {502, "Bad Gateway"},
                   {503, "Service Unavailable"},
                   {504, "Gateway Timeout"},
                   {505, "HTTP Version Not Supported"}};
    for (unsigned i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].status == status) {
            return reasons[i].text;
        }
    }
    return ""; /* allowed by the grammar */
}

static const char *date(struct http_server *server)
{
    int64_t second = clock_real_us() / 1000000;
    if (second != server->date_second) {
        time_t now = (time_t)second;
        struct tm tm;
        gmtime_r(&now, &tm);
        strftime(server->date, sizeof server->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        server->date_second = second;
    }
    return server->date;
}

/* A value must not be able to start a line of its own, whatever the caller put in. */
static void append_value(struct buffer *out, const char *value)
{
    size_t from = out->length;
    buffer_append_text(out, value);
    for (size_t i = from; i < out->length; i++) {
        if ((out->data[i] < 0x20 && out->data[i] != '\t') || out->data[i] == 0x7f) {
            out->data[i] = ' ';
        }
    }
}

static void append_field(struct buffer *out, const char *name, const char *value)
{
    buffer_append_text(out, name);
    buffer_append(out, ": ", 2);
    append_value(out, value);
    buffer_append(out, "\r\n", 2);
}

static void write_head(struct http_server *server, int status, const char *content_type,
                       const struct http_field *fields, size_t length, bool close_after)
{
    struct buffer *out = &server->head;
    buffer_clear(out);
    buffer_append(out, "HTTP/1.1 ", 9);
    buffer_append_int(out, status);
    buffer_append_byte(out, ' ');
    buffer_append_text(out, reason(status));
    buffer_append(out, "\r\nDate: ", 8);
    buffer_append_text(out, date(server));
    buffer_append(out, "\r\n", 2);
    if (content_type != NULL) {
        append_field(out, "Content-Type", content_type);
    }
    if (status != 204 && status != 304) {
        buffer_append(out, "Content-Length: ", 16);
        buffer_append_int(out, (int64_t)length);
        buffer_append(out, "\r\n", 2);
    }
    for (; fields != NULL && fields->name != NULL; fields++) {
        append_field(out, fields->name, fields->value);
    }
    if (close_after) {
        buffer_append(out, "Connection: close\r\n", 19);
    }
    buffer_append(out, "\r\n", 2);
}

static bool closes(const struct http_request *request)
{
    const struct http_connection *connection = request->connection;
    const struct http_server *server = connection->server;
    return request->unread_body || request->head.closes || server->draining ||
           connection->requests + 1 >= server->connection_requests ||
           clock_monotonic_ms() - connection->opened_ms >= server->connection_age_ms;
}

static void count(const struct http_request *request, int status)
{
    metric_add(METRIC_HTTP_REQUESTS, 1);
    if (status >= 500) {
        metric_add(METRIC_HTTP_ERRORS_SERVER, 1);
    } else if (status >= 400) {
        metric_add(METRIC_HTTP_ERRORS_CLIENT, 1);
    }
    if (request->started_us > 0) {
        metric_observe_us(HISTOGRAM_HTTP_REQUEST, clock_monotonic_us() - request->started_us);
    }
}

void http_reply(struct http_request *request, int status, const char *content_type,
                const struct http_field *fields, const void *body, size_t length)
{
    struct http_connection *connection = request->connection;
    bool close_after = closes(request);
    assert(status >= 200 && status <= 599);
    assert(content_type != NULL || length == 0);
    count(request, status);
    write_head(connection->server, status, content_type, fields, length, close_after);
    bool bare = status == 204 || status == 304 || request->head.method == HTTP_HEAD;
    http_connection_answer(connection, bare ? NULL : body, bare ? 0 : length, close_after);
}

void http_reply_problem(struct http_request *request, const struct http_problem *problem)
{
    const struct http_server_options *options = &request->connection->server->options;
    struct buffer body = {0};
    http_request_abandon(request);
    request->unread_body = true;
    options->problem(options->arg, problem->status, problem->slug, problem->detail, &body);
    http_reply(request, problem->status, "application/problem+json", NULL, body.data, body.length);
    buffer_deinit(&body);
}

int http_request_detach(struct http_request *request, struct buffer *rest)
{
    return http_connection_detach(request->connection, rest);
}
