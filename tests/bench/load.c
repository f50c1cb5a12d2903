/*
 * Producers over HTTP: N keep-alive connections on one epoll loop, requests built beforehand,
 * answers read no further than needed, so that the tool takes little of the machine it measures.
 *
 * Closed loop (each connection sends when its answer came) or, with --rate, open loop: requests are
 * due at fixed times and latency counts from then, also when no connection was free. What fails is
 * sent again with the same Idempotency-Key after a short pause, and counted.
 *
 * --path: another server's, to which the name of a run is appended; the body is then the event as
 * our streams show it. --items: the body is a list of items for a channel each, as Pushpin wants.
 * --posts: no more than so many.
 */
#include "tests/bench/histogram.h"
#include "tests/bench/tool.h"

#include "runtime/base/buffer.h"
#include "runtime/base/memory.h"
#include "runtime/base/number.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { LOAD_RETRY_US = 20000, LOAD_ANSWER_BYTES = 8192, LOAD_TICKET_DIGITS = 16 };
/* Seqs that the tool itself gives begin behind this: all have the same number of digits. */
#define LOAD_SEQ_BASE UINT64_C(1000000000000000)

struct options {
    const char *address;
    const char *key_file;
    const char *runs_file;
    int64_t connections;
    int64_t events; /* in one POST */
    int64_t seconds_ms;
    int64_t warmup_ms;
    int64_t rate; /* POSTs a second; 0: closed loop */
    bool keyless; /* send no Idempotency-Key */
    const char *path;
    bool items;
    int64_t posts; /* so many at most; 0: no limit */
};

/* IDLE waits for a due time (open loop), PAUSED for its retry. */
enum state { CONNECTING, IDLE, SENDING, RECEIVING, PAUSED };

struct connection {
    int fd;
    enum state state;
    char *request;
    size_t sent;
    char answer[LOAD_ANSWER_BYTES];
    size_t received;
    int64_t began_us;
    int64_t resume_us;
    bool pending; /* a request without outcome waits to be sent (again) */
};

struct load {
    struct options options;
    struct tool_address address;
    struct tool_runs runs;
    int epoll;
    struct connection *connections;
    size_t request_length;
    size_t run_at;     /* where the run id is in a request */
    size_t ticket_at;  /* where the Idempotency-Key's digits are; 0: none */
    size_t *stamps_at; /* where each event's time is */
    size_t seq_at;     /* where another server's event has its seq */
    uint64_t seq;
    uint64_t begun; /* POSTs */
    uint64_t posts_max;
    uint64_t random;
    uint64_t ticket;
    int64_t measure_from_us;
    int64_t end_us;
    int64_t due_us; /* open loop: next request */
    struct latencies latencies;
    uint64_t acked;
    uint64_t acked_all; /* with the warm-up */
    uint64_t refused;
    uint64_t reconnects;
    int64_t last_ack_us;
    int64_t longest_gap_us;
};

static void add_event(struct load *load, struct buffer *body, int64_t index)
{
    char payload[TOOL_PAYLOAD_BYTES];
    size_t digits_at = tool_payload(payload);
    buffer_append_text(body, "{\"type\":\"MESSAGE_DELTA\",\"payload\":");
    load->stamps_at[index] = body->length + digits_at;
    buffer_append(body, payload, sizeof payload);
    buffer_append_byte(body, '}');
}

static void build_own(struct load *load, const char *key, struct buffer *out)
{
    struct buffer body = {0};
    buffer_append_text(&body, load->options.events > 1 ? "{\"events\":[" : "");
    for (int64_t i = 0; i < load->options.events; i++) {
        buffer_append_text(&body, i > 0 ? "," : "");
        add_event(load, &body, i);
    }
    buffer_append_text(&body, load->options.events > 1 ? "]}" : "");

    buffer_append_text(out, "POST /api/v1/runs/");
    load->run_at = out->length;
    buffer_printf(out, "%s/events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n",
                  load->runs.ids[0], load->options.address, key);
    if (!load->options.keyless) {
        buffer_append_text(out, "Idempotency-Key: ");
        load->ticket_at = out->length;
        buffer_printf(out, "%0*d-%d\r\n", LOAD_TICKET_DIGITS, 0, (int)getpid());
    }
    buffer_printf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                  body.length);
    for (int64_t i = 0; i < load->options.events; i++) {
        load->stamps_at[i] += out->length;
    }
    buffer_append(out, body.data, body.length);
    buffer_deinit(&body);
}

