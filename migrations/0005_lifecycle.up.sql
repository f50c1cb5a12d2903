-- The life of a run: delayed and queued starts, questions, cancellation, deadlines. The status is a function of the log
-- (run_status_next, and the same table in actors/sequencer/status.c); wake_at says when the sequencer has to look again.

-- deliverable_type .. liveness_ms: what the creator said. start_payload, create_origin, create_no: of a run that was not
-- started by its creation: payload of its RUN_STARTED, and the command that created it (the first event has it otherwise).
-- wake_at, by status: pending: its start (null: it waits for others of its thread or key); running: without a sign of life
-- it is over then; interrupted: its first question expires; cancelling: it is ended by force.
alter table runs
    add deliverable_type text,
    add start_at timestamptz,
    add multitask_strategy smallint not null default 0,
    add concurrency_key text,
    add concurrency_limit integer,
    add liveness_ms bigint,
    add start_payload json,
    add create_origin bigint,
    add create_no bigint,
    add wake_at timestamptz;
create index runs_wake on runs (wake_at) where wake_at is not null;
create index runs_thread_unfinished on runs (tenant_id, thread_id, created_at)
    where completed_at is null and thread_id is not null;
create index runs_key_unfinished on runs (tenant_id, concurrency_key, created_at)
    where completed_at is null and concurrency_key is not null;
create index runs_queued on runs (created_at) where status = 'pending' and wake_at is null;

-- Open while answered_seq is null.
create table run_questions (
    run_id uuid not null,
    clarification_id text not null,
    tenant_id uuid not null,
    asked_seq bigint not null,
    expires_at timestamptz,
    answered_seq bigint,
    primary key (run_id, clarification_id)
);
grant select on run_questions
    to signalbox_api, signalbox_sequencer, signalbox_streamer, signalbox_job_runner, signalbox_exporter;

-- The status after an event of a run that was in `p_status`, with p_open questions open after the event; null: the event
-- cannot happen then.
create function run_status_next(p_status run_status, p_type run_event_type, p_open bigint) returns run_status
language sql immutable parallel safe as $$
    select case
        when p_status = 'pending' then
            case p_type when 'RUN_STARTED' then 'running'::run_status when 'RUN_CANCELLED' then 'cancelled' end
        when p_status in ('finished', 'failed', 'cancelled') or p_type = 'RUN_STARTED' then null
        when p_type = 'RUN_FINISHED' then 'finished'
        when p_type = 'RUN_FAILED' then 'failed'
        when p_type = 'RUN_CANCELLED' then 'cancelled'
        when p_type = 'RUN_CANCEL_REQUESTED' then 'cancelling'
        when p_type = 'RUN_RESUMED' then case p_status when 'interrupted' then 'running'::run_status end
        when p_status = 'running' and p_type in ('RUN_INTERRUPTED', 'CLARIFICATION_NEEDED') then 'interrupted'
        when p_status = 'interrupted' and p_type = 'CLARIFICATION_ANSWERED' and p_open = 0 then 'running'
        else p_status
    end
$$;

-- ---- projections of the log, one function a family of events --------------------------------------------------------

-- Questions of a run, from its events.
create function project_questions(p_run uuid)
returns table (run_id uuid, clarification_id text, tenant_id uuid, asked_seq bigint, expires_at timestamptz,
               answered_seq bigint)
language sql stable set search_path = public, pg_temp as $$
    select asked.run_id, asked.payload->>'clarification_id', asked.tenant_id, asked.seq,
           (asked.payload->>'expires_at')::timestamptz,
           (select min(answer.seq) from run_events answer
             where answer.run_id = asked.run_id and answer.event_type = 'CLARIFICATION_ANSWERED'
               and answer.seq > asked.seq
               and answer.payload->>'clarification_id' = asked.payload->>'clarification_id')
      from run_events asked
     where asked.run_id = p_run and asked.event_type = 'CLARIFICATION_NEEDED'
$$;

-- Status and times of a run, from its events. A run without events is pending. wrong_seq: the first event that could not
-- happen, or null; what is behind it is not looked at.
create function project_run(p_run uuid)
returns table (status run_status, started_at timestamptz, completed_at timestamptz, wrong_seq bigint)
language plpgsql stable set search_path = public, pg_temp as $$
declare
    e record;
    open bigint := 0;
    after run_status;
begin
    status := 'pending';
    for e in
        select seq, event_type, ts from run_events
         where run_id = p_run
           and event_type in ('RUN_STARTED', 'RUN_FINISHED', 'RUN_FAILED', 'RUN_CANCELLED', 'RUN_INTERRUPTED',
                              'RUN_RESUMED', 'RUN_CANCEL_REQUESTED', 'CLARIFICATION_NEEDED', 'CLARIFICATION_ANSWERED')
         order by seq
    loop
        open := open + case e.event_type when 'CLARIFICATION_NEEDED' then 1 when 'CLARIFICATION_ANSWERED' then -1 else 0 end;
        after := run_status_next(status, e.event_type, open);
        if after is null then
            wrong_seq := e.seq;
            exit;
        end if;
        status := after;
        if e.event_type = 'RUN_STARTED' then
            started_at := e.ts;
        elsif after in ('finished', 'failed', 'cancelled') then
            completed_at := e.ts;
        end if;
    end loop;
    return next;
end
$$;

-- When the sequencer has to look at a run again that has come to p_status at p_since. p_expires: first expiry of an open
-- question.
create function run_wake_at(p_status run_status, p_since timestamptz, p_start timestamptz, p_liveness_ms bigint,
                            p_cancel_ms bigint, p_expires timestamptz) returns timestamptz
