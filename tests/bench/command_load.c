/*
 * The sequencer alone: appends of one event over a DEALER of our own, WINDOW commands outstanding,
 * with an origin and command numbers as every sender has. The runs must exist.
 */
#include "tests/bench/histogram.h"
#include "tests/bench/tool.h"

#include "contracts/generated/event_types.h"
#include "proto/messages.h"
#include "proto/outcome.h"
#include "runtime/base/memory.h"
#include "runtime/base/uuid.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum { SEQUENCER_SILENCE_MS = 2000 };

struct options {
    const char *socket_path;
    const char *runs_file;
    const char *tenant;
    int64_t window;
    int64_t length_ms;
    int64_t warmup_ms;
};

struct command {
    uint32_t run;
    bool settled;
    int64_t sent_us;
};

struct load {
    struct options options;
    struct tool_runs names;
    struct uuid *runs;
    struct uuid tenant;
    uint64_t origin;
    void *socket;
    struct command *ring; /* by number % window */
    uint64_t first;       /* lowest unsettled command */
    uint64_t next;
    uint64_t random;
    char payload[TOOL_PAYLOAD_BYTES];
    size_t stamp_at;
    int64_t measure_from_us;
    int64_t end_us;
    struct latencies latencies;
    uint64_t acked;
    uint64_t acked_all;
    uint64_t refused;
    uint64_t resent;
};

static struct command *command_at(const struct load *load, uint64_t number)
{
    return &load->ring[number % (uint64_t)load->options.window];
}

static void send_command(struct load *load, uint64_t number)
{
    const struct command *command = command_at(load, number);
    struct message_header header = {.generation = 1, .request = number};
    struct message_append append = {.origin = load->origin, .expected_seq = -1};
    struct msgpack_sbuffer list;
    struct msgpack_sbuffer frame;
    msgpack_sbuffer_init(&list);
    msgpack_sbuffer_init(&frame);
    tool_digits(load->payload + load->stamp_at, TOOL_STAMP_DIGITS, (uint64_t)command->sent_us);
    struct message_append_event event = {
        .type = EVENT_TYPE_MESSAGE_DELTA,
        .payload = {(const uint8_t *)load->payload, sizeof load->payload}};
    message_append_event_encode(&list, &event);
    memcpy(append.tenant, load->tenant.bytes, sizeof append.tenant);
    memcpy(append.run, load->runs[command->run].bytes, sizeof append.run);
    append.events = (struct message_list){(const uint8_t *)list.data, list.size, 1};
    message_append_encode(&frame, &header, &append);
    if (zmq_send(load->socket, frame.data, frame.size, 0) < 0) {
        tool_fail("zmq_send");
    }
    msgpack_sbuffer_destroy(&frame);
    msgpack_sbuffer_destroy(&list);
}

/* Nothing of this origin was ever settled. */
static void say_hello(struct load *load)
{
    struct message_header header = {.generation = 1};
    struct message_hello hello = {.origin = load->origin, .oldest = load->first};
    struct msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    message_hello_encode(&frame, &header, &hello);
    if (zmq_send(load->socket, frame.data, frame.size, 0) < 0) {
        tool_fail("zmq_send");
    }
    msgpack_sbuffer_destroy(&frame);
}

static void fill_window(struct load *load)
{
    int64_t now_us = tool_now_us();
    while (now_us < load->end_us && load->next - load->first < (uint64_t)load->options.window) {
        *command_at(load, load->next) = (struct command){
            .run = (uint32_t)(tool_random(&load->random) % load->names.count), .sent_us = now_us};
        send_command(load, load->next);
        load->next++;
    }
}

static void send_from(struct load *load, uint64_t number)
{
    for (uint64_t i = number < load->first ? load->first : number; i < load->next; i++) {
        load->resent++;
        send_command(load, i);
    }
}

static void settle(struct load *load, uint64_t number, const struct message_result *result)
{
    int64_t now_us = tool_now_us();
    if (number < load->first || number >= load->next || command_at(load, number)->settled) {
        return;
    }
    struct command *command = command_at(load, number);
    command->settled = true;
    if (result->outcome != OUTCOME_OK) {
        load->refused++;
    } else {
        load->acked_all++;
    }
    if (result->outcome == OUTCOME_OK && command->sent_us >= load->measure_from_us &&
        now_us <= load->end_us) {
        load->acked++;
        latencies_add(&load->latencies, now_us - command->sent_us);
    }
    while (load->first < load->next && command_at(load, load->first)->settled) {
        load->first++;
    }
}

static void take(struct load *load, const uint8_t *frame, size_t length)
{
    struct message_header header;
    struct message_result result;
    struct message_nack nack;
    struct message_busy busy;
    if (message_peek(frame, length, &header) != 0) {
        return;
    }
    if (header.type == MESSAGE_RESULT &&
        message_result_decode(frame, length, &header, &result) == 0) {
        settle(load, header.request, &result);
    } else if (header.type == MESSAGE_NACK &&
               message_nack_decode(frame, length, &header, &nack) == 0) {
        if (nack.expected < load->first) {
            say_hello(load);
        }
        send_from(load, nack.expected);
    } else if (header.type == MESSAGE_BUSY &&
               message_busy_decode(frame, length, &header, &busy) == 0) {
        struct timespec pause = {.tv_nsec = (long)(busy.retry_ms % 1000) * 1000000};
        nanosleep(&pause, NULL);
        send_from(load, header.request);
    }
}

