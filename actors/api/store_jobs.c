/* See store_jobs.h. */
#include "api/store_jobs.h"

#include "api/request.h"

#include <assert.h>
#include <string.h>

/* clang-format off */
/* In the order of the reader below. */
#define JOB_COLUMNS                                                                           \
    "j.id, j.number, j.run_id, j.job_key, j.job_type, j.artifact_kind, j.queue, "             \
    "j.status::text, j.priority::integer, j.attempts::integer, j.max_attempts::integer, "     \
    "j.payload, j.run_at, "                                                                   \
    "(select '[' || string_agg('\"' || p.job_id || '\"', ',' order by p.id) || ']' "          \
    "   from job_deps d join job_records p on p.id = d.parent where d.child = j.number), "    \
    "j.on_dep_fail::integer, j.concurrency_key, j.detached, j.last_worker, j.heartbeat_at, "  \
    "j.cancel_requested_at is not null, j.progress, j.result, j.error::text, j.error_class, " \
    "j.created_at, j.updated_at, j.finished_at, j.enqueue_seq, j.finish_seq"

/* Parameters: $1 tenant, $2 position, $3 statuses, $4 queue, $5 job type, $6 run, $7 job key, $8 rows,
 * $9 whether rows on the way may not match, so that the way has to have an end. */
#define MATCHES                                                                               \
    " and ($3::text[] is null or j.status::text = any ($3::text[])) "                         \
    " and ($4::text is null or j.queue = $4::text) "                                          \
    " and ($5::text is null or j.job_type = $5::text) "                                       \
    " and ($6::uuid is null or j.run_id = $6::uuid) "                                         \
    " and ($7::text is null or j.job_key = $7::text) "

#define LOOKED_AT STORE_TEXT_OF_VALUE(10000)
_Static_assert(STORE_JOBS_LOOKED_AT == 10000, "the text of the statements says the same");
/* As a number: with a parameter alone the planner takes a page for a tenth of the table. */
#define MOST_ROWS STORE_TEXT_OF_VALUE(1001)
_Static_assert(REQUEST_LIMIT_MAX + 1 == 1001, "the text of the statements says the same");

/* `w`: the table along whose index the way goes. */
#define BY_TENANT "w.tenant_id = $1::uuid"
/* As in the index job_records_newest. */
#define NEWEST_OF_TENANT "uuid_send(w.tenant_id) = uuid_send($1::uuid)"
#define BY_RUN BY_TENANT " and w.run_id = $6::uuid"
#define BY_KEY BY_TENANT " and w.job_key = $7::text"
#define ROWS(table, way)                                                                      \
    "select j.* from (select j.* from " table " w join jobs j on j.number = w.id "            \
    "                  where " way " and w.id < $2::bigint and w.id >= coalesce(edge.id, 0) " \
    MATCHES " order by w.id desc limit " MOST_ROWS ") j "                                     \
    " order by j.number desc limit $8::integer"
/* `before` sums the rows above: the first row always comes. */
#define WITH_SIZES(rows)                                                                      \
    "select j.*, sum(octet_length(j.payload::text) + coalesce(octet_length(j.result::text), 0)) " \
    "  over (order by j.number desc rows between unbounded preceding and 1 preceding) as before " \
    "  from (" rows ") j"
#define LIST(table, way)                                                                      \
    "with edge as materialized "                                                              \
    "       (select w.id from " table " w "                                                   \
    "         where $9::boolean and " way " and w.id < $2::bigint "                           \
    "         order by w.id desc offset " LOOKED_AT " - 1 limit 1) "                          \
    "select " JOB_COLUMNS ", edge.id "                                                        \
    "  from (select 1) one left join edge on true "                                           \
    "  left join lateral (" WITH_SIZES(ROWS(table, way)) ") j "                               \
    "    on coalesce(j.before, 0) < " PAGE_BYTES " order by j.number desc"