/* The event as our own streams show it. */
static void add_shown(struct load *load, struct buffer *body)
{
    char payload[TOOL_PAYLOAD_BYTES];
    size_t digits_at = tool_payload(payload);
    buffer_printf(body, "{\"run_id\":\"%s\",\"seq\":", load->runs.ids[0]);
    load->seq_at = body->length;
    buffer_printf(body,
                  "%0*d,\"type\":\"MESSAGE_DELTA\",\"ts\":\"2000-01-01T00:00:00.000000Z\","
                  "\"payload\":",
                  TOOL_STAMP_DIGITS, 0);
    load->stamps_at[0] = body->length + digits_at;
    buffer_append(body, payload, sizeof payload);
    buffer_append_byte(body, '}');
}

/* The same as a JSON text inside JSON; the places in it move with each quote before them. */
static void add_quoted(struct load *load, struct buffer *body)
{
    struct buffer shown = {0};
    size_t *const places[] = {&load->seq_at, &load->stamps_at[0]};
    size_t from[2];
    add_shown(load, &shown);
    from[0] = load->seq_at;
    from[1] = load->stamps_at[0];
    for (size_t i = 0; i < shown.length; i++) {
        for (size_t n = 0; n < 2; n++) {
            if (i == from[n]) {
                *places[n] = body->length;
            }
        }
        if (shown.data[i] == '"') {
            buffer_append_byte(body, '\\');
        }
        buffer_append_byte(body, shown.data[i]);
    }
    buffer_deinit(&shown);
}

static void build_other(struct load *load, struct buffer *out)
{
    struct buffer body = {0};
    size_t run_at = 0;
    if (load->options.items) {
        buffer_append_text(&body, "{\"items\":[{\"channel\":\"");
        run_at = body.length;
        buffer_printf(&body,
                      "%s\",\"formats\":{\"http-stream\":{\"content\":\"data: ", load->runs.ids[0]);
        add_quoted(load, &body);
        buffer_append_text(&body, "\\n\\n\"}}}]}");
    } else {
        add_shown(load, &body);
    }
    buffer_printf(out, "POST %s", load->options.path);
    load->run_at = out->length;
    buffer_printf(out,
                  "%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                  "Content-Length: %zu\r\n\r\n",
                  load->options.items ? "" : load->runs.ids[0], load->options.address, body.length);
    load->run_at = load->options.items ? out->length + run_at : load->run_at;
    load->seq_at += out->length;
    load->stamps_at[0] += out->length;
    buffer_append(out, body.data, body.length);
    buffer_deinit(&body);
}

static void build_request(struct load *load, struct buffer *out)
{
    load->stamps_at = memory_array((size_t)load->options.events, sizeof *load->stamps_at);
    if (load->options.path != NULL) {
        load->seq = LOAD_SEQ_BASE;
        build_other(load, out);
    } else {
        build_own(load, tool_read_line(load->options.key_file), out);
    }
    load->request_length = out->length;
}

static void watch(const struct load *load, struct connection *connection, uint32_t events, int how)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(load->epoll, how, connection->fd, &event) != 0) {
        tool_fail("epoll_ctl");
    }
}

static void connect_again(struct load *load, struct connection *connection)
{
    connection->fd = tool_connect(&load->address);
    connection->state = CONNECTING;
    connection->received = 0;
    watch(load, connection, EPOLLOUT | EPOLLIN, EPOLL_CTL_ADD);
}

