/*
 * External workers over HTTP: N keep-alive connections; each claims up to --max jobs with a long
 * poll, completes them one by one, and claims again. Prints "ready" when all have asked; ends after
 * --jobs completions, without that when stdin closes, and at the latest after --ms.
 *
 * Latency: from the "at" of the payload (job_load) to the answer of the claim.
 */
#include "tests/bench/histogram.h"
#include "tests/bench/http.h"
#include "tests/bench/tool.h"

#include "runtime/base/memory.h"
#include "runtime/base/number.h"

#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { UUID_TEXT = 36, PATH_BYTES = 80, HELD_MAX = 100, SETTLE_MS = 300 };

struct options {
    const char *address;
    const char *key_file;
    const char *type;
    const char *queue;
    int64_t connections;
    int64_t max;
    int64_t jobs;
    int64_t length_ms;
    int64_t wait_ms;
};

struct held {
    char id[UUID_TEXT + 1];
    char token[UUID_TEXT + 1];
};

struct worker {
    struct http http;
    struct crew *crew;
    int64_t number;
    struct held held[HELD_MAX]; /* claimed, to be completed from the last to the first */
    size_t held_count;
    bool completing;
};

struct crew {
    struct options options;
    struct worker *workers;
    uint64_t claims; /* answers */
    uint64_t empty;
    uint64_t done;
    uint64_t lost;
    int64_t first_us;
    int64_t last_us;
    struct latencies latencies;
};

_Noreturn static void refuse(int status, const char *body)
{
    fprintf(stderr, "job_workers: %d %.300s\n", status, body);
    exit(1);
}

static void claim(struct worker *worker)
{
    const struct options *options = &worker->crew->options;
    char body[400];
    int length = snprintf(
        body, sizeof body,
        "{\"queues\":[\"%s\"],\"job_types\":[\"%s\"],\"max\":%lld,\"worker\":\"bench-%lld\","
        "\"wait_ms\":%lld,\"lease_ms\":60000}",
        options->queue, options->type, (long long)options->max, (long long)worker->number,
        (long long)options->wait_ms);
    worker->completing = false;
    http_post(&worker->http, "/api/v1/jobs/claim", body, (size_t)length);
}

static void complete(struct worker *worker)
{
    const struct held *held = &worker->held[--worker->held_count];
    char path[PATH_BYTES];
    char body[80];
    snprintf(path, sizeof path, "/api/v1/jobs/%s/complete", held->id);
    int length = snprintf(body, sizeof body, "{\"token\":\"%s\"}", held->token);
    worker->completing = true;
    http_post(&worker->http, path, body, (size_t)length);
}

/* Behind the next `name` in `text`; NULL when there is none. */
static const char *after(const char *text, const char *name)
{
    const char *found = strstr(text, name);
    return found != NULL ? found + strlen(name) : NULL;
}

static void take(struct worker *worker, const char *body)
{
    struct crew *crew = worker->crew;
    int64_t now_us = tool_real_us();
    const char *at = after(body, "\"jobs\":[");
    while (at != NULL && (at = after(at, "\"id\":\"")) != NULL && worker->held_count < HELD_MAX) {
        const char *token = after(at, "\"token\":\"");
        const char *sent = after(at, "\"at\":");
        int64_t sent_us = 0;
        if (token == NULL) {
            refuse(200, body);
        }
        struct held *held = &worker->held[worker->held_count++];
        *held = (struct held){0};
        memcpy(held->id, at, UUID_TEXT);
        memcpy(held->token, token, UUID_TEXT);
        if (sent != NULL && number_parse(sent, strspn(sent, "0123456789"), &sent_us) == 0) {
            latencies_add(&crew->latencies, now_us - sent_us);
        }
        at = token;
    }
    if (worker->held_count > 0 && crew->first_us == 0) {
        crew->first_us = tool_now_us();
    }
    crew->empty += worker->held_count == 0;
}

