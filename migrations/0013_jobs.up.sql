-- Jobs (docs/jobs.md): one wide row for ever, and one narrow row while a job is unfinished. The order in which jobs run is in
-- the memory of the job-runner that holds their shard; nothing here is scanned or sorted to claim one.
create type job_status as enum ('pending', 'running', 'success', 'error', 'cancelled');

-- The shard of a job, 0 .. 15 (JOB_SHARDS in proto/job.h). All jobs of a tenant in a queue are in one, so that its owner can
-- count what runs.
create function job_shard(p_tenant uuid, p_queue text) returns smallint
language sql immutable parallel safe as $$
    select (get_byte(sha256(uuid_send(p_tenant) || convert_to(p_queue, 'UTF8')), 0) % 16)::smallint
$$;

-- id: log position of its JOB_QUEUED, so that ids grow in the order of commits. status is never 'running' here: that is a
-- live claim in job_open, see the view. Written twice, by its queueing and by its end; no index on anything that changes
-- but run_id (of a retry after the end of its run), so that the second write stays on its page.
create table job_records (
    id bigint primary key,
    job_id uuid not null,
    tenant_id uuid not null, -- of its run, which the sequencer has in hand: a reference would be looked up for every row
    run_id uuid not null,
    job_key text not null,
    job_type text not null,
    artifact_kind text,
    queue text not null,
    status job_status not null default 'pending',
    priority smallint not null default 0,
    attempts smallint not null default 0,
    max_attempts smallint not null,
    payload json not null,
    on_dep_fail smallint not null default 0,  -- enum job_dep_fail of proto/job.h
    concurrency_key text,
    detached boolean not null default false,  -- its run was made for it and ends with it
    result json,
    result_artifact_id uuid,
    error jsonb,                              -- {"error": code or words, "job_id", "attempts", "last_worker", "remediation"}
    error_class text,
    partial boolean not null default false,   -- cancelled, and `result` is what there was
    last_worker text,
    last_token uuid,                          -- of the claim that ended it: its repeated report is known by it
    created_by text not null default '',
    created_at timestamptz not null,
    updated_at timestamptz not null,
    finished_at timestamptz,
    enqueue_seq bigint not null,
    finish_seq bigint
) with (fillfactor = 45);
create unique index job_records_key on job_records (tenant_id, job_key);
create unique index job_records_job on job_records (job_id);
create index job_records_run on job_records (run_id, id);
-- Of an expression, so that a look-up by tenant and key has one index to choose: planned while the table was small, a plan of
-- this one would be kept, and would go through all jobs of the tenant.
create index job_records_newest on job_records (uuid_send(tenant_id), id desc);

-- Unfinished jobs. A claim, a beat, a retry and a cancel mark are updates on its page; the end is a delete.
create table job_open (
    id bigint primary key,
    job_id uuid not null,
    tenant_id uuid not null,
    run_id uuid not null,
    queue text not null,
    job_type text not null,
    shard smallint not null,
    priority smallint not null,
    concurrency_key text,
    run_at timestamptz not null,
    attempts smallint not null default 0,
    claim integer not null default 0,         -- the fence: one more with every claim and every forced end of one
    token uuid,                               -- of the live claim; null: nobody works on it
    worker text,
    lease_ms integer,
    lease_until timestamptz,                  -- by the clock of the database only
    heartbeat_at timestamptz,
    started_at timestamptz,
    deps_left integer not null default 0,
    dep_failed boolean not null default false, -- a parent has ended without success: JOB_SKIP is due
    cancel_requested_at timestamptz,
    progress json,                            -- {"percent", "note"}, the last one
    last_error text                           -- of the attempt before
) with (fillfactor = 30, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0);

create table job_deps (
    parent bigint not null,
    child bigint not null,
    primary key (parent, child)
);
create index job_deps_child on job_deps (child);

-- Jobs that have ended in error, so that they are listed, counted and tried again without a scan.
create table job_dead (
    tenant_id uuid not null,
    id bigint not null,
    died_at timestamptz not null,
    primary key (tenant_id, id)
);

