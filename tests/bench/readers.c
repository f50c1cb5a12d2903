/*
 * Readers over SSE, of our server or of another: N streams on one epoll loop. Counts deliveries,
 * what was lost and what came twice, and takes the latency of each from the time stamp in the
 * benchmark's payload (sent to read), from the event's own ts (accepted to read; the commit lies
 * between), and with --notices from the sequencer's notice on the bus.
 *
 * The place of an event is its `id:`; with --feed (the tenant's feed from its end on) and --count
 * the number of events seen so far; with --data the "seq" in the data. --path is what another
 * server has in place of our routes: the name of a run is appended.
 *
 * --stalled: so many readers more, with the smallest receive buffer, that take nothing. --life-ms
 * and --absence-ms: every reader leaves again and again and comes back with its Last-Event-ID.
 * --burst: all connect at once. --sources: from so many addresses of the loopback net.
 *
 * Prints "ready" when every stream has answered. A number on stdin is the place that every reader
 * is to reach, one with a + before it how much is to be delivered to all of them together (until
 * nothing comes any more); it, or the end of stdin, ends the tool with its numbers. With --hold it
 * prints "complete" then, and stays until stdin ends.
 */
#include "tests/bench/histogram.h"
#include "tests/bench/notices.h"
#include "tests/bench/sse.h"
#include "tests/bench/tool.h"

#include "runtime/base/buffer.h"
#include "runtime/base/memory.h"
#include "runtime/base/number.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    READERS_CHUNK_BYTES = 256 << 10,
    READERS_SILENCE_US = 5000000, /* so long nothing comes: it was all */
    READERS_OPEN_US = 20000000,
    READERS_ID_BYTES = 64,
    READERS_TURN_MS = 5,
    READERS_STALLED_BUFFER = 4096
};

enum place { PLACE_ID, PLACE_COUNT, PLACE_DATA };

struct options {
    const char *address;
    const char *key_file;
    const char *runs_file;
    const char *path;
    const char *notices;
    int64_t readers;
    int64_t stalled;
    int64_t sources;
    int64_t life_ms;
    int64_t absence_ms;
    int64_t after; /* the seq a run's readers know already */
    enum place place;
    bool feed;
    bool burst;
    bool hold;
};

struct reader {
    struct readers *readers;
    int fd; /* -1: away, or lost */
    bool asked;
    bool stalled;
    struct sse sse;
    int64_t last_seq; /* -1: none yet */
    size_t run;
    int64_t due_us; /* when it leaves or comes back */
    char id[READERS_ID_BYTES];
};

struct readers {
    struct options options;
    struct tool_address address;
    struct notices *notices;
    const char *key;
    struct tool_runs runs;
    struct reader *all;
    int64_t count; /* with the stalled */
    int64_t open_count;
    int64_t opened_us;
    int64_t wanted_seq;        /* -1: not told yet */
    int64_t wanted_deliveries; /* the same; or this */
    int64_t heard_us;
    bool wandering;
    int epoll;
    uint64_t random;
    uint64_t deliveries;
    uint64_t bytes;
    uint64_t broken; /* streams that ended or answered badly */
    uint64_t lost;
    uint64_t doubled;
    uint64_t returns;
    int64_t first_us;
    int64_t last_us;
    struct latencies since_sent;
    struct latencies since_ts;
    struct latencies since_notice;
};

/* ---- one connection ---- */

static void send_request(struct readers *readers, struct reader *reader)
{
    const struct options *options = &readers->options;
    struct buffer request = {0};
    const char *run = options->feed ? "" : readers->runs.ids[reader->run];
    if (options->path != NULL) {
        buffer_printf(&request, "GET %s%s", options->path, run);
    } else if (options->feed) {
        buffer_append_text(&request, "GET /api/v1/stream?from=latest");
    } else {
        buffer_printf(&request, "GET /api/v1/runs/%s/stream?after_seq=%lld", run,
                      (long long)options->after);
    }
    buffer_printf(&request, " HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n",
                  options->address);
    if (readers->key != NULL) {
        buffer_printf(&request, "Authorization: Bearer %s\r\n", readers->key);
    }
    if (reader->id[0] != '\0') {
        buffer_printf(&request, "Last-Event-ID: %s\r\n", reader->id);
    }
    buffer_append_text(&request, "\r\n");
    if (send(reader->fd, request.data, request.length, MSG_NOSIGNAL) != (ssize_t)request.length &&
        errno != ECONNRESET && errno != EPIPE && errno != ECONNREFUSED) {
        tool_fail("send");
    }
    buffer_deinit(&request);
    reader->asked = true;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = reader};
    epoll_ctl(readers->epoll, EPOLL_CTL_MOD, reader->fd, &event);
}