language sql immutable parallel safe as $$
    select case p_status
        when 'pending' then p_start
        when 'running' then p_since + p_liveness_ms * interval '1 millisecond'
        when 'interrupted' then p_expires
        when 'cancelling' then p_since + p_cancel_ms * interval '1 millisecond'
    end
$$;

-- What the lifecycle events of one batch change, event by event: they are rare. Called by append_batch only, which checks
-- who calls; arrays as there. Returns the earliest wake_at it has set.
create function apply_lifecycle(p_cancel_ms bigint, h_run uuid[], e_head integer[], e_seq bigint[], e_type integer[],
                                e_payload json[], e_ts timestamptz[]) returns timestamptz
language plpgsql set search_path = public, pg_temp as $$
declare
    e record;
    r record;
    kind run_event_type;
    question text;
    open bigint;
    expires timestamptz;
    after run_status;
    wake timestamptz;
    earliest timestamptz;
begin
    for e in
        select h_run[x.head] as run, x.seq, x.type, x.payload, x.ts
          from (select unnest(e_head) as head, unnest(e_seq) as seq, unnest(e_type) as type, unnest(e_payload) as payload,
                       unnest(e_ts) as ts) as x
         where x.type in (1, 2, 3, 4, 19, 20, 21, 29, 30) or x.seq = 1
         order by x.head, x.seq
    loop
        kind := (event_types())[e.type];
        select t.tenant_id, t.status, t.start_at, t.liveness_ms, t.wake_at into strict r from runs t where t.run_id = e.run;
        question := e.payload->>'clarification_id';
        if kind = 'CLARIFICATION_NEEDED' then
            insert into run_questions (run_id, clarification_id, tenant_id, asked_seq, expires_at)
            values (e.run, question, r.tenant_id, e.seq, (e.payload->>'expires_at')::timestamptz);
        elsif kind = 'CLARIFICATION_ANSWERED' then
            update run_questions q set answered_seq = e.seq
             where q.run_id = e.run and q.clarification_id = question and q.answered_seq is null;
            if not found then
                raise exception 'run % has no open question of this id', e.run using errcode = '22023';
            end if;
        end if;
        select count(*), min(q.expires_at) into open, expires
          from run_questions q where q.run_id = e.run and q.answered_seq is null;
        after := run_status_next(r.status, kind, open);
        if after is null then
            raise exception '% cannot follow on status %', kind, r.status using errcode = 'SB002';
        end if;
        wake := case when after = r.status and after <> 'interrupted' then r.wake_at
                     else run_wake_at(after, e.ts, r.start_at, r.liveness_ms, p_cancel_ms, expires) end;
        update runs t
           set status = after, wake_at = wake,
               started_at = case when e.type = 1 then e.ts else t.started_at end,
               completed_at = case when e.type between 2 and 4 then e.ts else t.completed_at end,
               start_payload = case when t.status = 'pending' then null else t.start_payload end
         where t.run_id = e.run;
        earliest := least(earliest, wake);
    end loop;
    return earliest;
end
$$;
revoke execute on function apply_lifecycle from public;

-- A due time that turned out to be too early, or a start that has to wait for others (null). p_old: as it was when the
-- caller looked; a run that has changed since keeps what it has.
create function reschedule_runs(p_shard integer, p_epoch bigint, p_run uuid[], p_old timestamptz[], p_new timestamptz[])
returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform 1 from shards where shard = p_shard and epoch = p_epoch for share;
    if not found then
        raise exception 'shard % has a newer epoch than %', p_shard, p_epoch using errcode = 'SB001';
    end if;
    update runs r set wake_at = w.new
      from unnest(p_run, p_old, p_new) as w (run, old, new)
     where r.run_id = w.run and r.wake_at = w.old
       and (r.status = 'running' and w.new > w.old or r.status = 'pending' and w.new is null);
end
$$;

-- As before (0003), and:
-- A batch with lifecycle events (RUN_INTERRUPTED, RUN_RESUMED, RUN_CANCEL_REQUESTED, CLARIFICATION_*, events of a run that
-- was not started by its creation) or pending runs says so by p_cancel_ms, the time a cancelled run may take; null: it has
-- none, and nothing else passes. A pending run begins with RUN_STARTED, or ends with RUN_CANCELLED as its only event.
-- Returns the earliest wake_at that the lifecycle events have set.
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
    o_origin bigint[], o_no bigint[]
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
    insert into run_events (tenant_id, run_id, seq, position, event_type, payload, actor, ts, idempotency_key,
                            command_hash, command_events, origin, command_no)
    select h_tenant[e.head], h_run[e.head], e.seq, p_position + e.ordinal, (event_types())[e.type], e.payload, e.actor,
           e.ts, e.key, e.hash, e.events, e.origin, e.no
      -- In the select list, not as ROWS FROM: rows stream instead of being stored once more, array by array.
      from (select unnest(e_head) as head, unnest(e_seq) as seq, unnest(e_type) as type, unnest(e_payload) as payload,
                   unnest(e_ts) as ts, unnest(e_actor) as actor, unnest(e_key) as key, unnest(e_hash) as hash,
                   unnest(e_events) as events, unnest(e_origin) as origin, unnest(e_no) as no,
                   generate_subscripts(e_seq, 1) as ordinal) as e
     where ((e.seq = 1) = (e.type = 1) or lifecycle) -- RUN_STARTED; or see apply_lifecycle
       and (h_closed[e.head] and e.seq = h_new[e.head])
           = (e.type between 2 and 4) -- RUN_FINISHED, RUN_FAILED, RUN_CANCELLED
       and num_nulls(e.events, e.origin, e.no) in (0, 3)
       and (e.key is null) = (e.hash is null) and (e.key is null or e.events is not null);
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

revoke execute on function append_batch, reschedule_runs from public;
grant execute on function append_batch, reschedule_runs to signalbox_sequencer;
