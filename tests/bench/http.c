/* See http.h. */
#include "tests/bench/http.h"

#include "runtime/base/number.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { HTTP_READ_BYTES = 16384, HTTP_EVENTS = 128 };

static void watch(struct http *http, uint32_t events, int how)
{
    struct epoll_event event = {.events = events, .data.ptr = http};
    if (epoll_ctl(http->epoll, how, http->fd, &event) != 0) {
        tool_fail("epoll_ctl");
    }
}

static void connect_now(struct http *http)
{
    http->fd = tool_connect(&http->address);
    http->connected = false;
    watch(http, EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
}

struct http http_template(int epoll, const char *host_and_port, const char *key_file)
{
    return (struct http){.epoll = epoll,
                         .address = tool_resolve(host_and_port),
                         .name = host_and_port,
                         .key = tool_read_line(key_file)};
}

void http_open(struct http *http, const struct http *like, http_answer_fn *answer, void *arg)
{
    *http = *like;
    http->answer = answer;
    http->arg = arg;
    connect_now(http);
}

static void send_rest(struct http *http)
{
    ssize_t now =
        send(http->fd, http->out.data + http->sent, http->out.length - http->sent, MSG_NOSIGNAL);
    if (now < 0 && errno != EAGAIN) {
        tool_fail("send");
    }
    bool was_partial = http->sent > 0;
    http->sent += now > 0 ? (size_t)now : 0;
    bool is_partial = http->sent < http->out.length;
    if (is_partial || was_partial) {
        watch(http, is_partial ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
    }
}

void http_post(struct http *http, const char *path, const void *body, size_t length)
{
    buffer_clear(&http->out);
    buffer_printf(&http->out,
                  "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"
                  "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                  path, http->name, http->key, length);
    buffer_append(&http->out, body, length);
    http->sent = 0;
    http->waiting = true;
    if (http->connected) {
        send_rest(http);
    }
}

/* Length of head and body, 0 when they are not all there. */
static size_t whole_answer(struct http *http, size_t *head_out, bool *close_out)
{
    const char *text = buffer_text(&http->in);
    const char *end = strstr(text, "\r\n\r\n");
    const char *length = strcasestr(text, "\r\ncontent-length: ");
    int64_t body = 0;
    if (end == NULL) {
        return 0;
    }
    if (length == NULL || length > end ||
        number_parse(length + 18, strcspn(length + 18, "\r"), &body) != 0) {
        fprintf(stderr, "no length in: %.200s\n", text);
        exit(1);
    }
    const char *closing = strcasestr(text, "\r\nconnection: close");
    *close_out = closing != NULL && closing < end;
    *head_out = (size_t)(end + 4 - text);
    size_t whole = *head_out + (size_t)body;
    return http->in.length >= whole ? whole : 0;
}

static void take_answer(struct http *http)
{
    size_t head = 0;
    bool closing = false;
    size_t whole = whole_answer(http, &head, &closing);
    if (whole == 0) {
        return;
    }
    const char *text = buffer_text(&http->in);
    int64_t status = 0;
    if (strlen(text) < 12 || number_parse(text + 9, 3, &status) != 0) {
        fprintf(stderr, "not an answer: %.200s\n", text);
        exit(1);
    }
    http->waiting = false;
    if (closing) {
        close(http->fd);
        connect_now(http);
    }
    http->answer(http, (int)status, text + head, whole - head);
    buffer_clear(&http->in);
}

static void receive(struct http *http)
{
    uint8_t *room = buffer_reserve(&http->in, HTTP_READ_BYTES);
    ssize_t now = recv(http->fd, room, HTTP_READ_BYTES, 0);
    if (now < 0 && errno == EAGAIN) {
        return;
    }
    if (now == 0 && !http->waiting) { /* it may, between requests */
        close(http->fd);
        connect_now(http);
        return;
    }
    if (now <= 0) {
        errno = now == 0 ? ECONNRESET : errno;
        tool_fail("recv");
    }
    http->in.length += (size_t)now;
    take_answer(http);
}

static void handle(struct http *http, uint32_t events)
{
    if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0 && http->connected) {
        receive(http);
    } else if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        tool_fail("connect");
    } else if ((events & EPOLLOUT) != 0 && !http->connected) {
        http->connected = true;
        watch(http, EPOLLIN, EPOLL_CTL_MOD);
        if (http->waiting) {
            send_rest(http);
        }
    } else if ((events & EPOLLOUT) != 0) {
        send_rest(http);
    }
}

void http_turn(int epoll, int timeout_ms)
{
    struct epoll_event events[HTTP_EVENTS];
    int ready = epoll_wait(epoll, events, HTTP_EVENTS, timeout_ms);
    for (int i = 0; i < ready; i++) {
        if (events[i].data.ptr != NULL) {
            handle(events[i].data.ptr, events[i].events);
        }
    }
}