static void pause_connection(struct connection *connection)
{
    connection->state = PAUSED;
    connection->resume_us = tool_now_us() + LOAD_RETRY_US;
}

/* Closed; a request without outcome goes out again, over a new connection. */
static void lose(struct load *load, struct connection *connection)
{
    close(connection->fd);
    connection->fd = -1;
    load->reconnects++;
    pause_connection(connection);
}

static void send_rest(struct load *load, struct connection *connection)
{
    size_t left = load->request_length - connection->sent;
    ssize_t now = send(connection->fd, connection->request + connection->sent, left, MSG_NOSIGNAL);
    if (now < 0 && errno != EAGAIN) {
        lose(load, connection);
        return;
    }
    connection->sent += now > 0 ? (size_t)now : 0;
    bool whole = connection->sent == load->request_length;
    if (!whole || connection->state != RECEIVING) {
        if (!whole && connection->state != SENDING) {
            watch(load, connection, EPOLLOUT | EPOLLIN, EPOLL_CTL_MOD);
        } else if (whole && connection->state == SENDING) {
            watch(load, connection, EPOLLIN, EPOLL_CTL_MOD);
        }
        connection->state = whole ? RECEIVING : SENDING;
    }
}

static void send_again(struct load *load, struct connection *connection)
{
    connection->sent = 0;
    connection->received = 0;
    connection->state = RECEIVING;
    send_rest(load, connection);
}

static void send_new(struct load *load, struct connection *connection, int64_t began_us)
{
    size_t run = load->runs.count > 1 ? tool_random(&load->random) % load->runs.count : 0;
    memcpy(connection->request + load->run_at, load->runs.ids[run], 36);
    if (load->ticket_at != 0) {
        tool_digits(connection->request + load->ticket_at, LOAD_TICKET_DIGITS, ++load->ticket);
    }
    if (load->seq != 0) {
        tool_digits(connection->request + load->seq_at, TOOL_STAMP_DIGITS, ++load->seq);
    }
    for (int64_t i = 0; i < load->options.events; i++) {
        tool_digits(connection->request + load->stamps_at[i], TOOL_STAMP_DIGITS,
                    (uint64_t)began_us);
    }
    load->begun++;
    connection->pending = true;
    connection->began_us = began_us;
    send_again(load, connection);
}

/* The connection is free: its next request, if one is to be sent now. */
static void next(struct load *load, struct connection *connection)
{
    int64_t now_us = tool_now_us();
    if (connection->pending) {
        send_again(load, connection);
    } else if (now_us >= load->end_us || load->begun == load->posts_max) {
        connection->state = IDLE;
    } else if (load->options.rate == 0) {
        send_new(load, connection, now_us);
    } else if (load->due_us <= now_us) {
        int64_t due_us = load->due_us;
        load->due_us += 1000000 / load->options.rate;
        send_new(load, connection, due_us);
    } else {
        connection->state = IDLE;
    }
}

static void count(struct load *load, struct connection *connection, bool created)
{
    int64_t now_us = tool_now_us();
    if (!created) {
        load->refused++;
        return;
    }
    connection->pending = false;
    load->acked_all++;
    if (connection->began_us < load->measure_from_us || now_us > load->end_us) {
        load->last_ack_us = now_us;
        return;
    }
    load->acked++;
    latencies_add(&load->latencies, now_us - connection->began_us);
    if (load->last_ack_us != 0 && now_us - load->last_ack_us > load->longest_gap_us) {
        load->longest_gap_us = now_us - load->last_ack_us;
    }
    load->last_ack_us = now_us;
}

