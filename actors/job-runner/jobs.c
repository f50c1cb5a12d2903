/* See jobs.h. */
#include "job-runner/jobs.h"

#include "job-runner/changes.h"
#include "job-runner/claim.h"
#include "job-runner/jobs_internal.h"
#include "job-runner/lease.h"
#include "job-runner/pages.h"
#include "job-runner/ready.h"
#include "job-runner/shards.h"
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- finding ---- */

struct job *jobs_by_number(const struct jobs *jobs, int64_t id)
{
    struct uuid key = map_number_key((uint64_t)id);
    return map_get(&jobs->by_number, &key);
}

struct job *jobs_by_uuid(const struct jobs *jobs, const struct uuid *job)
{
    return map_get(&jobs->by_uuid, job);
}

size_t jobs_count(const struct jobs *jobs)
{
    return jobs->by_number.count;
}

bool jobs_is_known(const struct jobs *jobs)
{
    return jobs->fresh == 0;
}

uint64_t jobs_stamp(const struct jobs *jobs)
{
    return jobs->stamp;
}

int64_t jobs_newest(const struct jobs *jobs)
{
    return jobs->newest;
}

/* ---- one job ---- */

static const char *put_text(char **at, struct message_span text)
{
    char *copy = *at;
    if (text.length > 0) {
        memcpy(copy, text.data, text.length);
    }
    copy[text.length] = '\0';
    *at += text.length + 1;
    return copy;
}

static struct job *add(struct jobs *jobs, const struct job_news *news)
{
    struct job *job = memory_new(sizeof *job + news->queue.length + news->type.length +
                                 news->concurrency_key.length + 3);
    char *at = (char *)(job + 1);
    struct uuid key = map_number_key((uint64_t)news->id);
    job->id = news->id;
    job->job = news->job;
    job->tenant = news->tenant;
    job->run = news->run;
    job->shard = news->shard;
    job->queue = put_text(&at, news->queue);
    job->type = put_text(&at, news->type);
    job->concurrency_key = put_text(&at, news->concurrency_key);
    map_put(&jobs->by_number, &key, job);
    map_put(&jobs->by_uuid, &job->job, job);
    if (job->id > jobs->newest) {
        jobs->newest = job->id;
    }
    return job;
}

struct job *jobs_copy(const struct job *job)
{
    const char *texts[] = {job->queue, job->type, job->concurrency_key};
    size_t bytes = strlen(job->queue) + strlen(job->type) + strlen(job->concurrency_key) + 3;
    struct job *copy = memory_new(sizeof *copy + bytes);
    char *at = (char *)(copy + 1);
    const char **places[] = {&copy->queue, &copy->type, &copy->concurrency_key};
    *copy = *job;
    copy->worker = NULL;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct message_span text = {(const uint8_t *)texts[i], strlen(texts[i])};
        *places[i] = put_text(&at, text);
    }
    return copy;
}

/* Nothing is known of it any more here; its claim, if there is one, is lease's. */
static void drop(struct jobs *jobs, struct job *job)
{
    struct uuid key = map_number_key((uint64_t)job->id);
    map_remove(&jobs->by_number, &key);
    map_remove(&jobs->by_uuid, &job->job);
    ready_remove(jobs->runner->ready, job->id);
    free(job->worker);
    free(job);
}

void jobs_end(struct jobs *jobs, struct job *job)
{
    bool ran = job->state == JOB_STATE_RUNNING;
    lease_over(jobs->runner->lease, job->id);
    drop(jobs, job);
    if (ran) {
        claim_kick(jobs->runner->claim);
    }
}

static struct ready_job as_ready(const struct job *job)
{
    return (struct ready_job){.id = job->id,
                              .tenant = job->tenant,
                              .queue = job->queue,
                              .type = job->type,
                              .concurrency_key = job->concurrency_key,
                              .priority = job->priority,
                              .run_at_us = job->run_at_us};
}

static void skip(struct jobs *jobs, struct job *job)
{
    if (!job->skipping && !jobs->runner->actor->draining) {
        job->skipping = true;
        changes_send(jobs->runner->changes,
                     &(struct change){.said = {.job = job->job, .what = JOB_SKIP, .percent = -1}},
                     NULL, NULL);
    }
}

void jobs_arrange(struct jobs *jobs, struct job *job)
{
    struct ready *ready = jobs->runner->ready;
    struct ready_job as = as_ready(job);
    if (job->state == JOB_STATE_RUNNING) {
        ready_put_running(ready, &as);
        lease_watch(jobs->runner->lease, job);
        return;
    }
    lease_over(jobs->runner->lease, job->id);
    if (job->claiming) {
        return; /* its outcome decides */
    }
    if (job->state == JOB_STATE_WAITING) {
        if ((jobs->fresh & 1U << job->shard) == 0) {
            ready_put(ready, &as);
            claim_kick(jobs->runner->claim);
        }
    } else {
        ready_remove(ready, job->id);
    }
    if (job->state == JOB_STATE_SKIPPED) {
        skip(jobs, job);
    }
}

void jobs_set_worker(struct job *job, struct message_span worker)
{
    if (job->worker != NULL && strlen(job->worker) == worker.length &&
        memcmp(job->worker, worker.data, worker.length) == 0) {
        return;
    }
    free(job->worker);
    job->worker = NULL;
    if (worker.length > 0) {
        job->worker = memory_new(worker.length + 1);
        memcpy(job->worker, worker.data, worker.length);
    }
}