enum way { WAY_NEWEST, WAY_RUN, WAY_KEY, WAY_OPEN, WAY_DEAD, WAYS };

static const struct db_statement lists[WAYS] = {
    [WAY_NEWEST] = {"api_list_jobs", LIST("job_records", NEWEST_OF_TENANT)},
    [WAY_RUN] = {"api_list_jobs_run", LIST("job_records", BY_RUN)},
    [WAY_KEY] = {"api_list_jobs_key", LIST("job_records", BY_KEY)},
    [WAY_OPEN] = {"api_list_jobs_open", LIST("job_open", BY_TENANT)},
    [WAY_DEAD] = {"api_list_jobs_dead", LIST("job_dead", BY_TENANT)},
};

static const struct db_statement get_job = {
    "api_get_job", "select " JOB_COLUMNS ", null::bigint from jobs j "
                   " where j.id = $1::uuid and j.tenant_id = $2::uuid"};

static const struct db_statement get_jobs = {
    "api_get_jobs",
    "select " JOB_COLUMNS ", null::bigint "
    "  from (" WITH_SIZES("select j.* from jobs j "
                          " where j.id = any ($1::uuid[]) and j.tenant_id = $2::uuid") ") j "
    " where coalesce(j.before, 0) < " PAGE_BYTES " order by j.number desc"};

static const struct db_statement find_keys = {
    "api_find_job_keys",
    "select n.place - 1 from unnest($1::uuid[]) with ordinality as n (name, place) "
    " where exists (select from job_records r "
    "                where r.tenant_id = $2::uuid and r.job_key = n.name::text) "
    "    or exists (select from job_pruned p "
    "                where p.tenant_id = $2::uuid and p.job_key = n.name::text)"};

/* $1 run, $2 tenant, $3 job, $4 seq of its queueing, $5 of its end, null: none. */
static const struct db_statement get_job_events = {
    "api_get_job_events",
    "select e.seq, e.event_type::text, e.ts, e.payload "
    "  from run_heads h "
    " cross join lateral (select coalesce($5::bigint, h.last_seq) as high) till "
    " cross join lateral (select greatest($4::bigint, till.high - " LOOKED_AT " + 1) as low) since "
    " cross join lateral "
    "       (select seq, event_type, ts, payload from run_events "
    "         where run_id = $1::uuid and seq between since.low and till.high "
    "         union all "
    "        select seq, event_type, ts, payload from run_events "
    "         where run_id = $1::uuid and seq = $4::bigint and $4::bigint < since.low) e "
    " where h.run_id = $1::uuid and h.tenant_id = $2::uuid "
    "   and e.event_type in ('JOB_QUEUED', 'JOB_STARTED', 'JOB_PROGRESS', 'JOB_RETRYING', "
    "                        'JOB_COMPLETED', 'JOB_FAILED', 'JOB_CANCELLED') "
    "   and e.payload ->> 'job_id' = $3::uuid::text "
    " order by e.seq limit " STORE_TEXT_OF_VALUE(1000)};
_Static_assert(STORE_JOB_EVENTS == 1000, "the text of the statement says the same");
/* clang-format on */

/* ---- names ---- */

static const char *const status_names[STORE_JOB_STATUSES] = {
    [JOB_STATUS_PENDING] = "pending",     [JOB_STATUS_RUNNING] = "running",
    [JOB_STATUS_SUCCESS] = "success",     [JOB_STATUS_ERROR] = "error",
    [JOB_STATUS_CANCELLED] = "cancelled",
};

const char *store_job_status_name(enum job_status status)
{
    return status_names[status];
}

bool store_find_job_status(const char *name, size_t length, enum job_status *status_out)
{
    for (unsigned i = JOB_STATUS_PENDING; i < STORE_JOB_STATUSES; i++) {
        if (strlen(status_names[i]) == length && memcmp(status_names[i], name, length) == 0) {
            *status_out = (enum job_status)i;
            return true;
        }
    }
    return false;
}

