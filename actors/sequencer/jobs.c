/* Jobs in memory. See jobs.h. */
#include "sequencer/jobs.h"

#include "runtime/base/memory.h"
#include "sequencer/sequencer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Columns of the view job_memory. */
enum {
    JOB_ID,
    JOB_UUID,
    JOB_TENANT,
    JOB_RUN,
    JOB_KEY,
    JOB_TYPE,
    JOB_QUEUE,
    JOB_STATUS,
    JOB_PRIORITY,
    JOB_ATTEMPTS,
    JOB_MAX_ATTEMPTS,
    JOB_ON_DEP_FAIL,
    JOB_CONCURRENCY_KEY,
    JOB_DETACHED,
    JOB_HAS_CHILDREN,
    JOB_OPEN,
    JOB_RUN_AT,
    JOB_CLAIM_NO,
    JOB_TOKEN,
    JOB_WORKER,
    JOB_LEASE_MS,
    JOB_DEPS_LEFT,
    JOB_DEP_FAILED,
    JOB_TO_CANCEL,
    JOB_LAST_TOKEN
};

void jobs_init(struct jobs *jobs)
{
    *jobs = (struct jobs){.chance = 1};
    list_init(&jobs->by_use);
}

struct job *jobs_get(const struct sequencer *sequencer, const struct uuid *job)
{
    return map_get(&sequencer->jobs.by_id, job);
}

struct job *jobs_get_by_key(const struct sequencer *sequencer, const struct uuid *key_hash)
{
    return map_get(&sequencer->jobs.by_key, key_hash);
}

struct uuid jobs_key_hash(const struct uuid *tenant, struct message_span key)
{
    return keys_hash(KEY_OF_JOBS, tenant, key);
}

static struct message_span put_text(char **at, struct message_span text)
{
    struct message_span copy = {(const uint8_t *)*at, text.length};
    if (text.length > 0) {
        memcpy(*at, text.data, text.length);
    }
    *at += text.length;
    return copy;
}

struct job *jobs_add(struct sequencer *sequencer, const struct job *model)
{
    struct job *job = memory_copy(model, sizeof *model);
    char *at = job->texts = memory_new(model->key.length + model->type.length +
                                       model->queue.length + model->concurrency_key.length + 1);
    job->key = put_text(&at, model->key);
    job->type = put_text(&at, model->type);
    job->queue = put_text(&at, model->queue);
    job->concurrency_key = put_text(&at, model->concurrency_key);
    job->key_hash = jobs_key_hash(&job->tenant, job->key);
    list_init(&job->node);
    list_init(&job->of_run);
    list_append(&sequencer->jobs.by_use, &job->node);
    void *old = map_put(&sequencer->jobs.by_id, &job->job, job);
    void *same = map_put(&sequencer->jobs.by_key, &job->key_hash, job);
    assert(old == NULL && same == NULL);
    return job;
}

static void unlink_job(struct job *job, struct run *run)
{
    list_remove(&job->of_run);
    run->jobs_known--;
}

void jobs_remove(struct sequencer *sequencer, struct job *job)
{
    assert(job->users == 0);
    if (list_is_linked(&job->of_run)) {
        unlink_job(job, runs_get(sequencer, &job->now.run));
    }
    map_remove(&sequencer->jobs.by_id, &job->job);
    map_remove(&sequencer->jobs.by_key, &job->key_hash);
    list_remove(&job->node);
    free(job->worker_text);
    free(job->texts);
    free(job);
}

void jobs_clear(struct sequencer *sequencer)
{
    struct list *first;
    while ((first = list_first(&sequencer->jobs.by_use)) != NULL) {
        jobs_remove(sequencer, LIST_ENTRY(first, struct job, node));
    }
    sequencer->jobs.held = false;
}

void jobs_forget(struct sequencer *sequencer, struct job *job)
{
    struct jobs *jobs = &sequencer->jobs;
    if (job->made_commit > jobs->forgotten_commit) {
        jobs->forgotten_commit = job->made_commit;
    }
    jobs_remove(sequencer, job);
}

void jobs_evict(struct sequencer *sequencer)
{
    struct jobs *jobs = &sequencer->jobs;
    size_t limit = (size_t)settings_int(sequencer->actor->settings, SETTING_SEQUENCER_JOBS_CACHED);
    /* As in runs_evict(): an answer under way may be older than what would be forgotten. */
    if (jobs->by_id.count <= limit || jobs->held || sequencer->resolving > 0 ||
        sequencer->gates_asked > 0) {
        return;
    }
    LIST_FOR_EACH(node, &jobs->by_use)
    {
        struct job *job = LIST_ENTRY(node, struct job, node);
        if (jobs->by_id.count <= limit) {
            return;
        }
        if (job->users == 0 && job->batch_job == 0) {
            jobs_forget(sequencer, job);
        }
    }
}

