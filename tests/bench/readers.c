/*
 * Readers over SSE: N streams on one epoll loop. Checks that every reader sees dense seqs, counts
 * deliveries, and takes the latency of each from the time stamp in the benchmark's payload (sent to
 * read) and from the event's own ts (accepted to read; the commit lies between).
 *
 * With --feed the readers follow the tenant's feed from its end on; their "seq" is then the number
 * of events they have seen.
 *
 * Prints "ready" when every stream has answered. A number on stdin is the seq that every reader is
 * to reach (30 s at most); it, or the end of stdin, ends the tool with its numbers.
 */
#include "tests/bench/histogram.h"
#include "tests/bench/tool.h"

#include "runtime/base/buffer.h"
#include "runtime/base/memory.h"
#include "runtime/base/number.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { READERS_FRAMING_BYTES = 80, READERS_LINE_BYTES = 320, READERS_CHUNK_BYTES = 256 << 10 };
enum { READERS_PATIENCE_US = 30000000 };

enum part { HEAD, CHUNK_SIZE, CHUNK_BODY, CHUNK_END };

struct reader {
    int fd;
    bool asked;
    bool open; /* the head was a 200 */
    enum part part;
    size_t chunk_left;
    char framing[READERS_FRAMING_BYTES]; /* of the current line of the head or a chunk's size */
    size_t framing_length;
    char line[READERS_LINE_BYTES]; /* beginning of the current line of the stream */
    size_t line_length;
    int64_t last_seq; /* -1: none yet */
    size_t run;
};

struct readers {
    struct tool_address address;
    const char *host;
    const char *key;
    struct tool_runs runs;
    bool feed; /* the tenant's, instead of runs */
    struct reader *all;
    int64_t count;
    int64_t open_count;
    int epoll;
    uint64_t deliveries;
    uint64_t bytes;
    uint64_t broken; /* streams that ended or answered badly */
    uint64_t gaps;
    int64_t wanted_seq; /* -1: not told yet */
    int64_t patience_us;
    int64_t first_us;
    int64_t last_us;
    struct latencies since_sent;
    struct latencies since_ts;
};

static void send_request(struct readers *readers, struct reader *reader)
{
    struct buffer request = {0};
    if (readers->feed) {
        buffer_append_text(&request, "GET /api/v1/stream?from=latest");
    } else {
        buffer_printf(&request, "GET /api/v1/runs/%s/stream", readers->runs.ids[reader->run]);
    }
    buffer_printf(&request,
                  " HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"
                  "Accept: text/event-stream\r\n\r\n",
                  readers->host, readers->key);
    if (send(reader->fd, request.data, request.length, MSG_NOSIGNAL) != (ssize_t)request.length) {
        tool_fail("send");
    }
    buffer_deinit(&request);
    reader->asked = true;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = reader};
    epoll_ctl(readers->epoll, EPOLL_CTL_MOD, reader->fd, &event);
}

static void lose(struct readers *readers, struct reader *reader)
{
    close(reader->fd);
    reader->fd = -1;
    readers->broken++;
}

static void note_event(struct readers *readers, struct reader *reader, int64_t now_us)
{
    reader->line[reader->line_length] = '\0';
    const char *stamp = strstr(reader->line, "\"delta\":\"" TOOL_STAMP);
    const char *ts = strstr(reader->line, "\"ts\":\"");
    int64_t sent_us;
    int64_t fraction_us;
    readers->deliveries++;
    readers->first_us = readers->first_us == 0 ? now_us : readers->first_us;
    readers->last_us = now_us;
    if (stamp != NULL && number_parse(stamp + 11, TOOL_STAMP_DIGITS, &sent_us) == 0) {
        latencies_add(&readers->since_sent, now_us - sent_us);
    }
    if (ts != NULL && strlen(ts) > 33 && number_parse(ts + 26, 6, &fraction_us) == 0) {
        /* Only the second's fraction is needed: what is measured is far below a second. */
        int64_t real_us = tool_real_us() % 1000000;
        latencies_add(&readers->since_ts, (real_us - fraction_us + 1000000) % 1000000);
    }
}

static void take_line(struct readers *readers, struct reader *reader, int64_t now_us)
{
    int64_t seq;
    if (readers->feed && reader->line_length > 4 && memcmp(reader->line, "id: ", 4) == 0) {
        reader->last_seq = reader->last_seq < 0 ? 1 : reader->last_seq + 1;
    } else if (reader->line_length > 4 && memcmp(reader->line, "id: ", 4) == 0) {
        if (number_parse(reader->line + 4, reader->line_length - 4, &seq) != 0 ||
            (reader->last_seq >= 0 && seq != reader->last_seq + 1)) {
            readers->gaps++;
        }
        reader->last_seq = seq;
    } else if (reader->line_length > 20 && memcmp(reader->line, "data: {\"run_id", 14) == 0) {
        note_event(readers, reader, now_us);
    }
    reader->line_length = 0;
}

