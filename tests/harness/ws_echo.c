/*
 * The WebSocket codec alone behind a listening socket, for conformance tests and foreign clients: no
 * database, no bus. Listens on a free port of 127.0.0.1, prints it, and ends at SIGTERM.
 *
 *     ws_echo MESSAGE_BYTES CLOSE_MS
 *
 * MESSAGE_BYTES is the longest message taken; CLOSE_MS how long the client may take to close after
 * us. The path of the handshake says what happens to messages:
 *
 *     /echo       each is sent back
 *     /bytes      the same, and the codec is fed byte by byte
 *     /successor  the same, and the codec is handed over to a fresh one behind each byte (of many at
 *                 once: behind every 1021st)
 *     /text       the same, and a binary one is answered by 1003
 *     /closing    each is answered by a ping and a close frame with code 4000
 */
#include "runtime/base/list.h"
#include "runtime/base/memory.h"
#include "runtime/base/number.h"
#include "runtime/http_parse.h"
#include "runtime/ws_accept.h"
#include "runtime/ws_codec.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10, WAITING_BYTES_MAX = 64 << 10, HEAD_BYTES_MAX = 16384 };
/* More bytes than this at once: handing over behind each would copy the message as often. */
enum { FEW_BYTES = 2048, HANDOVER_STEP = 1021 };

enum mode { MODE_ECHO, MODE_BYTES, MODE_SUCCESSOR, MODE_TEXT, MODE_CLOSING, MODE_COUNT };

static const char *const paths[MODE_COUNT] = {
    [MODE_ECHO] = "/echo", [MODE_BYTES] = "/bytes",     [MODE_SUCCESSOR] = "/successor",
    [MODE_TEXT] = "/text", [MODE_CLOSING] = "/closing",
};

struct echo {
    struct event_base *base;
    struct list connections;
    size_t message_bytes;
    struct timeval close_wait;
};

struct connection {
    struct list node;
    struct echo *echo;
    int fd;
    struct event *readable;
    struct event *writable;
    struct event *deadline;
    enum mode mode;
    struct ws_codec *codec; /* NULL until the handshake is done */
    struct http_head head;
    struct buffer in; /* of the handshake */
    struct buffer out;
    bool over; /* closed when all of `out` is written; what still comes is thrown away */
    bool shut; /* all of it is written */
};

static void connection_destroy(struct connection *connection)
{
    list_remove(&connection->node);
    event_free(connection->readable);
    event_free(connection->writable);
    event_free(connection->deadline);
    ws_codec_destroy(&connection->codec);
    buffer_deinit(&connection->in);
    buffer_deinit(&connection->out);
    close(connection->fd);
    free(connection);
}

/* ---- messages -------------------------------------------------------------------------------- */

static void on_message(void *arg, bool is_text, const uint8_t *bytes, size_t length)
{
    struct connection *connection = arg;
    uint8_t head[WS_HEAD_MAX];
    if (connection->mode == MODE_CLOSING) {
        ws_codec_send_ping(connection->codec, "closing", strlen("closing"));
        ws_codec_send_close(connection->codec, 4000, "as the path says");
    } else if (connection->mode == MODE_TEXT && !is_text) {
        ws_codec_send_close(connection->codec, WS_CODE_UNSUPPORTED, "only text is spoken here");
    } else if (is_text) {
        ws_codec_send_text(connection->codec, bytes, length);
    } else {
        buffer_append(&connection->out, head, ws_frame_head(head, WS_BINARY, length));
        buffer_append(&connection->out, bytes, length);
    }
}

static void on_pong(void *arg, const uint8_t *bytes, size_t length)
{
    (void)arg;
    (void)bytes;
    assert(length <= WS_CONTROL_MAX);
}

static void on_close(void *arg, bool by_client, unsigned code, const char *reason, size_t length)
{
    struct connection *connection = arg;
    (void)reason;
    assert(length <= WS_CONTROL_MAX && (ws_code_is_valid(code) || (by_client && code == 1005)));
    connection->over = true;
}