/* Bytes of the whole answer in `answer`, or 0 when it is not all there. */
static size_t answer_length(struct connection *connection, bool *close_out)
{
    connection->answer[connection->received] = '\0';
    const char *end = strstr(connection->answer, "\r\n\r\n");
    if (end == NULL) {
        return 0;
    }
    const char *length = strcasestr(connection->answer, "\r\ncontent-length: ");
    int64_t body = 0;
    if (length != NULL && number_parse(length + 18, strcspn(length + 18, "\r"), &body) != 0) {
        tool_fail(connection->answer);
    }
    *close_out = strcasestr(connection->answer, "\r\nconnection: close") != NULL;
    size_t whole = (size_t)(end + 4 - connection->answer) + (size_t)body;
    return connection->received >= whole ? whole : 0;
}

static void receive(struct load *load, struct connection *connection)
{
    ssize_t now = recv(connection->fd, connection->answer + connection->received,
                       LOAD_ANSWER_BYTES - 1 - connection->received, 0);
    if (now == 0 || (now < 0 && errno != EAGAIN)) {
        lose(load, connection);
        return;
    }
    connection->received += now > 0 ? (size_t)now : 0;
    bool closing = false;
    if (connection->state != RECEIVING || answer_length(connection, &closing) == 0) {
        return;
    }
    bool created = strncmp(connection->answer, "HTTP/1.1 20", 11) == 0;
    count(load, connection, created);
    connection->received = 0;
    if (closing) {
        close(connection->fd);
        connect_again(load, connection);
    } else if (created) {
        next(load, connection);
    } else {
        pause_connection(connection);
    }
}

static void handle(struct load *load, struct connection *connection, uint32_t events)
{
    if (connection->fd < 0) {
        return;
    }
    if (connection->state == CONNECTING && (events & EPOLLOUT) != 0 &&
        (events & (EPOLLERR | EPOLLHUP)) == 0) {
        watch(load, connection, EPOLLIN, EPOLL_CTL_MOD);
        next(load, connection);
    } else if (connection->state == SENDING && (events & EPOLLOUT) != 0) {
        send_rest(load, connection);
    } else if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) {
        receive(load, connection);
    }
}

/* Paused connections whose time has come, and free ones when a request is due. */
static void wake(struct load *load)
{
    int64_t now_us = tool_now_us();
    for (int64_t i = 0; i < load->options.connections; i++) {
        struct connection *connection = &load->connections[i];
        if (connection->state == PAUSED && connection->resume_us <= now_us) {
            if (connection->fd < 0) {
                connect_again(load, connection);
            } else {
                next(load, connection);
            }
        } else if (connection->state == IDLE && load->options.rate > 0 && load->due_us <= now_us) {
            next(load, connection);
        }
    }
}

static bool busy(const struct load *load)
{
    for (int64_t i = 0; i < load->options.connections; i++) {
        if (load->connections[i].pending) {
            return true;
        }
    }
    return false;
}