static void take_body(struct readers *readers, struct reader *reader, const char *at, size_t length,
                      int64_t now_us)
{
    const char *end = at + length;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t now = (size_t)((stop != NULL ? stop : end) - at);
        size_t room = READERS_LINE_BYTES - 1 - reader->line_length;
        memcpy(reader->line + reader->line_length, at, now < room ? now : room);
        reader->line_length += now < room ? now : room;
        if (stop == NULL) {
            return;
        }
        take_line(readers, reader, now_us);
        at = stop + 1;
    }
}

static size_t hex_number(const char *text)
{
    size_t value = 0;
    for (; isxdigit((unsigned char)*text); text++) {
        int digit = isdigit((unsigned char)*text) ? *text - '0' : (*text | 0x20) - 'a' + 10;
        value = value * 16 + (size_t)digit;
    }
    return value;
}

/* A line of the head or of the chunk framing, without its line end. */
static void take_framing(struct readers *readers, struct reader *reader)
{
    reader->framing[reader->framing_length] = '\0';
    if (reader->part == HEAD) {
        if (strncmp(reader->framing, "HTTP/1.1 200", 12) == 0) {
            reader->open = true;
            readers->open_count++;
        }
        reader->part = reader->framing_length == 0 ? CHUNK_SIZE : HEAD;
    } else if (reader->part == CHUNK_SIZE) {
        reader->chunk_left = hex_number(reader->framing);
        reader->part = CHUNK_BODY;
    } else {
        reader->part = CHUNK_SIZE;
    }
    reader->framing_length = 0;
}

/* Appends to the framing line what belongs to it; returns how many bytes were used. */
static size_t framing_bytes(struct readers *readers, struct reader *reader, const char *at,
                            size_t length)
{
    const char *stop = memchr(at, '\n', length);
    size_t used = stop != NULL ? (size_t)(stop + 1 - at) : length;
    size_t room = READERS_FRAMING_BYTES - 1 - reader->framing_length;
    memcpy(reader->framing + reader->framing_length, at, used < room ? used : room);
    reader->framing_length += used < room ? used : room;
    if (stop != NULL) {
        while (reader->framing_length > 0 && reader->framing[reader->framing_length - 1] < ' ') {
            reader->framing_length--;
        }
        take_framing(readers, reader);
    }
    return used;
}

static void take_bytes(struct readers *readers, struct reader *reader, const char *at,
                       size_t length)
{
    int64_t now_us = tool_now_us();
    const char *end = at + length;
    while (at < end) {
        size_t left = (size_t)(end - at);
        if (reader->part != CHUNK_BODY) {
            at += framing_bytes(readers, reader, at, left);
            continue;
        }
        size_t now = left < reader->chunk_left ? left : reader->chunk_left;
        take_body(readers, reader, at, now, now_us);
        at += now;
        reader->chunk_left -= now;
        reader->part = reader->chunk_left > 0 ? CHUNK_BODY : CHUNK_END;
    }
}

static void receive(struct readers *readers, struct reader *reader)
{
    static char bytes[READERS_CHUNK_BYTES];
    ssize_t length = recv(reader->fd, bytes, sizeof bytes, 0);
    if (length == 0 || (length < 0 && errno != EAGAIN)) {
        lose(readers, reader);
    } else if (length > 0) {
        readers->bytes += (uint64_t)length;
        take_bytes(readers, reader, bytes, (size_t)length);
    }
}