static struct ws_codec *make_codec(struct connection *connection)
{
    struct ws_handler handler = {
        .on_message = on_message, .on_pong = on_pong, .on_close = on_close, .arg = connection};
    return ws_codec_create(connection->echo->message_bytes, &connection->out, &handler);
}

static void hand_over(struct connection *connection)
{
    struct buffer pending = {0};
    size_t before = connection->out.length;
    ws_codec_pending(connection->codec, &pending);
    ws_codec_destroy(&connection->codec);
    connection->codec = make_codec(connection);
    int result = ws_codec_feed(connection->codec, pending.data, pending.length);
    assert(result == 0 && connection->out.length == before);
    buffer_deinit(&pending);
}

static void feed(struct connection *connection, const uint8_t *bytes, size_t length)
{
    bool bytewise = connection->mode == MODE_BYTES || connection->mode == MODE_SUCCESSOR;
    size_t piece = bytewise ? 1 : length;
    for (size_t at = 0; at < length && !connection->over; at += piece) {
        int result = ws_codec_feed(connection->codec, bytes + at, piece);
        assert((result != 0) == connection->over);
        if (connection->mode == MODE_SUCCESSOR && !ws_codec_is_closing(connection->codec) &&
            (length <= FEW_BYTES || at % HANDOVER_STEP == 0)) {
            hand_over(connection);
        }
    }
    if (ws_codec_is_closing(connection->codec) &&
        !event_pending(connection->deadline, EV_TIMEOUT, NULL)) {
        event_add(connection->deadline, &connection->echo->close_wait);
    }
}

/* ---- handshake ------------------------------------------------------------------------------- */

/* The value of the only field of that name; false when there is none or more than one. */
static bool find_field(const struct connection *connection, const char *name, const char **at_out,
                       size_t *length_out)
{
    const char *bytes = (const char *)connection->in.data;
    unsigned count = 0;
    for (unsigned i = 0; i < connection->head.field_count; i++) {
        const struct http_head_field *field = &connection->head.fields[i];
        if (http_text_equal(bytes + field->name.at, field->name.length, name, strlen(name))) {
            *at_out = bytes + field->value.at;
            *length_out = field->value.length;
            count++;
        }
    }
    return count == 1;
}

static enum mode find_mode(const struct connection *connection)
{
    const char *path = (const char *)connection->in.data + connection->head.path.at;
    enum mode mode = MODE_ECHO;
    while (mode < MODE_COUNT &&
           !http_text_equal(path, connection->head.path.length, paths[mode], strlen(paths[mode]))) {
        mode++;
    }
    return mode;
}

static void refuse(struct connection *connection)
{
    buffer_append_text(&connection->out, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
                                         "Content-Length: 0\r\n\r\n");
    connection->over = true;
}

static void shake_hands(struct connection *connection)
{
    const char *upgrade;
    const char *key;
    size_t upgrade_length;
    size_t key_length;
    char accept_text[WS_ACCEPT_SIZE];
    connection->mode = find_mode(connection);
    if (connection->mode == MODE_COUNT || connection->head.method != HTTP_GET ||
        !find_field(connection, "upgrade", &upgrade, &upgrade_length) ||
        !http_text_equal(upgrade, upgrade_length, "websocket", strlen("websocket")) ||
        !find_field(connection, "sec-websocket-key", &key, &key_length) ||
        ws_accept(key, key_length, accept_text) != 0) {
        refuse(connection);
        return;
    }
    buffer_printf(&connection->out,
                  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                  accept_text);
    connection->codec = make_codec(connection);
}

static void take_head(struct connection *connection, const uint8_t *bytes, size_t length)
{
    static const struct http_limits limits = {HEAD_BYTES_MAX, HEAD_BYTES_MAX};
    struct http_problem problem;
    buffer_append(&connection->in, bytes, length);
    enum http_parse result = http_head_feed(&connection->head, (const char *)connection->in.data,
                                            connection->in.length, &limits, &problem);
    if (result == HTTP_PARSE_BAD) {
        refuse(connection);
    } else if (result == HTTP_PARSE_DONE) {
        shake_hands(connection);
        if (connection->codec != NULL) {
            size_t used = connection->head.length;
            feed(connection, connection->in.data + used, connection->in.length - used);
            buffer_deinit(&connection->in);
        }
    }
}

