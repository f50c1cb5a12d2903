drop function append_jobs;
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
    o_origin bigint[], o_no bigint[], e_trace uuid[] default null
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

drop view job_memory;
alter table job_deps drop column done;
alter table job_open drop column last_token;
alter table job_records drop column claim;
