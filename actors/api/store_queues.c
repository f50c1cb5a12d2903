/* See store_queues.h. */
#include "api/store_queues.h"

#include <string.h>

/* clang-format off */
#define COUNTED STORE_TEXT_OF_VALUE(100000)
_Static_assert(STORE_QUEUES_COUNTED == 100000, "the text of the statements says the same");
#define DEAD_COUNTED STORE_TEXT_OF_VALUE(10000)
_Static_assert(STORE_QUEUES_DEAD_COUNTED == 10000, "the text of the statements says the same");
#define QUEUES_MAX STORE_TEXT_OF_VALUE(1000)
_Static_assert(STORE_QUEUES_MAX == 1000, "the text of the statements says the same");
#define DEAD_LOOKED_AT STORE_TEXT_OF_VALUE(50000)
_Static_assert(STORE_DEAD_LOOKED_AT == 50000, "the text of the statements says the same");

#define NOTE "insert into audit_log (audit_id, tenant_id, actor, action, object_id, before, after) "

/* ---- how they stand: $1 tenant, $2 queue ---- */

#define STANDING                                                                              \
    "with open_jobs as materialized "                                                         \
    "       (select queue, token is not null as running, deps_left > 0 as blocked, run_at "   \
    "          from job_open where tenant_id = $1::uuid "                                     \
    "           and ($2::text is null or queue = $2::text) limit " COUNTED "), "              \
    "     counted as "                                                                        \
    "       (select queue, count(*) filter (where not running) as waiting, "                  \
    "               count(*) filter (where not running and not blocked and run_at <= now()) as due, " \
    "               count(*) filter (where running) as running, "                             \
    "               min(run_at) filter (where not running and not blocked and run_at <= now()) as oldest " \
    "          from open_jobs group by queue), "                                              \
    "     dead_jobs as materialized "                                                         \
    "       (select r.queue from (select id from job_dead where tenant_id = $1::uuid "        \
    "                              order by id desc limit " DEAD_COUNTED ") d "               \
    "          join job_records r on r.id = d.id), "                                          \
    "     dead as (select queue, count(*) as count from dead_jobs group by queue), "          \
    "     names as "                                                                          \
    "       (select queue from job_queues where tenant_id = $1::uuid union select queue from counted " \
    "         union select queue from dead union select $2::text) "
#define QUEUE                                                                                 \
    "json_build_object('queue', n.queue, 'paused', coalesce(q.paused, false), "               \
    "  'concurrency', q.concurrency, 'key_concurrency', coalesce(q.key_concurrency, 1), "     \
    "  'rate_per_minute', q.rate_per_minute, 'rate_burst', coalesce(q.rate_burst, 1), "       \
    "  'waiting', coalesce(c.waiting, 0), 'due', coalesce(c.due, 0), "                        \
    "  'running', coalesce(c.running, 0), 'dead', coalesce(d.count, 0), "                     \
    "  'oldest_age_ms', (extract(epoch from now() - c.oldest) * 1000)::bigint)"
#define OF_NAMES                                                                              \
    "  left join counted c using (queue) left join dead d using (queue) "                     \
    "  left join job_queues q on q.tenant_id = $1::uuid and q.queue = n.queue "
#define EXACT                                                                                 \
    "(select count(*) < " COUNTED " from open_jobs) and (select count(*) < " DEAD_COUNTED     \
    " from dead_jobs)"

static const struct db_statement get_queues = {
    "api_get_queues",
    STANDING "select json_build_object('queues', coalesce(json_agg(" QUEUE " order by n.queue), '[]'), "
    "  'paused', exists (select from job_pauses where tenant_id = $1::uuid and job_type = ''), "
    "  'paused_job_types', (select coalesce(json_agg(job_type order by job_type), '[]') "
    "     from (select job_type from job_pauses where tenant_id = $1::uuid and job_type <> '' "
    "            order by job_type limit " QUEUES_MAX ") p), "
    "  'exact', " EXACT " and (select count(*) <= " QUEUES_MAX " from names where queue is not null))::text "
    "  from (select queue from names where queue is not null order by queue limit " QUEUES_MAX ") n " OF_NAMES};

static const struct db_statement get_queue = {
    "api_get_queue",
    STANDING "select " QUEUE "::text from (select queue from names where queue = $2::text) n " OF_NAMES};

/* ---- what is asked of them ---- */

/* Every job-runner reads and keeps them all: names that a tenant chooses have an end. */
#define RULES_MAX "1000"

#define RULES "paused, concurrency, key_concurrency, rate_per_minute, rate_burst"
#define RULES_OF(from)                                                                        \
    "jsonb_build_object('paused', " from ".paused, 'concurrency', " from ".concurrency, "     \
    "  'key_concurrency', " from ".key_concurrency, 'rate_per_minute', " from                 \
    ".rate_per_minute, 'rate_burst', " from ".rate_burst)"