/* ---- the socket ------------------------------------------------------------------------------ */

/* Writes what goes; false when the connection is gone. While much waits nothing is read. */
static bool flush(struct connection *connection)
{
    struct buffer *out = &connection->out;
    while (out->length > 0) {
        ssize_t sent = send(connection->fd, out->data, out->length, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
            event_add(connection->writable, NULL);
            break;
        }
        if (sent < 0) {
            connection_destroy(connection);
            return false;
        }
        buffer_consume(out, (size_t)sent);
    }
    if (out->length == 0 && connection->over && !connection->shut) {
        shutdown(connection->fd, SHUT_WR);
        connection->shut = true;
    }
    if (out->length > WAITING_BYTES_MAX) {
        event_del(connection->readable);
    } else {
        event_add(connection->readable, NULL);
    }
    return true;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    flush(arg);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *connection = arg;
    uint8_t bytes[READ_BYTES];
    (void)what;
    ssize_t got = recv(fd, bytes, sizeof bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        connection_destroy(connection);
        return;
    }
    if (!connection->over && connection->codec != NULL) {
        feed(connection, bytes, (size_t)got);
    } else if (!connection->over) {
        take_head(connection, bytes, (size_t)got);
    }
    flush(connection);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    connection_destroy(arg);
}

static void on_connect(evutil_socket_t fd, short what, void *arg)
{
    struct echo *echo = arg;
    (void)what;
    int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted < 0) {
        return;
    }
    struct connection *connection = memory_new(sizeof *connection);
    list_init(&connection->node);
    list_append(&echo->connections, &connection->node);
    connection->echo = echo;
    connection->fd = accepted;
    http_head_init(&connection->head);
    connection->readable =
        event_new(echo->base, accepted, EV_READ | EV_PERSIST, on_readable, connection);
    connection->writable = event_new(echo->base, accepted, EV_WRITE, on_writable, connection);
    connection->deadline = evtimer_new(echo->base, on_deadline, connection);
    event_add(connection->readable, NULL);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    struct echo *echo = arg;
    (void)fd;
    (void)what;
    event_base_loopbreak(echo->base);
}

static int listen_somewhere(struct sockaddr_in *address_out)
{
    socklen_t size = sizeof *address_out;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *address_out =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)address_out, size) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)address_out, &size) != 0) {
        fprintf(stderr, "cannot listen: %s\n", strerror(errno));
        exit(EXIT_CODE_FAILED);
    }
    return fd;
}

int main(int count, char **arguments)
{
    struct echo echo = {.base = event_base_new()};
    struct sockaddr_in address;
    int64_t message_bytes;
    int64_t close_ms;
    assert(echo.base != NULL);
    if (count != 3 || number_parse(arguments[1], strlen(arguments[1]), &message_bytes) != 0 ||
        number_parse(arguments[2], strlen(arguments[2]), &close_ms) != 0) {
        fprintf(stderr, "use: ws_echo MESSAGE_BYTES CLOSE_MS\n");
        return EXIT_CODE_USAGE;
    }
    list_init(&echo.connections);
    echo.message_bytes = (size_t)message_bytes;
    echo.close_wait = (struct timeval){close_ms / 1000, close_ms % 1000 * 1000};
    int listener = listen_somewhere(&address);
    struct event *connects =
        event_new(echo.base, listener, EV_READ | EV_PERSIST, on_connect, &echo);
    struct event *stop = evsignal_new(echo.base, SIGTERM, on_signal, &echo);
    event_add(connects, NULL);
    event_add(stop, NULL);
    printf("%u\n", ntohs(address.sin_port));
    fflush(stdout);
    event_base_dispatch(echo.base);
    LIST_FOR_EACH(node, &echo.connections)
    {
        connection_destroy(LIST_ENTRY(node, struct connection, node));
    }
    event_free(stop);
    event_free(connects);
    close(listener);
    event_base_free(echo.base);
    printf("stopped\n");
    return 0;
}
