-- Changes of jobs: what the sequencer's statement writes beside the events. See 0013 and docs/jobs.md.

-- The fence of a job that has ended: it goes on from there when it is tried again.
alter table job_records add column claim integer not null default 0;
-- Of the claim before, that its worker gave back: its repeated report is known by it.
alter table job_open add column last_token uuid;
-- The parent has ended, once, and the child knows.
alter table job_deps add column done boolean not null default false;

-- A job as the sequencer keeps it in memory. status: enum job_status of proto/job.h, of one that is open always 1.
create view job_memory with (security_invoker = true) as
    select r.id, r.job_id, r.tenant_id, r.run_id, r.job_key, r.job_type, r.queue,
           array_position(array['pending', 'running', 'success', 'error', 'cancelled']::job_status[], r.status) as status,
           r.priority::integer as priority, coalesce(o.attempts, r.attempts)::integer as attempts,
           r.max_attempts::integer as max_attempts, r.on_dep_fail::integer as on_dep_fail, r.concurrency_key, r.detached,
           exists (select from job_deps d where d.parent = r.id) as has_children, o.id is not null as open, o.run_at,
           coalesce(o.claim, r.claim) as claim, o.token, coalesce(o.worker, r.last_worker) as worker, o.lease_ms,
           coalesce(o.deps_left, (select count(*) from job_deps d where d.child = r.id and not d.done)::integer) as deps_left, coalesce(o.dep_failed, false) as dep_failed,
           o.cancel_requested_at is not null as cancel,
           case when o.id is null then r.last_token else o.last_token end as last_token
      from job_records r left join job_open o on o.id = r.id;
grant select on job_memory to signalbox_sequencer;

-- As before (0011), and e_dedup: the keys of what jobs write (job:ID:CLAIM:KIND), null in a batch without.
drop function append_batch;
create function append_batch(
    p_shard integer, p_epoch bigint, p_position bigint, p_cancel_ms bigint,
    c_run uuid[], c_tenant uuid[], c_thread uuid[], c_parent uuid[], c_metadata jsonb[], c_by text[],
    c_ts timestamptz[], c_key text[], c_hash bytea[],
    c_deliverable text[], c_start timestamptz[], c_strategy integer[], c_group text[], c_limit integer[],
    c_liveness bigint[], c_started json[], c_origin bigint[], c_no bigint[],
    h_run uuid[], h_tenant uuid[], h_old bigint[], h_new bigint[], h_closed boolean[],
    e_head integer[], e_seq bigint[], e_type integer[], e_payload json[], e_ts timestamptz[], e_actor text[],
    e_key text[], e_hash bytea[], e_events integer[], e_origin bigint[], e_no bigint[],
    o_origin bigint[], o_no bigint[], e_trace uuid[] default null, e_dedup text[] default null
) returns timestamptz
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    touched bigint;
    heads constant integer := coalesce(cardinality(h_run), 0);
    events constant integer := coalesce(cardinality(e_seq), 0);
    lifecycle constant boolean := p_cancel_ms is not null;
    starting integer := 0;
    reached bigint[] := h_old;
    earliest timestamptz;