/* A number that is not given stays; 0 is none, or one where there has to be one. */
#define KEPT_OR_NONE(name, n) "case when " n "::integer is null then q." name " else nullif(" n "::integer, 0) end"
#define KEPT_OR_ONE(name, n) \
    "case when " n "::integer is null then q." name " else coalesce(nullif(" n "::integer, 0), 1) end"
#define AFTERWARDS                                                                            \
    "coalesce($3::boolean, q.paused), " KEPT_OR_NONE("concurrency", "$4") ", "                \
    KEPT_OR_ONE("key_concurrency", "$5") ", " KEPT_OR_NONE("rate_per_minute", "$6") ", "      \
    KEPT_OR_ONE("rate_burst", "$7")

static const struct db_statement set_queue = {
    "api_set_queue",
    "with old as (select " RULES " from job_queues where tenant_id = $1::uuid and queue = $2::text), "
    "     made as (insert into job_queues as q (tenant_id, queue, " RULES ") "
    "              select $1::uuid, $2::text, coalesce($3::boolean, false), nullif($4::integer, 0), "
    "                     coalesce(nullif($5::integer, 0), 1), nullif($6::integer, 0), "
    "                     coalesce(nullif($7::integer, 0), 1) "
    "               where exists (select from old) or "
    "                     (select count(*) from job_queues where tenant_id = $1::uuid) < " RULES_MAX " "
    "              on conflict (tenant_id, queue) do update "
    "                 set (" RULES ", updated_at) = row (" AFTERWARDS ", now()) "
    "               where (" AFTERWARDS ") is distinct from "
    "                     (q.paused, q.concurrency, q.key_concurrency, q.rate_per_minute, q.rate_burst) "
    "              returning queue, " RULES "), "
    "     noted as (" NOTE "select $9::uuid, $1::uuid, $8::text, 'queue.set', made.queue, "
    "                      (select " RULES_OF("old") " from old), " RULES_OF("made") " from made) "
    "select exists (select from made), not exists (select 1 from made union all select 1 from old) "
    "  and (select count(*) from job_queues where tenant_id = $1::uuid) >= " RULES_MAX};

static const struct db_statement reset_queue = {
    "api_reset_queue",
    "with gone as (delete from job_queues where tenant_id = $1::uuid and queue = $2::text "
    "              returning queue, " RULES "), "
    "     noted as (" NOTE "select $4::uuid, $1::uuid, $3::text, 'queue.reset', gone.queue, "
                      RULES_OF("gone") ", null from gone) "
    "select exists (select from gone), false"};

static const struct db_statement pause_jobs = {
    "api_pause_jobs",
    "with old as (select from job_pauses where tenant_id = $1::uuid and job_type = $2::text), "
    "     made as (insert into job_pauses (tenant_id, job_type) select $1::uuid, $2::text "
    "               where $2::text = '' or "
    "                     (select count(*) from job_pauses where tenant_id = $1::uuid) < " RULES_MAX " "
    "              on conflict (tenant_id, job_type) do nothing returning job_type), "
    "     noted as (" NOTE "select $4::uuid, $1::uuid, $3::text, 'jobs.pause', job_type, "
    "                      null, jsonb_build_object('paused', true) from made) "
    "select exists (select from made), not exists (select 1 from made union all select 1 from old) "
    "  and (select count(*) from job_pauses where tenant_id = $1::uuid) >= " RULES_MAX};

static const struct db_statement resume_jobs = {
    "api_resume_jobs",
    "with gone as (delete from job_pauses where tenant_id = $1::uuid and job_type = $2::text "
    "              returning job_type), "
    "     noted as (" NOTE "select $4::uuid, $1::uuid, $3::text, 'jobs.resume', job_type, "
    "                      jsonb_build_object('paused', true), null from gone) "
    "select exists (select from gone), false"};

/* ---- dead jobs: $1 tenant, $2 behind, $3 queue, $4 job type, $5 run ---- */

static const struct db_statement select_dead = {
    "api_select_dead_jobs",
    "with looked as materialized "
    "       (select d.id from job_dead d where d.tenant_id = $1::uuid and d.id > $2::bigint "
    "         order by d.id limit " DEAD_LOOKED_AT ") "
    "select r.job_id, r.id, (select max(id) from looked having count(*) = " DEAD_LOOKED_AT ") "
    "  from (select 1) one "
    "  left join lateral "
    "       (select r.job_id, r.id from looked l join job_records r on r.id = l.id "
    "         where r.tenant_id = $1::uuid and ($3::text is null or r.queue = $3::text) "
    "           and ($4::text is null or r.job_type = $4::text) "
    "           and ($5::uuid is null or r.run_id = $5::uuid) "
    "         order by r.id limit " DEAD_COUNTED ") r on true order by r.id"};

