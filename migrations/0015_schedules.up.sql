-- Schedules (docs/schedules.md): jobs that are queued again and again, at the times their spec says. A tick is queued by the
-- runner that holds the shard of its queue, under a key that names the tick, so that no tick is queued twice; then next_at moves.
create table job_schedules (
    tenant_id uuid not null references tenants on delete cascade,
    name text not null check (octet_length(name) between 1 and 255),
    spec text not null check (octet_length(spec) between 1 and 256),          -- cron, "@daily", "@every 90s"
    tz text not null default 'UTC',                                           -- of the IANA database
    queue text not null default 'default' check (octet_length(queue) between 1 and 255),
    job_type text not null check (octet_length(job_type) between 1 and 255),
    payload json not null default '{}',
    priority smallint not null default 0 check (priority between -1000 and 1000),
    max_attempts smallint not null check (max_attempts between 1 and 1000),
    concurrency_key text check (octet_length(concurrency_key) between 1 and 255),
    enabled boolean not null default true,
    missed text not null default 'skip' check (missed in ('skip', 'all', 'none')),
    next_at timestamptz,                      -- null: never again
    last_at timestamptz,                      -- the tick that was queued last
    last_error text,                          -- why the last one was not queued
    shard smallint not null generated always as (job_shard(tenant_id, queue)) stored,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, name)
);
create index job_schedules_due on job_schedules (shard, next_at) where enabled and next_at is not null;

-- The tick at p_due was queued (p_last: it, or the later one that was queued in its place; null: none was), or could not be
-- (p_error). Moves next_at on from there; false when the schedule has been changed or moved meanwhile.
create function move_job_schedule(p_tenant uuid, p_name text, p_due timestamptz, p_next timestamptz, p_last timestamptz,
                                  p_error text)
returns boolean
language sql security definer set search_path = public, pg_temp as $$
    with moved as (
        update job_schedules
           set next_at = p_next, last_at = coalesce(p_last, last_at), last_error = p_error
         where tenant_id = p_tenant and name = p_name and next_at = p_due and enabled
        returning 1
    )
    select exists (select from moved)
$$;
revoke execute on function move_job_schedule from public;
grant execute on function move_job_schedule to signalbox_job_runner;

alter table job_schedules enable row level security;
create policy job_schedules_of_tenant on job_schedules for all to signalbox_api
    using (tenant_id = (select current_tenant())) with check (tenant_id = (select current_tenant()));
create policy job_schedules_of_all on job_schedules for select to signalbox_job_runner using (true);

grant select, insert, update, delete on job_schedules to signalbox_api;
grant select on job_schedules to signalbox_job_runner;
