/* The listener and the books: who is connected, how many, until when. See http_server.h. */
#include "runtime/http_server.h"

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/http_internal.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage storage;
};

static bool is_loopback(int listener)
{
    union address local;
    socklen_t size = sizeof local;
    if (getsockname(listener, &local.any, &size) != 0) {
        return false;
    }
    switch (local.any.sa_family) {
    case AF_UNIX:
        return true;
    case AF_INET:
        return ntohl(local.v4.sin_addr.s_addr) >> 24 == 127;
    case AF_INET6:
        return IN6_IS_ADDR_LOOPBACK(&local.v6.sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&local.v6.sin6_addr) && local.v6.sin6_addr.s6_addr[12] == 127);
    default:
        return false;
    }
}

/* The address as 128 bits; false for loopback and local sockets, which are not limited. */
static bool limited_address(const union address *peer, struct uuid *address_out)
{
    struct in6_addr address = IN6ADDR_ANY_INIT;
    if (peer->any.sa_family == AF_INET) {
        address.s6_addr16[5] = 0xffff;
        address.s6_addr32[3] = peer->v4.sin_addr.s_addr;
    } else if (peer->any.sa_family == AF_INET6) {
        address = peer->v6.sin6_addr;
    } else {
        return false;
    }
    static_assert(sizeof *address_out == sizeof address, "a key holds an address");
    memcpy(address_out, &address, sizeof address);
    return !IN6_IS_ADDR_LOOPBACK(&address) &&
           !(IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[12] == 127);
}

static void start_accepting(struct http_server *server)
{
    if (!server->accepting && !server->draining &&
        server->connection_count < server->connections_max) {
        server->accepting = event_add(server->accept, NULL) == 0;
    }
}

static void stop_accepting(struct http_server *server)
{
    event_del(server->accept);
    server->accepting = false;
}

/* Counts one more connection of this address; false when it has all it may have. */
static bool admit(struct http_server *server, const struct uuid *address)
{
    uintptr_t count = (uintptr_t)map_get(&server->addresses, address);
    if ((int64_t)count >= server->per_address) {
        return false;
    }
    map_put(&server->addresses, address, (void *)(count + 1));
    return true;
}

static void dismiss(struct http_server *server, const struct uuid *address)
{
    uintptr_t count = (uintptr_t)map_get(&server->addresses, address);
    assert(count > 0);
    if (count == 1) {
        map_remove(&server->addresses, address);
    } else {
        map_put(&server->addresses, address, (void *)(count - 1));
    }
}

void http_server_forget(struct http_server *server, struct http_connection *connection)
{
    list_remove(&connection->node);
    server->connection_count--;
    metric_set(METRIC_HTTP_CONNECTIONS, (int64_t)server->connection_count);
    if (connection->counted) {
        dismiss(server, &connection->address);
    }
    start_accepting(server);
    list_remove(&connection->resume_node);
    list_append(&server->gone, &connection->resume_node);
    event_active(server->resume, 0, 0);
}

static void free_gone(struct http_server *server)
{
    while (!list_is_empty(&server->gone)) {
        struct http_connection *connection =
            LIST_ENTRY(list_first(&server->gone), struct http_connection, resume_node);
        list_remove(&connection->resume_node);
        buffer_deinit(&connection->in);
        free(connection);
    }
}

static void add_connection(struct http_server *server, int fd, const union address *peer)
{
    struct uuid address;
    bool limited = limited_address(peer, &address);
    if (limited && !admit(server, &address)) {
        close(fd);
        return;
    }
    server->connection_count++;
    metric_set(METRIC_HTTP_CONNECTIONS, (int64_t)server->connection_count);
    http_connection_open(server, fd, limited ? &address : NULL);
}

/* No descriptor or memory for one more: the listener stays readable, so it is left alone for a
 * while. */
static void pause_accepting(struct http_server *server, int reason)
{
    static const struct timeval retry = {HTTP_ACCEPT_RETRY_MS / 1000,
                                         HTTP_ACCEPT_RETRY_MS % 1000 * 1000};
    LOG_WARN("cannot accept connections for now", LOG_TEXT("reason", error_errno(reason)),
             LOG_INT("connections", server->connection_count));
    stop_accepting(server);
    int failed = event_add(server->accept_retry, &retry);
    assert(failed == 0);
}

static void on_accept(evutil_socket_t listener, short what, void *arg)
{
    (void)what;
    struct http_server *server = arg;
    for (int i = 0; i < HTTP_ACCEPT_BATCH; i++) {
        union address peer = {.any = {.sa_family = AF_UNSPEC}};
        socklen_t size = sizeof peer;
        int fd = accept4(listener, &peer.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            add_connection(server, fd, &peer);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(server, errno);
            return;
        } else if (errno == EAGAIN) {
            return;
        }
        if (server->connection_count >= server->connections_max) {
            stop_accepting(server); /* http_server_forget starts it again */
            return;
        }
    }
}