static void run(struct load *load)
{
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    say_hello(load);
    while (tool_now_us() < load->end_us || load->first < load->next) {
        fill_window(load);
        if (zmq_msg_recv(&frame, load->socket, 0) < 0) {
            if (errno != EAGAIN) {
                tool_fail("zmq_recv");
            }
            if (tool_now_us() > load->end_us + 10 * SEQUENCER_SILENCE_MS * 1000LL) {
                break;
            }
            send_from(load, load->first); /* silence */
            continue;
        }
        do {
            take(load, zmq_msg_data(&frame), zmq_msg_size(&frame));
        } while (zmq_msg_recv(&frame, load->socket, ZMQ_DONTWAIT) >= 0);
    }
    zmq_msg_close(&frame);
}

static void set_int(void *socket, int option, int value)
{
    if (zmq_setsockopt(socket, option, &value, sizeof value) != 0) {
        tool_fail("zmq_setsockopt");
    }
}

static void open_socket(struct load *load, void *context)
{
    char endpoint[160];
    char identity[32];
    snprintf(endpoint, sizeof endpoint, "ipc://%s", load->options.socket_path);
    snprintf(identity, sizeof identity, "bench.%d", (int)getpid());
    load->socket = zmq_socket(context, ZMQ_DEALER);
    set_int(load->socket, ZMQ_LINGER, 0);
    set_int(load->socket, ZMQ_SNDHWM, 8192);
    set_int(load->socket, ZMQ_RCVHWM, 8192);
    set_int(load->socket, ZMQ_RCVTIMEO, SEQUENCER_SILENCE_MS);
    zmq_setsockopt(load->socket, ZMQ_ROUTING_ID, identity, strlen(identity));
    if (zmq_connect(load->socket, endpoint) != 0) {
        tool_fail(endpoint);
    }
}

static void read_options(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {{"socket", required_argument, NULL, 's'},
                                          {"runs", required_argument, NULL, 'r'},
                                          {"tenant", required_argument, NULL, 'T'},
                                          {"window", required_argument, NULL, 'n'},
                                          {"ms", required_argument, NULL, 't'},
                                          {"warmup-ms", required_argument, NULL, 'w'},
                                          {NULL, 0, NULL, 0}};
    int name;
    *options = (struct options){.window = 1024, .length_ms = 5000, .warmup_ms = 500};
    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (name) {
        case 's':
            options->socket_path = optarg;
            break;
        case 'r':
            options->runs_file = optarg;
            break;
        case 'T':
            options->tenant = optarg;
            break;
        case 'n':
            options->window = tool_number(optarg);
            break;
        case 't':
            options->length_ms = tool_number(optarg);
            break;
        case 'w':
            options->warmup_ms = tool_number(optarg);
            break;
        default:
            exit(2);
        }
    }
    if (options->socket_path == NULL || options->runs_file == NULL || options->tenant == NULL ||
        options->window < 1) {
        fprintf(stderr, "command_load: --socket, --runs and --tenant are needed\n");
        exit(2);
    }
}

static void parse_uuid(const char *text, struct uuid *out)
{
    errno = EINVAL;
    if (uuid_parse(text, strlen(text), out) != 0) {
        tool_fail(text);
    }
}

static void print(const struct load *load)
{
    double seconds = (double)load->options.length_ms / 1000.0;
    printf("{\"events\":%llu,\"events_all\":%llu,\"seconds\":%.3f,\"events_per_s\":%.1f,"
           "\"refused\":%llu,\"resent\":%llu,\"unanswered\":%llu,\"cpu_s\":%.3f,",
           (unsigned long long)load->acked, (unsigned long long)load->acked_all, seconds,
           (double)load->acked / seconds, (unsigned long long)load->refused,
           (unsigned long long)load->resent, (unsigned long long)(load->next - load->first),
           tool_cpu_s());
    latencies_print(&load->latencies, "");
    puts("}");
}

int main(int argc, char **argv)
{
    struct load load = {.random = (uint64_t)tool_real_us() | 1, .first = 1, .next = 1};
    read_options(&load.options, argc, argv);
    load.names = tool_read_runs(load.options.runs_file);
    load.runs = memory_array(load.names.count, sizeof *load.runs);
    for (size_t i = 0; i < load.names.count; i++) {
        parse_uuid(load.names.ids[i], &load.runs[i]);
    }
    parse_uuid(load.options.tenant, &load.tenant);
    load.origin = tool_random(&load.random) >> 1;
    load.stamp_at = tool_payload(load.payload);
    load.ring = memory_array((size_t)load.options.window, sizeof *load.ring);
    void *context = zmq_ctx_new();
    open_socket(&load, context);
    load.measure_from_us = tool_now_us() + load.options.warmup_ms * 1000;
    load.end_us = load.measure_from_us + load.options.length_ms * 1000;
    run(&load);
    print(&load);
    zmq_close(load.socket);
    zmq_ctx_term(context);
    return 0;
}
