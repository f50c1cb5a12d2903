/* The parameters of append_jobs (migrations/0014): what a batch does to jobs, as arrays that are each
 * sorted by the number of the job. See jobs.h. */
#include "sequencer/batch_params.h"
#include "sequencer/commands.h"
#include "sequencer/job_text.h"

#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

typedef bool wanted_fn(const struct batch_job *entry);

static bool was_open(const struct batch_job *entry)
{
    return entry->queued != NULL || job_rules_is_open(&entry->job->now);
}

static bool is_queued(const struct batch_job *entry)
{
    return entry->queued != NULL;
}

/* Its children are told. */
static bool is_parent(const struct batch_job *entry)
{
    return entry->finished && entry->job->has_children;
}

static bool is_recorded(const struct batch_job *entry)
{
    return entry->recorded;
}

/* A new one is written as it is at first; what came then is written like that of the others. */
static bool has_begun(const struct batch_job *entry)
{
    return entry->queued == NULL || entry->now.claim > 0 || entry->now.cancel;
}

static bool is_made(const struct batch_job *entry)
{
    return job_rules_is_open(&entry->now) && (entry->finished || !was_open(entry));
}

static bool is_updated(const struct batch_job *entry)
{
    return is_made(entry) || (job_rules_is_open(&entry->now) && has_begun(entry));
}

static bool is_deleted(const struct batch_job *entry)
{
    return entry->finished;
}

/* ---- the entries, sorted ---- */

struct sorted {
    const struct batch_job **entries;
    size_t count;
};

static int by_id(const void *a, const void *b)
{
    int64_t first = (*(const struct batch_job *const *)a)->job->id;
    int64_t second = (*(const struct batch_job *const *)b)->job->id;
    return first < second ? -1 : first > second ? 1 : 0;
}

static struct sorted sort_jobs(const struct batch *batch)
{
    struct sorted sorted = {memory_array(batch->jobs_count + 1, sizeof(void *)), batch->jobs_count};
    for (size_t i = 0; i < batch->jobs_count; i++) {
        sorted.entries[i] = &batch->jobs[i];
    }
    qsort(sorted.entries, sorted.count, sizeof *sorted.entries, by_id);
    return sorted;
}

static size_t count_of(const struct sorted *sorted, wanted_fn *wanted)
{
    size_t count = 0;
    for (size_t i = 0; i < sorted->count; i++) {
        count += wanted(sorted->entries[i]) ? 1 : 0;
    }
    return count;
}

/* One array, an element for each entry that is wanted; `entry`, `now` and `job` are there for `put`. */
#define PUT(params, sorted, wanted, kind, put)                      \
    do {                                                            \
        db_array_begin((params), (kind), count);                    \
        for (size_t i = 0; count > 0 && i < (sorted)->count; i++) { \
            const struct batch_job *entry = (sorted)->entries[i];   \
            const struct job_now *now = &entry->now;                \
            const struct job *job = entry->job;                     \
            (void)now;                                              \
            (void)job;                                              \
            if (wanted(entry)) {                                    \
                put;                                                \
            }                                                       \
        }                                                           \
        db_array_end(params);                                       \
    } while (0)

static void put_span(struct db_params *params, struct message_span span)
{
    if (span.length == 0) {
        db_array_null(params);
    } else {
        db_array_bytes(params, span.data, span.length);
    }
}

static void put_uuid(struct db_params *params, const struct uuid *uuid)
{
    if (uuid_is_nil(uuid)) {
        db_array_null(params);
    } else {
        db_array_uuid(params, uuid->bytes);
    }
}

static void put_int8(struct db_params *params, int64_t value)
{
    if (value == 0) {
        db_array_null(params);
    } else {
        db_array_int8(params, value);
    }
}

/* ---- new ones ---- */

/* A new job's place in its run: its event is in the batch. */
static int64_t queued_seq(const struct batch *batch, const struct batch_job *entry)
{
    return batch->rows[entry->row - 1].seq;
}

static const struct run *queued_run(const struct batch *batch, const struct batch_job *entry)
{
    return batch->heads[batch->rows[entry->row - 1].head - 1].run;
}

static struct message_span queued_payload(const struct batch_job *entry)
{
    return entry->payload.length > 0 ? entry->payload : entry->queued->payload;
}

static bool child_is_new(const struct batch_job *entry)
{
    static const uint8_t none[16];
    return memcmp(entry->queued->child, none, sizeof none) != 0;
}