static void answered(struct http *http, int status, const char *body, size_t length)
{
    struct worker *worker = http->arg;
    struct crew *crew = worker->crew;
    (void)length;
    if (worker->completing && status == 409) {
        crew->lost++;
    } else if (status != 200) {
        refuse(status, body);
    } else if (worker->completing) {
        crew->done++;
        crew->last_us = tool_now_us();
    } else {
        crew->claims++;
        take(worker, body);
    }
    if (worker->held_count > 0) {
        complete(worker);
    } else {
        claim(worker);
    }
}

static bool stdin_closed(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char byte;
    return poll(&input, 1, 0) > 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

static bool say_ready(void)
{
    puts("ready");
    fflush(stdout);
    return true;
}

static void run(struct crew *crew)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct http like = http_template(epoll, crew->options.address, crew->options.key_file);
    crew->workers = memory_array((size_t)crew->options.connections, sizeof *crew->workers);
    int64_t start_us = tool_now_us();
    bool ready = false;
    for (int64_t i = 0; i < crew->options.connections; i++) {
        struct worker *worker = &crew->workers[i];
        worker->crew = crew;
        worker->number = i;
        http_open(&worker->http, &like, answered, worker);
        claim(worker);
    }
    int64_t look_us = start_us;
    while (tool_now_us() - start_us < crew->options.length_ms * 1000 &&
           (crew->options.jobs == 0 || crew->done < (uint64_t)crew->options.jobs)) {
        http_turn(epoll, 50);
        if (!ready && tool_now_us() - start_us > SETTLE_MS * 1000) {
            ready = say_ready();
        }
        if (crew->options.jobs == 0 && tool_now_us() > look_us) {
            look_us = tool_now_us() + 50000;
            if (stdin_closed()) {
                break;
            }
        }
    }
    if (!ready) {
        say_ready();
    }
}

static void print(const struct crew *crew)
{
    double seconds = (double)(crew->last_us - crew->first_us) / 1e6;
    printf("{\"jobs\":%llu,\"seconds\":%.3f,\"jobs_per_s\":%.1f,\"claims\":%llu,\"empty\":%llu,"
           "\"lost\":%llu,\"cpu_s\":%.3f,",
           (unsigned long long)crew->done, seconds,
           seconds > 0 ? (double)crew->done / seconds : 0.0, (unsigned long long)crew->claims,
           (unsigned long long)crew->empty, (unsigned long long)crew->lost, tool_cpu_s());
    latencies_print(&crew->latencies, "");
    puts("}");
}

static void read_options(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {
        {"address", required_argument, NULL, 'a'},     {"key-file", required_argument, NULL, 'k'},
        {"type", required_argument, NULL, 'T'},        {"queue", required_argument, NULL, 'q'},
        {"connections", required_argument, NULL, 'c'}, {"max", required_argument, NULL, 'm'},
        {"jobs", required_argument, NULL, 'n'},        {"ms", required_argument, NULL, 't'},
        {"wait-ms", required_argument, NULL, 'w'},     {NULL, 0, NULL, 0}};
    const char **texts[] = {['a'] = &options->address,
                            ['k'] = &options->key_file,
                            ['T'] = &options->type,
                            ['q'] = &options->queue};
    int64_t *numbers[] = {['c'] = &options->connections,
                          ['m'] = &options->max,
                          ['n'] = &options->jobs,
                          ['t'] = &options->length_ms,
                          ['w'] = &options->wait_ms};
    int name;
    *options = (struct options){.type = "bench",
                                .queue = "default",
                                .connections = 10,
                                .max = 1,
                                .length_ms = 600000,
                                .wait_ms = 10000};
    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (name < (int)(sizeof texts / sizeof texts[0]) && texts[name] != NULL) {
            *texts[name] = optarg;
        } else if (name < (int)(sizeof numbers / sizeof numbers[0]) && numbers[name] != NULL) {
            *numbers[name] = tool_number(optarg);
        } else {
            exit(2);
        }
    }
    if (options->address == NULL || options->key_file == NULL || options->connections < 1 ||
        options->max < 1 || options->max > HELD_MAX) {
        fprintf(stderr, "job_workers: --address and --key-file are needed, --max is 1..100\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct crew crew = {0};
    read_options(&crew.options, argc, argv);
    tool_raise_files();
    run(&crew);
    print(&crew);
    return 0;
}
