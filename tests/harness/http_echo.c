/*
 * The HTTP layer alone, for framing tests and measurements: no database, no bus. Listens on a free
 * port of 127.0.0.1 (or on the one given), prints it, and ends at SIGTERM after draining.
 *
 *     GET or POST /echo    the body back (as text), with the parsed parts in X- fields
 *     /later               answered from a timer, as a caller with a database does
 *     /detach              the connection is handed over: answers "detached:" and what was read on
 *     /refuse              answered by head(), the body unread: 403
 *     /large?bytes=N       a body of N bytes
 *
 * Settings are taken as KEY=VALUE arguments.
 */
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/number.h"
#include "runtime/base/settings.h"
#include "runtime/http_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct echo {
    struct event_base *base;
    struct settings *settings;
    struct http_server *server;
    int64_t abandoned;
};

/* A request that waits for its timer. */
struct later {
    struct echo *echo;
    struct http_request *request;
    struct event *timer;
};

static bool is_path(struct http_request *request, const char *path)
{
    struct http_text text = http_request_path(request);
    return text.length == strlen(path) && memcmp(text.data, path, text.length) == 0;
}

static void reply_text(struct http_request *request, int status, const char *text)
{
    http_reply(request, status, "text/plain", NULL, text, strlen(text));
}

static int64_t on_head(void *arg, struct http_request *request)
{
    struct echo *echo = arg;
    if (is_path(request, "/refuse")) {
        reply_text(request, 403, "refused");
        return -1;
    }
    return settings_int(echo->settings, SETTING_HTTP_BODY_BYTES);
}

static void echo_body(struct http_request *request)
{
    struct http_text path = http_request_path(request);
    struct http_text query = http_request_query(request);
    struct http_text body = http_request_body(request);
    size_t count = 0;
    struct http_text test = http_request_field(request, "x-test", &count);
    struct buffer text = {0};
    buffer_append(&text, path.data, path.length);
    buffer_append_byte(&text, '\0');
    buffer_append(&text, query.data, query.length);
    buffer_append_byte(&text, '\0');
    buffer_append(&text, test.data, test.length);
    buffer_append_byte(&text, '\0');
    char counted[24];
    snprintf(counted, sizeof counted, "%zu", count);
    size_t query_at = path.length + 1;
    size_t test_at = query_at + query.length + 1;
    buffer_text(&text);
    struct http_field fields[] = {{"X-Path", (char *)text.data},
                                  {"X-Query", (char *)text.data + query_at},
                                  {"X-Field", (char *)text.data + test_at},
                                  {"X-Count", counted},
                                  {NULL, NULL}};
    http_reply(request, 200, "text/plain", fields, body.data, body.length);
    buffer_deinit(&text);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
    struct later *later = arg;
    (void)fd;
    (void)what;
    echo_body(later->request);
    event_free(later->timer);
    free(later);
}

static void answer_later(struct echo *echo, struct http_request *request)
{
    static const struct timeval pause = {0, 2000};
    struct later *later = memory_new(sizeof *later);
    later->echo = echo;
    later->request = request;
    later->timer = evtimer_new(echo->base, on_later, later);
    assert(later->timer != NULL);
    http_request_set_user(request, later);
    event_add(later->timer, &pause);
}

static void on_abandoned(void *arg, struct http_request *request, void *user)
{
    struct echo *echo = arg;
    struct later *later = user;
    (void)request;
    echo->abandoned++;
    if (later != NULL) {
        event_free(later->timer);
        free(later);
    }
}

/* What a streamer would do with the socket, in short: answers by itself and closes. */
static void detach(struct http_request *request)
{
    struct buffer rest = {0};
    struct buffer answer = {0};
    int fd = http_request_detach(request, &rest);
    buffer_printf(&answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\ndetached:",
                  rest.length + strlen("detached:"));
    buffer_append(&answer, rest.data, rest.length);
    ssize_t sent = send(fd, answer.data, answer.length, MSG_NOSIGNAL);
    if (sent != (ssize_t)answer.length) {
        fprintf(stderr, "short write on a detached connection\n");
    }
    close(fd);
    buffer_deinit(&rest);
    buffer_deinit(&answer);
}

