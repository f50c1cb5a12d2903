/*
 * One connection: input through the grammar into requests, answers out, deadlines by state.
 *
 * Callbacks of the caller run only from http_connection_run, http_connection_close and the resume
 * event, never from within http_reply: answering cannot lead to another request being handled below
 * it on the stack.
 */
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/http_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static void on_event(evutil_socket_t fd, short what, void *arg);

bool http_connection_is_reading(const struct http_connection *connection)
{
    return connection->state == HTTP_IDLE || connection->state == HTTP_READING_HEAD ||
           (connection->state == HTTP_READING_BODY &&
            (!connection->request->streamed || connection->request->wanted));
}

/* Out of the server's books. The memory goes with the resume event: whoever works on the connection
 * now can still see that it is gone. */
static void leave(struct http_connection *connection)
{
    connection->state = HTTP_GONE;
    connection->view_length = 0;
    http_deadline_clear(&connection->deadline);
    event_free(connection->event);
    buffer_deinit(&connection->out);
    http_server_forget(connection->server, connection);
}

static void drop_request(struct http_connection *connection)
{
    struct http_request *request = connection->request;
    connection->request = NULL;
    if (request != NULL) {
        http_request_release(connection->server, request);
    }
}

void http_connection_close(struct http_connection *connection)
{
    if (connection->state == HTTP_GONE) {
        return;
    }
    event_del(connection->event);
    close(connection->fd);
    if (connection->request != NULL) {
        connection->state = HTTP_HANDLING; /* the request stays readable for the callback */
        http_request_abandon(connection->request);
        drop_request(connection);
    }
    leave(connection);
}

int http_connection_detach(struct http_connection *connection, struct buffer *rest)
{
    int fd = connection->fd;
    assert(connection->state == HTTP_HANDLING && connection->out.length == 0);
    event_del(connection->event);
    if (connection->running) {
        buffer_append(rest, connection->view, connection->view_length);
    } else {
        buffer_append(rest, connection->in.data, connection->in.length);
    }
    drop_request(connection);
    leave(connection);
    return fd;
}

static void set_interest(struct http_connection *connection, short interest)
{
    if (interest == connection->interest) {
        return;
    }
    event_del(connection->event);
    connection->interest = interest;
    if (interest != 0) {
        event_assign(connection->event, connection->server->base, connection->fd,
                     (short)(interest | EV_PERSIST), on_event, connection);
        int failed = event_add(connection->event, NULL);
        assert(failed == 0);
    }
}

static void update_interest(struct http_connection *connection)
{
    bool reads = !connection->ended && connection->in.length < HTTP_PIPELINE_BYTES;
    bool writes = connection->out.length > 0;
    set_interest(connection, (short)((reads ? EV_READ : 0) | (writes ? EV_WRITE : 0)));
}

static void wait_for(struct http_connection *connection, enum http_wait wait, int64_t at_ms)
{
    connection->wait = wait;
    connection->wait_request = connection->requests;
    http_deadline_set(&connection->server->deadlines, &connection->deadline, at_ms);
}

/* Deadlines are absolute: one that stands for this request's head stays as it is. */
static void update_deadline(struct http_connection *connection)
{
    const struct http_server *server = connection->server;
    const struct http_request *request = connection->request;
    bool known = connection->wait_request == connection->requests;
    switch (connection->state) {
    case HTTP_IDLE:
        if (!known || connection->wait != HTTP_WAIT_IDLE) {
            int64_t idle_ms = connection->requests == 0 ? server->head_timeout_ms : server->idle_ms;
            wait_for(connection, HTTP_WAIT_IDLE, clock_monotonic_ms() + idle_ms);
        }
        break;
    case HTTP_READING_HEAD:
        if (!known || connection->wait != HTTP_WAIT_HEAD) {
            wait_for(connection, HTTP_WAIT_HEAD, clock_monotonic_ms() + server->head_timeout_ms);
        }
        break;
    case HTTP_READING_BODY: {
        if (request->streamed && !request->wanted) {
            connection->wait = HTTP_WAIT_NONE;
            http_deadline_clear(&connection->deadline);
            break;
        }
        int64_t bytes = request->streamed       ? request->streamed_bytes
                        : request->head.chunked ? (int64_t)request->body.length
                                                : request->head.content_length;
        wait_for(connection, HTTP_WAIT_BODY,
                 request->body_since_ms + server->body_timeout_ms +
                     bytes * 1000 / HTTP_BODY_BYTES_PER_S);
        break;
    }
    case HTTP_HANDLING:
        connection->wait = HTTP_WAIT_NONE;
        http_deadline_clear(&connection->deadline);
        break;
    case HTTP_WRITING:
    case HTTP_LINGERING: /* set where bytes move */
    case HTTP_GONE:
        break;
    }
}

