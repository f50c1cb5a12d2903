/*
 * Streamed bodies: given to the caller piece by piece as they arrive, one piece for each time it
 * asks. While it does not ask, at most HTTP_PIPELINE_BYTES and one read are held, and the client's
 * socket fills up. See http_server.h.
 */
#include "runtime/base/clock.h"
#include "runtime/http_internal.h"

#include <assert.h>

void http_request_stream_body(struct http_request *request)
{
    assert(!request->accepted && !request->handled);
    request->streamed = true;
}

bool http_request_is_streamed(const struct http_request *request)
{
    return request->streamed;
}

void http_request_read_body(struct http_request *request)
{
    struct http_connection *connection = request->connection;
    assert(request->streamed && connection->state == HTTP_READING_BODY);
    if (request->wanted) {
        return;
    }
    request->wanted = true;
    request->body_since_ms += clock_monotonic_ms() - request->paused_since_ms;
    if (!connection->running) {
        list_remove(&connection->resume_node);
        list_append(&connection->server->resumable, &connection->resume_node);
        event_active(connection->server->resume, 0, 0);
    }
}

void http_body_begin(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    struct http_request *request = connection->request;
    request->handled = true;
    request->paused_since_ms = request->body_since_ms;
    server->options.handle(server->options.arg, request);
}

static void deliver(struct http_connection *connection, struct http_text piece, bool last)
{
    const struct http_server_options *options = &connection->server->options;
    struct http_request *request = connection->request;
    request->streamed_bytes += (int64_t)piece.length;
    request->wanted = false;
    request->paused_since_ms = clock_monotonic_ms();
    if (last) {
        request->unread_body = false;
        connection->state = HTTP_HANDLING;
    }
    options->body(options->arg, request, request->user, piece, last);
}

static bool step_sized(struct http_connection *connection)
{
    const struct http_request *request = connection->request;
    int64_t length = request->head.content_length < 0 ? 0 : request->head.content_length;
    size_t missing = (size_t)(length - request->streamed_bytes);
    struct http_text piece = {connection->view, connection->view_length};
    if (piece.length > missing) {
        piece.length = missing;
    }
    if (piece.length == 0 && missing > 0) {
        return false;
    }
    http_input_consume(connection, piece.length);
    deliver(connection, piece, piece.length == missing);
    return true;
}

static bool step_chunked(struct http_connection *connection)
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
    if (result == HTTP_PARSE_BAD) {
        http_reply_problem(request, &problem);
        return false;
    }
    struct http_text piece = {connection->view + data.at, data.length};
    http_input_consume(connection, used);
    if (piece.length > 0 || result == HTTP_PARSE_DONE) {
        deliver(connection, piece, result == HTTP_PARSE_DONE);
    }
    return true;
}

bool http_body_step(struct http_connection *connection)
{
    if (!connection->request->wanted) {
        return false;
    }
    return connection->request->head.chunked ? step_chunked(connection) : step_sized(connection);
}