/* Whether anything has changed that others are told of. */
static bool update(struct job *job, const struct job_news *news)
{
    bool changed = job->state != news->state || job->priority != news->priority ||
                   job->run_at_us != news->run_at_us || job->cancel != news->cancel ||
                   !uuid_equal(&job->token, &news->token) ||
                   (job->state == JOB_STATE_SKIPPED && !job->skipping);
    job->doubted = false;
    job->state = news->state;
    job->token = news->token;
    job->priority = news->priority;
    job->attempts = news->attempts;
    job->run_at_us = news->run_at_us;
    job->lease_ms = news->lease_ms;
    job->cancel = news->cancel;
    jobs_set_worker(job, news->worker);
    return changed;
}

/* A failure that cost no attempt, and a pause: its callee wants to be asked less often, and by the
 * others of its type too. */
static void slow_down(struct jobs *jobs, const struct job *job, const struct job_news *news)
{
    if (job->state == JOB_STATE_RUNNING && news->state == JOB_STATE_WAITING &&
        job->attempts == news->attempts && news->run_at_us > clock_real_us()) {
        ready_hold_type(jobs->runner->ready, &job->tenant, job->type, news->run_at_us);
    }
}

/* What was read is older than what was heard: a doubt stays one, and is asked about again. */
static void look_up(struct jobs *jobs, const struct job *job)
{
    if (job->doubted) {
        pages_ask(jobs->runner->pages, job->id);
    }
}

void jobs_take(struct jobs *jobs, const struct job_news *news)
{
    struct job *job = jobs_by_number(jobs, news->id);
    if (news->since != 0 && job != NULL && job->stamp > news->since) {
        look_up(jobs, job);
        return;
    }
    lease_heard(jobs->runner->lease, news);
    if (news->state == JOB_STATE_ENDED || !shards_is_ours(jobs->runner->shards, news->shard)) {
        if (job != NULL) {
            jobs_end(jobs, job);
        }
        return;
    }
    bool is_new = job == NULL;
    if (is_new) {
        job = add(jobs, news);
    }
    job->stamp = ++jobs->stamp;
    slow_down(jobs, job, news);
    if (update(job, news) || is_new) {
        jobs_arrange(jobs, job);
    } else if (job->state == JOB_STATE_RUNNING) {
        lease_watch(jobs->runner->lease, job);
    }
}

void jobs_gone(struct jobs *jobs, int64_t id, uint64_t since)
{
    struct job *job = jobs_by_number(jobs, id);
    if (job != NULL && job->stamp <= since) {
        jobs_end(jobs, job);
    } else if (job != NULL) {
        look_up(jobs, job);
    }
}

void jobs_doubt(struct jobs *jobs, int64_t id)
{
    struct job *job = jobs_by_number(jobs, id);
    if (job != NULL && job->state != JOB_STATE_RUNNING && !job->claiming) {
        ready_remove(jobs->runner->ready, id);
        job->state = JOB_STATE_BLOCKED; /* as far as we know */
        job->doubted = true;
    }
    pages_ask(jobs->runner->pages, id);
}

void jobs_claiming(struct jobs *jobs, struct job *job)
{
    job->claiming = true;
    job->stamp = ++jobs->stamp;
}

/* ---- shards ---- */

void jobs_gain_shard(struct jobs *jobs, unsigned shard)
{
    jobs->fresh |= 1U << shard;
    pages_read(jobs->runner->pages, 1U << shard);
}

/* The map must not change while it is walked. */
static void drop_those(struct jobs *jobs, uint32_t shards, uint64_t since, bool over)
{
    size_t count = 0;
    size_t cursor = 0;
    struct job *job;
    struct job **found = memory_array(jobs->by_number.count + 1, sizeof(struct job *));
    while ((job = map_next(&jobs->by_number, &cursor)) != NULL) {
        if ((shards & 1U << job->shard) != 0 && job->stamp <= since) {
            found[count++] = job;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (over) {
            jobs_end(jobs, found[i]);
        } else {
            drop(jobs, found[i]);
        }
    }
    free(found);
}

void jobs_lose_shard(struct jobs *jobs, unsigned shard)
{
    jobs->fresh &= ~(1U << shard); /* its reading does not end any more */
    drop_those(jobs, 1U << shard, UINT64_MAX, false);
    lease_lose_shard(jobs->runner->lease, shard);
}

void jobs_end_reading(struct jobs *jobs, uint32_t shards, uint64_t since)
{
    uint32_t fresh = jobs->fresh & shards;
    size_t cursor = 0;
    struct job *job;
    drop_those(jobs, shards, since, true);
    jobs->fresh &= ~shards;
    while (fresh != 0 && (job = map_next(&jobs->by_number, &cursor)) != NULL) {
        if ((fresh & 1U << job->shard) != 0 && job->state == JOB_STATE_WAITING) {
            jobs_arrange(jobs, job);
        }
    }
}

/* ---- life ---- */

struct jobs *jobs_create(struct job_runner *runner)
{
    struct jobs *jobs = memory_new(sizeof *jobs);
    jobs->runner = runner;
    return jobs;
}

void jobs_destroy(struct jobs **jobs)
{
    size_t cursor = 0;
    struct job *job;
    if (*jobs == NULL) {
        return;
    }
    while ((job = map_next(&(*jobs)->by_number, &cursor)) != NULL) {
        free(job->worker);
        free(job);
    }
    map_deinit(&(*jobs)->by_number);
    map_deinit(&(*jobs)->by_uuid);
    free(*jobs);
    *jobs = NULL;
}
