/*
 * Enqueues jobs over HTTP: N keep-alive connections, closed loop, or with --rate so many POSTs a
 * second; each POST brings --batch jobs with keys of their own. The payload says when it was sent:
 * {"at": microseconds since 1970}. What is refused is sent again and counted.
 */
#include "tests/bench/histogram.h"
#include "tests/bench/http.h"
#include "tests/bench/tool.h"

#include "runtime/base/memory.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { REFUSED_MAX = 1000, PATH_BYTES = 80, PATIENCE_MS = 15000 };

struct options {
    const char *address;
    const char *key_file;
    const char *runs_file;
    const char *type;
    const char *queue;
    int64_t connections;
    int64_t batch;
    int64_t jobs; /* 0: as many as there is time for */
    int64_t length_ms;
    int64_t rate; /* POSTs a second; 0: closed loop */
};

struct producer {
    struct http http;
    struct load *load;
    struct buffer body;
    char path[PATH_BYTES];
    int64_t began_us;
};

struct load {
    struct options options;
    struct tool_runs runs;
    struct producer *producers;
    uint64_t number; /* of the next job: part of its key */
    uint64_t posts;
    uint64_t posts_max;
    uint64_t answered;
    uint64_t refused;
    int64_t start_us;
    int64_t end_us;
    int64_t due_us;
    int64_t last_us;
    struct latencies latencies;
};

static void add_job(struct load *load, struct buffer *body, int64_t now_us)
{
    buffer_printf(body,
                  "{\"job_type\":\"%s\",\"job_key\":\"%lld-%d-%llu\",\"queue\":\"%s\","
                  "\"payload\":{\"at\":%lld}}",
                  load->options.type, (long long)load->start_us, (int)getpid(),
                  (unsigned long long)load->number++, load->options.queue, (long long)now_us);
}

static void post(struct producer *producer)
{
    struct load *load = producer->load;
    size_t run = load->posts++ % load->runs.count;
    producer->began_us = tool_now_us();
    snprintf(producer->path, sizeof producer->path, "/api/v1/runs/%s/jobs", load->runs.ids[run]);
    buffer_clear(&producer->body);
    if (load->options.batch == 1) {
        add_job(load, &producer->body, tool_real_us());
    } else {
        for (int64_t i = 0; i < load->options.batch; i++) {
            buffer_append_text(&producer->body, i > 0 ? "," : "{\"jobs\":[");
            add_job(load, &producer->body, tool_real_us());
        }
        buffer_append_text(&producer->body, "]}");
    }
    http_post(&producer->http, producer->path, producer->body.data, producer->body.length);
}

/* Whether a connection that is free is to send now. */
static bool is_due(struct load *load)
{
    int64_t now_us = tool_now_us();
    if (now_us >= load->end_us || load->posts >= load->posts_max) {
        return false;
    }
    if (load->options.rate > 0) {
        if (load->due_us > now_us) {
            return false;
        }
        load->due_us += 1000000 / load->options.rate;
    }
    return true;
}

static void answered(struct http *http, int status, const char *body, size_t length)
{
    struct producer *producer = http->arg;
    struct load *load = producer->load;
    (void)length;
    if (status != 201 && status != 200) {
        if (++load->refused > REFUSED_MAX) {
            fprintf(stderr, "job_load: refused: %d %.300s\n", status, body);
            exit(1);
        }
        http_post(http, producer->path, producer->body.data, producer->body.length);
        return;
    }
    load->answered++;
    load->last_us = tool_now_us();
    latencies_add(&load->latencies, load->last_us - producer->began_us);
    if (is_due(load)) {
        post(producer);
    }
}

static void send_due(struct load *load)
{
    for (int64_t i = 0; i < load->options.connections; i++) {
        struct producer *producer = &load->producers[i];
        if (!producer->http.waiting && is_due(load)) {
            post(producer);
        }
    }
}