/* Brings events, deadline and memory in line with the state. May free the connection. */
void http_connection_settle(struct http_connection *connection)
{
    if (connection->state == HTTP_GONE) {
        return;
    }
    if (connection->ended && connection->in.length == 0 &&
        (http_connection_is_reading(connection) || connection->state == HTTP_LINGERING)) {
        http_connection_close(connection);
        return;
    }
    if (connection->state == HTTP_IDLE && connection->in.length == 0) {
        buffer_deinit(&connection->in);
        buffer_deinit(&connection->out);
    }
    update_interest(connection);
    update_deadline(connection);
}

static void linger(struct http_connection *connection)
{
    if (shutdown(connection->fd, SHUT_WR) != 0) {
        http_connection_close(connection);
        return;
    }
    connection->state = HTTP_LINGERING;
    connection->view_length = 0;
    buffer_deinit(&connection->in);
    buffer_deinit(&connection->out);
    wait_for(connection, HTTP_WAIT_OTHER,
             clock_monotonic_ms() +
                 (connection->server->draining ? HTTP_LINGER_DRAIN_MS : HTTP_LINGER_MS));
}

/* The answer has left. */
static void after_answer(struct http_connection *connection)
{
    if (connection->close_after) {
        linger(connection);
    } else {
        connection->state = HTTP_IDLE;
    }
}

/* How much of head and body the socket took; -1 when it is broken. */
static ssize_t send_parts(int fd, struct http_text head, const void *body, size_t length)
{
    struct iovec parts[2] = {{(void *)(uintptr_t)head.data, head.length},
                             {(void *)(uintptr_t)body, length}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = length > 0 ? 2 : 1};
    ssize_t sent;
    do {
        sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) ? 0 : sent;
}

/* Keeps what the socket did not take. */
static void keep_unsent(struct http_connection *connection, size_t sent, const void *body,
                        size_t length)
{
    const struct buffer *head = &connection->server->head;
    if (sent < head->length) {
        buffer_append(&connection->out, head->data + sent, head->length - sent);
        sent = head->length;
    }
    sent -= head->length;
    if (sent < length) {
        buffer_append(&connection->out, (const char *)body + sent, length - sent);
    }
}

void http_connection_answer(struct http_connection *connection, const void *body, size_t length,
                            bool close_after)
{
    struct http_server *server = connection->server;
    struct http_text head = {(const char *)server->head.data, server->head.length};
    ssize_t sent = send_parts(connection->fd, head, body, length);
    if (sent >= 0) {
        keep_unsent(connection, (size_t)sent, body, length);
    }
    drop_request(connection);
    connection->requests++;
    connection->close_after = close_after;
    connection->state = HTTP_WRITING;
    if (sent < 0) {
        http_connection_close(connection);
        return;
    }
    if (connection->out.length == 0) {
        after_answer(connection);
    } else {
        wait_for(connection, HTTP_WAIT_OTHER, clock_monotonic_ms() + server->write_stall_ms);
    }
    if (connection->running) {
        return;
    }
    if (connection->state == HTTP_IDLE && connection->in.length > 0) {
        list_remove(&connection->resume_node);
        list_append(&server->resumable, &connection->resume_node);
        event_active(server->resume, 0, 0);
        return;
    }
    http_connection_settle(connection);
}

/* The client has closed its side, or the connection is broken. A client that has only stopped
 * sending still gets the answers it has asked for. */
