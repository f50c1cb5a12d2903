/* The connection: every address of the server is tried. A listener stands in for the server. */
#include "runtime/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct listener {
    int fd;
    unsigned port;
};

static struct listener bind_loopback(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    struct listener listener = {.fd = socket(AF_INET, SOCK_STREAM, 0)};
    assert_int_equal(bind(listener.fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(listener.fd, (struct sockaddr *)&address, &size), 0);
    listener.port = ntohs(address.sin_port);
    return listener;
}

static void on_request(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    char request[64];
    struct event_base *base = arg;
    if (recv(fd, request, sizeof request, 0) > 0) {
        event_base_loopbreak(base);
    }
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct event_base *base = arg;
    int client = accept(fd, NULL, NULL);
    assert_true(client >= 0);
    event_base_once(base, client, EV_READ, on_request, base, NULL);
}

/* libpq closes one socket and opens the next inside one call; the new one has the old one's number.
 */
static void test_the_second_address_is_reached_when_the_first_refuses(void **state)
{
    (void)state;
    char url[200];
    struct listener refusing =
        bind_loopback(); /* bound and not listening: connections are refused */
    struct listener server = bind_loopback();
    assert_int_equal(listen(server.fd, 4), 0);
    snprintf(url, sizeof url,
             "postgresql://u@127.0.0.1:%u,127.0.0.1:%u/d?sslmode=disable&gssencmode=disable",
             refusing.port, server.port);
    struct settings *settings = settings_create();
    assert_int_equal(settings_set(settings, SETTING_DATABASE_URL, url, NULL), 0);
    struct event_base *base = event_base_new();
    struct event *incoming = event_new(base, server.fd, EV_READ, on_accept, base);
    event_add(incoming, NULL);
    event_base_loopexit(base, &(struct timeval){3, 0});
    struct db_options options = {.settings = settings, .role = "u", .application_name = "test"};
    struct db *db = db_open(base, &options);
    event_base_dispatch(base);
    assert_true(event_base_got_break(base)); /* the server has read the start of a session */
    db_close(&db);
    event_free(incoming);
    event_base_free(base);
    settings_destroy(&settings);
    close(refusing.fd);
    close(server.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_second_address_is_reached_when_the_first_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