static int wait_ms(const struct load *load)
{
    int64_t left_us = load->due_us - tool_now_us();
    return load->options.rate == 0 || load->posts >= load->posts_max ? 100
           : left_us <= 0                                            ? 0
                                                                     : (int)(left_us / 1000) + 1;
}

static void run(struct load *load)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct http like = http_template(epoll, load->options.address, load->options.key_file);
    load->producers = memory_array((size_t)load->options.connections, sizeof *load->producers);
    load->start_us = tool_now_us();
    load->due_us = load->start_us;
    load->end_us = load->start_us + load->options.length_ms * 1000;
    for (int64_t i = 0; i < load->options.connections; i++) {
        load->producers[i].load = load;
        http_open(&load->producers[i].http, &like, answered, &load->producers[i]);
    }
    int64_t patience_us = load->end_us + PATIENCE_MS * 1000LL;
    while (((tool_now_us() < load->end_us && load->posts < load->posts_max) ||
            load->answered < load->posts) &&
           tool_now_us() < patience_us) {
        send_due(load);
        http_turn(epoll, wait_ms(load));
    }
}

static void print(const struct load *load)
{
    double seconds = (double)(load->last_us - load->start_us) / 1e6;
    double jobs = (double)load->answered * (double)load->options.batch;
    printf("{\"jobs\":%.0f,\"seconds\":%.3f,\"jobs_per_s\":%.1f,\"refused\":%llu,"
           "\"unanswered\":%llu,\"cpu_s\":%.3f,",
           jobs, seconds, jobs / seconds, (unsigned long long)load->refused,
           (unsigned long long)(load->posts - load->answered), tool_cpu_s());
    latencies_print(&load->latencies, "");
    puts("}");
}

static void read_options(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {{"address", required_argument, NULL, 'a'},
                                          {"key-file", required_argument, NULL, 'k'},
                                          {"runs", required_argument, NULL, 'r'},
                                          {"type", required_argument, NULL, 'T'},
                                          {"queue", required_argument, NULL, 'q'},
                                          {"connections", required_argument, NULL, 'c'},
                                          {"batch", required_argument, NULL, 'b'},
                                          {"jobs", required_argument, NULL, 'n'},
                                          {"ms", required_argument, NULL, 't'},
                                          {"rate", required_argument, NULL, 'R'},
                                          {NULL, 0, NULL, 0}};
    const char **texts[] = {['a'] = &options->address,
                            ['k'] = &options->key_file,
                            ['r'] = &options->runs_file,
                            ['T'] = &options->type,
                            ['q'] = &options->queue};
    int64_t *numbers[] = {['c'] = &options->connections,
                          ['b'] = &options->batch,
                          ['n'] = &options->jobs,
                          ['t'] = &options->length_ms,
                          ['R'] = &options->rate};
    int name;
    *options = (struct options){
        .type = "noop", .queue = "default", .connections = 1, .batch = 1, .length_ms = 5000};
    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (name < (int)(sizeof texts / sizeof texts[0]) && texts[name] != NULL) {
            *texts[name] = optarg;
        } else if (name < (int)(sizeof numbers / sizeof numbers[0]) && numbers[name] != NULL) {
            *numbers[name] = tool_number(optarg);
        } else {
            exit(2);
        }
    }
    if (options->address == NULL || options->key_file == NULL || options->runs_file == NULL ||
        options->connections < 1 || options->batch < 1 || options->jobs % options->batch != 0) {
        fprintf(stderr, "job_load: --address, --key-file and --runs are needed; --batch divides"
                        " --jobs\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct load load = {0};
    read_options(&load.options, argc, argv);
    load.posts_max =
        load.options.jobs > 0 ? (uint64_t)(load.options.jobs / load.options.batch) : UINT64_MAX;
    load.runs = tool_read_runs(load.options.runs_file);
    tool_raise_files();
    run(&load);
    print(&load);
    return 0;
}