static void on_accept_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    start_accepting(arg);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct http_server *server = arg;
    struct list now;
    list_init(&now);
    while (!list_is_empty(&server->resumable)) {
        struct list *node = list_first(&server->resumable);
        list_remove(node);
        list_append(&now, node);
    }
    while (!list_is_empty(&now)) {
        struct http_connection *connection =
            LIST_ENTRY(list_first(&now), struct http_connection, resume_node);
        list_remove(&connection->resume_node);
        if (!http_connection_is_reading(connection)) {
            continue; /* it wanted more of a body and was answered meanwhile */
        }
        http_connection_run(connection, (const char *)connection->in.data, connection->in.length);
    }
    free_gone(server);
    if (server->draining && server->connection_count == 0 && server->drained != NULL) {
        void (*done)(void *) = server->drained;
        server->drained = NULL;
        done(server->drained_arg);
    }
}

static void on_expired(void *arg, struct http_deadline *deadline)
{
    (void)arg;
    http_connection_expire(LIST_ENTRY(deadline, struct http_connection, deadline));
}

/* Above this many connections accepting pauses: other descriptors of the process need room too. */
static size_t connections_max(const struct settings *settings)
{
    struct rlimit files;
    size_t max = (size_t)settings_int(settings, SETTING_HTTP_CONNECTIONS_MAX);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY) {
        size_t most = (size_t)(files.rlim_cur / 10 * 9);
        max = max < most ? max : most;
    }
    return max;
}

static void read_settings(struct http_server *server, const struct settings *settings)
{
    server->limits.head_bytes = (size_t)settings_int(settings, SETTING_HTTP_HEAD_BYTES);
    server->limits.request_line_bytes =
        (size_t)settings_int(settings, SETTING_HTTP_REQUEST_LINE_BYTES);
    server->head_timeout_ms = settings_int(settings, SETTING_HTTP_HEAD_TIMEOUT_MS);
    server->body_timeout_ms = settings_int(settings, SETTING_HTTP_BODY_TIMEOUT_MS);
    server->write_stall_ms = settings_int(settings, SETTING_HTTP_WRITE_STALL_MS);
    server->idle_ms = settings_int(settings, SETTING_HTTP_IDLE_MS);
    server->connection_requests = settings_int(settings, SETTING_HTTP_CONNECTION_REQUESTS);
    server->connection_age_ms = settings_int(settings, SETTING_HTTP_CONNECTION_AGE_MS);
    server->per_address = settings_int(settings, SETTING_HTTP_CONNECTIONS_PER_ADDRESS);
    server->connections_max = connections_max(settings);
}

struct http_server *http_server_create(const struct http_server_options *options, struct error *err)
{
    static const int on = 1;
    int failed;
    struct http_server *server = memory_new(sizeof *server);
    server->base = options->base;
    server->options = *options;
    server->options.settings = NULL;
    server->on_loopback = is_loopback(options->listener);
    read_settings(server, options->settings);
    list_init(&server->connections);
    list_init(&server->resumable);
    list_init(&server->gone);
    http_deadlines_init(&server->deadlines, options->base, on_expired, server);
    server->accept =
        event_new(options->base, options->listener, EV_READ | EV_PERSIST, on_accept, server);
    server->accept_retry = evtimer_new(options->base, on_accept_retry, server);
    server->resume = event_new(options->base, -1, 0, on_resume, server);
    assert(server->accept != NULL && server->accept_retry != NULL && server->resume != NULL);
    /* Accepted sockets inherit it; a local socket has no such option. */
    (void)setsockopt(options->listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (options->hold_ms > 0) {
        const struct timeval hold = {options->hold_ms / 1000, options->hold_ms % 1000 * 1000};
        failed = event_add(server->accept_retry, &hold);
    } else {
        start_accepting(server);
        failed = server->accepting ? 0 : -1;
    }
    if (failed != 0) {
        error_set(err, "cannot watch the listener");
        http_server_destroy(&server);
    }
    return server;
}

void http_server_accept(struct http_server *server)
{
    event_del(server->accept_retry);
    start_accepting(server);
}

void http_server_destroy(struct http_server **server_at)
{
    struct http_server *server = *server_at;
    if (server == NULL) {
        return;
    }
    server->draining = true; /* closing does not accept anew */
    server->drained = NULL;
    while (!list_is_empty(&server->connections)) {
        http_connection_close(
            LIST_ENTRY(list_first(&server->connections), struct http_connection, node));
    }
    free_gone(server);
    while (server->spare != NULL) {
        struct http_request *request = server->spare;
        server->spare = request->next_spare;
        buffer_deinit(&request->bytes);
        buffer_deinit(&request->body);
        free(request);
    }
    event_free(server->accept);
    event_free(server->accept_retry);
    event_free(server->resume);
    http_deadlines_deinit(&server->deadlines);
    map_deinit(&server->addresses);
    buffer_deinit(&server->head);
    free(server);
    *server_at = NULL;
}

void http_server_drain(struct http_server *server, void (*done)(void *arg), void *arg)
{
    server->draining = true;
    server->drained = done;
    server->drained_arg = arg;
    stop_accepting(server);
    event_del(server->accept_retry);
    LIST_FOR_EACH(node, &server->connections)
    {
        struct http_connection *connection = LIST_ENTRY(node, struct http_connection, node);
        if (connection->state == HTTP_IDLE) {
            /* Who has just come has a request on the way, which nobody else would answer. */
            bool fresh = connection->requests == 0;
            http_deadline_set(&server->deadlines, &connection->deadline,
                              fresh ? clock_monotonic_ms() + HTTP_FRESH_DRAIN_MS : 0);
        }
    }
    event_active(server->resume, 0, 0);
}

size_t http_server_connections(const struct http_server *server)
{
    return server->connection_count;
}
