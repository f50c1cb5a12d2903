/* See shards.h. */
#include "job-runner/shards.h"

#include "job-runner/jobs.h"
#include "job-runner/pages.h"
#include "job-runner/runner.h"
#include "job-runner/store.h"
#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HOLD_MS = 1000, LEASE_MS = 10000, MARGIN_MS = 1000, NAME_SIZE = 320 };

struct shards {
    struct job_runner *runner; /* borrowed */
    struct event *hold_event;
    char name[NAME_SIZE];
    uint32_t ours; /* a bit each */
    int64_t asked_ms;
    int64_t until_ms; /* monotonic: ours if nothing else is heard */
    bool visited;     /* all of them */
    bool asking;
    bool leaving;
    bool left;
};

unsigned shards_of(const struct uuid *tenant, const char *queue, size_t length)
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state state;
    (void)crypto_hash_sha256_init(&state);
    (void)crypto_hash_sha256_update(&state, tenant->bytes, sizeof tenant->bytes);
    (void)crypto_hash_sha256_update(&state, (const uint8_t *)queue, length);
    (void)crypto_hash_sha256_final(&state, hash);
    return hash[0] % JOB_SHARDS;
}

bool shards_is_ours(const struct shards *shards, unsigned shard)
{
    return (shards->ours & 1U << shard) != 0;
}

unsigned shards_count(const struct shards *shards)
{
    return (unsigned)__builtin_popcount(shards->ours);
}

bool shards_are_visited(const struct shards *shards)
{
    return shards->visited;
}

static void become(struct shards *shards, uint32_t ours)
{
    uint32_t before = shards->ours;
    shards->ours = ours;
    metric_set(METRIC_JOB_SHARDS_HELD, shards_count(shards));
    for (unsigned shard = 0; shard < JOB_SHARDS; shard++) {
        uint32_t bit = 1U << shard;
        if ((before & bit) != 0 && (ours & bit) == 0) {
            pages_lose_shard(shards->runner->pages, shard);
            jobs_lose_shard(shards->runner->jobs, shard);
        } else if ((before & bit) == 0 && (ours & bit) != 0) {
            jobs_gain_shard(shards->runner->jobs, shard);
        }
    }
    if (before != ours) {
        LOG_INFO("shards of jobs", LOG_INT("ours", shards_count(shards)), LOG_INT("mask", ours));
    }
}

static void on_held(void *arg, enum db_status status, const struct db_result *result)
{
    struct shards *shards = arg;
    uint32_t ours = 0;
    shards->asking = false;
    if (status == DB_REFUSED) {
        LOG_ERROR("shards cannot be held", LOG_TEXT("error", db_message(result)));
    }
    if (status != DB_OK || shards->leaving) {
        return;
    }
    for (int row = 0; row < db_rows(result); row++) {
        ours |= 1U << db_int4(result, row, 0);
    }
    shards->until_ms = shards->asked_ms + LEASE_MS - MARGIN_MS;
    become(shards, ours);
}

static void put_name(const struct shards *shards, struct db_params *params)
{
    db_param_text(params, shards->name, strlen(shards->name));
    db_param_int8(params, (int64_t)shards->runner->actor->origin);
}

static void on_hold(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct shards *shards = arg;
    struct db *db = shards->runner->links.db;
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms > shards->until_ms && shards->ours != 0) {
        become(shards, 0);
    }
    if (shards->asking || shards->leaving || !db_is_connected(db)) {
        return;
    }
    if (shards->visited) {
        shards->until_ms = INT64_MAX;
        become(shards, (1U << JOB_SHARDS) - 1);
        return;
    }
    struct db_params params = {0};
    put_name(shards, &params);
    db_param_int4(&params, LEASE_MS);
    shards->asking = true;
    shards->asked_ms = now_ms;
    SB_FAULT("jobs_before_hold");
    db_query(db, &store_hold_shards, &params, on_held, shards);
    db_params_deinit(&params);
}

static void on_left(void *arg, enum db_status status SB_UNUSED,
                    const struct db_result *result SB_UNUSED)
{
    struct shards *shards = arg;
    shards->left = true; /* if it was not heard, their lease ends by itself */
    job_runner_settle(shards->runner);
}

void shards_leave(struct shards *shards)
{
    struct db_params params = {0};
    if (shards->leaving) {
        return;
    }
    shards->leaving = true;
    become(shards, 0);
    if (shards->visited) {
        shards->left = true;
        job_runner_settle(shards->runner);
        return;
    }
    put_name(shards, &params);
    db_query(shards->runner->links.db, &store_leave_shards, &params, on_left, shards);
    db_params_deinit(&params);
}

bool shards_has_left(const struct shards *shards)
{
    return shards->left;
}

void shards_hurry(struct shards *shards)
{
    event_active(shards->hold_event, EV_TIMEOUT, 0);
}

struct shards *shards_create(struct job_runner *runner)
{
    struct shards *shards = memory_new(sizeof *shards);
    char host[256] = "";
    shards->runner = runner;
    shards->visited = settings_text(runner->actor->settings, SETTING_JOBS_BY_HAND)[0] != '\0';
    (void)gethostname(host, sizeof host - 1);
    snprintf(shards->name, sizeof shards->name, "%s/%s", host, runner->actor->instance);
    shards->hold_event = event_new(runner->actor->base, -1, EV_PERSIST, on_hold, shards);
    event_add(shards->hold_event, &(struct timeval){HOLD_MS / 1000, 0});
    return shards;
}

void shards_destroy(struct shards **shards)
{
    if (*shards == NULL) {
        return;
    }
    event_free((*shards)->hold_event);
    free(*shards);
    *shards = NULL;
}