/* ---- the jobs of a run ---- */

void jobs_link(struct job *job, struct run *run)
{
    bool belongs = job_rules_is_open(&job->now) && !job->pruned;
    if (belongs == list_is_linked(&job->of_run)) {
        return;
    }
    if (belongs) {
        list_append(&run->jobs, &job->of_run);
        run->jobs_known++;
    } else {
        unlink_job(job, run);
    }
}

void jobs_unlink_all(struct run *run)
{
    struct list *first;
    while ((first = list_first(&run->jobs)) != NULL) {
        unlink_job(LIST_ENTRY(first, struct job, of_run), run);
    }
}

bool jobs_are_known(const struct run *run)
{
    return run->jobs_known == run->jobs_open;
}

/* ---- from the table ---- */

static struct message_span text_at(const struct db_result *result, int row, int column)
{
    struct message_span text = {NULL, 0};
    if (!db_is_null(result, row, column)) {
        text.data = (const uint8_t *)db_bytes(result, row, column, &text.length);
    }
    return text;
}

static struct uuid uuid_at(const struct db_result *result, int row, int column)
{
    struct uuid uuid = {{0}};
    if (!db_is_null(result, row, column)) {
        db_uuid(result, row, column, &uuid);
    }
    return uuid;
}

static void read_now(struct job *job, const struct db_result *result, int row, int column)
{
    bool open = db_bool(result, row, column + JOB_OPEN);
    job->now =
        (struct job_now){.status = (enum job_status)db_int4(result, row, column + JOB_STATUS),
                         .run = uuid_at(result, row, column + JOB_RUN),
                         .detached = db_bool(result, row, column + JOB_DETACHED),
                         .run_at_us = open ? db_timestamptz(result, row, column + JOB_RUN_AT) : 0,
                         .attempts = (unsigned)db_int4(result, row, column + JOB_ATTEMPTS),
                         .claim = db_int4(result, row, column + JOB_CLAIM_NO),
                         .token = uuid_at(result, row, column + JOB_TOKEN),
                         .last_token = uuid_at(result, row, column + JOB_LAST_TOKEN),
                         .lease_ms = db_is_null(result, row, column + JOB_LEASE_MS)
                                         ? 0
                                         : (uint64_t)db_int4(result, row, column + JOB_LEASE_MS),
                         .deps_left = (unsigned)db_int4(result, row, column + JOB_DEPS_LEFT),
                         .dep_failed = db_bool(result, row, column + JOB_DEP_FAILED),
                         .cancel = db_bool(result, row, column + JOB_TO_CANCEL)};
    struct message_span worker = text_at(result, row, column + JOB_WORKER);
    job->worker_text = worker.length == 0 ? NULL : memory_copy(worker.data, worker.length);
    job->now.worker = (struct message_span){(const uint8_t *)job->worker_text, worker.length};
}

static struct job *read_job(struct sequencer *sequencer, const struct db_result *result, int row,
                            int column)
{
    struct job model = {.id = db_int8(result, row, column + JOB_ID),
                        .job = uuid_at(result, row, column + JOB_UUID),
                        .tenant = uuid_at(result, row, column + JOB_TENANT),
                        .key = text_at(result, row, column + JOB_KEY),
                        .type = text_at(result, row, column + JOB_TYPE),
                        .queue = text_at(result, row, column + JOB_QUEUE),
                        .concurrency_key = text_at(result, row, column + JOB_CONCURRENCY_KEY),
                        .priority = db_int4(result, row, column + JOB_PRIORITY),
                        .max_attempts = (unsigned)db_int4(result, row, column + JOB_MAX_ATTEMPTS),
                        .on_dep_fail =
                            (enum job_dep_fail)db_int4(result, row, column + JOB_ON_DEP_FAIL),
                        .has_children = db_bool(result, row, column + JOB_HAS_CHILDREN)};
    struct job *job = jobs_add(sequencer, &model);
    read_now(job, result, row, column);
    return job;
}

struct job *jobs_load(struct sequencer *sequencer, const struct db_result *result, int row,
                      int column, bool by_batch)
{
    struct uuid id = uuid_at(result, row, column + JOB_UUID);
    struct job *job = jobs_get(sequencer, &id);
    if (job == NULL) {
        job = read_job(sequencer, result, row, column);
    } else if (by_batch) {
        job->now.deps_left = (unsigned)db_int4(result, row, column + JOB_DEPS_LEFT);
        job->now.dep_failed = db_bool(result, row, column + JOB_DEP_FAILED);
    }
    struct run *run = runs_get(sequencer, &job->now.run);
    if (run != NULL) {
        jobs_link(job, run);
    }
    return job;
}