/* ---- one, and some ---- */

void store_get_job(struct store *store, const struct uuid *tenant, const struct uuid *job,
                   db_done_fn *done, void *arg)
{
    db_param_uuid(&store->params, job);
    db_param_uuid(&store->params, tenant);
    store_give(store, tenant, &get_job, done, arg);
}

static void ask_for_many(struct store *store, const struct uuid *tenant, const struct uuid *ids,
                         size_t count, const struct db_statement *statement, db_done_fn *done,
                         void *arg)
{
    db_array_begin(&store->params, DB_ARRAY_UUID, count);
    for (size_t i = 0; i < count; i++) {
        db_array_uuid(&store->params, ids[i].bytes);
    }
    db_array_end(&store->params);
    db_param_uuid(&store->params, tenant);
    store_give(store, tenant, statement, done, arg);
}

void store_get_jobs(struct store *store, const struct uuid *tenant, const struct uuid *jobs,
                    size_t count, db_done_fn *done, void *arg)
{
    ask_for_many(store, tenant, jobs, count, &get_jobs, done, arg);
}

void store_find_job_keys(struct store *store, const struct uuid *tenant, const struct uuid *names,
                         size_t count, db_done_fn *done, void *arg)
{
    ask_for_many(store, tenant, names, count, &find_keys, done, arg);
}

size_t store_read_place(const struct db_result *result, int row)
{
    return (size_t)db_int8(result, row, 0);
}

static void param_number(struct db_params *params, int64_t number)
{
    if (number == 0) {
        db_param_null(params);
    } else {
        db_param_int8(params, number);
    }
}

void store_get_job_events(struct store *store, const struct uuid *tenant,
                          const struct store_job *job, db_done_fn *done, void *arg)
{
    db_param_uuid(&store->params, &job->run);
    db_param_uuid(&store->params, tenant);
    db_param_uuid(&store->params, &job->id);
    db_param_int8(&store->params, job->enqueue_seq);
    param_number(&store->params, job->finish_seq);
    store_give(store, tenant, &get_job_events, done, arg);
}

void store_read_job_event(const struct db_result *result, int row, struct store_event *event_out)
{
    *event_out = (struct store_event){.seq = db_int8(result, row, 0)};
    event_out->type = db_bytes(result, row, 1, &event_out->type_length);
    event_out->ts_us = db_timestamptz(result, row, 2);
    event_out->payload = db_bytes(result, row, 3, &event_out->payload_length);
}

/* ---- lists ---- */

static void param_statuses(struct db_params *params, unsigned statuses)
{
    if (statuses == 0) {
        db_param_null(params);
        return;
    }
    db_array_begin(params, DB_ARRAY_TEXT, (size_t)__builtin_popcount(statuses));
    for (unsigned i = 0; i < STORE_JOB_STATUSES; i++) {
        if ((statuses & 1U << i) != 0) {
            db_array_bytes(params, status_names[i], strlen(status_names[i]));
        }
    }
    db_array_end(params);
}

static void param_text(struct db_params *params, const char *text)
{
    if (text == NULL) {
        db_param_null(params);
    } else {
        db_param_text(params, text, strlen(text));
    }
}

static enum way way_of(const struct store_jobs_filter *filter)
{
    const unsigned unfinished = 1U << JOB_STATUS_PENDING | 1U << JOB_STATUS_RUNNING;
    if (filter->key != NULL) {
        return WAY_KEY;
    }
    if (!uuid_is_nil(&filter->run)) {
        return WAY_RUN;
    }
    if (filter->statuses == 1U << JOB_STATUS_ERROR) {
        return WAY_DEAD;
    }
    return filter->statuses != 0 && (filter->statuses & ~unfinished) == 0 ? WAY_OPEN : WAY_NEWEST;
}

/* Whether rows on the way may not match, so that a page could be far to seek. */
static bool is_partial(const struct store_jobs_filter *filter, enum way way)
{
    return filter->queue != NULL || filter->type != NULL ||
           (way != WAY_DEAD && filter->statuses != 0);
}

