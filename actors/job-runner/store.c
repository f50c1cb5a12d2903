/* See store.h. */
#include "job-runner/store.h"

const struct db_statement store_put_jwks = {
    "job_runner_put_jwks",
    "insert into jwks_documents (url, body, fetched_at) values ($1::text, $2::text::json, now())"
    " on conflict (url) do update set body = excluded.body, fetched_at = excluded.fetched_at",
};