begin
    perform 1 from shards where shard = p_shard and epoch = p_epoch for share;
    if not found then
        raise exception 'shard % has a newer epoch than %', p_shard, p_epoch using errcode = 'SB001';
    end if;

    -- Loops over arrays, here and below: in a small batch a query costs more than all of them.
    -- Arrays that are both subscripted and unnested must have one shape, or the two would not agree. Every head moves.
    -- Only a batch that creates pending runs may have no event.
    if (array_ndims(h_run) = 1 and array_lower(h_run, 1) = 1 and array_lower(h_tenant, 1) = 1
        and array_lower(h_old, 1) = 1 and array_lower(h_new, 1) = 1 and array_lower(h_closed, 1) = 1
        and cardinality(h_tenant) = heads and cardinality(h_old) = heads
        and cardinality(h_new) = heads and cardinality(h_closed) = heads
        and array_lower(e_head, 1) = 1 and array_lower(e_seq, 1) = 1) is not true
       and not (lifecycle and heads = 0 and events = 0 and cardinality(c_run) > 0) then
        raise exception 'the heads do not fit together' using errcode = 'SB002';
    end if;
    -- Without lifecycle events the runs that begin are those that are created, in the same order.
    for i in 1 .. heads loop
        if (h_new[i] > h_old[i] and h_closed[i] is not null) is not true then
            raise exception 'the heads do not fit together' using errcode = 'SB002';
        elsif h_old[i] = 0 then
            starting := starting + 1;
            if not lifecycle and c_run[starting] is distinct from h_run[i] then
                raise exception 'a run is created by its first event' using errcode = 'SB002';
            end if;
        end if;
    end loop;

    if not lifecycle and starting <> coalesce(cardinality(c_run), 0) then
        raise exception 'a run is created by its first event' using errcode = 'SB002';
    elsif cardinality(c_run) > 0 then
        insert into runs (run_id, tenant_id, thread_id, parent_run_id, status, metadata, created_by, created_at,
                          started_at, create_key, create_hash, deliverable_type, start_at, multitask_strategy,
                          concurrency_key, concurrency_limit, liveness_ms, start_payload, create_origin, create_no, wake_at)
        select c.run, c.tenant, c.thread, c.parent, case when lifecycle then 'pending' else 'running' end::run_status,
               c.metadata, c.by, c.ts, case when not lifecycle then c.ts end, c.key, c.hash, c.deliverable, c.start,
               coalesce(c.strategy, 0), c.group, c.limit, c.liveness, c.started, c.origin, c.no,
               case when lifecycle then c.start else c.ts + c.liveness * interval '1 millisecond' end
          from unnest(c_run, c_tenant, c_thread, c_parent, c_metadata, c_by, c_ts, c_key, c_hash, c_deliverable, c_start,
                      c_strategy, c_group, c_limit, c_liveness, c_started, c_origin, c_no)
            as c (run, tenant, thread, parent, metadata, by, ts, key, hash, deliverable, start, strategy, "group",
                  "limit", liveness, started, origin, no);
        insert into run_heads (run_id, tenant_id, last_seq)
        select c.run, c.tenant, 0 from unnest(c_run, c_tenant) as c (run, tenant);
    end if;

    -- Each event is the next one of its run, and together they reach the new heads.
    for i in 1 .. events loop
        if (e_seq[i] = reached[e_head[i]] + 1) is not true then
            raise exception 'the batch is not dense' using errcode = 'SB002';
        end if;
        reached[e_head[i]] := e_seq[i];
    end loop;
    if reached <> h_new then
        raise exception 'the batch is not dense' using errcode = 'SB002';
    end if;

    if not lifecycle and e_type && array[19, 20, 21, 29, 30] then
        raise exception 'a lifecycle event in a batch without' using errcode = 'SB002';
    end if;

    -- Rows whose kind does not fit their place fall out here and are missed by the count below.
    if e_dedup is null then
        insert into run_events (tenant_id, run_id, seq, position, event_type, payload, actor, ts, idempotency_key,
                                command_hash, command_events, origin, command_no, trace_id)
        select h_tenant[e.head], h_run[e.head], e.seq, p_position + e.ordinal, (event_types())[e.type], e.payload, e.actor,
               e.ts, e.key, e.hash, e.events, e.origin, e.no, e.trace
          -- In the select list, not as ROWS FROM: rows stream instead of being stored once more, array by array.
          from (select unnest(e_head) as head, unnest(e_seq) as seq, unnest(e_type) as type, unnest(e_payload) as payload,
                       unnest(e_ts) as ts, unnest(e_actor) as actor, unnest(e_key) as key, unnest(e_hash) as hash,
                       unnest(e_events) as events, unnest(e_origin) as origin, unnest(e_no) as no,
                       unnest(e_trace) as trace, generate_subscripts(e_seq, 1) as ordinal) as e
         where ((e.seq = 1) = (e.type = 1) or lifecycle) -- RUN_STARTED; or see apply_lifecycle
           and (h_closed[e.head] and e.seq = h_new[e.head])
               = (e.type between 2 and 4) -- RUN_FINISHED, RUN_FAILED, RUN_CANCELLED
           and num_nulls(e.events, e.origin, e.no) in (0, 3)
           and (e.key is null) = (e.hash is null) and (e.key is null or e.events is not null)
           and (e.trace is null or e.events is not null);
    else -- the same, with the column that events of jobs have
        insert into run_events (tenant_id, run_id, seq, position, event_type, payload, actor, ts, idempotency_key,
                                command_hash, command_events, origin, command_no, trace_id,
                                dedup_key)
        select h_tenant[e.head], h_run[e.head], e.seq, p_position + e.ordinal, (event_types())[e.type], e.payload, e.actor,
               e.ts, e.key, e.hash, e.events, e.origin, e.no, e.trace, e.dedup
          -- In the select list, not as ROWS FROM: rows stream instead of being stored once more, array by array.
          from (select unnest(e_head) as head, unnest(e_seq) as seq, unnest(e_type) as type, unnest(e_payload) as payload,
                       unnest(e_ts) as ts, unnest(e_actor) as actor, unnest(e_key) as key, unnest(e_hash) as hash,
                       unnest(e_events) as events, unnest(e_origin) as origin, unnest(e_no) as no,
                       unnest(e_trace) as trace, unnest(e_dedup) as dedup,
                       generate_subscripts(e_seq, 1) as ordinal) as e
         where ((e.seq = 1) = (e.type = 1) or lifecycle) -- RUN_STARTED; or see apply_lifecycle
           and (h_closed[e.head] and e.seq = h_new[e.head])
               = (e.type between 2 and 4) -- RUN_FINISHED, RUN_FAILED, RUN_CANCELLED
           and num_nulls(e.events, e.origin, e.no) in (0, 3)
           and (e.key is null) = (e.hash is null) and (e.key is null or e.events is not null)
           and (e.trace is null or e.events is not null);
    end if;
    get diagnostics touched = row_count;
    if touched <> events then
        raise exception 'an event does not fit its place' using errcode = 'SB002';
    end if;

    update run_heads r set last_seq = h.new, closed = h.closed
      from unnest(h_run, h_tenant, h_old, h_new, h_closed) as h (run, tenant, old, new, closed)
     where r.run_id = h.run and r.tenant_id = h.tenant and r.last_seq = h.old and not r.closed;
    get diagnostics touched = row_count;
    if touched <> heads then
        raise exception 'a head is not where the batch starts' using errcode = 'SB002';
    end if;

    if lifecycle then
        earliest := apply_lifecycle(p_cancel_ms, h_run, e_head, e_seq, e_type, e_payload, e_ts);
    elsif true = any (h_closed) then
        update runs r
           set status = case e.type when 2 then 'finished' when 3 then 'failed' else 'cancelled' end::run_status,
               completed_at = e.ts, wake_at = null
          from unnest(e_head, e_type, e_ts) as e (head, type, ts)
         where e.type between 2 and 4 and r.run_id = h_run[e.head];
    end if;

    insert into origins (origin, command_no, updated_at)
    select o.origin, o.no, now() from unnest(o_origin, o_no) as o (origin, no)
    on conflict (origin) do update
       set command_no = greatest(origins.command_no, excluded.command_no), updated_at = excluded.updated_at;

    update shard_positions set position = p_position + events
     where shard = p_shard and position = p_position;
    if not found then
        raise exception 'the position is not where the batch starts' using errcode = 'SB002';
    end if;
    return earliest;
