/* What a batch does to jobs. See jobs.h. */
#include "sequencer/commands.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

const struct job_now *jobs_now(const struct sequencer *sequencer, const struct job *job)
{
    return job->batch_job > 0 ? &sequencer->batch->jobs[job->batch_job - 1].now : &job->now;
}

struct batch_job *jobs_join(struct batch *batch, struct job *job)
{
    if (job->batch_job == 0) {
        if (batch->jobs_count == batch->jobs_capacity) {
            batch->jobs_capacity = batch->jobs_capacity == 0 ? 256 : batch->jobs_capacity * 2;
            batch->jobs = memory_grow(batch->jobs, batch->jobs_capacity, sizeof *batch->jobs);
        }
        batch->jobs[batch->jobs_count++] = (struct batch_job){.job = job, .now = job->now};
        job->batch_job = (int)batch->jobs_count;
    }
    return &batch->jobs[job->batch_job - 1];
}

bool jobs_add_dep(struct batch *batch, struct job *parent, struct job *child, bool ended)
{
    struct message_span other = {parent->job.bytes, sizeof parent->job.bytes};
    struct uuid pair = keys_hash(KEY_OF_JOBS, &child->job, other);
    if (map_put(&batch->pairs, &pair, parent) != NULL) {
        return false;
    }
    if (batch->deps_count == batch->deps_capacity) {
        batch->deps_capacity = batch->deps_capacity == 0 ? 64 : batch->deps_capacity * 2;
        batch->deps = memory_grow(batch->deps, batch->deps_capacity, sizeof *batch->deps);
    }
    batch->deps[batch->deps_count++] = (struct batch_dep){parent, child, ended};
    return true;
}

void jobs_add_row(struct sequencer *sequencer, struct run *run, enum event_type type,
                  struct message_span payload, const struct command *command)
{
    static const struct command server = {.actor = {(const uint8_t *)"server", 6}};
    batch_add_row(sequencer->batch, run, type, payload, command != NULL ? command : &server);
}

void jobs_remember_row(struct batch *batch, const struct job *job, int32_t claim)
{
    if (batch->job_rows_count == batch->job_rows_capacity) {
        batch->job_rows_capacity =
            batch->job_rows_capacity == 0 ? 256 : batch->job_rows_capacity * 2;
        batch->job_rows =
            memory_grow(batch->job_rows, batch->job_rows_capacity, sizeof *batch->job_rows);
    }
    batch->job_rows[batch->job_rows_count++] =
        (struct job_row){.row = batch->rows_count, .id = job->id, .claim = claim};
}

struct message_span jobs_keep(struct batch *batch, const struct buffer *text)
{
    if (batch->texts_count == batch->texts_capacity) {
        batch->texts_capacity = batch->texts_capacity == 0 ? 64 : batch->texts_capacity * 2;
        batch->texts = memory_grow(batch->texts, batch->texts_capacity, sizeof *batch->texts);
    }
    uint8_t *copy = memory_copy(text->data, text->length);
    batch->texts[batch->texts_count++] = copy;
    return (struct message_span){copy, text->length};
}

/* ---- the end of a batch ---- */

static void take_worker(struct job *job, struct message_span worker)
{
    if (worker.data != (const uint8_t *)job->worker_text) {
        char *copy = worker.length == 0 ? NULL : memory_copy(worker.data, worker.length);
        free(job->worker_text);
        job->worker_text = copy;
    }
    job->now.worker = (struct message_span){(const uint8_t *)job->worker_text, worker.length};
}

static void take_job(struct sequencer *sequencer, const struct batch_job *entry)
{
    struct job *job = entry->job;
    struct run *before = runs_get(sequencer, &job->now.run);
    if (list_is_linked(&job->of_run) && !uuid_equal(&job->now.run, &entry->now.run)) {
        list_remove(&job->of_run);
        before->jobs_known--;
    }
    job->now = entry->now;
    take_worker(job, entry->now.worker);
    if (entry->queued != NULL) {
        job->made_commit = sequencer->commits;
    }
    struct run *run = runs_get(sequencer, &job->now.run);
    if (run != NULL) {
        jobs_link(job, run);
    }
    list_remove(&job->node);
    list_append(&sequencer->jobs.by_use, &job->node);
}

/* Children whose state follows from it: runners are told of them, too. */
static void take_children(struct sequencer *sequencer, struct batch *batch,
                          const struct db_result *result)
{
    for (int row = 0; row < db_rows(result); row++) {
        if (!db_is_null(result, row, 1)) {
            struct job *job = jobs_load(sequencer, result, row, 1, true);
            struct batch_job *entry = jobs_join(batch, job);
            entry->now = job->now;
        }
    }
}

void jobs_committed(struct sequencer *sequencer, struct batch *batch,
                    const struct db_result *result)
{
    for (size_t i = 0; i < batch->jobs_count; i++) {
        take_job(sequencer, &batch->jobs[i]);
    }
    for (size_t i = 0; i < batch->deps_count; i++) {
        batch->deps[i].parent->has_children = true;
    }
    if (batch->jobs_count > 0) {
        take_children(sequencer, batch, result);
    }
}

void jobs_let_go(struct batch *batch)
{
    for (size_t i = 0; i < batch->jobs_count; i++) {
        batch->jobs[i].job->batch_job = 0;
    }
}

static void drop_item(struct job_item *item)
{
    if (item->job != NULL && item->job->batch_job > 0) {
        item->job->users--;
        item->job = NULL;
    }
    if (item->run != NULL && (item->job == NULL || item->run->batch_new)) {
        item->run->users--;
        item->run = NULL;
    }
}

/* Whoever waits and points to what the batch would have made looks again. */
void jobs_take_back(struct sequencer *sequencer, struct batch *batch)
{
    if (batch->jobs_count == 0) {
        return;
    }
    LIST_FOR_EACH(node, &sequencer->queue)
    {
        struct command *command = LIST_ENTRY(node, struct command, node);
        for (size_t i = 0; command->work != NULL && i < command->work->items_count; i++) {
            drop_item(&command->work->items[i]);
        }
    }
    for (size_t i = 0; i < batch->jobs_count; i++) {
        struct job *job = batch->jobs[i].job;
        job->batch_job = 0;
        if (batch->jobs[i].queued != NULL) {
            jobs_remove(sequencer, job);
        }
    }
    batch->jobs_count = 0;
}

void jobs_empty(struct batch *batch)
{
    for (size_t i = 0; i < batch->texts_count; i++) {
        free(batch->texts[i]);
    }
    batch->texts_count = 0;
    batch->jobs_count = 0;
    batch->deps_count = 0;
    batch->job_rows_count = 0;
    map_deinit(&batch->pairs);
}
