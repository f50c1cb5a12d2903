/* See hints.h. */
#include "job-runner/hints.h"

#include "job-runner/jobs.h"
#include "job-runner/pages.h"
#include "job-runner/runner.h"
#include "proto/child_contract.h"
#include "proto/messages.h"
#include "runtime/base/fault.h"
#include "runtime/base/limits.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/bus.h"

#include <stdlib.h>
#include <string.h>

struct hints {
    struct job_runner *runner; /* borrowed */
    struct bus_socket *bus;
    bool known; /* the publisher and its counter */
    uint64_t epoch;
    uint64_t counter;
};

static void lost(struct hints *hints, const char *why)
{
    LOG_INFO("news of jobs may be lost, reading them again", LOG_TEXT("why", why));
    pages_lost(hints->runner->pages);
}

/* `expected`: the counter if nothing was lost. */
static void count(struct hints *hints, uint64_t epoch, uint64_t counter, uint64_t expected)
{
    if (hints->known && epoch < hints->epoch) {
        return; /* of a predecessor: its counter says nothing about the one that publishes now */
    }
    if (!hints->known || epoch > hints->epoch) {
        lost(hints, "a publisher is heard first");
    } else if (counter != expected) {
        lost(hints, "a counter jumped");
    }
    hints->known = true;
    hints->epoch = epoch;
    hints->counter = counter;
}

static void take_job(struct hints *hints, const struct message_jobs_job *job)
{
    struct job_news news = {
        .id = (int64_t)job->id,
        .state = (enum job_state)job->state,
        .shard = (unsigned)(job->shard % JOB_SHARDS),
        .priority = (int)job->priority,
        .attempts = (unsigned)job->attempts,
        .run_at_us = job->run_at,
        .lease_ms = job->lease_ms,
        .cancel = job->cancel,
        .queue = job->queue,
        .type = job->type,
        .concurrency_key = job->concurrency_key,
        .worker = job->worker,
    };
    memcpy(news.job.bytes, job->job, sizeof job->job);
    memcpy(news.tenant.bytes, job->tenant, sizeof job->tenant);
    memcpy(news.run.bytes, job->run, sizeof job->run);
    memcpy(news.token.bytes, job->token, sizeof job->token);
    jobs_take(hints->runner->jobs, &news);
}

static int on_jobs(struct hints *hints, const uint8_t *frame, size_t length)
{
    struct message_header header;
    struct message_jobs message;
    struct message_jobs_job job;
    if (message_jobs_decode(frame, length, &header, &message) != 0) {
        return -1;
    }
    count(hints, header.epoch, message.counter, hints->counter + 1);
    struct message_list cursor = message.jobs;
    while (message_jobs_job_next(&cursor, &job)) {
        take_job(hints, &job);
    }
    return 0;
}

static int on_hint(struct hints *hints, const uint8_t *frame, size_t length)
{
    struct message_header header;
    struct message_hint message;
    if (message_hint_decode(frame, length, &header, &message) != 0) {
        return -1;
    }
    count(hints, header.epoch, message.jobs, hints->counter);
    return 0;
}

static void on_frame(void *arg, const struct bus_peer *peer SB_UNUSED, const uint8_t *frame,
                     size_t length)
{
    struct hints *hints = arg;
    struct message_header header;
    int taken = -1;
    if (SB_FAULT_HOLDS("jobs_deaf")) {
        return;
    }
    if (message_peek(frame, length, &header) == 0) {
        pages_heard(hints->runner->pages);
        if (header.type == MESSAGE_JOBS && SB_FAULT_HOLDS("jobs_news_lost")) {
            return;
        }
        taken = header.type == MESSAGE_JOBS   ? on_jobs(hints, frame, length)
                : header.type == MESSAGE_HINT ? on_hint(hints, frame, length)
                                              : -1;
    }
    if (taken != 0) {
        metric_add(METRIC_MESSAGES_REJECTED, 1);
    }
}

static void on_connected(void *arg, bool up)
{
    struct hints *hints = arg;
    hints->known &= up;
}

struct hints *hints_create(struct job_runner *runner, struct error *err)
{
    struct hints *hints = memory_new(sizeof *hints);
    char path[LIMIT_SOCKET_PATH_BYTES + 1];
    actor_path(runner->actor, CHILD_SOCKET_EVENTS, path);
    const struct bus_options options = {
        .role = BUS_EVENTS_CLIENT,
        .path = path,
        .listener = -1,
        .handler = {.received = on_frame, .connected = on_connected, .arg = hints},
    };
    hints->runner = runner;
    hints->bus = bus_open(runner->actor->bus, &options, err);
    if (hints->bus == NULL) {
        free(hints);
        return NULL;
    }
    bus_subscribe(hints->bus, BUS_TOPIC_JOBS);
    bus_subscribe(hints->bus, BUS_TOPIC_HINTS);
    return hints;
}

void hints_destroy(struct hints **hints)
{
    if (*hints == NULL) {
        return;
    }
    bus_close(&(*hints)->bus);
    free(*hints);
    *hints = NULL;
}
