/* What was asked: the accessors of http_server.h, and the pool of requests. */
#include "runtime/base/memory.h"
#include "runtime/http_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { SPARE_HEAD_BYTES = 4 << 10, SPARE_BODY_BYTES = 64 << 10 };

static struct http_text text_of(const struct http_request *request, struct http_range range)
{
    return (struct http_text){(const char *)request->bytes.data + range.at, range.length};
}

struct http_text http_request_method(const struct http_request *request)
{
    return text_of(request, request->head.method_text);
}

struct http_text http_request_path(const struct http_request *request)
{
    return text_of(request, request->path);
}

struct http_text http_request_query(const struct http_request *request)
{
    return text_of(request, request->head.query);
}

struct http_text http_request_field(const struct http_request *request, const char *name,
                                    size_t *count_out)
{
    struct http_text found = {NULL, 0};
    size_t length = strlen(name);
    size_t count = 0;
    for (unsigned i = 0; i < request->head.field_count; i++) {
        const struct http_head_field *field = &request->head.fields[i];
        struct http_text text = text_of(request, field->name);
        if (http_text_equal(text.data, text.length, name, length) && count++ == 0) {
            found = text_of(request, field->value);
        }
    }
    if (count_out != NULL) {
        *count_out = count;
    }
    return found;
}

bool http_request_join_fields(const struct http_request *request, const char *name,
                              struct buffer *out)
{
    bool found = false;
    for (unsigned i = 0; i < request->head.field_count; i++) {
        const struct http_head_field *field = &request->head.fields[i];
        struct http_text text = text_of(request, field->name);
        if (http_text_equal(text.data, text.length, name, strlen(name))) {
            struct http_text value = text_of(request, field->value);
            buffer_append_text(out, found ? "," : "");
            buffer_append(out, value.data, value.length);
            found = true;
        }
    }
    return found;
}

struct http_text http_request_body(const struct http_request *request)
{
    static const char empty[1];
    const char *data = (const char *)request->body.data;
    return (struct http_text){data == NULL ? empty : data, request->body.length};
}

bool http_request_is_loopback(const struct http_request *request)
{
    return request->connection->server->on_loopback;
}

bool http_request_address(const struct http_request *request, struct uuid *address_out)
{
    if (request->connection->counted) {
        *address_out = request->connection->address;
    }
    return request->connection->counted;
}

int64_t http_request_started_us(const struct http_request *request)
{
    return request->started_us;
}

void http_request_needs_client(struct http_request *request)
{
    request->needs_client = true;
}

bool http_request_is_there(const struct http_request *request)
{
    char byte;
    ssize_t got;
    do {
        got = recv(request->connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    return !request->connection->ended && (got > 0 || (got < 0 && errno == EAGAIN));
}

void http_request_set_user(struct http_request *request, void *user)
{
    request->user = user;
}

void *http_request_user(const struct http_request *request)
{
    return request->user;
}

struct http_request *http_request_take(struct http_server *server,
                                       struct http_connection *connection)
{
    struct http_request *request = server->spare;
    if (request == NULL) {
        request = memory_new(sizeof *request);
    } else {
        server->spare = request->next_spare;
        server->spare_count--;
    }
    http_head_init(&request->head);
    request->connection = connection;
    request->path = (struct http_range){0, 0};
    request->body_limit = 0;
    request->started_us = 0;
    request->streamed_bytes = 0;
    request->accepted = request->handled = request->unread_body = false;
    request->streamed = request->wanted = request->needs_client = false;
    request->user = NULL;
    return request;
}

void http_request_release(struct http_server *server, struct http_request *request)
{
    bool spare = server->spare_count < HTTP_SPARE_REQUESTS;
    if (!spare || request->bytes.capacity > SPARE_HEAD_BYTES) {
        buffer_deinit(&request->bytes);
    }
    if (!spare || request->body.capacity > SPARE_BODY_BYTES) {
        buffer_deinit(&request->body);
    }
    buffer_clear(&request->bytes);
    buffer_clear(&request->body);
    if (!spare) {
        free(request);
        return;
    }
    request->next_spare = server->spare;
    server->spare = request;
    server->spare_count++;
}

void http_request_abandon(struct http_request *request)
{
    const struct http_server_options *options = &request->connection->server->options;
    bool known = request->handled || (request->accepted && request->user != NULL);
    if (known && options->abandoned != NULL) {
        options->abandoned(options->arg, request, request->user);
    }
}
