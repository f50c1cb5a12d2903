/* See vitals.h. */
#include "job-runner/vitals.h"

#include "job-runner/changes.h"
#include "job-runner/claim.h"
#include "job-runner/jobs.h"
#include "job-runner/lease.h"
#include "job-runner/ready.h"
#include "job-runner/runner.h"
#include "job-runner/shards.h"
#include "job-runner/store.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"

#include <stdlib.h>

enum { SHOW_MS = 1000, ASK_EVERY = 60, DEAD_ROWS_MAX = 20000 };

struct vitals {
    struct job_runner *runner; /* borrowed */
    struct event *event;
    unsigned turns;
};

static void on_answer(void *arg SB_UNUSED, enum db_status status, const struct db_result *result)
{
    if (status != DB_OK) {
        return;
    }
    int64_t dead = db_int8(result, 0, 0);
    metric_set(METRIC_JOB_ROWS_DEAD, dead);
    if (dead > DEAD_ROWS_MAX) {
        LOG_WARN("dead rows of unfinished jobs are not cleaned up", LOG_INT("rows", dead));
    }
}

static void show(const struct job_runner *runner)
{
    int64_t now_us = clock_real_us();
    struct ready_depth depth = ready_depth(runner->ready, NULL, NULL, now_us);
    metric_set(METRIC_JOBS_KNOWN, (int64_t)jobs_count(runner->jobs));
    metric_set(METRIC_JOBS_DUE, (int64_t)depth.due);
    metric_set(METRIC_JOBS_RUNNING, (int64_t)lease_count(runner->lease));
    metric_set(METRIC_JOBS_OLDEST_MS, depth.oldest_us == 0 ? 0 : (now_us - depth.oldest_us) / 1000);
}

static void on_second(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct vitals *vitals = arg;
    struct db *db = vitals->runner->links.db;
    show(vitals->runner);
    if (vitals->turns++ % ASK_EVERY == 0 && db_is_connected(db)) {
        db_query(db, &store_vitals, NULL, on_answer, vitals);
    }
}

static void dump_queue(void *arg SB_UNUSED, const struct uuid *tenant, const char *queue,
                       const struct ready_depth *depth)
{
    LOG_INFO("queue of jobs", LOG_UUID("tenant_id", tenant), LOG_TEXT("queue", queue),
             LOG_INT("waiting", depth->waiting), LOG_INT("due", depth->due),
             LOG_INT("running", depth->running));
}

void vitals_dump(const struct job_runner *runner)
{
    LOG_INFO("jobs", LOG_INT("shards", shards_count(runner->shards)),
             LOG_INT("known", jobs_count(runner->jobs)),
             LOG_INT("leases", lease_count(runner->lease)),
             LOG_INT("claims_under_way", claim_under_way(runner->claim)),
             LOG_INT("changes_pending", changes_pending(runner->changes)));
    ready_each_queue(runner->ready, clock_real_us(), dump_queue, NULL);
}

struct vitals *vitals_create(struct job_runner *runner)
{
    struct vitals *vitals = memory_new(sizeof *vitals);
    vitals->runner = runner;
    vitals->event = event_new(runner->actor->base, -1, EV_PERSIST, on_second, vitals);
    event_add(vitals->event, &(struct timeval){SHOW_MS / 1000, 0});
    return vitals;
}

void vitals_destroy(struct vitals **vitals)
{
    if (*vitals == NULL) {
        return;
    }
    event_free((*vitals)->event);
    free(*vitals);
    *vitals = NULL;
}
