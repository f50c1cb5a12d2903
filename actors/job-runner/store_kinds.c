/* See store_kinds.h. */
#include "job-runner/store_kinds.h"

const struct db_statement store_kinds_trace = {
    "job_runner_trace_of_job",
    "select e.trace_id from job_records r"
    "  join run_events e on e.run_id = r.run_id and e.seq = r.enqueue_seq"
    " where r.job_id = $1::uuid",
};

const struct db_statement store_kinds_waiting = {
    "job_runner_waiting",
    "select r.id, r.job_id, r.run_id, r.job_key, r.job_type, r.queue, r.priority::integer,"
    "       (o.attempts + 1)::integer, r.max_attempts::integer"
    "  from job_records r join job_open o on o.id = r.id"
    " where r.id = any($1::bigint[])",
};

const struct db_statement store_kinds_progress = {
    "job_runner_progress",
    "select progress->>'note' from job_open where job_id = $1::uuid",
};

const struct db_statement store_kinds_runs_of_all = {
    "job_runner_runs_of_all",
    "select run_id from runs where run_id > $1::uuid order by run_id limit $2::bigint",
};

const struct db_statement store_kinds_runs_of_tenant = {
    "job_runner_runs_of_tenant",
    "select run_id, created_at from runs where tenant_id = $1::uuid"
    "   and ($2::timestamptz is null or (created_at, run_id) < ($2::timestamptz, $3::uuid))"
    " order by created_at desc, run_id desc limit $4::bigint",
};