static const struct db_statement note_retries = {
    "api_note_retries",
    NOTE "select $1::uuid, $2::uuid, $3::text, 'jobs.retry', coalesce($4::text, ''), null, "
    "       jsonb_build_object('queue', $4::text, 'job_type', $5::text, 'run_id', $6::uuid, "
    "                          'count', $7::bigint)"};
/* clang-format on */

/* ---- parameters ---- */

static void add_text(struct db_params *params, const char *text)
{
    if (text == NULL) {
        db_param_null(params);
    } else {
        db_param_text(params, text, strlen(text));
    }
}

static void add_id(struct db_params *params, const struct uuid *id)
{
    if (uuid_is_nil(id)) {
        db_param_null(params);
    } else {
        db_param_uuid(params, id);
    }
}

static void add_new_id(struct db_params *params)
{
    struct uuid id = uuid_new();
    db_param_uuid(params, &id);
}

/* ---- how they stand ---- */

void store_get_queues(struct store *store, const struct uuid *tenant, const char *queue,
                      db_done_fn *done, void *arg)
{
    db_param_uuid(&store->params, tenant);
    add_text(&store->params, queue);
    store_give(store, tenant, queue == NULL ? &get_queues : &get_queue, done, arg);
}

struct store_text store_read_queues(const struct db_result *result)
{
    struct store_text text;
    text.data = db_bytes(result, 0, 0, &text.length);
    return text;
}

/* ---- what is asked of them ---- */

void store_set_queue(struct store *store, const struct uuid *tenant, const char *queue,
                     const struct store_queue_rules *rules, const char *actor, db_done_fn *done,
                     void *arg)
{
    struct db_params *params = &store->params;
    db_param_uuid(params, tenant);
    add_text(params, queue);
    if (rules->paused == STORE_QUEUE_AS_IT_IS) {
        db_param_null(params);
    } else {
        db_param_bool(params, rules->paused != 0);
    }
    for (unsigned i = 0; i < STORE_QUEUE_RULES; i++) {
        if (rules->numbers[i] == STORE_QUEUE_AS_IT_IS) {
            db_param_null(params);
        } else {
            db_param_int4(params, rules->numbers[i]);
        }
    }
    add_text(params, actor);
    add_new_id(params);
    store_give(store, tenant, &set_queue, done, arg);
}

static void change(struct store *store, const struct uuid *tenant, const char *name,
                   const char *actor, const struct db_statement *statement, db_done_fn *done,
                   void *arg)
{
    db_param_uuid(&store->params, tenant);
    add_text(&store->params, name);
    add_text(&store->params, actor);
    add_new_id(&store->params);
    store_give(store, tenant, statement, done, arg);
}

void store_reset_queue(struct store *store, const struct uuid *tenant, const char *queue,
                       const char *actor, db_done_fn *done, void *arg)
{
    change(store, tenant, queue, actor, &reset_queue, done, arg);
}

void store_pause_jobs(struct store *store, const struct uuid *tenant, const char *job_type,
                      bool paused, const char *actor, db_done_fn *done, void *arg)
{
    change(store, tenant, job_type, actor, paused ? &pause_jobs : &resume_jobs, done, arg);
}

bool store_read_refused(const struct db_result *result)
{
    return db_bool(result, 0, 1);
}

bool store_read_changed(const struct db_result *result)
{
    return db_bool(result, 0, 0);
}

/* ---- dead jobs ---- */

void store_select_dead(struct store *store, const struct store_dead_filter *filter, int64_t after,
                       db_done_fn *done, void *arg)
{
    struct db_params *params = &store->params;
    db_param_uuid(params, &filter->tenant);
    db_param_int8(params, after);
    add_text(params, filter->queue);
    add_text(params, filter->type);
    add_id(params, &filter->run);
    store_give(store, &filter->tenant, &select_dead, done, arg);
}

int store_dead_rows(const struct db_result *result)
{
    int rows = db_rows(result);
    return rows == 1 && db_is_null(result, 0, 0) ? 0 : rows;
}

void store_read_dead(const struct db_result *result, int row, struct uuid *job_out,
                     int64_t *number_out)
{
    db_uuid(result, row, 0, job_out);
    *number_out = db_int8(result, row, 1);
}

int64_t store_read_dead_edge(const struct db_result *result)
{
    return db_is_null(result, 0, 2) ? 0 : db_int8(result, 0, 2);
}

void store_note_retries(struct store *store, const struct store_dead_filter *filter, int64_t count,
                        const char *actor, db_done_fn *done, void *arg)
{
    struct db_params *params = &store->params;
    add_new_id(params);
    db_param_uuid(params, &filter->tenant);
    add_text(params, actor);
    add_text(params, filter->queue);
    add_text(params, filter->type);
    add_id(params, &filter->run);
    db_param_int8(params, count);
    store_give(store, &filter->tenant, &note_retries, done, arg);
}
