-- Copies of our own tables, indexes included, for the limit of what they can take (job_limit.c).
drop schema if exists bench_jobs cascade;
create schema bench_jobs;
create table bench_jobs.job_records (like public.job_records including all) with (fillfactor = 45);
create table bench_jobs.job_open (like public.job_open including all)
    with (fillfactor = 30, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);
create table bench_jobs.run_heads (like public.run_heads including all) with (fillfactor = 50);
create table bench_jobs.run_events (like public.run_events including all);
create function bench_jobs.id(kind integer, number bigint) returns uuid language sql immutable
    return (to_hex(kind) || lpad(to_hex(number), 31, '0'))::uuid;