-- What a pruned job leaves: its key is known for ever.
create table job_pruned (
    tenant_id uuid not null references tenants,
    job_key text not null,
    job_id uuid not null,
    status job_status not null,
    result_artifact_id uuid,
    primary key (tenant_id, job_key)
);

-- The jobs as everybody reads them.
create view jobs with (security_invoker = true) as
    select r.job_id as id, r.id as number, r.tenant_id, r.run_id, r.job_key, r.job_type, r.artifact_kind, r.queue,
           case when o.token is not null then 'running' else r.status end as status,
           r.priority,
           case when o.id is null then r.attempts
                else o.attempts + case when o.token is not null then 1 else 0 end end::smallint as attempts,
           r.max_attempts, r.payload, r.on_dep_fail, r.concurrency_key, r.detached, o.run_at, coalesce(o.deps_left, 0) as deps_left,
           coalesce(o.worker, r.last_worker) as last_worker, o.heartbeat_at, o.started_at, o.lease_until,
           o.cancel_requested_at, o.progress, o.last_error, r.result, r.result_artifact_id, r.partial, r.error,
           r.error_class, r.created_by, r.created_at, greatest(r.updated_at, o.heartbeat_at) as updated_at, r.finished_at,
           r.enqueue_seq, r.finish_seq
      from job_records r left join job_open o on o.id = r.id;

-- Who works on which shard. A runner is known while it says so; a shard's epoch grows with every new owner.
create table job_runners (
    name text primary key,                    -- host and instance: "h1/job-runner-1"
    origin bigint not null,                   -- of its process
    until timestamptz not null
);
create table job_shards (
    shard smallint primary key,
    owner text not null default '',
    origin bigint not null default 0,
    epoch bigint not null default 0,
    until timestamptz not null default '-infinity'
);
insert into job_shards (shard) select generate_series(0, 15);

-- What operators and tenants ask of a queue. No row: not paused, no limits.
create table job_queues (
    tenant_id uuid not null references tenants on delete cascade,
    queue text not null,
    paused boolean not null default false,
    concurrency integer check (concurrency > 0),            -- of the tenant's jobs in this queue at once
    key_concurrency integer not null default 1 check (key_concurrency > 0), -- of jobs that share a concurrency_key
    rate_per_minute integer check (rate_per_minute > 0),    -- claims
    rate_burst integer not null default 1 check (rate_burst > 0),
    updated_at timestamptz not null default now(),
    primary key (tenant_id, queue)
);
-- Pauses that are not of a queue: of a job type, or ('') of the whole tenant.
create table job_pauses (
    tenant_id uuid not null references tenants on delete cascade,
    job_type text not null,
    paused_at timestamptz not null default now(),
    primary key (tenant_id, job_type)
);

