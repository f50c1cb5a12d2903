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

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHOW_MS = 1000,
    DEAD_ROWS_MAX = 20000,
    TELLER_SHARD = 0, /* whose owner counts what is counted once */
    OPEN_MAX_MS = 60000,
    OPEN_MAX = 200, /* transactions that are remembered */
    OPEN_ID_SIZE = 24
};

/* An open transaction, by the name of its lock on itself, which no other ever has. */
struct sighting {
    char id[OPEN_ID_SIZE];
    int64_t first_ms;
};

struct vitals {
    struct job_runner *runner; /* borrowed */
    struct event *show;
    struct event *ask; /* every jobs.stale_check_ms */
    struct sighting open[OPEN_MAX];
    size_t open_count;
    bool tells; /* what is counted once for all runners */
};

static int64_t first_seen_ms(const struct vitals *vitals, const char *id, int64_t now_ms)
{
    for (size_t i = 0; i < vitals->open_count; i++) {
        if (strcmp(vitals->open[i].id, id) == 0) {
            return vitals->open[i].first_ms;
        }
    }
    return now_ms;
}

/* How long the oldest has been seen. */
static int64_t take_open(struct vitals *vitals, const struct db_result *result)
{
    struct sighting open[OPEN_MAX];
    size_t count = 0;
    int64_t now_ms = clock_monotonic_ms();
    int64_t oldest_ms = now_ms;
    for (int row = 0; row < db_rows(result) && count < OPEN_MAX; row++) {
        size_t length;
        const char *text = db_bytes(result, row, 0, &length);
        struct sighting *sighting = &open[count++];
        snprintf(sighting->id, sizeof sighting->id, "%.*s", (int)length, text);
        sighting->first_ms = first_seen_ms(vitals, sighting->id, now_ms);
        oldest_ms = sighting->first_ms < oldest_ms ? sighting->first_ms : oldest_ms;
    }
    memcpy(vitals->open, open, count * sizeof *open);
    vitals->open_count = count;
    return now_ms - oldest_ms;
}

static void on_answer(void *arg, enum db_status status, const struct db_result *result)
{
    struct vitals *vitals = arg;
    if (status != DB_OK || db_rows(result) == 0) {
        return;
    }
    int64_t dead = db_int8(result, 0, 1);
    int64_t open_ms = take_open(vitals, result);
    metric_set(METRIC_JOB_ROWS_DEAD, dead);
    metric_set(METRIC_OLDEST_TRANSACTION_MS, open_ms);
    if (dead > DEAD_ROWS_MAX || open_ms > OPEN_MAX_MS) {
        LOG_WARN("dead rows of unfinished jobs cannot be cleaned up", LOG_INT("rows", dead),
                 LOG_INT("oldest_transaction_ms", open_ms));
    }
}

static void on_dead(void *arg, enum db_status status, const struct db_result *result)
{
    const struct vitals *vitals = arg;
    if (status == DB_OK && vitals->tells) {
        metric_set(METRIC_JOBS_DEAD, db_int8(result, 0, 0));
    }
}

static void count_dead(struct vitals *vitals)
{
    struct db *db = vitals->runner->links.db;
    if (vitals->tells && db_is_connected(db)) {
        db_query(db, &store_dead, NULL, on_dead, vitals);
    }
}

/* Who begins to tell counts at once; who does no longer leaves it to the next one. */
static void take_turn(struct vitals *vitals)
{
    const struct shards *shards = vitals->runner->shards;
    bool tells = shards_is_ours(shards, TELLER_SHARD) && !shards_are_visited(shards);
    if (tells == vitals->tells) {
        return;
    }
    vitals->tells = tells;
    metric_set(METRIC_JOBS_DEAD, 0);
    count_dead(vitals);
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
    show(vitals->runner);
    take_turn(vitals);
}

static void on_ask(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct vitals *vitals = arg;
    struct db *db = vitals->runner->links.db;
    if (db_is_connected(db)) {
        db_query(db, &store_vitals, NULL, on_answer, vitals);
    }
    count_dead(vitals);
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

static struct event *every(struct vitals *vitals, int64_t ms, event_callback_fn call)
{
    struct event *event = event_new(vitals->runner->actor->base, -1, EV_PERSIST, call, vitals);
    event_add(event, &(struct timeval){ms / 1000, ms % 1000 * 1000});
    return event;
}

struct vitals *vitals_create(struct job_runner *runner)
{
    struct vitals *vitals = memory_new(sizeof *vitals);
    vitals->runner = runner;
    vitals->show = every(vitals, SHOW_MS, on_second);
    vitals->ask =
        every(vitals, settings_int(runner->actor->settings, SETTING_JOBS_STALE_CHECK_MS), on_ask);
    return vitals;
}

void vitals_destroy(struct vitals **vitals)
{
    if (*vitals == NULL) {
        return;
    }
    event_free((*vitals)->show);
    event_free((*vitals)->ask);
    free(*vitals);
    *vitals = NULL;
}