static void put_queued(struct db_params *params, const struct batch *batch,
                       const struct sorted *sorted)
{
    size_t count = count_of(sorted, is_queued);
    PUT(params, sorted, is_queued, DB_ARRAY_INT4, db_array_int4(params, (int32_t)entry->row));
    PUT(params, sorted, is_queued, DB_ARRAY_UUID, db_array_uuid(params, job->job.bytes));
    PUT(params, sorted, is_queued, DB_ARRAY_UUID, db_array_uuid(params, job->tenant.bytes));
    PUT(params, sorted, is_queued, DB_ARRAY_UUID,
        db_array_uuid(params, queued_run(batch, entry)->id.bytes));
    PUT(params, sorted, is_queued, DB_ARRAY_TEXT, put_span(params, job->key));
    PUT(params, sorted, is_queued, DB_ARRAY_TEXT, put_span(params, job->type));
    PUT(params, sorted, is_queued, DB_ARRAY_TEXT, put_span(params, entry->queued->artifact_kind));
    PUT(params, sorted, is_queued, DB_ARRAY_TEXT, put_span(params, job->queue));
    PUT(params, sorted, is_queued, DB_ARRAY_INT4, db_array_int4(params, job->priority));
    PUT(params, sorted, is_queued, DB_ARRAY_INT4,
        db_array_int4(params, (int32_t)job->max_attempts));
    PUT(params, sorted, is_queued, DB_ARRAY_JSON, put_span(params, queued_payload(entry)));
    PUT(params, sorted, is_queued, DB_ARRAY_INT4, db_array_int4(params, job->on_dep_fail));
    PUT(params, sorted, is_queued, DB_ARRAY_TEXT, put_span(params, job->concurrency_key));
    PUT(params, sorted, is_queued, DB_ARRAY_BOOL, db_array_bool(params, child_is_new(entry)));
    PUT(params, sorted, is_queued, DB_ARRAY_TEXT,
        db_array_bytes(params, entry->actor.data, entry->actor.length));
    PUT(params, sorted, is_queued, DB_ARRAY_INT8, db_array_int8(params, queued_seq(batch, entry)));
    PUT(params, sorted, is_queued, DB_ARRAY_TIMESTAMPTZ,
        db_array_timestamptz(params, now->run_at_us));
    PUT(params, sorted, is_queued, DB_ARRAY_INT4, db_array_int4(params, (int32_t)now->deps_left));
    PUT(params, sorted, is_queued, DB_ARRAY_BOOL, db_array_bool(params, now->dep_failed));
}

/* ---- what becomes of them ---- */

static void put_ends(struct db_params *params, const struct sorted *sorted)
{
    size_t count = count_of(sorted, is_parent);
    PUT(params, sorted, is_parent, DB_ARRAY_INT8, db_array_int8(params, job->id));
    PUT(params, sorted, is_parent, DB_ARRAY_BOOL, db_array_bool(params, entry->success));
    count = count_of(sorted, is_deleted);
    PUT(params, sorted, is_deleted, DB_ARRAY_INT8, db_array_int8(params, job->id));
    PUT(params, sorted, is_deleted, DB_ARRAY_INT4, db_array_int4(params, job->now.claim));
    PUT(params, sorted, is_deleted, DB_ARRAY_UUID, put_uuid(params, &job->now.token));
}

/* Only its payload changes. */
static bool is_debounced(const struct batch_job *entry)
{
    return !entry->finished && !entry->again && entry->finish_seq == 0;
}

static void put_status(struct db_params *params, const struct batch_job *entry)
{
    if (is_debounced(entry)) {
        db_array_null(params);
    } else {
        db_array_int4(params, entry->now.status);
    }
}

static void put_records(struct db_params *params, const struct sorted *sorted)
{
    struct message_span none = {NULL, 0};
    size_t count = count_of(sorted, is_recorded);
    PUT(params, sorted, is_recorded, DB_ARRAY_INT8, db_array_int8(params, job->id));
    PUT(params, sorted, is_recorded, DB_ARRAY_UUID, db_array_uuid(params, now->run.bytes));
    PUT(params, sorted, is_recorded, DB_ARRAY_INT4, put_status(params, entry));
    PUT(params, sorted, is_recorded, DB_ARRAY_INT4, db_array_int4(params, (int32_t)now->attempts));
    PUT(params, sorted, is_recorded, DB_ARRAY_INT4, db_array_int4(params, now->claim));
    PUT(params, sorted, is_recorded, DB_ARRAY_JSON,
        put_span(params, entry->queued == NULL ? entry->payload : none));
    PUT(params, sorted, is_recorded, DB_ARRAY_JSON, put_span(params, entry->result));
    PUT(params, sorted, is_recorded, DB_ARRAY_JSONB, put_span(params, entry->error));
    PUT(params, sorted, is_recorded, DB_ARRAY_TEXT,
        put_span(params, entry->class == NULL ? none
                                              : (struct message_span){(const uint8_t *)entry->class,
                                                                      strlen(entry->class)}));
    PUT(params, sorted, is_recorded, DB_ARRAY_BOOL, db_array_bool(params, entry->partial));
    PUT(params, sorted, is_recorded, DB_ARRAY_TEXT, put_span(params, now->worker));
    PUT(params, sorted, is_recorded, DB_ARRAY_UUID, put_uuid(params, &now->last_token));
    PUT(params, sorted, is_recorded, DB_ARRAY_INT8, put_int8(params, entry->queued_seq));
    PUT(params, sorted, is_recorded, DB_ARRAY_INT8, put_int8(params, entry->finish_seq));
    PUT(params, sorted, is_recorded, DB_ARRAY_BOOL, db_array_bool(params, now->detached));
}