void store_list_jobs(struct store *store, const struct store_jobs_filter *filter, int64_t before,
                     int32_t limit, db_done_fn *done, void *arg)
{
    struct db_params *params = &store->params;
    enum way way = way_of(filter);
    db_param_uuid(params, &filter->tenant);
    db_param_int8(params, before);
    param_statuses(params, filter->statuses);
    param_text(params, filter->queue);
    param_text(params, filter->type);
    if (uuid_is_nil(&filter->run)) {
        db_param_null(params);
    } else {
        db_param_uuid(params, &filter->run);
    }
    param_text(params, filter->key);
    db_param_int4(params, limit);
    db_param_bool(params, is_partial(filter, way));
    store_give(store, &filter->tenant, &lists[way], done, arg);
}

enum { COLUMN_EDGE = 29 };

int store_jobs_rows(const struct db_result *result)
{
    int rows = db_rows(result);
    return rows == 1 && db_is_null(result, 0, 0) ? 0 : rows;
}

int64_t store_read_jobs_edge(const struct db_result *result)
{
    return db_rows(result) == 0 || db_is_null(result, 0, COLUMN_EDGE)
               ? 0
               : db_int8(result, 0, COLUMN_EDGE);
}

size_t store_job_bytes(const struct store_job *job)
{
    return job->payload.length + job->result.length;
}

/* ---- rows ---- */

static int64_t number_or_zero(const struct db_result *result, int row, int column)
{
    return db_is_null(result, row, column) ? 0 : db_int8(result, row, column);
}

static int64_t time_or_zero(const struct db_result *result, int row, int column)
{
    return db_is_null(result, row, column) ? 0 : db_timestamptz(result, row, column);
}

static struct json_span text_or_none(const struct db_result *result, int row, int column)
{
    struct json_span span = {0};
    if (!db_is_null(result, row, column)) {
        span.data = db_bytes(result, row, column, &span.length);
    }
    return span;
}

static enum job_status status_of(struct json_span name)
{
    enum job_status status = JOB_STATUS_PENDING;
    bool known = store_find_job_status(name.data, name.length, &status);
    assert(known);
    return status;
}

void store_read_job(const struct db_result *result, int row, struct store_job *job)
{
    db_uuid(result, row, 0, &job->id);
    job->number = db_int8(result, row, 1);
    db_uuid(result, row, 2, &job->run);
    job->key = text_or_none(result, row, 3);
    job->type = text_or_none(result, row, 4);
    job->artifact_kind = text_or_none(result, row, 5);
    job->queue = text_or_none(result, row, 6);
    job->status = status_of(text_or_none(result, row, 7));
    job->priority = db_int4(result, row, 8);
    job->attempts = db_int4(result, row, 9);
    job->max_attempts = db_int4(result, row, 10);
    job->payload = text_or_none(result, row, 11);
    job->run_at_us = time_or_zero(result, row, 12);
    job->depends_on = text_or_none(result, row, 13);
    job->on_dep_fail = (enum job_dep_fail)db_int4(result, row, 14);
    job->concurrency_key = text_or_none(result, row, 15);
    job->detached = db_bool(result, row, 16);
    job->worker = text_or_none(result, row, 17);
    job->heartbeat_us = time_or_zero(result, row, 18);
    job->cancel_requested = db_bool(result, row, 19);
    job->progress = text_or_none(result, row, 20);
    job->result = text_or_none(result, row, 21);
    job->error = text_or_none(result, row, 22);
    job->error_class = text_or_none(result, row, 23);
    job->created_us = db_timestamptz(result, row, 24);
    job->updated_us = db_timestamptz(result, row, 25);
    job->finished_us = time_or_zero(result, row, 26);
    job->enqueue_seq = db_int8(result, row, 27);
    job->finish_seq = number_or_zero(result, row, 28);
}