end
$$;

revoke execute on function append_batch from public;
grant execute on function append_batch to signalbox_sequencer;

-- What a batch does to jobs, one row a job, in the statement of append_batch and behind it (p_after is its answer: nothing
-- here runs before it). The arrays of one letter belong together and are sorted by id:
--   n  new jobs, as they are queued; n_row is the place of the JOB_QUEUED in the batch, from 1
--   f  open jobs that have ended, in the batch or at its end: their children are told; f_ok: with success
--   d  open rows that go; at this claim and token, or nothing is done
--   r  records that change: an end (r_status 3 .. 5, with its event r_finished), a new beginning (1, r_queued when it is in
--      another run), or a payload (null)
--   u  open rows as they are afterwards: of a new beginning (u_made), or changed, from this old claim and token
--   p  dependencies; p_done: the parent has ended by the end of the batch
-- Returns the jobs of which the caller does not know all: children, and new beginnings.
create function append_jobs(
    p_shard integer, p_epoch bigint, p_position bigint, p_after timestamptz, p_ts timestamptz,
    n_row integer[], n_job uuid[], n_tenant uuid[], n_run uuid[], n_key text[], n_type text[], n_artifact text[],
    n_queue text[], n_priority integer[], n_max integer[], n_payload json[], n_dep_fail integer[], n_group text[],
    n_detached boolean[], n_by text[], n_seq bigint[], n_run_at timestamptz[], n_deps_left integer[], n_dep_failed boolean[],
    f_id bigint[], f_ok boolean[],
    d_id bigint[], d_claim integer[], d_token uuid[],
    r_id bigint[], r_run uuid[], r_status integer[], r_attempts integer[], r_claim integer[], r_payload json[],
    r_result json[], r_error jsonb[], r_class text[], r_partial boolean[], r_worker text[], r_token uuid[],
    r_queued bigint[], r_finished bigint[], r_detached boolean[],
    u_id bigint[], u_made boolean[], u_old_claim integer[], u_old_token uuid[], u_run_at timestamptz[], u_attempts integer[],
    u_claim integer[], u_token uuid[], u_worker text[], u_lease_ms bigint[], u_cancel boolean[], u_last_token uuid[],
    u_error text[],
    p_parent bigint[], p_child bigint[], p_done boolean[]
) returns setof job_memory
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    touched bigint;
    changed bigint[] := '{}';
    failed bigint[] := '{}';
    statuses constant job_status[] := '{pending,running,success,error,cancelled}';
