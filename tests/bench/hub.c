/*
 * The floor of fan-out: a hub that does nothing else. One thread, one channel, everything in
 * memory: a GET becomes a reader, the body of a POST goes to every reader as one event, one write
 * each. No history, no queue (who does not take an event at once is dropped), no checks.
 *
 * Prints "ready PORT"; the end of stdin ends it.
 */
#include "tests/bench/tool.h"

#include "runtime/base/buffer.h"
#include "runtime/base/memory.h"
#include "runtime/base/number.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HUB_REQUEST_BYTES = 8192, HUB_BACKLOG = 4096 };

struct client {
    int fd;
    bool is_reader;
    size_t length;
    char request[HUB_REQUEST_BYTES + 1];
    struct client *next; /* reader */
    struct client *previous;
};

struct hub {
    int epoll;
    int listener;
    struct client *readers;
    struct buffer event;
};

static void send_text(struct client *client, const char *text)
{
    if (send(client->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        shutdown(client->fd, SHUT_RDWR);
    }
}

static void drop(struct hub *hub, struct client *client)
{
    if (client->is_reader) {
        struct client **from = client->previous != NULL ? &client->previous->next : &hub->readers;
        *from = client->next;
        if (client->next != NULL) {
            client->next->previous = client->previous;
        }
    }
    close(client->fd);
    free(client);
}

static void become_reader(struct hub *hub, struct client *client)
{
    client->is_reader = true;
    client->next = hub->readers;
    if (hub->readers != NULL) {
        hub->readers->previous = client;
    }
    hub->readers = client;
    send_text(client, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                      "Transfer-Encoding: chunked\r\n\r\n3\r\n:\n\n\r\n");
}

static void publish(struct hub *hub, const char *body, size_t length)
{
    struct buffer *event = &hub->event;
    event->length = 0;
    buffer_printf(event, "%zx\r\ndata: ", length + 8);
    buffer_append(event, body, length);
    buffer_append_text(event, "\n\n\r\n");
    for (struct client *reader = hub->readers; reader != NULL; reader = reader->next) {
        ssize_t sent = send(reader->fd, event->data, event->length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent != (ssize_t)event->length) {
            shutdown(reader->fd, SHUT_RDWR);
        }
    }
}

/* Serves the request when all of it is there. */
static void serve(struct hub *hub, struct client *client)
{
    client->request[client->length] = '\0';
    const char *end = strstr(client->request, "\r\n\r\n");
    const char *field = strcasestr(client->request, "\r\ncontent-length: ");
    int64_t body = 0;
    if (end == NULL) {
        return;
    }
    if (strncmp(client->request, "GET ", 4) == 0) {
        become_reader(hub, client);
        return;
    }
    if (field != NULL && number_parse(field + 18, strcspn(field + 18, "\r"), &body) != 0) {
        tool_fail("content-length");
    }
    size_t head = (size_t)(end + 4 - client->request);
    if (client->length >= head + (size_t)body) {
        publish(hub, client->request + head, (size_t)body);
        client->length = 0;
        send_text(client, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    }
}

static void receive(struct hub *hub, struct client *client)
{
    ssize_t got = recv(client->fd, client->request + client->length,
                       HUB_REQUEST_BYTES - client->length, MSG_DONTWAIT);
    if (got <= 0) {
        drop(hub, client);
    } else if (!client->is_reader) {
        client->length += (size_t)got;
        serve(hub, client);
    }
}

static void take_client(struct hub *hub)
{
    int on = 1;
    int fd = accept4(hub->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    struct client *client = memory_new(sizeof *client);
    client->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    epoll_ctl(hub->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void start(struct hub *hub)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct epoll_event listening = {.events = EPOLLIN, .data.ptr = hub};
    struct epoll_event told = {.events = EPOLLIN, .data.ptr = NULL};
    hub->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    hub->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (bind(hub->listener, (struct sockaddr *)&address, size) != 0 ||
        listen(hub->listener, HUB_BACKLOG) != 0 ||
        getsockname(hub->listener, (struct sockaddr *)&address, &size) != 0 ||
        epoll_ctl(hub->epoll, EPOLL_CTL_ADD, hub->listener, &listening) != 0 ||
        epoll_ctl(hub->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &told) != 0) {
        tool_fail("the hub cannot listen, or its stdin is no pipe");
    }
    printf("ready %d\n", ntohs(address.sin_port));
    fflush(stdout);
}

int main(void)
{
    struct hub hub = {0};
    tool_raise_files();
    start(&hub);
    for (;;) {
        struct epoll_event events[256];
        int ready = epoll_wait(hub.epoll, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr == NULL) {
                return 0;
            }
            if (events[i].data.ptr == &hub) {
                take_client(&hub);
            } else {
                receive(&hub, events[i].data.ptr);
            }
        }
    }
}