/* False when stdin has ended without a word. */
static bool take_order(struct readers *readers)
{
    char line[32];
    ssize_t length = read(STDIN_FILENO, line, sizeof line);
    if (length <= 0) {
        return false;
    }
    if (number_parse(line, strcspn(line, "\n"), &readers->wanted_seq) != 0) {
        tool_fail("a seq is expected on stdin");
    }
    readers->patience_us = tool_now_us() + READERS_PATIENCE_US;
    epoll_ctl(readers->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
    return true;
}

static bool complete(const struct readers *readers)
{
    if (readers->wanted_seq < 0) {
        return false;
    }
    if (tool_now_us() > readers->patience_us) {
        return true;
    }
    for (int64_t i = 0; i < readers->count; i++) {
        if (readers->all[i].fd >= 0 && readers->all[i].last_seq < readers->wanted_seq) {
            return false;
        }
    }
    return true;
}

/* One turn of the loop. False when stdin has ended. */
static bool turn(struct readers *readers)
{
    struct epoll_event events[256];
    int ready = epoll_wait(readers->epoll, events, 256, 100);
    for (int i = 0; i < ready; i++) {
        struct reader *reader = events[i].data.ptr;
        if (reader == NULL) {
            if (!take_order(readers)) {
                return false;
            }
        } else if (reader->fd >= 0 && !reader->asked) {
            send_request(readers, reader);
        } else if (reader->fd >= 0) {
            receive(readers, reader);
        }
    }
    return true;
}

static void connect_all(struct readers *readers)
{
    int64_t patience_us = tool_now_us() + 60000000;
    for (int64_t i = 0; i < readers->count; i++) {
        struct reader *reader = &readers->all[i];
        struct epoll_event event = {.events = EPOLLOUT, .data.ptr = reader};
        *reader = (struct reader){.fd = tool_connect(&readers->address),
                                  .last_seq = -1,
                                  .run = readers->feed ? 0 : (size_t)i % readers->runs.count};
        epoll_ctl(readers->epoll, EPOLL_CTL_ADD, reader->fd, &event);
        while (i - readers->open_count > 256 && tool_now_us() < patience_us) {
            turn(readers); /* not more at once than a backlog takes */
        }
    }
    while (readers->open_count + (int64_t)readers->broken < readers->count &&
           tool_now_us() < patience_us) {
        turn(readers);
    }
}

static void print(const struct readers *readers)
{
    double seconds = (double)(readers->last_us - readers->first_us) / 1e6;
    int64_t lowest = INT64_MAX;
    int64_t highest = -1;
    for (int64_t i = 0; i < readers->count; i++) {
        int64_t last = readers->all[i].last_seq;
        lowest = last < lowest ? last : lowest;
        highest = last > highest ? last : highest;
    }
    printf("{\"readers\":%lld,\"open\":%lld,\"broken\":%llu,\"gaps\":%llu,"
           "\"deliveries\":%llu,\"bytes\":%llu,\"seconds\":%.3f,\"deliveries_per_s\":%.1f,"
           "\"lowest_seq\":%lld,\"highest_seq\":%lld,\"cpu_s\":%.3f,",
           (long long)readers->count, (long long)readers->open_count,
           (unsigned long long)readers->broken, (unsigned long long)readers->gaps,
           (unsigned long long)readers->deliveries, (unsigned long long)readers->bytes, seconds,
           seconds > 0 ? (double)readers->deliveries / seconds : 0.0, (long long)lowest,
           (long long)highest, tool_cpu_s());
    latencies_print(&readers->since_sent, "sent_");
    printf(",");
    latencies_print(&readers->since_ts, "ts_");
    puts("}");
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"address", required_argument, NULL, 'a'}, {"key-file", required_argument, NULL, 'k'},
        {"runs", required_argument, NULL, 'r'},    {"readers", required_argument, NULL, 'n'},
        {"feed", no_argument, NULL, 'f'},          {NULL, 0, NULL, 0}};
    struct readers readers = {.count = 1, .wanted_seq = -1};
    const char *key_file = NULL;
    const char *runs_file = NULL;
    int name;
    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (name) {
        case 'a':
            readers.host = optarg;
            break;
        case 'k':
            key_file = optarg;
            break;
        case 'r':
            runs_file = optarg;
            break;
        case 'f':
            readers.feed = true;
            break;
        case 'n':
            readers.count = tool_number(optarg);
            break;
        default:
            return 2;
        }
    }
    if (readers.host == NULL || key_file == NULL || (runs_file == NULL && !readers.feed) ||
        readers.count < 1) {
        fprintf(stderr, "readers: --address, --key-file and --runs or --feed are needed\n");
        return 2;
    }
    readers.address = tool_resolve(readers.host);
    readers.key = tool_read_line(key_file);
    if (!readers.feed) {
        readers.runs = tool_read_runs(runs_file);
    }
    tool_raise_files();
    readers.epoll = epoll_create1(EPOLL_CLOEXEC);
    readers.all = memory_array((size_t)readers.count, sizeof *readers.all);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(readers.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0) {
        tool_fail("stdin must be a pipe");
    }
    connect_all(&readers);
    puts("ready");
    fflush(stdout);
    while (turn(&readers) && !complete(&readers)) {
    }
    print(&readers);
    return 0;
}