begin
    perform 1 from shards where shard = p_shard and epoch = p_epoch for share;
    if not found then
        raise exception 'shard % has a newer epoch than %', p_shard, p_epoch using errcode = 'SB001';
    end if;

    if cardinality(n_row) > 0 then
        insert into job_records (id, job_id, tenant_id, run_id, job_key, job_type, artifact_kind, queue, priority, max_attempts,
                                 payload, on_dep_fail, concurrency_key, detached, created_by, created_at, updated_at,
                                 enqueue_seq)
        select p_position + n.row, n.job, n.tenant, n.run, n.key, n.type, n.artifact, n.queue, n.priority, n.max, n.payload,
               n.dep_fail, n.group, n.detached, n.by, p_ts, p_ts, n.seq
          from unnest(n_row, n_job, n_tenant, n_run, n_key, n_type, n_artifact, n_queue, n_priority, n_max, n_payload,
                      n_dep_fail, n_group, n_detached, n_by, n_seq)
            as n (row, job, tenant, run, key, type, artifact, queue, priority, max, payload, dep_fail, "group", detached, by,
                  seq);
        insert into job_open (id, job_id, tenant_id, run_id, queue, job_type, shard, priority, concurrency_key, run_at,
                              deps_left, dep_failed)
        select p_position + n.row, n.job, n.tenant, n.run, n.queue, n.type,
               -- job_shard(), which would be called for every row: being immutable, as a generated column asks, it is not
               -- taken into the query, because convert_to is only stable.
               get_byte(sha256(uuid_send(n.tenant) || convert_to(n.queue, 'UTF8')), 0) % 16, n.priority, n.group,
               n.run_at, n.deps_left, n.dep_failed
          from unnest(n_row, n_job, n_tenant, n_run, n_queue, n_type, n_priority, n_group, n_run_at, n_deps_left, n_dep_failed)
            as n (row, job, tenant, run, queue, type, priority, "group", run_at, deps_left, dep_failed);
    end if;

    -- Beats lock live rows by id (renew_job_leases): where two steps here touch such rows, all are locked first.
    if cardinality(d_id) > 0 and array_remove(u_old_token, null) <> '{}' then
        perform 1 from job_open o where o.id = any (d_id || u_id) order by o.id for update;
    end if;

    if cardinality(f_id) > 0 then
        with done as (
            update job_deps d set done = true from unnest(f_id, f_ok) as f (id, ok)
             where d.parent = f.id and not d.done
            returning d.child, f.ok
        ), hit as (
            select h.child, count(*)::integer as ended, bool_or(not h.ok) as failed from done h group by h.child
        ), locked as (
            select o.id, h.ended, h.failed from hit h join job_open o on o.id = h.child order by o.id for update of o
        ), told as (
            update job_open o set deps_left = o.deps_left - l.ended,
                                  dep_failed = o.dep_failed or (l.failed and r.on_dep_fail <> 2)
              from locked l join job_records r on r.id = l.id
             where o.id = l.id
            returning o.id
        )
        select coalesce(array_agg(t.id), '{}'),
               coalesce((select array_agg(h.child) from hit h where h.failed), '{}') -- some may begin again only below
          into changed, failed from told t;
    end if;

    if cardinality(d_id) > 0 then
        delete from job_open o using unnest(d_id, d_claim, d_token) as d (id, claim, token)
         where o.id = d.id and o.claim = d.claim and o.token is not distinct from d.token;
        get diagnostics touched = row_count;
        if touched <> cardinality(d_id) then
            raise exception 'a job is not at the claim that the batch ends' using errcode = 'SB002';
        end if;
    end if;

    if cardinality(r_id) > 0 then
        update job_records r
           set run_id = coalesce(x.run, r.run_id), status = coalesce(statuses[x.status], r.status),
               payload = coalesce(x.payload, r.payload), updated_at = p_ts,
               attempts = coalesce(x.attempts, r.attempts), claim = coalesce(x.claim, r.claim),
               result = case when x.status is null then r.result else x.result end,
               error = case when x.status is null then r.error else x.error end,
               error_class = case when x.status is null then r.error_class else x.class end,
               partial = coalesce(x.partial, r.partial),
               last_worker = coalesce(x.worker, r.last_worker),
               last_token = case when x.status is null then r.last_token else x.token end,
               finished_at = case when x.status > 2 then p_ts when x.status is null then r.finished_at end,
               enqueue_seq = coalesce(x.queued, r.enqueue_seq),
               finish_seq = case when x.status is null then r.finish_seq else x.finished end,
               detached = coalesce(x.detached, r.detached)
          from unnest(r_id, r_run, r_status, r_attempts, r_claim, r_payload, r_result, r_error, r_class, r_partial, r_worker,
                      r_token, r_queued, r_finished, r_detached)
            as x (id, run, status, attempts, claim, payload, result, error, class, partial, worker, token, queued, finished,
                  detached)
         where r.id = x.id and ((x.status > 2) = (x.finished is not null)) is not false;
        get diagnostics touched = row_count;
        if touched <> cardinality(r_id) then
            raise exception 'a job is not there' using errcode = 'SB002';
        end if;
        if 4 = any (r_status) then
            insert into job_dead (tenant_id, id, died_at)
            select r.tenant_id, r.id, p_ts from unnest(r_id, r_status) as x (id, status) join job_records r on r.id = x.id
             where x.status = 4
            on conflict (tenant_id, id) do update set died_at = excluded.died_at;
        end if;
        if 1 = any (r_status) or 5 = any (r_status) then
            delete from job_dead d using unnest(r_id, r_status) as x (id, status), job_records r
             where x.status in (1, 5) and r.id = x.id and d.tenant_id = r.tenant_id and d.id = r.id;
        end if;
    end if;

    if cardinality(u_id) > 0 then
        update job_open o
           set run_at = u.run_at, attempts = u.attempts, claim = u.claim, token = u.token, worker = u.worker,
               lease_ms = u.lease_ms,
               lease_until = case when u.token is null then null when u.token = o.token then o.lease_until
                                  else clock_timestamp() + make_interval(secs => u.lease_ms / 1000.0) end,
               heartbeat_at = case when u.token is null then null when u.token = o.token then o.heartbeat_at
                                   else clock_timestamp() end,
               started_at = case when u.token is null then null when u.token = o.token then o.started_at
                                 else clock_timestamp() end,
               cancel_requested_at = case when u.cancel then coalesce(o.cancel_requested_at, p_ts) end,
               -- progress stays: another attempt may go on from there
               last_error = coalesce(u.error, o.last_error), last_token = u.last_token
          from unnest(u_id, u_made, u_old_claim, u_old_token, u_run_at, u_attempts, u_claim, u_token, u_worker, u_lease_ms,
                      u_cancel, u_last_token, u_error)
            as u (id, made, old_claim, old_token, run_at, attempts, claim, token, worker, lease_ms, cancel, last_token, error)
         where not u.made and o.id = u.id and o.claim = u.old_claim and o.token is not distinct from u.old_token;
        get diagnostics touched = row_count;
        if true = any (u_made) then
            with made as (
                insert into job_open (id, job_id, tenant_id, run_id, queue, job_type, shard, priority, concurrency_key, run_at,
                                      attempts, claim, token, worker, lease_ms, lease_until, heartbeat_at, started_at,
                                      cancel_requested_at, last_token, deps_left, dep_failed)
                select r.id, r.job_id, r.tenant_id, r.run_id, r.queue, r.job_type, job_shard(r.tenant_id, r.queue),
                       r.priority, r.concurrency_key, u.run_at, u.attempts, u.claim, u.token, u.worker, u.lease_ms,
                       case when u.token is not null then clock_timestamp() + make_interval(secs => u.lease_ms / 1000.0) end,
                       case when u.token is not null then clock_timestamp() end,
                       case when u.token is not null then clock_timestamp() end,
                       case when u.cancel then p_ts end, u.last_token,
                       (select count(*) from job_deps d where d.child = r.id and not d.done),
                       r.on_dep_fail <> 2 and r.id = any (failed)
                  from unnest(u_id, u_made, u_run_at, u_attempts, u_claim, u_token, u_worker, u_lease_ms, u_cancel, u_last_token)
                    as u (id, made, run_at, attempts, claim, token, worker, lease_ms, cancel, last_token)
                  join job_records r on r.id = u.id
                 where u.made
                returning id
            )
            select changed || coalesce(array_agg(m.id), '{}'), touched + count(*) into changed, touched from made m;
        end if;
        if touched <> cardinality(u_id) then
            raise exception 'a job is not at the claim that the batch changes' using errcode = 'SB002';
        end if;
    end if;

    if cardinality(p_parent) > 0 then
        insert into job_deps (parent, child, done)
        select p.parent, p.child, p.done from unnest(p_parent, p_child, p_done) as p (parent, child, done);
    end if;
    if changed <> '{}' then
        return query select m.* from job_memory m where m.id = any (changed);
    end if;
end
$$;
revoke execute on function append_jobs from public;
grant execute on function append_jobs to signalbox_sequencer;