static int open_timer(const struct load *load)
{
    int64_t every_us = load->options.rate > 0 ? 1000000 / load->options.rate : 5000;
    struct itimerspec when = {
        .it_value = {.tv_nsec = 1000},
        .it_interval = {.tv_sec = every_us / 1000000, .tv_nsec = every_us % 1000000 * 1000}};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (fd < 0 || timerfd_settime(fd, 0, &when, NULL) != 0 ||
        epoll_ctl(load->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        tool_fail("timerfd");
    }
    return fd;
}

static void run(struct load *load)
{
    int timer = open_timer(load);
    int64_t start_us = tool_now_us();
    load->measure_from_us = start_us + load->options.warmup_ms * 1000;
    load->end_us = load->measure_from_us + load->options.seconds_ms * 1000;
    load->due_us = start_us;
    for (int64_t i = 0; i < load->options.connections; i++) {
        connect_again(load, &load->connections[i]);
    }
    int64_t patience_us = load->end_us + 15000000;
    while (((tool_now_us() < load->end_us && load->begun < load->posts_max) || busy(load)) &&
           tool_now_us() < patience_us) {
        struct epoll_event events[128];
        int ready = epoll_wait(load->epoll, events, 128, 100);
        for (int i = 0; i < ready; i++) {
            uint64_t expirations;
            if (events[i].data.ptr != NULL) {
                handle(load, events[i].data.ptr, events[i].events);
            } else if (read(timer, &expirations, sizeof expirations) > 0) {
                wake(load);
            }
        }
    }
    close(timer);
}

static void print(const struct load *load)
{
    double seconds = (double)load->options.seconds_ms / 1000.0;
    double events = (double)load->acked * (double)load->options.events;
    uint64_t all = load->acked_all * (uint64_t)load->options.events;
    printf("{\"posts\":%llu,\"events\":%.0f,\"events_all\":%llu,\"seconds\":%.3f,"
           "\"events_per_s\":%.1f,\"refused\":%llu,\"reconnects\":%llu,\"unanswered\":%d,"
           "\"longest_gap_us\":%lld,\"cpu_s\":%.3f,",
           (unsigned long long)load->acked, events, (unsigned long long)all, seconds,
           events / seconds, (unsigned long long)load->refused,
           (unsigned long long)load->reconnects, busy(load), (long long)load->longest_gap_us,
           tool_cpu_s());
    latencies_print(&load->latencies, "");
    puts("}");
}

static void read_options(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {{"address", required_argument, NULL, 'a'},
                                          {"key-file", required_argument, NULL, 'k'},
                                          {"runs", required_argument, NULL, 'r'},
                                          {"connections", required_argument, NULL, 'c'},
                                          {"events", required_argument, NULL, 'e'},
                                          {"ms", required_argument, NULL, 't'},
                                          {"warmup-ms", required_argument, NULL, 'w'},
                                          {"rate", required_argument, NULL, 'R'},
                                          {"keyless", no_argument, NULL, 'n'},
                                          {"path", required_argument, NULL, 'p'},
                                          {"items", no_argument, NULL, 'i'},
                                          {"posts", required_argument, NULL, 'P'},
                                          {NULL, 0, NULL, 0}};
    int name;
    *options =
        (struct options){.connections = 1, .events = 1, .seconds_ms = 5000, .warmup_ms = 500};
    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (name) {
        case 'a':
            options->address = optarg;
            break;
        case 'k':
            options->key_file = optarg;
            break;
        case 'r':
            options->runs_file = optarg;
            break;
        case 'c':
            options->connections = tool_number(optarg);
            break;
        case 'e':
            options->events = tool_number(optarg);
            break;
        case 't':
            options->seconds_ms = tool_number(optarg);
            break;
        case 'w':
            options->warmup_ms = tool_number(optarg);
            break;
        case 'R':
            options->rate = tool_number(optarg);
            break;
        case 'n':
            options->keyless = true;
            break;
        case 'p':
            options->path = optarg;
            break;
        case 'i':
            options->items = true;
            break;
        case 'P':
            options->posts = tool_number(optarg);
            break;
        default:
            exit(2);
        }
    }
    if (options->address == NULL || options->runs_file == NULL ||
        (options->path == NULL ? options->key_file == NULL : options->events > 1) ||
        options->connections < 1 || options->events < 1) {
        fprintf(stderr, "load: --address, --key-file and --runs are needed\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct load load = {.random = (uint64_t)tool_real_us() | 1};
    struct buffer request = {0};
    read_options(&load.options, argc, argv);
    load.posts_max = load.options.posts > 0 ? (uint64_t)load.options.posts : UINT64_MAX;
    load.ticket = (uint64_t)tool_now_us() % 1000000000 * 1000000;
    load.address = tool_resolve(load.options.address);
    load.runs = tool_read_runs(load.options.runs_file);
    tool_raise_files();
    build_request(&load, &request);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.connections = memory_array((size_t)load.options.connections, sizeof *load.connections);
    for (int64_t i = 0; i < load.options.connections; i++) {
        load.connections[i].request = memory_copy(request.data, request.length);
    }
    run(&load);
    print(&load);
    return 0;
}