static void come(struct readers *readers, struct reader *reader)
{
    const struct options *options = &readers->options;
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = reader};
    int64_t index = reader - readers->all;
    reader->fd = tool_connect_from(&readers->address,
                                   options->sources > 0 ? (int)(index % options->sources) + 2 : 0,
                                   reader->stalled ? READERS_STALLED_BUFFER : 0);
    reader->sse = (struct sse){0};
    reader->asked = false;
    reader->due_us =
        tool_now_us() + 1000 * (options->life_ms / 2 + (int64_t)(tool_random(&readers->random) %
                                                                 (uint64_t)(options->life_ms + 1)));
    epoll_ctl(readers->epoll, EPOLL_CTL_ADD, reader->fd, &event);
}

static void lose(struct readers *readers, struct reader *reader)
{
    close(reader->fd);
    reader->fd = -1;
    readers->broken++;
}

/* ---- what comes ---- */

static int64_t seq_in_data(const struct reader *reader)
{
    const char *at = strstr(reader->sse.line, "\"seq\":");
    int64_t seq;
    size_t digits = at == NULL ? 0 : strspn(at + 6, "0123456789");
    return digits > 0 && number_parse(at + 6, digits, &seq) == 0 ? seq : -1;
}

static void note_place(struct readers *readers, struct reader *reader, int64_t seq)
{
    if (reader->last_seq >= 0 && seq <= reader->last_seq) {
        readers->doubled++;
        return;
    }
    if (reader->last_seq >= 0) {
        readers->lost += (uint64_t)(seq - reader->last_seq - 1);
    }
    reader->last_seq = seq;
}

static void note_event(struct readers *readers, struct reader *reader)
{
    const char *stamp = strstr(reader->sse.line, "\"delta\":\"" TOOL_STAMP);
    const char *ts = strstr(reader->sse.line, "\"ts\":\"");
    int64_t now_us = tool_now_us();
    int64_t sent_us;
    int64_t fraction_us;
    readers->deliveries++;
    readers->first_us = readers->first_us == 0 ? now_us : readers->first_us;
    readers->last_us = now_us;
    if (stamp != NULL && number_parse(stamp + 11, TOOL_STAMP_DIGITS, &sent_us) == 0) {
        latencies_add(&readers->since_sent, now_us - sent_us);
        if (readers->notices != NULL) {
            int64_t notice_us = notices_at(readers->notices, reader->last_seq);
            latencies_add(&readers->since_notice, notice_us == 0 ? 0 : now_us - notice_us);
        }
    }
    if (ts != NULL && strlen(ts) > 33 && number_parse(ts + 26, 6, &fraction_us) == 0) {
        /* Only the second's fraction is needed: what is measured is far below a second. */
        int64_t real_us = tool_real_us() % 1000000;
        latencies_add(&readers->since_ts, (real_us - fraction_us + 1000000) % 1000000);
    }
}

static void take_id(struct readers *readers, struct reader *reader, const char *id)
{
    int64_t seq;
    snprintf(reader->id, sizeof reader->id, "%s", id);
    if (readers->options.place == PLACE_ID) {
        if (number_parse(id, strlen(id), &seq) != 0) {
            tool_fail("an id that is no number");
        }
        note_place(readers, reader, seq);
    }
}

static void on_line(void *arg, struct sse *sse)
{
    struct reader *reader = arg;
    struct readers *readers = reader->readers;
    if (sse->line_length > 0 && sse->line[sse->line_length - 1] == '\r') {
        sse->line[--sse->line_length] = '\0';
    }
    if (strncmp(sse->line, "id: ", 4) == 0) {
        take_id(readers, reader, sse->line + 4);
    } else if (strncmp(sse->line, "data: {\"run_id", 14) == 0) {
        if (readers->options.place == PLACE_COUNT) {
            note_place(readers, reader, reader->last_seq < 0 ? 1 : reader->last_seq + 1);
        } else if (readers->options.place == PLACE_DATA) {
            note_place(readers, reader, seq_in_data(reader));
        }
        note_event(readers, reader);
    }
}