-- The runner p_name, process p_origin, is alive for p_lease_ms more. Returns the shards that are its own from now on. Shards
-- are spread over the runners alive, in the order of their names; a shard changes hands when its owner gives it back here,
-- has not said anything for its lease, or is an earlier process of the same name. Two owners at once are slow, never wrong:
-- every claim is fenced by its row.
create function hold_job_shards(p_name text, p_origin bigint, p_lease_ms integer)
returns table (shard_out smallint, epoch_out bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    alive text[];
    now_at constant timestamptz := clock_timestamp();
    until_at constant timestamptz := now_at + make_interval(secs => p_lease_ms / 1000.0);
begin
    lock table job_shards in share row exclusive mode; -- sixteen rows, once a second: one runner at a time
    delete from job_runners r where r.until < now_at and r.name <> p_name;
    insert into job_runners as r (name, origin, until) values (p_name, p_origin, until_at)
    on conflict (name) do update set origin = excluded.origin, until = excluded.until;
    select array_agg(r.name order by r.name) into alive from job_runners r;
    update job_shards s set owner = '', until = '-infinity'
     where s.owner = p_name and alive[s.shard % cardinality(alive) + 1] <> p_name;
    return query
        update job_shards s
           set owner = p_name, origin = p_origin, until = until_at,
               epoch = s.epoch + case when s.owner = p_name and s.origin = p_origin then 0 else 1 end
         where alive[s.shard % cardinality(alive) + 1] = p_name
           and (s.owner = p_name or s.until < now_at or s.owner <> all (alive))
        returning s.shard, s.epoch;
end
$$;

-- The runner stops: its shards are free at once.
create function leave_job_shards(p_name text, p_origin bigint) returns void
language sql security definer set search_path = public, pg_temp as $$
    delete from job_runners where name = p_name and origin = p_origin;
    update job_shards set owner = '', until = '-infinity' where owner = p_name and origin = p_origin;
$$;

-- Beats of workers, gathered by the owner of their shards: one entry a job, p_progress null when nothing new was said.
-- Returns the places (from 1) of those whose claim is live; the others have lost it.
create function renew_job_leases(p_id bigint[], p_token uuid[], p_lease_ms integer[], p_progress json[])
returns setof bigint
language sql security definer set search_path = public, pg_temp as $$
    with beats as materialized (
        select b.* from unnest(p_id, p_token, p_lease_ms, p_progress) with ordinality
            as b (id, token, lease_ms, progress, place)
    ), locked as materialized (
        select o.id, b.place, b.lease_ms, b.progress from beats b join job_open o on o.id = b.id and o.token = b.token
         order by o.id for update of o
    ), renewed as (
        update job_open o
           set lease_ms = l.lease_ms, heartbeat_at = clock_timestamp(),
               lease_until = clock_timestamp() + make_interval(secs => l.lease_ms / 1000.0),
               progress = coalesce(l.progress, o.progress)
          from locked l where o.id = l.id
        returning l.place
    )
    select place from renewed
$$;

revoke execute on function hold_job_shards, leave_job_shards, renew_job_leases from public;
grant execute on function hold_job_shards, leave_job_shards, renew_job_leases to signalbox_job_runner;

alter table job_records enable row level security;
create policy job_records_of_tenant on job_records for select to signalbox_api using (tenant_id = (select current_tenant()));
create policy job_records_of_all on job_records for select
    to signalbox_sequencer, signalbox_job_runner, signalbox_exporter using (true);
alter table job_open enable row level security;
create policy job_open_of_tenant on job_open for select to signalbox_api using (tenant_id = (select current_tenant()));
create policy job_open_of_all on job_open for select
    to signalbox_sequencer, signalbox_job_runner, signalbox_exporter using (true);
alter table job_dead enable row level security;
create policy job_dead_of_tenant on job_dead for select to signalbox_api using (tenant_id = (select current_tenant()));
create policy job_dead_of_all on job_dead for select
    to signalbox_sequencer, signalbox_job_runner, signalbox_exporter using (true);
alter table job_pruned enable row level security;
create policy job_pruned_of_tenant on job_pruned for select to signalbox_api using (tenant_id = (select current_tenant()));
create policy job_pruned_of_all on job_pruned for select
    to signalbox_sequencer, signalbox_job_runner, signalbox_exporter using (true);
-- A dependency is of the tenant of its jobs.
alter table job_deps enable row level security;
create policy job_deps_of_tenant on job_deps for select to signalbox_api
    using (exists (select from job_records r where r.id = child and r.tenant_id = (select current_tenant())));
create policy job_deps_of_all on job_deps for select
    to signalbox_sequencer, signalbox_job_runner, signalbox_exporter using (true);
alter table job_queues enable row level security;
create policy job_queues_of_tenant on job_queues for all to signalbox_api
    using (tenant_id = (select current_tenant())) with check (tenant_id = (select current_tenant()));
create policy job_queues_of_all on job_queues for select to signalbox_job_runner using (true);
alter table job_pauses enable row level security;
create policy job_pauses_of_tenant on job_pauses for all to signalbox_api
    using (tenant_id = (select current_tenant())) with check (tenant_id = (select current_tenant()));
create policy job_pauses_of_all on job_pauses for select to signalbox_job_runner using (true);

grant select on job_records, job_open, job_deps, job_dead, job_pruned, jobs
    to signalbox_api, signalbox_sequencer, signalbox_job_runner, signalbox_exporter;
grant select on job_runners, job_shards to signalbox_api, signalbox_job_runner;
grant select, insert, update, delete on job_queues, job_pauses to signalbox_api;
grant select on job_queues, job_pauses to signalbox_job_runner;
