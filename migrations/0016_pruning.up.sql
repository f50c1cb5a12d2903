-- Retention (docs/jobs.md): what has ended long ago goes, a bounded step at a time, by ranges of ids and never by a scan on
-- status. Run by the sequencer between two batches, because its memory must hear of it.

-- What was pruned, so that what is left still adds up: usage and the position of the log.
create table log_pruned (
    tenant_id uuid not null references tenants on delete cascade,
    day date not null,
    runs bigint not null,
    events bigint not null,
    position bigint not null,
    primary key (tenant_id, day)
);
alter table log_pruned enable row level security;
create policy log_pruned_of_all on log_pruned for select to signalbox_sequencer, signalbox_job_runner using (true);
create policy log_pruned_of_tenant on log_pruned for select to signalbox_api
    using (tenant_id = (select current_tenant()) or (select is_operator()));
grant select on log_pruned to signalbox_sequencer, signalbox_job_runner, signalbox_api;

-- What reconcile (the job-runner's) compares, besides what it may read already.
grant select on origins, run_producers, tenant_usage, shard_positions, outbox_cursors to signalbox_job_runner;
create policy producers_of_reconcile on run_producers for select to signalbox_job_runner using (true);
create policy usage_of_reconcile on tenant_usage for select to signalbox_job_runner using (true);

-- Ended jobs of these numbers leave their keys.
create function forget_jobs(p_ids bigint[]) returns void
language sql set search_path = public, pg_temp as $$
    insert into job_pruned (tenant_id, job_key, job_id, status, result_artifact_id)
    select r.tenant_id, r.job_key, r.job_id, r.status, r.result_artifact_id
      from job_records r where r.id = any (p_ids) order by r.id
    on conflict (tenant_id, job_key) do nothing;
    delete from job_dead d using job_records r where r.id = any (p_ids) and d.tenant_id = r.tenant_id and d.id = r.id;
    delete from job_deps where parent = any (p_ids);
    delete from job_deps where child = any (p_ids);
    delete from job_records where id = any (p_ids);
$$;

-- One step through the jobs of a tenant whose numbers are above p_after: of at most p_max, those that ended before their time
-- (null: never). Returns the last number looked at, whether older ones than that may be behind it, and what went.
create function prune_jobs(p_shard integer, p_epoch bigint, p_tenant uuid, p_after bigint, p_success timestamptz,
                           p_error timestamptz, p_max integer, p_dry boolean, p_actor text, p_object text)
returns table (last_out bigint, more_out boolean, jobs_out uuid[])
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    looked record;
begin
    perform 1 from shards s where s.shard = p_shard and s.epoch = p_epoch for share;
    if not found then
        raise exception 'shard % has a newer epoch than %', p_shard, p_epoch using errcode = 'SB001';
    end if;
    with range as materialized (
        select r.id, r.job_id, r.status, r.finished_at, r.created_at
          from job_records r where r.tenant_id = p_tenant and r.id > p_after order by r.id limit p_max
    ), doomed as materialized (
        select g.id, g.job_id from range g
         where g.finished_at < case when g.status = 'success' then p_success else p_error end
           and not exists (select from job_open o where o.id = g.id)
    )
    select (select max(g.id) from range g) as last, (select count(*) from range) as count,
           (select max(g.created_at) from range g) as newest,
           (select array_agg(d.id order by d.id) from doomed d) as ids,
           (select array_agg(d.job_id order by d.id) from doomed d) as jobs
      into looked;
    last_out := coalesce(looked.last, p_after);
    -- Jobs are made in the order of their numbers, and end after that.
    more_out := looked.count = p_max and looked.newest < greatest(p_success, p_error);
    jobs_out := coalesce(looked.jobs, '{}');
    if not p_dry and cardinality(jobs_out) > 0 then
        perform forget_jobs(looked.ids);
        insert into audit_log (audit_id, tenant_id, actor, action, object_id, before, after)
        values (gen_random_uuid(), p_tenant, p_actor, 'jobs.pruned', p_object, null,
                jsonb_build_object('jobs', cardinality(jobs_out), 'first', looked.ids[1],
                                   'last', looked.ids[cardinality(looked.ids)]));
    end if;
    return next;
end
$$;

-- The same through the runs of a tenant, in the order of their making behind (p_after_at, p_after): whole, with their jobs, at
-- most p_max of them and not many more than p_events events at once, because everybody waits. One run goes at once however
-- many events it has: in pieces its rows would be gone before its events, and a feed of the tenant would show half a run.
create function prune_runs(p_shard integer, p_epoch bigint, p_tenant uuid, p_after_at timestamptz, p_after uuid,
                           p_before timestamptz, p_max integer, p_events bigint, p_dry boolean, p_actor text, p_object text)
returns table (last_at_out timestamptz, last_out uuid, more_out boolean, runs_out uuid[], jobs_out uuid[], events_out bigint)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    looked record;
    job_numbers bigint[];
begin
    perform 1 from shards s where s.shard = p_shard and s.epoch = p_epoch for share;
    if not found then
        raise exception 'shard % has a newer epoch than %', p_shard, p_epoch using errcode = 'SB001';
    end if;
    with range as materialized (
        select r.run_id, r.created_at, r.completed_at, h.last_seq,
               sum(h.last_seq) over (order by r.created_at, r.run_id) - h.last_seq as events_before
          from (select t.run_id, t.created_at, t.completed_at from runs t
                 where t.tenant_id = p_tenant and t.created_at < p_before
                   and (t.created_at, t.run_id) > (p_after_at, p_after)
                 order by t.created_at, t.run_id limit p_max) r
          join run_heads h on h.run_id = r.run_id
    ), taken as materialized (
        select g.* from range g where g.events_before < p_events
    ), doomed as materialized (
        select g.run_id, g.created_at, g.last_seq from taken g
         where g.completed_at < p_before
           and not exists (select from job_records r join job_open o on o.id = r.id where r.run_id = g.run_id)
    )
    select (select count(*) from range) as count, (select count(*) from taken) as taken,
           (select max(t.created_at) from taken t) as last_at,
           (select t.run_id from taken t order by t.created_at desc, t.run_id desc limit 1) as last,
           (select array_agg(d.run_id) from doomed d) as runs,
           (select coalesce(sum(d.last_seq), 0) from doomed d)::bigint as events
      into looked;
    last_at_out := coalesce(looked.last_at, p_after_at);
    last_out := coalesce(looked.last, p_after);
    more_out := looked.count = p_max or looked.taken < looked.count;
    runs_out := coalesce(looked.runs, '{}');
    events_out := looked.events;
    select array_agg(r.id order by r.id), array_agg(r.job_id order by r.id) into job_numbers, jobs_out
      from job_records r where r.run_id = any (runs_out);
    jobs_out := coalesce(jobs_out, '{}');
    if not p_dry and cardinality(runs_out) > 0 then
        perform forget_jobs(job_numbers);
        insert into log_pruned as l (tenant_id, day, runs, events, position)
        select p_tenant, c.day, sum(c.runs), sum(c.events), max(c.position)
          from (select (r.created_at at time zone 'UTC')::date as day, 1 as runs, 0 as events, 0 as position
                  from runs r where r.run_id = any (runs_out)
                union all
                select (e.ts at time zone 'UTC')::date, 0, (e.seq > coalesce(r.fork_seq, 0))::integer, e.position
                  from runs r join run_events e on e.run_id = r.run_id where r.run_id = any (runs_out)) c
         group by c.day
        on conflict (tenant_id, day) do update
           set runs = l.runs + excluded.runs, events = l.events + excluded.events,
               position = greatest(l.position, excluded.position);
        delete from run_events where run_id = any (runs_out);
        delete from run_questions where run_id = any (runs_out);
        delete from run_producers where run_id = any (runs_out);
        delete from run_heads where run_id = any (runs_out);
        delete from runs where run_id = any (runs_out);
        insert into audit_log (audit_id, tenant_id, actor, action, object_id, before, after)
        values (gen_random_uuid(), p_tenant, p_actor, 'runs.pruned', p_object, null,
                jsonb_build_object('runs', cardinality(runs_out), 'jobs', cardinality(jobs_out), 'events', events_out,
                                   'until', looked.last_at));
    end if;
    return next;
end
$$;

revoke execute on function forget_jobs, prune_jobs, prune_runs from public;
grant execute on function prune_jobs, prune_runs to signalbox_sequencer;
