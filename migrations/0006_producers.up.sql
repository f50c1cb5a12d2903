-- Idempotent producers, quotas of tenants and what they have used, forks of runs. As everywhere: nobody writes these
-- tables but the sequencer's definer functions (quotas: set_tenant_quota, for the api).

-- Where each producer of a run stands: its epoch and the number of its last append in it. Moves only with the stored
-- append, in the same statement.
create table run_producers (
    run_id uuid not null,
    producer_id text not null,
    tenant_id uuid not null,
    epoch bigint not null,
    last_seq bigint not null,
    primary key (run_id, producer_id)
) with (fillfactor = 50);

-- What a tenant may use. null: the installation's default (settings quota.*); 0: no limit.
create table tenant_quotas (
    tenant_id uuid primary key references tenants on delete cascade,
    runs_per_day bigint check (runs_per_day >= 0),
    events_per_day bigint check (events_per_day >= 0),
    bytes_per_day bigint check (bytes_per_day >= 0),
    concurrent_runs bigint check (concurrent_runs >= 0),
    updated_at timestamptz not null default now()
);

-- What a tenant has used on a day (UTC): runs created, events and payload bytes appended (events that a fork took along
-- are the source's, and do not count again); active_runs: its runs that had not ended when the row was last written.
create table tenant_usage (
    tenant_id uuid not null references tenants on delete cascade,
    day date not null,
    runs bigint not null,
    events bigint not null,
    bytes bigint not null,
    active_runs bigint not null,
    primary key (tenant_id, day)
) with (fillfactor = 50);

-- Last event a fork took along from parent_run_id; null: not a fork.
alter table runs add column fork_seq bigint;

insert into tenant_usage (tenant_id, day, runs, events, bytes, active_runs)
select tenant_id, day, sum(runs), sum(events), sum(bytes), 0
  from (select tenant_id, (created_at at time zone 'UTC')::date as day, count(*) as runs, 0 as events, 0 as bytes
          from runs group by 1, 2
        union all
        select tenant_id, (ts at time zone 'UTC')::date, 0, count(*), sum(octet_length(payload::text))
          from run_events group by 1, 2) u
  join tenants using (tenant_id)
 group by tenant_id, day;
update tenant_usage u
   set active_runs = (select count(*) from runs r where r.tenant_id = u.tenant_id and r.completed_at is null)
 where day = (select max(day) from tenant_usage t where t.tenant_id = u.tenant_id);

-- The key under which the first event of a producer's append is stored. A client's own key is printable and never
-- begins with this character; number and epoch are digits, so the id may hold anything.
create function producer_key(p_id text, p_epoch bigint, p_seq bigint) returns text
language sql immutable strict parallel safe as $$ select e'\x02' || p_id || e'\x02' || p_epoch || e'\x02' || p_seq $$;

-- Moves producers on, in the statement of append_batch and after it. p_old_epoch, p_old_seq: where the caller believes
-- them to be, null for one that is new. Whoever calls: every number between old and new has its event in the log, a new
-- epoch begins with number 0; else SB002.
create function record_producers(
    p_shard integer, p_epoch bigint,
    p_run uuid[], p_tenant uuid[], p_id text[], p_old_epoch bigint[], p_old_seq bigint[], p_new_epoch bigint[],
    p_new_seq bigint[]
) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    wanted constant integer := coalesce(cardinality(p_run), 0);
    done bigint;
    missing bigint;
begin
    if wanted = 0 then
        return;
    end if;
    perform 1 from shards where shard = p_shard and epoch = p_epoch for share;
    if not found then
        raise exception 'shard % has a newer epoch than %', p_shard, p_epoch using errcode = 'SB001';
    end if;
    with moves as materialized (
        select m.*, coalesce(m.new_epoch > m.old_epoch, true) as begins
          from unnest(p_run, p_tenant, p_id, p_old_epoch, p_old_seq, p_new_epoch, p_new_seq)
            as m (run, tenant, id, old_epoch, old_seq, new_epoch, new_seq)
         where m.new_epoch >= 0 and m.new_seq >= 0 and num_nulls(m.old_epoch, m.old_seq) in (0, 2)
    ), moved as (
        update run_producers p set epoch = m.new_epoch, last_seq = m.new_seq
          from moves m
         where p.run_id = m.run and p.producer_id = m.id and p.epoch = m.old_epoch and p.last_seq = m.old_seq
           and (m.begins or (m.new_epoch = m.old_epoch and m.new_seq > m.old_seq))
        returning 1
    ), made as (
        insert into run_producers (run_id, producer_id, tenant_id, epoch, last_seq)
        select m.run, m.id, m.tenant, m.new_epoch, m.new_seq from moves m where m.old_epoch is null
        on conflict do nothing
        returning 1
    ), holes as (
        select 1 from moves m, generate_series(case when m.begins then 0 else m.old_seq + 1 end, m.new_seq) as n (seq)
         where not exists (select from run_events e
                            where e.run_id = m.run and e.tenant_id = m.tenant
                              and e.idempotency_key = producer_key(m.id, m.new_epoch, n.seq))
         limit 1
    )
    select (select count(*) from moved) + (select count(*) from made), (select count(*) from holes) into done, missing;
    if done <> wanted or missing > 0 then
        raise exception 'a producer is not where the batch takes it' using errcode = 'SB002';
    end if;
end
$$;

-- Usage of tenants on a day as it is after the batch, in the statement of append_batch, which holds the epoch. Counters of a
-- day only grow. A loop over few tenants, each update by key: one row a touched tenant, in a small batch.
create function record_usage(
    p_shard integer, p_epoch bigint, p_day date,
    u_tenant uuid[], u_runs bigint[], u_events bigint[], u_bytes bigint[], u_active bigint[]
) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    for i in 1 .. coalesce(cardinality(u_tenant), 0) loop
        update tenant_usage t
           set runs = u_runs[i], events = u_events[i], bytes = u_bytes[i], active_runs = u_active[i]
         where t.tenant_id = u_tenant[i] and t.day = p_day and u_active[i] >= 0
           and t.runs <= u_runs[i] and t.events <= u_events[i] and t.bytes <= u_bytes[i]
           and exists (select from shards s where s.shard = p_shard and s.epoch = p_epoch);
        continue when found;
        perform 1 from shards where shard = p_shard and epoch = p_epoch for share;
        if not found then
            raise exception 'shard % has a newer epoch than %', p_shard, p_epoch using errcode = 'SB001';
        end if;
        insert into tenant_usage (tenant_id, day, runs, events, bytes, active_runs)
        select u_tenant[i], p_day, u_runs[i], u_events[i], u_bytes[i], u_active[i] where u_active[i] >= 0
        on conflict do nothing;
        if not found then
            raise exception 'usage goes back' using errcode = 'SB002';
        end if;
    end loop;
end
$$;

-- Limits of one tenant, all four at once (null: the installation's default, 0: none).
create function set_tenant_quota(p_tenant uuid, p_runs bigint, p_events bigint, p_bytes bigint, p_concurrent bigint)
returns void
language sql security definer set search_path = public, pg_temp as $$
    insert into tenant_quotas (tenant_id, runs_per_day, events_per_day, bytes_per_day, concurrent_runs)
    values (p_tenant, p_runs, p_events, p_bytes, p_concurrent)
    on conflict (tenant_id) do update
       set runs_per_day = excluded.runs_per_day, events_per_day = excluded.events_per_day,
           bytes_per_day = excluded.bytes_per_day, concurrent_runs = excluded.concurrent_runs, updated_at = now()
$$;

-- A new run that begins with events 1 .. p_seq of another, in one transaction: the same types, payloads, actors and times,
-- new positions; no keys and no producers; the command (p_origin, p_no) on its first event, as that of its creation.
-- Status and questions follow from those events. p_admitted: whether the tenant's quota has room for one more run;
-- p_active: its runs that have not ended, with this one. At most p_events events and p_bytes stored bytes.
-- outcome: ok · duplicate (p_key: the same fork again) · exists, id_taken, key_mismatch (as for a creation) · not_found ·
-- beyond (last_seq: the last event that can be taken along; limited: because of p_events or p_bytes) · quota.
create function fork_run(
    p_shard integer, p_epoch bigint, p_position bigint, p_ts timestamptz, p_cancel_ms bigint,
    p_tenant uuid, p_run uuid, p_source uuid, p_seq bigint, p_by text, p_key text, p_hash bytea,
    p_origin bigint, p_no bigint, p_admitted boolean, p_active bigint, p_events bigint, p_bytes bigint
) returns table (outcome text, run uuid, last_seq bigint, status text, limited boolean, open bytea, wake_at timestamptz)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    known record;
    source record;
    after record;
    most bigint;
    expires timestamptz;
begin
    perform 1 from shards s where s.shard = p_shard and s.epoch = p_epoch for share;
    if not found then
        raise exception 'shard % has a newer epoch than %', p_shard, p_epoch using errcode = 'SB001';
    end if;
    limited := false;
    run := p_run;

    if p_key is not null then
        select r.run_id, r.create_hash, r.parent_run_id, r.fork_seq, r.status into known
          from runs r where r.tenant_id = p_tenant and r.create_key = p_key;
        if found then
            outcome := case when known.create_hash = p_hash and known.parent_run_id = p_source and known.fork_seq = p_seq
                            then 'duplicate' else 'key_mismatch' end;
            run := case outcome when 'duplicate' then known.run_id else p_run end;
            last_seq := case outcome when 'duplicate' then p_seq else 0 end;
            status := known.status;
            return next;
            return;
        end if;
    end if;
    select r.tenant_id, r.status, h.last_seq into known
      from runs r join run_heads h using (run_id) where r.run_id = p_run;
    if found then
        outcome := case when known.tenant_id = p_tenant then 'exists' else 'id_taken' end;
        last_seq := case when known.tenant_id = p_tenant then known.last_seq else 0 end;
        status := case when known.tenant_id = p_tenant then known.status else 'pending' end;
        return next;
        return;
    end if;

    select r.thread_id, r.metadata, r.deliverable_type, h.last_seq - h.closed::integer as most into source
      from runs r join run_heads h using (run_id) where r.run_id = p_source and r.tenant_id = p_tenant;
    status := 'pending';
    if not found then
        outcome := 'not_found';
        last_seq := 0;
        return next;
        return;
    end if;
    most := source.most;
    if p_seq between 1 and most then
        select coalesce(max(c.seq), 0) into most
          from (select e.seq, sum(pg_column_size(e.payload)) over (order by e.seq) as bytes
                  from run_events e where e.run_id = p_source and e.seq <= least(source.most, p_events)) c
         where c.bytes <= p_bytes;
        limited := p_seq > most;
    end if;
    if p_seq not between 1 and most then
        outcome := 'beyond';
        last_seq := most;
        return next;
        return;
    end if;
    if not p_admitted then
        outcome := 'quota';
        last_seq := 0;
        return next;
        return;
    end if;

    insert into run_heads (run_id, tenant_id, last_seq) values (p_run, p_tenant, p_seq);
    insert into run_events (tenant_id, run_id, seq, position, event_type, schema_version, payload, actor, ts, duration_ms,
                            command_events, origin, command_no)
    select p_tenant, p_run, e.seq, p_position + e.seq, e.event_type, e.schema_version, e.payload, e.actor, e.ts,
           e.duration_ms, case e.seq when 1 then p_seq end, case e.seq when 1 then p_origin end,
           case e.seq when 1 then p_no end
      from run_events e where e.run_id = p_source and e.seq <= p_seq;
    insert into run_questions (run_id, clarification_id, tenant_id, asked_seq, expires_at, answered_seq)
    select q.run_id, q.clarification_id, q.tenant_id, q.asked_seq, q.expires_at, q.answered_seq
      from project_questions(p_run) q;
    select string_agg(sha256(convert_to(q.clarification_id, 'UTF8')), ''::bytea), min(q.expires_at) into open, expires
      from run_questions q where q.run_id = p_run and q.answered_seq is null;
    select * into after from project_run(p_run);
    wake_at := run_wake_at(after.status, p_ts, null, null, p_cancel_ms, expires);
    insert into runs (run_id, tenant_id, thread_id, parent_run_id, fork_seq, status, metadata, created_by, created_at,
                      started_at, create_key, create_hash, deliverable_type, wake_at)
    values (p_run, p_tenant, source.thread_id, p_source, p_seq, after.status, source.metadata, p_by, p_ts,
            after.started_at, p_key, p_hash, source.deliverable_type, wake_at);
    insert into tenant_usage as t (tenant_id, day, runs, events, bytes, active_runs)
    values (p_tenant, (p_ts at time zone 'UTC')::date, 1, 0, 0, p_active)
    on conflict (tenant_id, day) do update set runs = t.runs + 1, active_runs = excluded.active_runs;
    insert into origins as o (origin, command_no, updated_at) values (p_origin, p_no, now())
    on conflict (origin) do update
       set command_no = greatest(o.command_no, excluded.command_no), updated_at = excluded.updated_at;
    update shard_positions p set position = p_position + p_seq where p.shard = p_shard and p.position = p_position;
    if not found then
        raise exception 'the position is not where the fork starts' using errcode = 'SB002';
    end if;
    outcome := 'ok';
    last_seq := p_seq;
    status := after.status;
    return next;
end
$$;

revoke execute on function record_producers, record_usage, set_tenant_quota, fork_run from public;
grant execute on function record_producers, record_usage, fork_run to signalbox_sequencer;
grant execute on function set_tenant_quota to signalbox_api;
grant select on run_producers to signalbox_sequencer;
grant select on tenant_quotas, tenant_usage to signalbox_sequencer, signalbox_api;