static void receive(struct readers *readers, struct reader *reader)
{
    static char bytes[READERS_CHUNK_BYTES];
    bool was_open = reader->sse.open;
    if (reader->stalled && was_open) {
        struct epoll_event nothing = {.data.ptr = reader};
        epoll_ctl(readers->epoll, EPOLL_CTL_MOD, reader->fd, &nothing);
        return;
    }
    ssize_t length = recv(reader->fd, bytes, reader->stalled ? 512 : sizeof bytes, 0);
    if (length == 0 || (length < 0 && errno != EAGAIN)) {
        lose(readers, reader);
    } else if (length > 0) {
        readers->bytes += (uint64_t)length;
        readers->heard_us = tool_now_us();
        sse_take(&reader->sse, bytes, (size_t)length, on_line, reader);
        readers->open_count += !was_open && reader->sse.open;
    }
}

/* ---- the loop ---- */

/* False when stdin has ended without a word. */
static bool take_order(struct readers *readers)
{
    char line[32] = {0};
    ssize_t length = read(STDIN_FILENO, line, sizeof line - 1);
    if (length <= 0) {
        return false;
    }
    const char *number = line[0] == '+' ? line + 1 : line;
    int64_t *wanted = line[0] == '+' ? &readers->wanted_deliveries : &readers->wanted_seq;
    if (number_parse(number, strcspn(number, "\n"), wanted) != 0) {
        tool_fail("a seq or a sum is expected on stdin");
    }
    readers->heard_us = tool_now_us();
    if (!readers->options.hold) {
        epoll_ctl(readers->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
    }
    return true;
}

static bool complete(const struct readers *readers)
{
    if (readers->wanted_seq < 0 && readers->wanted_deliveries < 0) {
        return false;
    }
    if (tool_now_us() - readers->heard_us > READERS_SILENCE_US) {
        return true;
    }
    if (readers->wanted_deliveries >= 0) {
        return readers->deliveries >= (uint64_t)readers->wanted_deliveries;
    }
    for (int64_t i = 0; i < readers->count; i++) {
        const struct reader *reader = &readers->all[i];
        bool gone = reader->fd < 0 && readers->options.life_ms == 0;
        if (!reader->stalled && !gone && reader->last_seq < readers->wanted_seq) {
            return false;
        }
    }
    return true;
}

/* Readers that leave and those that come back. Once the end is known nobody leaves any more. */
static void wander(struct readers *readers)
{
    int64_t now_us = tool_now_us();
    for (int64_t i = 0; i < readers->count; i++) {
        struct reader *reader = &readers->all[i];
        if (now_us < reader->due_us) {
            continue;
        }
        if (reader->fd < 0) {
            readers->returns++;
            come(readers, reader);
        } else if (readers->wanted_seq < 0 && reader->sse.open) {
            close(reader->fd);
            reader->fd = -1;
            reader->due_us = now_us + readers->options.absence_ms * 1000;
        }
    }
}

/* One turn of the loop. False when stdin has ended. */
static bool turn(struct readers *readers)
{
    struct epoll_event events[256];
    int ready = epoll_wait(readers->epoll, events, 256, readers->wandering ? READERS_TURN_MS : 100);
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
    if (readers->wandering) {
        wander(readers);
    }
    return true;
}

static void connect_all(struct readers *readers)
{
    int64_t began_us = tool_now_us();
    int64_t patience_us = began_us + READERS_OPEN_US;
    for (int64_t i = 0; i < readers->count; i++) {
        readers->all[i] =
            (struct reader){.readers = readers,
                            .last_seq = -1,
                            .stalled = i >= readers->options.readers,
                            .run = readers->options.feed ? 0 : (size_t)i % readers->runs.count};
        come(readers, &readers->all[i]);
        while (!readers->options.burst && i - readers->open_count > 256 &&
               tool_now_us() < patience_us) {
            turn(readers); /* not more at once than a backlog takes */
        }
    }
    while (readers->open_count + (int64_t)readers->broken < readers->count &&
           tool_now_us() < patience_us) {
        turn(readers);
    }
    readers->opened_us = tool_now_us() - began_us;
    readers->wandering = readers->options.life_ms > 0;
}

static void print(const struct readers *readers)
{
    double seconds = (double)(readers->last_us - readers->first_us) / 1e6;
    int64_t lowest = INT64_MAX;
    int64_t highest = -1;
    for (int64_t i = 0; i < readers->options.readers; i++) {
        int64_t last = readers->all[i].last_seq;
        lowest = last < lowest ? last : lowest;
        highest = last > highest ? last : highest;
    }
    printf("{\"readers\":%lld,\"open\":%lld,\"opened_s\":%.4f,\"broken\":%llu,\"lost\":%llu,"
           "\"doubled\":%llu,\"returns\":%llu,\"deliveries\":%llu,\"bytes\":%llu,"
           "\"seconds\":%.3f,\"deliveries_per_s\":%.1f,"
           "\"lowest_seq\":%lld,\"highest_seq\":%lld,\"cpu_s\":%.3f,",
           (long long)readers->count, (long long)readers->open_count,
           (double)readers->opened_us / 1e6, (unsigned long long)readers->broken,
           (unsigned long long)readers->lost, (unsigned long long)readers->doubled,
           (unsigned long long)readers->returns, (unsigned long long)readers->deliveries,
           (unsigned long long)readers->bytes, seconds,
           seconds > 0 ? (double)readers->deliveries / seconds : 0.0, (long long)lowest,
           (long long)highest, tool_cpu_s());
    latencies_print(&readers->since_sent, "sent_");
    printf(",");
    latencies_print(&readers->since_notice, "notice_");
    printf(",");
    latencies_print(&readers->since_ts, "ts_");
    puts("}");
}

/* ---- start ---- */

static void read_options(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {{"address", required_argument, NULL, 'a'},
                                          {"key-file", required_argument, NULL, 'k'},
                                          {"runs", required_argument, NULL, 'r'},
                                          {"readers", required_argument, NULL, 'n'},
                                          {"path", required_argument, NULL, 'p'},
                                          {"notices", required_argument, NULL, 'N'},
                                          {"stalled", required_argument, NULL, 's'},
                                          {"sources", required_argument, NULL, 'S'},
                                          {"life-ms", required_argument, NULL, 'l'},
                                          {"absence-ms", required_argument, NULL, 'A'},
                                          {"feed", no_argument, NULL, 'f'},
                                          {"burst", no_argument, NULL, 'b'},
                                          {"hold", no_argument, NULL, 'h'},
                                          {"count", no_argument, NULL, 'c'},
                                          {"data", no_argument, NULL, 'd'},
                                          {"after", required_argument, NULL, 'o'},
                                          {NULL, 0, NULL, 0}};
    const char **const texts[] = {['a'] = &options->address,
                                  ['k'] = &options->key_file,
                                  ['r'] = &options->runs_file,
                                  ['p'] = &options->path,
                                  ['N'] = &options->notices};
    int64_t *const numbers[] = {
        ['n'] = &options->readers, ['s'] = &options->stalled,    ['S'] = &options->sources,
        ['l'] = &options->life_ms, ['A'] = &options->absence_ms, ['o'] = &options->after};
    int name;
    *options = (struct options){.readers = 1};
    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        size_t at = (size_t)name;
        if (at < sizeof texts / sizeof texts[0] && texts[at] != NULL) {
            *texts[at] = optarg;
        } else if (at < sizeof numbers / sizeof numbers[0] && numbers[at] != NULL) {
            *numbers[at] = tool_number(optarg);
        } else if (name == 'f' || name == 'c' || name == 'd') {
            options->feed = name == 'f';
            options->place = name == 'd' ? PLACE_DATA : PLACE_COUNT;
        } else if (name == 'b') {
            options->burst = true;
        } else if (name == 'h') {
            options->hold = true;
        } else {
            exit(2);
        }
    }
    if (options->address == NULL || (options->runs_file == NULL && !options->feed) ||
        (options->key_file == NULL && options->path == NULL) || options->readers < 1) {
        fprintf(stderr, "readers: --address, --key-file and --runs or --feed are needed\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    static struct readers readers = {.wanted_seq = -1, .wanted_deliveries = -1};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    struct options *options = &readers.options;
    read_options(options, argc, argv);
    readers.address = tool_resolve(options->address);
    readers.random = (uint64_t)tool_real_us() | 1;
    readers.key = options->key_file != NULL ? tool_read_line(options->key_file) : NULL;
    if (!options->feed) {
        readers.runs = tool_read_runs(options->runs_file);
    }
    if (options->notices != NULL) {
        readers.notices = notices_start(options->notices, readers.runs.ids[0]);
    }
    tool_raise_files();
    readers.epoll = epoll_create1(EPOLL_CLOEXEC);
    readers.count = options->readers + options->stalled;
    readers.all = memory_array((size_t)readers.count, sizeof *readers.all);
    if (epoll_ctl(readers.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0) {
        tool_fail("stdin must be a pipe");
    }
    connect_all(&readers);
    puts("ready");
    fflush(stdout);
    bool goes_on = true;
    while (goes_on && !complete(&readers)) {
        goes_on = turn(&readers);
    }
    if (goes_on && options->hold) {
        puts("complete");
        fflush(stdout);
        while (turn(&readers)) {
        }
    }
    print(&readers);
    return 0;
}