static void on_input_end(struct http_connection *connection, ssize_t got)
{
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got < 0) {
        http_connection_close(connection);
        return;
    }
    if (connection->state == HTTP_HANDLING && connection->request->needs_client) {
        http_connection_close(connection);
        return;
    }
    connection->ended = true;
    http_connection_settle(connection);
}

static void read_into_body(struct http_connection *connection)
{
    struct http_request *request = connection->request;
    size_t room = http_input_reserve(request);
    ssize_t got = recv(connection->fd, request->body.data + request->body.length, room, 0);
    if (got <= 0) {
        on_input_end(connection, got);
        return;
    }
    request->body.length += (size_t)got;
    http_connection_run(connection, "", 0);
}

void http_connection_read(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    if (connection->state == HTTP_READING_BODY && !connection->request->head.chunked &&
        !connection->request->streamed) {
        read_into_body(connection);
        return;
    }
    ssize_t got = recv(connection->fd, server->scratch, sizeof server->scratch, 0);
    if (got <= 0) {
        on_input_end(connection, got);
    } else if (http_connection_is_reading(connection) && connection->in.length == 0) {
        http_connection_run(connection, server->scratch, (size_t)got);
    } else if (connection->state != HTTP_LINGERING) {
        buffer_append(&connection->in, server->scratch, (size_t)got);
        update_interest(connection);
    }
}

static void write_on(struct http_connection *connection)
{
    struct http_text left = {(const char *)connection->out.data + connection->out_at,
                             connection->out.length - connection->out_at};
    ssize_t sent = send_parts(connection->fd, left, NULL, 0);
    if (sent < 0) {
        http_connection_close(connection);
        return;
    }
    connection->out_at += (size_t)sent;
    if ((size_t)sent < left.length) {
        if (sent > 0) {
            wait_for(connection, HTTP_WAIT_OTHER,
                     clock_monotonic_ms() + connection->server->write_stall_ms);
        }
        return;
    }
    buffer_deinit(&connection->out);
    connection->out_at = 0;
    after_answer(connection);
    if (connection->state == HTTP_IDLE && connection->in.length > 0) {
        http_connection_run(connection, (const char *)connection->in.data, connection->in.length);
    } else {
        http_connection_settle(connection);
    }
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct http_connection *connection = arg;
    (void)fd;
    if ((what & EV_WRITE) != 0) {
        write_on(connection);
    }
    if ((what & EV_READ) != 0 && connection->state != HTTP_GONE) {
        http_connection_read(connection);
    }
}

void http_connection_expire(struct http_connection *connection)
{
    char byte;
    connection->wait = HTTP_WAIT_NONE;
    switch (connection->state) {
    case HTTP_IDLE:
        /* A request that came in this very moment is served: its event is pending. */
        if (connection->in.length == 0 && recv(connection->fd, &byte, 1, MSG_PEEK) <= 0) {
            http_connection_close(connection);
        }
        break;
    case HTTP_READING_HEAD:
        http_connection_refuse(connection, 408, "request-timeout",
                               "The request head did not arrive in time.");
        break;
    case HTTP_READING_BODY:
        http_connection_refuse(connection, 408, "request-timeout",
                               "The request body did not arrive in time.");
        break;
    case HTTP_WRITING:
    case HTTP_LINGERING:
        http_connection_close(connection);
        break;
    case HTTP_HANDLING:
    case HTTP_GONE:
        break;
    }
}

void http_connection_open(struct http_server *server, int fd, const struct uuid *address)
{
    struct http_connection *connection = memory_new(sizeof *connection);
    connection->server = server;
    connection->fd = fd;
    connection->opened_ms = clock_monotonic_ms();
    connection->counted = address != NULL;
    connection->address = address != NULL ? *address : (struct uuid){0};
    list_init(&connection->node);
    list_init(&connection->resume_node);
    http_deadline_init(&connection->deadline);
    connection->event = event_new(server->base, fd, EV_READ | EV_PERSIST, on_event, connection);
    assert(connection->event != NULL);
    list_append(&server->connections, &connection->node);
    http_connection_settle(connection);
}
