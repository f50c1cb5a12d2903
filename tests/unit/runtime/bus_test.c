/* The bus inside the loop: a busy socket leaves room for timers and other sockets; subscriptions
 * are seen. */
#include "runtime/bus.h"

#include "runtime/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

enum { MESSAGES = 5000, HANDLING_US = 20 };

struct seen {
    struct event_base *base;
    struct event *timer;
    int received;
    int received_at_timer;
};

static void on_received(void *arg, const struct bus_peer *peer, const uint8_t *frame, size_t length)
{
    (void)frame;
    struct seen *seen = arg;
    assert_non_null(peer);
    assert_int_equal(length, 4);
    if (seen->received == 0) {
        event_add(seen->timer, &(struct timeval){0, 1000});
    }
    /* Slower than messages come in: the socket is never empty. */
    for (int64_t end_us = clock_monotonic_us() + HANDLING_US; clock_monotonic_us() < end_us;) {
    }
    if (++seen->received == MESSAGES) {
        event_base_loopbreak(seen->base);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct seen *seen = arg;
    seen->received_at_timer = seen->received;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static void test_a_busy_socket_does_not_starve_timers(void **state)
{
    (void)state;
    char folder[] = "/tmp/bus-test-XXXXXX";
    char path[64];
    char endpoint[80];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    snprintf(endpoint, sizeof endpoint, "ipc://%s", path);
    struct seen seen = {.base = event_base_new()};
    seen.timer = event_new(seen.base, -1, 0, on_timer, &seen);
    struct bus *bus = bus_create(seen.base, NULL);
    struct bus_options options = {.role = BUS_COMMANDS_SERVER,
                                  .path = path,
                                  .listener = listen_at(path),
                                  .handler = {on_received, NULL, &seen}};
    struct bus_socket *server = bus_open(bus, &options, NULL);
    assert_non_null(server);
    void *context = zmq_ctx_new();
    void *client = zmq_socket(context, ZMQ_DEALER);
    int linger = 0;
    int high_water = MESSAGES;
    zmq_setsockopt(client, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(client, ZMQ_SNDHWM, &high_water, sizeof high_water);
    assert_int_equal(zmq_connect(client, endpoint), 0);
    for (int i = 0; i < MESSAGES; i++) {
        assert_int_equal(zmq_send(client, "text", 4, 0), 4);
    }
    event_base_loopexit(seen.base, &(struct timeval){20, 0});
    event_base_dispatch(seen.base);
    assert_int_equal(seen.received, MESSAGES);
    assert_in_range(seen.received_at_timer, 1, MESSAGES / 2);
    event_free(seen.timer);
    bus_close(&server);
    bus_destroy(&bus);
    zmq_close(client);
    zmq_ctx_term(context);
    event_base_free(seen.base);
    unlink(path);
    rmdir(folder);
}

static void on_subscription(void *arg, const struct bus_peer *peer, const uint8_t *frame,
                            size_t length)
{
    (void)peer;
    (void)frame;
    (void)length;
    struct seen *seen = arg;
    if (++seen->received == 2) {
        event_base_loopbreak(seen->base);
    }
}

/* Each new reader is told where the log ends: also the second one of the same topic. */
static void test_every_subscription_is_seen(void **state)
{
    (void)state;
    char folder[] = "/tmp/bus-test-XXXXXX";
    char path[64];
    char endpoint[80];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    snprintf(endpoint, sizeof endpoint, "ipc://%s", path);
    struct seen seen = {.base = event_base_new()};
    struct bus *bus = bus_create(seen.base, NULL);
    struct bus_options options = {.role = BUS_EVENTS_SERVER,
                                  .path = path,
                                  .listener = listen_at(path),
                                  .handler = {on_subscription, NULL, &seen}};
    struct bus_socket *server = bus_open(bus, &options, NULL);
    assert_non_null(server);
    void *context = zmq_ctx_new();
    void *readers[2];
    for (int i = 0; i < 2; i++) {
        int linger = 0;
        readers[i] = zmq_socket(context, ZMQ_SUB);
        zmq_setsockopt(readers[i], ZMQ_LINGER, &linger, sizeof linger);
        zmq_setsockopt(readers[i], ZMQ_SUBSCRIBE, "H", 1);
        assert_int_equal(zmq_connect(readers[i], endpoint), 0);
    }
    event_base_loopexit(seen.base, &(struct timeval){3, 0});
    event_base_dispatch(seen.base);
    assert_int_equal(seen.received, 2);
    bus_close(&server);
    bus_destroy(&bus);
    zmq_close(readers[0]);
    zmq_close(readers[1]);
    zmq_ctx_term(context);
    event_base_free(seen.base);
    unlink(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_busy_socket_does_not_starve_timers),
        cmocka_unit_test(test_every_subscription_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
