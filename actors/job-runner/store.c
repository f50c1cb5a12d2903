/* See store.h. */
#include "job-runner/store.h"

const struct db_statement store_put_jwks = {
    "job_runner_put_jwks",
    "insert into jwks_documents (url, body, fetched_at) values ($1::text, $2::text::json, now())"
    " on conflict (url) do update set body = excluded.body, fetched_at = excluded.fetched_at",
};

const struct db_statement store_hold_shards = {
    "job_runner_hold_shards",
    "select shard_out::integer from hold_job_shards($1::text, $2::bigint, $3::integer)",
};

const struct db_statement store_leave_shards = {
    "job_runner_leave_shards",
    "select leave_job_shards($1::text, $2::bigint)",
};

const struct db_statement store_rules = {
    "job_runner_rules",
    "select 0 as kind, tenant_id, queue as name, paused, coalesce(concurrency, 0) as concurrency,"
    "       key_concurrency, coalesce(rate_per_minute, 0) as rate_per_minute, rate_burst"
    "  from job_queues"
    " union all "
    "select 1, tenant_id, job_type, true, 0, 0, 0, 0 from job_pauses",
};

#define OPEN_ROWS                                                                               \
    "select id, job_id, tenant_id, run_id, queue, job_type, shard::integer, priority::integer," \
    "       concurrency_key, run_at, attempts::integer, token, worker,"                         \
    "       coalesce(lease_ms, 0), deps_left, dep_failed, cancel_requested_at is not null"      \
    "  from job_open where "

const struct db_statement store_open_page = {
    "job_runner_open_page",
    OPEN_ROWS "id > $1::bigint and shard = any($2::integer[]) order by id limit $3::bigint",
};

const struct db_statement store_open_rows = {
    "job_runner_open_rows",
    OPEN_ROWS "id = any($1::bigint[])",
};

const struct db_statement store_payloads = {
    "job_runner_payloads",
    "select id, job_key, max_attempts::integer, payload from job_records"
    " where id = any($1::bigint[])",
};

const struct db_statement store_renew = {
    "job_runner_renew",
    "select renew_job_leases($1::bigint[], $2::uuid[], $3::integer[], $4::json[])",
};

const struct db_statement store_confirm = {
    "job_runner_confirm",
    "select c.place,"
    "       coalesce((extract(epoch from o.lease_until - clock_timestamp()) * 1000)::bigint, 0),"
    "       coalesce(o.heartbeat_at > o.started_at, false),"
    "       exists (select from job_runners r"
    "                where r.origin = c.origin and r.until > clock_timestamp())"
    "  from unnest($1::bigint[], $2::uuid[], $3::bigint[])"
    "       with ordinality as c (id, token, origin, place)"
    "  join job_open o on o.id = c.id and o.token = c.token order by c.place",
};

const struct db_statement store_stuck = {
    "job_runner_stuck",
    "select id, token, shard::integer from job_open"
    " where token is not null"
    "   and lease_until + make_interval(secs => (2 * lease_ms + $1::bigint) / 1000.0)"
    "         < clock_timestamp()"
    " order by id limit 500",
};

const struct db_statement store_due_schedules = {
    "job_runner_due_schedules",
    "select tenant_id, name, spec, tz, queue, job_type, payload, priority::integer,"
    "       max_attempts::integer, concurrency_key, missed, next_at"
    "  from job_schedules"
    " where enabled and next_at <= $3::timestamptz and shard = any($1::integer[]::smallint[])"
    " order by next_at limit $2::bigint",
};

const struct db_statement store_move_schedule = {
    "job_runner_move_schedule",
    "select move_job_schedule($1::uuid, $2::text, $3::timestamptz, $4::timestamptz,"
    "                         $5::timestamptz, $6::text)",
};

/* A count that ends, however many there are. */
const struct db_statement store_dead = {
    "job_runner_dead",
    "select count(*) from (select from job_dead limit 100000) as d",
};

/* Whose transactions are whose is not for this role to know, but their locks on themselves are for
 * everybody; ours is one of them. */
const struct db_statement store_vitals = {
    "job_runner_vitals",
    "select l.virtualtransaction, pg_stat_get_dead_tuples('job_open'::regclass)"
    "  from pg_locks l join pg_stat_activity a on a.pid = l.pid"
    " where l.locktype = 'virtualxid' and l.granted and a.usesysid is not null",
};
