-- Keys of JWT issuers as last fetched (by the job-runner's fetcher); the api reads them here and never fetches itself.
create table jwks_documents (
    url text primary key check (length(url) between 1 and 2048),
    body json not null check (octet_length(body::text) <= 65536),
    fetched_at timestamptz not null
);

grant select on jwks_documents to signalbox_api, signalbox_job_runner;
grant insert, update on jwks_documents to signalbox_job_runner;
