/* See store_kinds.h. */
#include "job-runner/store_kinds.h"

const struct db_statement store_kinds_trace = {
    "job_runner_trace_of_job",
    "select e.trace_id from job_records r"
    "  join run_events e on e.run_id = r.run_id and e.seq = r.enqueue_seq"
    " where r.job_id = $1::uuid",
};
