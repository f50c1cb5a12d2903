/*
 * From bytes to requests: feeds what was read through the grammar, asks head(), gathers the body,
 * calls handle(). Input lies in connection->view while this runs; what is left stays behind for the
 * next request.
 */
#include "runtime/base/clock.h"
#include "runtime/http_internal.h"

#include <assert.h>
#include <sys/socket.h>

enum { HEAD_STEP_BYTES = 2 << 10 };

bool http_connection_refuse(struct http_connection *connection, int status, const char *slug,
                            const char *detail)
{
    struct http_problem problem = {status, slug, detail};
    http_reply_problem(connection->request, &problem);
    return false;
}

/* The whole request is there. */
static bool handle(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    connection->state = HTTP_HANDLING;
    connection->request->handled = true;
    server->options.handle(server->options.arg, connection->request);
    return true;
}

static bool begin_body(struct http_connection *connection)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct http_request *request = connection->request;
    const struct http_head *head = &request->head;
    if (head->content_length > request->body_limit) {
        return http_connection_refuse(connection, 413, "too-large",
                                      "The body is larger than this route takes.");
    }
    request->unread_body = request->streamed;
    if (!request->streamed && !head->chunked && head->content_length <= 0) {
        return handle(connection);
    }
    /* A client that does not even take this is not worth a buffer. */
    ssize_t size = sizeof go_on - 1;
    if (head->expects_continue && send(connection->fd, go_on, (size_t)size, MSG_NOSIGNAL) != size) {
        http_connection_close(connection);
        return false;
    }
    http_chunked_init(&request->chunked);
    request->body_since_ms = request->started_us / 1000;
    connection->state = HTTP_READING_BODY;
    if (request->streamed) {
        http_body_begin(connection);
    }
    return true;
}

static bool finish_head(struct http_connection *connection)
{
    struct http_request *request = connection->request;
    const struct http_server_options *options = &connection->server->options;
    const struct http_head *head = &request->head;
    request->started_us = clock_monotonic_us();
    request->path = head->path;
    request->path.length =
        (uint32_t)http_path_decode((char *)request->bytes.data + head->path.at, head->path.length);
    request->unread_body = head->chunked || head->content_length > 0;
    connection->state = HTTP_HANDLING;
    int64_t limit = options->head(options->arg, request);
    if (connection->state != HTTP_HANDLING || connection->request != request) {
        return true; /* answered or handed over */
    }
    if (limit < 0) {
        request->handled = true; /* the answer comes later; the body is not wanted */
        return true;
    }
    request->accepted = true;
    request->body_limit = limit;
    return begin_body(connection);
}

void http_input_consume(struct http_connection *connection, size_t size)
{
    connection->view += size;
    connection->view_length -= size;
}

/* Moves input into the request's head; what turns out to lie behind the head is given back. */
static bool read_head(struct http_connection *connection)
{
    struct http_request *request = connection->request;
    const struct http_limits *limits = &connection->server->limits;
    size_t room = limits->head_bytes + 1 - request->bytes.length;
    size_t size = connection->view_length < room ? connection->view_length : room;
    size = size < HEAD_STEP_BYTES ? size : HEAD_STEP_BYTES;
    buffer_append(&request->bytes, connection->view, size);
    http_input_consume(connection, size);
    struct http_problem problem;
    switch (http_head_feed(&request->head, (const char *)request->bytes.data, request->bytes.length,
                           limits, &problem)) {
    case HTTP_PARSE_MORE:
        return connection->view_length > 0;
    case HTTP_PARSE_BAD:
        http_reply_problem(request, &problem);
        return false;
    case HTTP_PARSE_DONE:
        break;
    }
    size_t behind = request->bytes.length - request->head.length;
    connection->view -= behind;
    connection->view_length += behind;
    request->bytes.length = request->head.length;
    return finish_head(connection);
}

static size_t body_missing(const struct http_request *request)
{
    return (size_t)request->head.content_length - request->body.length;
}

size_t http_input_reserve(struct http_request *request)
{
    size_t missing = body_missing(request);
    size_t step = missing < HTTP_BODY_STEP_BYTES ? missing : HTTP_BODY_STEP_BYTES;
    buffer_reserve(&request->body, step);
    return step;
}

static bool read_sized_body(struct http_connection *connection)
{
    struct http_request *request = connection->request;
    size_t missing = body_missing(request);
    size_t size = connection->view_length < missing ? connection->view_length : missing;
    if (size > 0) {
        http_input_reserve(request);
        buffer_append(&request->body, connection->view, size);
        http_input_consume(connection, size);
    }
    return size == missing ? handle(connection) : false;
}

static bool read_chunked_body(struct http_connection *connection)
{
    struct http_request *request = connection->request;
    struct http_range data;
    struct http_problem problem;
    size_t used;
    if (connection->view_length == 0) {
        return false;
    }
    enum http_parse result = http_chunked_feed(&request->chunked, connection->view,
                                               connection->view_length, &used, &data, &problem);
    if (request->chunked.total > (uint64_t)request->body_limit) {
        return http_connection_refuse(connection, 413, "too-large",
                                      "The body is larger than this route takes.");
    }
    buffer_append(&request->body, connection->view + data.at, data.length);
    http_input_consume(connection, used);
    switch (result) {
    case HTTP_PARSE_MORE:
        return true;
    case HTTP_PARSE_DONE:
        return handle(connection);
    case HTTP_PARSE_BAD:
        http_reply_problem(request, &problem);
        return false;
    }
    return false;
}

/* True while there may be more to do. */
static bool step(struct http_connection *connection)
{
    switch (connection->state) {
    case HTTP_IDLE:
        if (connection->view_length == 0) {
            return false;
        }
        connection->request = http_request_take(connection->server, connection);
        connection->state = HTTP_READING_HEAD;
        return true;
    case HTTP_READING_HEAD:
        return connection->view_length > 0 && read_head(connection);
    case HTTP_READING_BODY:
        if (connection->request->streamed) {
            return http_body_step(connection);
        }
        return connection->request->head.chunked ? read_chunked_body(connection)
                                                 : read_sized_body(connection);
    case HTTP_HANDLING:
    case HTTP_WRITING:
    case HTTP_LINGERING:
    case HTTP_GONE:
        break;
    }
    return false;
}

void http_connection_run(struct http_connection *connection, const char *bytes, size_t length)
{
    bool from_in = bytes == (const char *)connection->in.data;
    assert(!connection->running && http_connection_is_reading(connection));
    connection->running = true;
    connection->view = bytes;
    connection->view_length = length;
    while (step(connection)) {
    }
    connection->running = false;
    if (connection->state != HTTP_GONE && connection->state != HTTP_LINGERING) {
        if (from_in) {
            buffer_consume(&connection->in, length - connection->view_length);
        } else {
            buffer_append(&connection->in, connection->view, connection->view_length);
        }
    }
    http_connection_settle(connection);
}