static void put_open(struct db_params *params, const struct sorted *sorted)
{
    size_t count = count_of(sorted, is_updated);
    PUT(params, sorted, is_updated, DB_ARRAY_INT8, db_array_int8(params, job->id));
    PUT(params, sorted, is_updated, DB_ARRAY_BOOL, db_array_bool(params, is_made(entry)));
    PUT(params, sorted, is_updated, DB_ARRAY_INT4, db_array_int4(params, job->now.claim));
    PUT(params, sorted, is_updated, DB_ARRAY_UUID, put_uuid(params, &job->now.token));
    PUT(params, sorted, is_updated, DB_ARRAY_TIMESTAMPTZ,
        db_array_timestamptz(params, now->run_at_us));
    PUT(params, sorted, is_updated, DB_ARRAY_INT4, db_array_int4(params, (int32_t)now->attempts));
    PUT(params, sorted, is_updated, DB_ARRAY_INT4, db_array_int4(params, now->claim));
    PUT(params, sorted, is_updated, DB_ARRAY_UUID, put_uuid(params, &now->token));
    PUT(params, sorted, is_updated, DB_ARRAY_TEXT, put_span(params, now->worker));
    PUT(params, sorted, is_updated, DB_ARRAY_INT8, put_int8(params, (int64_t)now->lease_ms));
    PUT(params, sorted, is_updated, DB_ARRAY_BOOL, db_array_bool(params, now->cancel));
    PUT(params, sorted, is_updated, DB_ARRAY_UUID, put_uuid(params, &now->last_token));
    PUT(params, sorted, is_updated, DB_ARRAY_TEXT, put_span(params, entry->last_error));
}

static void put_deps(struct db_params *params, const struct batch *batch)
{
    db_array_begin(params, DB_ARRAY_INT8, batch->deps_count);
    for (size_t i = 0; i < batch->deps_count; i++) {
        db_array_int8(params, batch->deps[i].parent->id);
    }
    db_array_end(params);
    db_array_begin(params, DB_ARRAY_INT8, batch->deps_count);
    for (size_t i = 0; i < batch->deps_count; i++) {
        db_array_int8(params, batch->deps[i].child->id);
    }
    db_array_end(params);
    db_array_begin(params, DB_ARRAY_BOOL, batch->deps_count);
    for (size_t i = 0; i < batch->deps_count; i++) {
        db_array_bool(params, batch->deps[i].ended);
    }
    db_array_end(params);
}

/* An element a row, null but for events of jobs. */
static void put_dedup(struct db_params *params, const struct batch *batch)
{
    struct buffer text = {0};
    size_t next = 0;
    db_array_begin(params, DB_ARRAY_TEXT, batch->rows_count);
    for (size_t i = 0; i < batch->rows_count; i++) {
        const struct job_row *row = &batch->job_rows[next];
        if (next < batch->job_rows_count && row->row == i + 1) {
            buffer_clear(&text);
            job_text_dedup(&text, row->id, row->claim, (enum event_type)batch->rows[i].type);
            db_array_bytes(params, text.data, text.length);
            next++;
        } else {
            db_array_null(params);
        }
    }
    db_array_end(params);
    buffer_deinit(&text);
}

static void put_all(struct db_params *params, const struct batch *batch)
{
    struct sorted sorted = sort_jobs(batch);
    db_param_timestamptz(params, batch->ts_us);
    put_queued(params, batch, &sorted);
    put_ends(params, &sorted);
    put_records(params, &sorted);
    put_open(params, &sorted);
    put_deps(params, batch);
    free(sorted.entries);
}

void jobs_params(struct sequencer *sequencer, struct batch *batch)
{
    struct db_params *params = &batch->params;
    if (batch->rows_count > 0 || batch->creates_count > 0) { /* a pending run has no event */
        put_dedup(params, batch);
    } else {
        db_params_clear(params);
        db_param_int4(params, SEQUENCER_SHARD);
        db_param_int8(params, (int64_t)sequencer->epoch);
        db_param_int8(params, sequencer->position);
    }
    put_all(params, batch);
}