static void reply_large(struct http_request *request)
{
    struct http_text query = http_request_query(request);
    struct http_text name;
    struct http_text value;
    struct buffer scratch = {0};
    bool bad = false;
    int64_t bytes = 0;
    bool found = http_query_next(&query, &scratch, &name, &value, &bad);
    if (!found || bad || number_parse(value.data, value.length, &bytes) != 0 || bytes > 1 << 28) {
        reply_text(request, 400, "bytes=N is missing");
    } else {
        char *body = memory_new((size_t)bytes + 1);
        memset(body, 'x', (size_t)bytes);
        http_reply(request, 200, "text/plain", NULL, body, (size_t)bytes);
        free(body);
    }
    buffer_deinit(&scratch);
}

static void on_request(void *arg, struct http_request *request)
{
    struct echo *echo = arg;
    if (is_path(request, "/later")) {
        answer_later(echo, request);
    } else if (is_path(request, "/detach")) {
        detach(request);
    } else if (is_path(request, "/large")) {
        reply_large(request);
    } else {
        echo_body(request);
    }
}

static void on_problem(void *arg, int status, const char *slug, const char *detail,
                       struct buffer *body)
{
    (void)arg;
    buffer_printf(body, "{\"type\":\"/problems/%s\",\"status\":%d,\"detail\":", slug, status);
    buffer_append_json(body, detail, strlen(detail));
    buffer_append_byte(body, '}');
}

static void on_drained(void *arg)
{
    struct echo *echo = arg;
    event_base_loopbreak(echo->base);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    struct echo *echo = arg;
    (void)fd;
    (void)what;
    http_server_drain(echo->server, on_drained, echo);
}

static int listen_on(int64_t port, struct sockaddr_in *address_out)
{
    static const int on = 1;
    socklen_t size = sizeof *address_out;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *address_out = (struct sockaddr_in){.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)address_out, size) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)address_out, &size) != 0) {
        fprintf(stderr, "cannot listen: %s\n", strerror(errno));
        exit(1);
    }
    return fd;
}

static void take_arguments(struct echo *echo, int count, char **arguments, int64_t *port_out)
{
    struct error err;
    for (int i = 1; i < count; i++) {
        char *equals = strchr(arguments[i], '=');
        size_t length = strlen(arguments[i]);
        if (equals == NULL && number_parse(arguments[i], length, port_out) == 0 &&
            *port_out <= UINT16_MAX) {
            continue;
        }
        if (equals != NULL) {
            *equals = '\0';
        }
        enum setting id = setting_find(arguments[i]);
        if (equals == NULL || id == SETTING_COUNT ||
            settings_set(echo->settings, id, equals + 1, &err) != 0) {
            fprintf(stderr, "use: http_echo [PORT] [KEY=VALUE ...]\n");
            exit(EXIT_CODE_USAGE);
        }
    }
}

int main(int count, char **arguments)
{
    struct echo echo = {.base = event_base_new(), .settings = settings_create()};
    int64_t port = 0;
    struct sockaddr_in address;
    struct error err;
    assert(echo.base != NULL);
    log_start("http_echo", 0, LOG_LEVEL_WARN);
    take_arguments(&echo, count, arguments, &port);
    int listener = listen_on(port, &address);
    struct http_server_options options = {.base = echo.base,
                                          .settings = echo.settings,
                                          .listener = listener,
                                          .head = on_head,
                                          .handle = on_request,
                                          .abandoned = on_abandoned,
                                          .problem = on_problem,
                                          .arg = &echo};
    echo.server = http_server_create(&options, &err);
    struct event *stop = evsignal_new(echo.base, SIGTERM, on_signal, &echo);
    if (echo.server == NULL || stop == NULL) {
        fprintf(stderr, "cannot start\n");
        return 1;
    }
    event_add(stop, NULL);
    printf("%u\n", ntohs(address.sin_port));
    fflush(stdout);
    event_base_dispatch(echo.base);
    event_free(stop);
    http_server_destroy(&echo.server);
    close(listener);
    event_base_free(echo.base);
    settings_destroy(&echo.settings);
    printf("drained, %lld abandoned\n", (long long)echo.abandoned);
    return 0;
}
