-- The schema after all migrations, for reading. Made by 'make schema'; the migrations are the truth.

CREATE DOMAIN public.entity_type AS text
    CONSTRAINT entity_type_known CHECK ((VALUE = ANY (ARRAY['web_page'::text, 'search_result'::text, 'document'::text, 'dataset'::text, 'image'::text, 'audio'::text, 'video'::text, 'code'::text, 'person'::text, 'organization'::text, 'product'::text, 'place'::text, 'event'::text, 'claim'::text, 'metric'::text, 'report'::text, 'companion_report'::text, 'generated_website'::text, 'slide_deck'::text, 'chart'::text, 'table'::text, 'export_file'::text])));

ALTER DOMAIN public.entity_type OWNER TO signalbox_owner;

CREATE TYPE public.job_status AS ENUM (
    'pending',
    'running',
    'success',
    'error',
    'cancelled'
);

ALTER TYPE public.job_status OWNER TO signalbox_owner;

CREATE TYPE public.run_event_type AS ENUM (
    'RUN_STARTED',
    'RUN_FINISHED',
    'RUN_FAILED',
    'RUN_CANCELLED',
    'MESSAGE_STARTED',
    'MESSAGE_DELTA',
    'MESSAGE_COMPLETED',
    'TOOL_CALL_STARTED',
    'TOOL_CALL_COMPLETED',
    'TASK_STARTED',
    'TASK_PROGRESS',
    'TASK_COMPLETED',
    'TASK_FAILED',
    'PLAN_CREATED',
    'PLAN_UPDATED',
    'USAGE_RECORDED',
    'CUSTOM',
    'RUN_PROGRESS',
    'RUN_INTERRUPTED',
    'RUN_RESUMED',
    'RUN_CANCEL_REQUESTED',
    'TASK_CANCELLED',
    'MESSAGE_EDITED',
    'REASONING_STARTED',
    'REASONING_DELTA',
    'REASONING_COMPLETED',
    'TOOL_CALL_ARGS',
    'TOOL_CALL_FAILED',
    'CLARIFICATION_NEEDED',
    'CLARIFICATION_ANSWERED',
    'SOURCE_ADDED',
    'ENTITY_EXTRACTED',
    'CITATION_ADDED',
    'ARTIFACT_CREATED',
    'WEBSITE_GENERATION_DONE',
    'JOB_QUEUED',
    'JOB_STARTED',
    'JOB_PROGRESS',
    'JOB_RETRYING',
    'JOB_COMPLETED',
    'JOB_FAILED',
    'JOB_CANCELLED',
    'STATE_SNAPSHOT',
    'STATE_DELTA',
    'WARNING'
);

ALTER TYPE public.run_event_type OWNER TO signalbox_owner;

CREATE TYPE public.run_status AS ENUM (
    'pending',
    'running',
    'interrupted',
    'cancelling',
    'finished',
    'failed',
    'cancelled'
);

ALTER TYPE public.run_status OWNER TO signalbox_owner;

CREATE FUNCTION public.acquire_epoch(p_shard integer, p_owner text, p_host text, p_lease_ms integer, p_previous bigint) RETURNS TABLE(epoch bigint, position_out bigint, published bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    taken bigint;
begin
    perform 1 from shards s where s.shard = p_shard and (p_previous is null or s.epoch = p_previous) for update;
    if not found then
        raise exception 'shard % has a newer epoch than %', p_shard, p_previous using errcode = 'SB001';
    end if;
    update shards s
       set epoch = s.epoch + 1, owner = p_owner, host = p_host,
           backend_pid = pg_backend_pid(),
           backend_start = (select a.backend_start from pg_stat_activity a where a.pid = pg_backend_pid()),
           lease_until = clock_timestamp() + make_interval(secs => p_lease_ms / 1000.0)
     where s.shard = p_shard and (s.host = p_host or s.lease_until < clock_timestamp())
    returning s.epoch into taken;
    if taken is null then
        raise exception 'the lease of shard % is held by another host', p_shard using errcode = 'SB003';
    end if;
    delete from origins where updated_at < now() - interval '1 day';
    return query
        select taken, p.position, coalesce(c.position, 0)
          from shard_positions p left join outbox_cursors c on c.shard = p.shard and c.sink = 'bus'
         where p.shard = p_shard;
end
$$;

ALTER FUNCTION public.acquire_epoch(p_shard integer, p_owner text, p_host text, p_lease_ms integer, p_previous bigint) OWNER TO signalbox_owner;

CREATE FUNCTION public.advance_outbox(p_shard integer, p_epoch bigint, p_sink text, p_position bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    perform 1 from shards where shard = p_shard and epoch = p_epoch for share;
    if not found then
        raise exception 'shard % has a newer epoch than %', p_shard, p_epoch using errcode = 'SB001';
    end if;
    update outbox_cursors set position = p_position, updated_at = now()
     where sink = p_sink and shard = p_shard and position <= p_position
       and p_position <= (select p.position from shard_positions p where p.shard = p_shard);
    if not found then
        raise exception 'outbox cursor % cannot move to %', p_sink, p_position using errcode = 'SB002';
    end if;
end
$$;

ALTER FUNCTION public.advance_outbox(p_shard integer, p_epoch bigint, p_sink text, p_position bigint) OWNER TO signalbox_owner;

CREATE FUNCTION public.append_batch(p_shard integer, p_epoch bigint, p_position bigint, p_cancel_ms bigint, c_run uuid[], c_tenant uuid[], c_thread uuid[], c_parent uuid[], c_metadata jsonb[], c_by text[], c_ts timestamp with time zone[], c_key text[], c_hash bytea[], c_deliverable text[], c_start timestamp with time zone[], c_strategy integer[], c_group text[], c_limit integer[], c_liveness bigint[], c_started json[], c_origin bigint[], c_no bigint[], h_run uuid[], h_tenant uuid[], h_old bigint[], h_new bigint[], h_closed boolean[], e_head integer[], e_seq bigint[], e_type integer[], e_payload json[], e_ts timestamp with time zone[], e_actor text[], e_key text[], e_hash bytea[], e_events integer[], e_origin bigint[], e_no bigint[], o_origin bigint[], o_no bigint[], e_trace uuid[] DEFAULT NULL::uuid[], e_dedup text[] DEFAULT NULL::text[]) RETURNS timestamp with time zone
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

ALTER FUNCTION public.append_batch(p_shard integer, p_epoch bigint, p_position bigint, p_cancel_ms bigint, c_run uuid[], c_tenant uuid[], c_thread uuid[], c_parent uuid[], c_metadata jsonb[], c_by text[], c_ts timestamp with time zone[], c_key text[], c_hash bytea[], c_deliverable text[], c_start timestamp with time zone[], c_strategy integer[], c_group text[], c_limit integer[], c_liveness bigint[], c_started json[], c_origin bigint[], c_no bigint[], h_run uuid[], h_tenant uuid[], h_old bigint[], h_new bigint[], h_closed boolean[], e_head integer[], e_seq bigint[], e_type integer[], e_payload json[], e_ts timestamp with time zone[], e_actor text[], e_key text[], e_hash bytea[], e_events integer[], e_origin bigint[], e_no bigint[], o_origin bigint[], o_no bigint[], e_trace uuid[], e_dedup text[]) OWNER TO signalbox_owner;

CREATE TABLE public.job_deps (
    parent bigint NOT NULL,
    child bigint NOT NULL,
    done boolean DEFAULT false NOT NULL
);

ALTER TABLE public.job_deps OWNER TO signalbox_owner;

CREATE TABLE public.job_open (
    id bigint NOT NULL,
    job_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    run_id uuid NOT NULL,
    queue text NOT NULL,
    job_type text NOT NULL,
    shard smallint NOT NULL,
    priority smallint NOT NULL,
    concurrency_key text,
    run_at timestamp with time zone NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    claim integer DEFAULT 0 NOT NULL,
    token uuid,
    worker text,
    lease_ms integer,
    lease_until timestamp with time zone,
    heartbeat_at timestamp with time zone,
    started_at timestamp with time zone,
    deps_left integer DEFAULT 0 NOT NULL,
    dep_failed boolean DEFAULT false NOT NULL,
    cancel_requested_at timestamp with time zone,
    progress json,
    last_error text,
    last_token uuid
)
WITH (fillfactor='30', autovacuum_vacuum_threshold='500', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_cost_delay='0');

ALTER TABLE public.job_open OWNER TO signalbox_owner;

CREATE TABLE public.job_records (
    id bigint NOT NULL,
    job_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    run_id uuid NOT NULL,
    job_key text NOT NULL,
    job_type text NOT NULL,
    artifact_kind text,
    queue text NOT NULL,
    status public.job_status DEFAULT 'pending'::public.job_status NOT NULL,
    priority smallint DEFAULT 0 NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    max_attempts smallint NOT NULL,
    payload json NOT NULL,
    on_dep_fail smallint DEFAULT 0 NOT NULL,
    concurrency_key text,
    detached boolean DEFAULT false NOT NULL,
    result json,
    result_artifact_id uuid,
    error jsonb,
    error_class text,
    partial boolean DEFAULT false NOT NULL,
    last_worker text,
    last_token uuid,
    created_by text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    enqueue_seq bigint NOT NULL,
    finish_seq bigint,
    claim integer DEFAULT 0 NOT NULL
)
WITH (fillfactor='45');

ALTER TABLE public.job_records OWNER TO signalbox_owner;

CREATE VIEW public.job_memory WITH (security_invoker='true') AS
 SELECT r.id,
    r.job_id,
    r.tenant_id,
    r.run_id,
    r.job_key,
    r.job_type,
    r.queue,
    array_position(ARRAY['pending'::public.job_status, 'running'::public.job_status, 'success'::public.job_status, 'error'::public.job_status, 'cancelled'::public.job_status], r.status) AS status,
    (r.priority)::integer AS priority,
    (COALESCE(o.attempts, r.attempts))::integer AS attempts,
    (r.max_attempts)::integer AS max_attempts,
    (r.on_dep_fail)::integer AS on_dep_fail,
    r.concurrency_key,
    r.detached,
    (EXISTS ( SELECT
           FROM public.job_deps d
          WHERE (d.parent = r.id))) AS has_children,
    (o.id IS NOT NULL) AS open,
    o.run_at,
    COALESCE(o.claim, r.claim) AS claim,
    o.token,
    COALESCE(o.worker, r.last_worker) AS worker,
    o.lease_ms,
    COALESCE(o.deps_left, (( SELECT count(*) AS count
           FROM public.job_deps d
          WHERE ((d.child = r.id) AND (NOT d.done))))::integer) AS deps_left,
    COALESCE(o.dep_failed, false) AS dep_failed,
    (o.cancel_requested_at IS NOT NULL) AS cancel,
        CASE
            WHEN (o.id IS NULL) THEN r.last_token
            ELSE o.last_token
        END AS last_token
   FROM (public.job_records r
     LEFT JOIN public.job_open o ON ((o.id = r.id)));

ALTER TABLE public.job_memory OWNER TO signalbox_owner;

CREATE FUNCTION public.append_jobs(p_shard integer, p_epoch bigint, p_position bigint, p_after timestamp with time zone, p_ts timestamp with time zone, n_row integer[], n_job uuid[], n_tenant uuid[], n_run uuid[], n_key text[], n_type text[], n_artifact text[], n_queue text[], n_priority integer[], n_max integer[], n_payload json[], n_dep_fail integer[], n_group text[], n_detached boolean[], n_by text[], n_seq bigint[], n_run_at timestamp with time zone[], n_deps_left integer[], n_dep_failed boolean[], f_id bigint[], f_ok boolean[], d_id bigint[], d_claim integer[], d_token uuid[], r_id bigint[], r_run uuid[], r_status integer[], r_attempts integer[], r_claim integer[], r_payload json[], r_result json[], r_error jsonb[], r_class text[], r_partial boolean[], r_worker text[], r_token uuid[], r_queued bigint[], r_finished bigint[], r_detached boolean[], u_id bigint[], u_made boolean[], u_old_claim integer[], u_old_token uuid[], u_run_at timestamp with time zone[], u_attempts integer[], u_claim integer[], u_token uuid[], u_worker text[], u_lease_ms bigint[], u_cancel boolean[], u_last_token uuid[], u_error text[], p_parent bigint[], p_child bigint[], p_done boolean[]) RETURNS SETOF public.job_memory
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

ALTER FUNCTION public.append_jobs(p_shard integer, p_epoch bigint, p_position bigint, p_after timestamp with time zone, p_ts timestamp with time zone, n_row integer[], n_job uuid[], n_tenant uuid[], n_run uuid[], n_key text[], n_type text[], n_artifact text[], n_queue text[], n_priority integer[], n_max integer[], n_payload json[], n_dep_fail integer[], n_group text[], n_detached boolean[], n_by text[], n_seq bigint[], n_run_at timestamp with time zone[], n_deps_left integer[], n_dep_failed boolean[], f_id bigint[], f_ok boolean[], d_id bigint[], d_claim integer[], d_token uuid[], r_id bigint[], r_run uuid[], r_status integer[], r_attempts integer[], r_claim integer[], r_payload json[], r_result json[], r_error jsonb[], r_class text[], r_partial boolean[], r_worker text[], r_token uuid[], r_queued bigint[], r_finished bigint[], r_detached boolean[], u_id bigint[], u_made boolean[], u_old_claim integer[], u_old_token uuid[], u_run_at timestamp with time zone[], u_attempts integer[], u_claim integer[], u_token uuid[], u_worker text[], u_lease_ms bigint[], u_cancel boolean[], u_last_token uuid[], u_error text[], p_parent bigint[], p_child bigint[], p_done boolean[]) OWNER TO signalbox_owner;

CREATE FUNCTION public.apply_lifecycle(p_cancel_ms bigint, h_run uuid[], e_head integer[], e_seq bigint[], e_type integer[], e_payload json[], e_ts timestamp with time zone[]) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

ALTER FUNCTION public.apply_lifecycle(p_cancel_ms bigint, h_run uuid[], e_head integer[], e_seq bigint[], e_type integer[], e_payload json[], e_ts timestamp with time zone[]) OWNER TO signalbox_owner;

CREATE FUNCTION public.current_tenant() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (NULLIF(current_setting('signalbox.tenant'::text, true), ''::text))::uuid;

ALTER FUNCTION public.current_tenant() OWNER TO signalbox_owner;

CREATE FUNCTION public.current_tenants() RETURNS uuid[]
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (NULLIF(current_setting('signalbox.tenants'::text, true), ''::text))::uuid[];

ALTER FUNCTION public.current_tenants() OWNER TO signalbox_owner;

CREATE FUNCTION public.event_types() RETURNS public.run_event_type[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN enum_range(NULL::public.run_event_type);

ALTER FUNCTION public.event_types() OWNER TO signalbox_owner;

CREATE TABLE public.installation (
    installation_id smallint DEFAULT 1 NOT NULL,
    single_user boolean DEFAULT false NOT NULL,
    CONSTRAINT installation_installation_id_check CHECK ((installation_id = 1))
);

ALTER TABLE public.installation OWNER TO signalbox_owner;

CREATE FUNCTION public.installation_is_single() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    RETURN (SELECT installation.single_user FROM public.installation);

ALTER FUNCTION public.installation_is_single() OWNER TO signalbox_owner;

CREATE TABLE public.api_keys (
    key_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    public_id text NOT NULL,
    hash bytea NOT NULL,
    name text DEFAULT ''::text NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    user_name text DEFAULT 'owner'::text NOT NULL,
    created_by text DEFAULT ''::text NOT NULL,
    installation_id smallint DEFAULT 1 NOT NULL,
    single_user boolean DEFAULT public.installation_is_single() NOT NULL,
    CONSTRAINT api_keys_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT api_keys_public_id_check CHECK (((length(public_id) >= 8) AND (length(public_id) <= 64))),
    CONSTRAINT api_keys_scopes CHECK ((scopes <@ ARRAY['read'::text, 'append'::text, 'admin'::text, 'operator'::text])),
    CONSTRAINT api_keys_single_user CHECK (((NOT single_user) OR (user_name = 'owner'::text))),
    CONSTRAINT api_keys_user_name_check CHECK (((length(user_name) >= 1) AND (length(user_name) <= 255)))
);

ALTER TABLE public.api_keys OWNER TO signalbox_owner;

CREATE FUNCTION public.find_api_key(p_public_id text) RETURNS TABLE(key_id uuid, tenant_id uuid, hash bytea, scopes text[], expires_at timestamp with time zone, user_name text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    BEGIN ATOMIC
 SELECT k.key_id,
     k.tenant_id,
     k.hash,
     k.scopes,
     k.expires_at,
     k.user_name
    FROM public.api_keys k
   WHERE ((k.public_id = find_api_key.p_public_id) AND (k.revoked_at IS NULL));

END;

ALTER FUNCTION public.find_api_key(p_public_id text) OWNER TO signalbox_owner;

CREATE TABLE public.sessions (
    session_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    key_id uuid,
    public_id text NOT NULL,
    hash bytea NOT NULL,
    user_name text NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    installation_id smallint DEFAULT 1 NOT NULL,
    single_user boolean DEFAULT public.installation_is_single() NOT NULL,
    CONSTRAINT sessions_check CHECK (((NOT single_user) OR (user_name = 'owner'::text))),
    CONSTRAINT sessions_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT sessions_public_id_check CHECK (((length(public_id) >= 8) AND (length(public_id) <= 64))),
    CONSTRAINT sessions_scopes_check CHECK ((scopes <@ ARRAY['read'::text, 'append'::text, 'admin'::text, 'operator'::text])),
    CONSTRAINT sessions_user_name_check CHECK (((length(user_name) >= 1) AND (length(user_name) <= 255)))
);

ALTER TABLE public.sessions OWNER TO signalbox_owner;

CREATE FUNCTION public.find_session(p_public_id text) RETURNS TABLE(session_id uuid, tenant_id uuid, hash bytea, scopes text[], expires_at timestamp with time zone, user_name text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    BEGIN ATOMIC
 SELECT s.session_id,
     s.tenant_id,
     s.hash,
     s.scopes,
     LEAST(s.expires_at, k.expires_at) AS "least",
     s.user_name
    FROM (public.sessions s
      LEFT JOIN public.api_keys k USING (key_id))
   WHERE ((s.public_id = find_session.p_public_id) AND (s.ended_at IS NULL) AND (k.revoked_at IS NULL));

END;

ALTER FUNCTION public.find_session(p_public_id text) OWNER TO signalbox_owner;

CREATE FUNCTION public.forget_jobs(p_ids bigint[]) RETURNS void
    LANGUAGE sql
    SET search_path TO 'public', 'pg_temp'
    AS $$
    insert into job_pruned (tenant_id, job_key, job_id, status, result_artifact_id)
    select r.tenant_id, r.job_key, r.job_id, r.status, r.result_artifact_id
      from job_records r where r.id = any (p_ids) order by r.id
    on conflict (tenant_id, job_key) do nothing;
    delete from job_dead d using job_records r where r.id = any (p_ids) and d.tenant_id = r.tenant_id and d.id = r.id;
    delete from job_deps where parent = any (p_ids);
    delete from job_deps where child = any (p_ids);
    delete from job_records where id = any (p_ids);
$$;

ALTER FUNCTION public.forget_jobs(p_ids bigint[]) OWNER TO signalbox_owner;

CREATE FUNCTION public.fork_run(p_shard integer, p_epoch bigint, p_position bigint, p_ts timestamp with time zone, p_cancel_ms bigint, p_tenant uuid, p_run uuid, p_source uuid, p_seq bigint, p_by text, p_key text, p_hash bytea, p_origin bigint, p_no bigint, p_admitted boolean, p_active bigint, p_events bigint, p_bytes bigint) RETURNS TABLE(outcome text, run uuid, last_seq bigint, status text, limited boolean, open bytea, wake_at timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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
    -- On the latest day there is, also when the clock has gone back: that row is where active_runs is read.
    insert into tenant_usage as t (tenant_id, day, runs, events, bytes, active_runs)
    values (p_tenant, greatest((p_ts at time zone 'UTC')::date,
                               (select max(d.day) from tenant_usage d where d.tenant_id = p_tenant)), 1, 0, 0, p_active)
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

ALTER FUNCTION public.fork_run(p_shard integer, p_epoch bigint, p_position bigint, p_ts timestamp with time zone, p_cancel_ms bigint, p_tenant uuid, p_run uuid, p_source uuid, p_seq bigint, p_by text, p_key text, p_hash bytea, p_origin bigint, p_no bigint, p_admitted boolean, p_active bigint, p_events bigint, p_bytes bigint) OWNER TO signalbox_owner;

CREATE FUNCTION public.hold_job_shards(p_name text, p_origin bigint, p_lease_ms integer) RETURNS TABLE(shard_out smallint, epoch_out bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

ALTER FUNCTION public.hold_job_shards(p_name text, p_origin bigint, p_lease_ms integer) OWNER TO signalbox_owner;

CREATE FUNCTION public.is_operator() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (COALESCE(current_setting('signalbox.operator'::text, true), ''::text) = 'on'::text);

ALTER FUNCTION public.is_operator() OWNER TO signalbox_owner;

CREATE FUNCTION public.job_shard(p_tenant uuid, p_queue text) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select (get_byte(sha256(uuid_send(p_tenant) || convert_to(p_queue, 'UTF8')), 0) % 16)::smallint
$$;

ALTER FUNCTION public.job_shard(p_tenant uuid, p_queue text) OWNER TO signalbox_owner;

CREATE FUNCTION public.leave_job_shards(p_name text, p_origin bigint) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    delete from job_runners where name = p_name and origin = p_origin;
    update job_shards set owner = '', until = '-infinity' where owner = p_name and origin = p_origin;
$$;

ALTER FUNCTION public.leave_job_shards(p_name text, p_origin bigint) OWNER TO signalbox_owner;

CREATE FUNCTION public.move_job_schedule(p_tenant uuid, p_name text, p_due timestamp with time zone, p_next timestamp with time zone, p_last timestamp with time zone, p_error text) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    with moved as (
        update job_schedules
           set next_at = p_next, last_at = coalesce(p_last, last_at), last_error = p_error
         where tenant_id = p_tenant and name = p_name and next_at = p_due and enabled
        returning 1
    )
    select exists (select from moved)
$$;

ALTER FUNCTION public.move_job_schedule(p_tenant uuid, p_name text, p_due timestamp with time zone, p_next timestamp with time zone, p_last timestamp with time zone, p_error text) OWNER TO signalbox_owner;

CREATE FUNCTION public.producer_key(p_id text, p_epoch bigint, p_seq bigint) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ select e'\x02' || p_id || e'\x02' || p_epoch || e'\x02' || p_seq $$;

ALTER FUNCTION public.producer_key(p_id text, p_epoch bigint, p_seq bigint) OWNER TO signalbox_owner;

CREATE FUNCTION public.project_questions(p_run uuid) RETURNS TABLE(run_id uuid, clarification_id text, tenant_id uuid, asked_seq bigint, expires_at timestamp with time zone, answered_seq bigint)
    LANGUAGE sql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
    select asked.run_id, asked.payload->>'clarification_id', asked.tenant_id, asked.seq,
           (asked.payload->>'expires_at')::timestamptz,
           (select min(answer.seq) from run_events answer
             where answer.run_id = asked.run_id and answer.event_type = 'CLARIFICATION_ANSWERED'
               and answer.seq > asked.seq
               and answer.payload->>'clarification_id' = asked.payload->>'clarification_id')
      from run_events asked
     where asked.run_id = p_run and asked.event_type = 'CLARIFICATION_NEEDED'
$$;

ALTER FUNCTION public.project_questions(p_run uuid) OWNER TO signalbox_owner;

CREATE FUNCTION public.project_run(p_run uuid) RETURNS TABLE(status public.run_status, started_at timestamp with time zone, completed_at timestamp with time zone, wrong_seq bigint)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

ALTER FUNCTION public.project_run(p_run uuid) OWNER TO signalbox_owner;

CREATE FUNCTION public.prune_jobs(p_shard integer, p_epoch bigint, p_tenant uuid, p_after bigint, p_success timestamp with time zone, p_error timestamp with time zone, p_max integer, p_dry boolean, p_actor text, p_object text) RETURNS TABLE(last_out bigint, more_out boolean, jobs_out uuid[])
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

ALTER FUNCTION public.prune_jobs(p_shard integer, p_epoch bigint, p_tenant uuid, p_after bigint, p_success timestamp with time zone, p_error timestamp with time zone, p_max integer, p_dry boolean, p_actor text, p_object text) OWNER TO signalbox_owner;

CREATE FUNCTION public.prune_runs(p_shard integer, p_epoch bigint, p_tenant uuid, p_after_at timestamp with time zone, p_after uuid, p_before timestamp with time zone, p_max integer, p_events bigint, p_dry boolean, p_actor text, p_object text) RETURNS TABLE(last_at_out timestamp with time zone, last_out uuid, more_out boolean, runs_out uuid[], jobs_out uuid[], events_out bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

ALTER FUNCTION public.prune_runs(p_shard integer, p_epoch bigint, p_tenant uuid, p_after_at timestamp with time zone, p_after uuid, p_before timestamp with time zone, p_max integer, p_events bigint, p_dry boolean, p_actor text, p_object text) OWNER TO signalbox_owner;

CREATE FUNCTION public.record_producers(p_shard integer, p_epoch bigint, p_run uuid[], p_tenant uuid[], p_id text[], p_old_epoch bigint[], p_old_seq bigint[], p_new_epoch bigint[], p_new_seq bigint[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

ALTER FUNCTION public.record_producers(p_shard integer, p_epoch bigint, p_run uuid[], p_tenant uuid[], p_id text[], p_old_epoch bigint[], p_old_seq bigint[], p_new_epoch bigint[], p_new_seq bigint[]) OWNER TO signalbox_owner;

CREATE FUNCTION public.record_usage(p_shard integer, p_epoch bigint, p_day date, u_tenant uuid[], u_runs bigint[], u_events bigint[], u_bytes bigint[], u_active bigint[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

ALTER FUNCTION public.record_usage(p_shard integer, p_epoch bigint, p_day date, u_tenant uuid[], u_runs bigint[], u_events bigint[], u_bytes bigint[], u_active bigint[]) OWNER TO signalbox_owner;

CREATE FUNCTION public.renew_job_leases(p_id bigint[], p_token uuid[], p_lease_ms integer[], p_progress json[]) RETURNS SETOF bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

ALTER FUNCTION public.renew_job_leases(p_id bigint[], p_token uuid[], p_lease_ms integer[], p_progress json[]) OWNER TO signalbox_owner;

CREATE FUNCTION public.renew_lease(p_shard integer, p_epoch bigint, p_lease_ms integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    update shards set lease_until = clock_timestamp() + make_interval(secs => p_lease_ms / 1000.0)
     where shard = p_shard and epoch = p_epoch;
    if not found then
        raise exception 'shard % has a newer epoch than %', p_shard, p_epoch using errcode = 'SB001';
    end if;
end
$$;

ALTER FUNCTION public.renew_lease(p_shard integer, p_epoch bigint, p_lease_ms integer) OWNER TO signalbox_owner;

CREATE FUNCTION public.reschedule_runs(p_shard integer, p_epoch bigint, p_run uuid[], p_old timestamp with time zone[], p_new timestamp with time zone[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

ALTER FUNCTION public.reschedule_runs(p_shard integer, p_epoch bigint, p_run uuid[], p_old timestamp with time zone[], p_new timestamp with time zone[]) OWNER TO signalbox_owner;

CREATE FUNCTION public.run_status_next(p_status public.run_status, p_type public.run_event_type, p_open bigint) RETURNS public.run_status
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
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

ALTER FUNCTION public.run_status_next(p_status public.run_status, p_type public.run_event_type, p_open bigint) OWNER TO signalbox_owner;

CREATE FUNCTION public.run_wake_at(p_status public.run_status, p_since timestamp with time zone, p_start timestamp with time zone, p_liveness_ms bigint, p_cancel_ms bigint, p_expires timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select case p_status
        when 'pending' then p_start
        when 'running' then p_since + p_liveness_ms * interval '1 millisecond'
        when 'interrupted' then p_expires
        when 'cancelling' then p_since + p_cancel_ms * interval '1 millisecond'
    end
$$;

ALTER FUNCTION public.run_wake_at(p_status public.run_status, p_since timestamp with time zone, p_start timestamp with time zone, p_liveness_ms bigint, p_cancel_ms bigint, p_expires timestamp with time zone) OWNER TO signalbox_owner;

CREATE FUNCTION public.seq_at_position(p_run uuid, p_last bigint, p_position bigint) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    low bigint := 0;
    high bigint := p_last;
    middle bigint := p_last; -- most runs of a thread have ended before the position
begin
    while low < high loop
        if coalesce((select e.position from run_events e where e.run_id = p_run and e.seq = middle), 0) <= p_position then
            low := middle;
        else
            high := middle - 1;
        end if;
        middle := (low + high + 1) / 2;
    end loop;
    return low;
end
$$;

ALTER FUNCTION public.seq_at_position(p_run uuid, p_last bigint, p_position bigint) OWNER TO signalbox_owner;

CREATE FUNCTION public.set_tenant_quota(p_tenant uuid, p_runs bigint, p_events bigint, p_bytes bigint, p_concurrent bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
begin
    if not is_operator() then
        raise exception 'only an operator sets quotas' using errcode = 'insufficient_privilege';
    end if;
    insert into tenant_quotas (tenant_id, runs_per_day, events_per_day, bytes_per_day, concurrent_runs)
    values (p_tenant, p_runs, p_events, p_bytes, p_concurrent)
    on conflict (tenant_id) do update
       set runs_per_day = excluded.runs_per_day, events_per_day = excluded.events_per_day,
           bytes_per_day = excluded.bytes_per_day, concurrent_runs = excluded.concurrent_runs, updated_at = now();
end
$$;

ALTER FUNCTION public.set_tenant_quota(p_tenant uuid, p_runs bigint, p_events bigint, p_bytes bigint, p_concurrent bigint) OWNER TO signalbox_owner;

CREATE TABLE public.audit_log (
    audit_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    object_id text DEFAULT ''::text NOT NULL,
    before jsonb,
    after jsonb,
    CONSTRAINT audit_log_action_check CHECK (((length(action) >= 1) AND (length(action) <= 64))),
    CONSTRAINT audit_log_actor_check CHECK (((length(actor) >= 1) AND (length(actor) <= 300))),
    CONSTRAINT audit_log_object_id_check CHECK ((length(object_id) <= 255))
);

ALTER TABLE public.audit_log OWNER TO signalbox_owner;

CREATE TABLE public.client_runs (
    tenant_id uuid NOT NULL,
    protocol text NOT NULL,
    client_id uuid NOT NULL,
    run_id uuid NOT NULL,
    after_seq bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT client_runs_after_seq_check CHECK ((after_seq > 0))
);

ALTER TABLE public.client_runs OWNER TO signalbox_owner;

CREATE TABLE public.job_dead (
    tenant_id uuid NOT NULL,
    id bigint NOT NULL,
    died_at timestamp with time zone NOT NULL
);

ALTER TABLE public.job_dead OWNER TO signalbox_owner;

CREATE TABLE public.job_pauses (
    tenant_id uuid NOT NULL,
    job_type text NOT NULL,
    paused_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.job_pauses OWNER TO signalbox_owner;

CREATE TABLE public.job_pruned (
    tenant_id uuid NOT NULL,
    job_key text NOT NULL,
    job_id uuid NOT NULL,
    status public.job_status NOT NULL,
    result_artifact_id uuid
);

ALTER TABLE public.job_pruned OWNER TO signalbox_owner;

CREATE TABLE public.job_queues (
    tenant_id uuid NOT NULL,
    queue text NOT NULL,
    paused boolean DEFAULT false NOT NULL,
    concurrency integer,
    key_concurrency integer DEFAULT 1 NOT NULL,
    rate_per_minute integer,
    rate_burst integer DEFAULT 1 NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT job_queues_concurrency_check CHECK ((concurrency > 0)),
    CONSTRAINT job_queues_key_concurrency_check CHECK ((key_concurrency > 0)),
    CONSTRAINT job_queues_rate_burst_check CHECK ((rate_burst > 0)),
    CONSTRAINT job_queues_rate_per_minute_check CHECK ((rate_per_minute > 0))
);

ALTER TABLE public.job_queues OWNER TO signalbox_owner;

CREATE TABLE public.job_runners (
    name text NOT NULL,
    origin bigint NOT NULL,
    until timestamp with time zone NOT NULL
);

ALTER TABLE public.job_runners OWNER TO signalbox_owner;

CREATE TABLE public.job_schedules (
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    spec text NOT NULL,
    tz text DEFAULT 'UTC'::text NOT NULL,
    queue text DEFAULT 'default'::text NOT NULL,
    job_type text NOT NULL,
    payload json DEFAULT '{}'::json NOT NULL,
    priority smallint DEFAULT 0 NOT NULL,
    max_attempts smallint NOT NULL,
    concurrency_key text,
    enabled boolean DEFAULT true NOT NULL,
    missed text DEFAULT 'skip'::text NOT NULL,
    next_at timestamp with time zone,
    last_at timestamp with time zone,
    last_error text,
    shard smallint GENERATED ALWAYS AS (public.job_shard(tenant_id, queue)) STORED NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT job_schedules_concurrency_key_check CHECK (((octet_length(concurrency_key) >= 1) AND (octet_length(concurrency_key) <= 255))),
    CONSTRAINT job_schedules_job_type_check CHECK (((octet_length(job_type) >= 1) AND (octet_length(job_type) <= 255))),
    CONSTRAINT job_schedules_max_attempts_check CHECK (((max_attempts >= 1) AND (max_attempts <= 1000))),
    CONSTRAINT job_schedules_missed_check CHECK ((missed = ANY (ARRAY['skip'::text, 'all'::text, 'none'::text]))),
    CONSTRAINT job_schedules_name_check CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 255))),
    CONSTRAINT job_schedules_priority_check CHECK (((priority >= '-1000'::integer) AND (priority <= 1000))),
    CONSTRAINT job_schedules_queue_check CHECK (((octet_length(queue) >= 1) AND (octet_length(queue) <= 255))),
    CONSTRAINT job_schedules_spec_check CHECK (((octet_length(spec) >= 1) AND (octet_length(spec) <= 256)))
);

ALTER TABLE public.job_schedules OWNER TO signalbox_owner;

CREATE TABLE public.job_shards (
    shard smallint NOT NULL,
    owner text DEFAULT ''::text NOT NULL,
    origin bigint DEFAULT 0 NOT NULL,
    epoch bigint DEFAULT 0 NOT NULL,
    until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL
);

ALTER TABLE public.job_shards OWNER TO signalbox_owner;

CREATE VIEW public.jobs WITH (security_invoker='true') AS
 SELECT r.job_id AS id,
    r.id AS number,
    r.tenant_id,
    r.run_id,
    r.job_key,
    r.job_type,
    r.artifact_kind,
    r.queue,
        CASE
            WHEN (o.token IS NOT NULL) THEN 'running'::public.job_status
            ELSE r.status
        END AS status,
    r.priority,
    (
        CASE
            WHEN (o.id IS NULL) THEN (r.attempts)::integer
            ELSE (o.attempts +
            CASE
                WHEN (o.token IS NOT NULL) THEN 1
                ELSE 0
            END)
        END)::smallint AS attempts,
    r.max_attempts,
    r.payload,
    r.on_dep_fail,
    r.concurrency_key,
    r.detached,
    o.run_at,
    COALESCE(o.deps_left, 0) AS deps_left,
    COALESCE(o.worker, r.last_worker) AS last_worker,
    o.heartbeat_at,
    o.started_at,
    o.lease_until,
    o.cancel_requested_at,
    o.progress,
    o.last_error,
    r.result,
    r.result_artifact_id,
    r.partial,
    r.error,
    r.error_class,
    r.created_by,
    r.created_at,
    GREATEST(r.updated_at, o.heartbeat_at) AS updated_at,
    r.finished_at,
    r.enqueue_seq,
    r.finish_seq
   FROM (public.job_records r
     LEFT JOIN public.job_open o ON ((o.id = r.id)));

ALTER TABLE public.jobs OWNER TO signalbox_owner;

CREATE TABLE public.jwks_documents (
    url text NOT NULL,
    body json NOT NULL,
    fetched_at timestamp with time zone NOT NULL,
    CONSTRAINT jwks_documents_body_check CHECK ((octet_length((body)::text) <= 65536)),
    CONSTRAINT jwks_documents_url_check CHECK (((length(url) >= 1) AND (length(url) <= 2048)))
);

ALTER TABLE public.jwks_documents OWNER TO signalbox_owner;

CREATE TABLE public.log_pruned (
    tenant_id uuid NOT NULL,
    day date NOT NULL,
    runs bigint NOT NULL,
    events bigint NOT NULL,
    "position" bigint NOT NULL
);

ALTER TABLE public.log_pruned OWNER TO signalbox_owner;

CREATE TABLE public.origins (
    origin bigint NOT NULL,
    command_no bigint NOT NULL,
    updated_at timestamp with time zone NOT NULL
)
WITH (fillfactor='50');

ALTER TABLE public.origins OWNER TO signalbox_owner;

CREATE TABLE public.outbox_cursors (
    sink text NOT NULL,
    shard integer NOT NULL,
    "position" bigint NOT NULL,
    updated_at timestamp with time zone NOT NULL
)
WITH (fillfactor='50');

ALTER TABLE public.outbox_cursors OWNER TO signalbox_owner;

CREATE TABLE public.run_events (
    tenant_id uuid NOT NULL,
    run_id uuid NOT NULL,
    seq bigint NOT NULL,
    "position" bigint NOT NULL,
    event_type public.run_event_type NOT NULL,
    schema_version smallint DEFAULT 1 NOT NULL,
    payload json NOT NULL,
    actor text,
    ts timestamp with time zone NOT NULL,
    duration_ms integer,
    idempotency_key text,
    command_hash bytea,
    command_events integer,
    origin bigint,
    command_no bigint,
    dedup_key text,
    trace_id uuid
);

ALTER TABLE public.run_events OWNER TO signalbox_owner;

CREATE VIEW public.run_events_jsonb WITH (security_invoker='true') AS
 SELECT run_events.tenant_id,
    run_events.run_id,
    run_events.seq,
    run_events."position",
    run_events.event_type,
    run_events.ts,
    (run_events.payload)::jsonb AS payload
   FROM public.run_events;

ALTER TABLE public.run_events_jsonb OWNER TO signalbox_owner;

CREATE TABLE public.run_heads (
    run_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    last_seq bigint NOT NULL,
    closed boolean DEFAULT false NOT NULL
)
WITH (fillfactor='50');

ALTER TABLE public.run_heads OWNER TO signalbox_owner;

CREATE TABLE public.run_producers (
    run_id uuid NOT NULL,
    producer_id text NOT NULL,
    tenant_id uuid NOT NULL,
    epoch bigint NOT NULL,
    last_seq bigint NOT NULL
)
WITH (fillfactor='50');

ALTER TABLE public.run_producers OWNER TO signalbox_owner;

CREATE TABLE public.run_questions (
    run_id uuid NOT NULL,
    clarification_id text NOT NULL,
    tenant_id uuid NOT NULL,
    asked_seq bigint NOT NULL,
    expires_at timestamp with time zone,
    answered_seq bigint
);

ALTER TABLE public.run_questions OWNER TO signalbox_owner;

CREATE TABLE public.runs (
    run_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    thread_id uuid,
    parent_run_id uuid,
    status public.run_status NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_by text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    completed_at timestamp with time zone,
    create_key text,
    create_hash bytea,
    deliverable_type text,
    start_at timestamp with time zone,
    multitask_strategy smallint DEFAULT 0 NOT NULL,
    concurrency_key text,
    concurrency_limit integer,
    liveness_ms bigint,
    start_payload json,
    create_origin bigint,
    create_no bigint,
    wake_at timestamp with time zone,
    fork_seq bigint,
    CONSTRAINT runs_check CHECK (((create_key IS NULL) = (create_hash IS NULL))),
    CONSTRAINT runs_create_hash_check CHECK ((octet_length(create_hash) = 32)),
    CONSTRAINT runs_create_key_check CHECK (((length(create_key) >= 1) AND (length(create_key) <= 255)))
);

ALTER TABLE public.runs OWNER TO signalbox_owner;

CREATE TABLE public.schema_migrations (
    version integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.schema_migrations OWNER TO signalbox_owner;

CREATE TABLE public.shard_positions (
    shard integer NOT NULL,
    "position" bigint NOT NULL
)
WITH (fillfactor='50');

ALTER TABLE public.shard_positions OWNER TO signalbox_owner;

CREATE TABLE public.shards (
    shard integer NOT NULL,
    epoch bigint NOT NULL,
    owner text NOT NULL,
    host text NOT NULL,
    backend_pid integer,
    backend_start timestamp with time zone,
    lease_until timestamp with time zone NOT NULL
);

ALTER TABLE public.shards OWNER TO signalbox_owner;

CREATE TABLE public.tenant_quotas (
    tenant_id uuid NOT NULL,
    runs_per_day bigint,
    events_per_day bigint,
    bytes_per_day bigint,
    concurrent_runs bigint,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT tenant_quotas_bytes_per_day_check CHECK ((bytes_per_day >= 0)),
    CONSTRAINT tenant_quotas_concurrent_runs_check CHECK ((concurrent_runs >= 0)),
    CONSTRAINT tenant_quotas_events_per_day_check CHECK ((events_per_day >= 0)),
    CONSTRAINT tenant_quotas_runs_per_day_check CHECK ((runs_per_day >= 0))
);

ALTER TABLE public.tenant_quotas OWNER TO signalbox_owner;

CREATE VIEW public.tenant_runs AS
 SELECT runs.run_id,
    runs.tenant_id,
    runs.thread_id,
    runs.parent_run_id,
    runs.status,
    runs.metadata,
    runs.created_by,
    runs.created_at,
    runs.started_at,
    runs.completed_at,
    runs.create_key,
    runs.create_hash,
    runs.deliverable_type,
    runs.start_at,
    runs.multitask_strategy,
    runs.concurrency_key,
    runs.concurrency_limit,
    runs.liveness_ms,
    runs.start_payload,
    runs.create_origin,
    runs.create_no,
    runs.wake_at,
    runs.fork_seq
   FROM public.runs
  WHERE (runs.tenant_id = public.current_tenant());

ALTER TABLE public.tenant_runs OWNER TO signalbox_owner;

CREATE TABLE public.tenant_usage (
    tenant_id uuid NOT NULL,
    day date NOT NULL,
    runs bigint NOT NULL,
    events bigint NOT NULL,
    bytes bigint NOT NULL,
    active_runs bigint NOT NULL
)
WITH (fillfactor='50');

ALTER TABLE public.tenant_usage OWNER TO signalbox_owner;

CREATE TABLE public.tenants (
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    installation_id smallint DEFAULT 1 NOT NULL,
    single_user boolean DEFAULT public.installation_is_single() NOT NULL,
    CONSTRAINT tenants_name_check CHECK (((length(name) >= 1) AND (length(name) <= 255)))
);

ALTER TABLE public.tenants OWNER TO signalbox_owner;

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (key_id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_public_id_key UNIQUE (public_id);

ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (audit_id);

ALTER TABLE ONLY public.client_runs
    ADD CONSTRAINT client_runs_pkey PRIMARY KEY (tenant_id, protocol, client_id);

ALTER TABLE ONLY public.installation
    ADD CONSTRAINT installation_installation_id_single_user_key UNIQUE (installation_id, single_user);

ALTER TABLE ONLY public.installation
    ADD CONSTRAINT installation_pkey PRIMARY KEY (installation_id);

ALTER TABLE ONLY public.job_dead
    ADD CONSTRAINT job_dead_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.job_deps
    ADD CONSTRAINT job_deps_pkey PRIMARY KEY (parent, child);

ALTER TABLE ONLY public.job_open
    ADD CONSTRAINT job_open_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.job_pauses
    ADD CONSTRAINT job_pauses_pkey PRIMARY KEY (tenant_id, job_type);

ALTER TABLE ONLY public.job_pruned
    ADD CONSTRAINT job_pruned_pkey PRIMARY KEY (tenant_id, job_key);

ALTER TABLE ONLY public.job_queues
    ADD CONSTRAINT job_queues_pkey PRIMARY KEY (tenant_id, queue);

ALTER TABLE ONLY public.job_records
    ADD CONSTRAINT job_records_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.job_runners
    ADD CONSTRAINT job_runners_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.job_schedules
    ADD CONSTRAINT job_schedules_pkey PRIMARY KEY (tenant_id, name);

ALTER TABLE ONLY public.job_shards
    ADD CONSTRAINT job_shards_pkey PRIMARY KEY (shard);

ALTER TABLE ONLY public.jwks_documents
    ADD CONSTRAINT jwks_documents_pkey PRIMARY KEY (url);

ALTER TABLE ONLY public.log_pruned
    ADD CONSTRAINT log_pruned_pkey PRIMARY KEY (tenant_id, day);

ALTER TABLE ONLY public.origins
    ADD CONSTRAINT origins_pkey PRIMARY KEY (origin);

ALTER TABLE ONLY public.outbox_cursors
    ADD CONSTRAINT outbox_cursors_pkey PRIMARY KEY (sink, shard);

ALTER TABLE ONLY public.run_events
    ADD CONSTRAINT run_events_pkey PRIMARY KEY (run_id, seq);

ALTER TABLE ONLY public.run_heads
    ADD CONSTRAINT run_heads_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.run_producers
    ADD CONSTRAINT run_producers_pkey PRIMARY KEY (run_id, producer_id);

ALTER TABLE ONLY public.run_questions
    ADD CONSTRAINT run_questions_pkey PRIMARY KEY (run_id, clarification_id);

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (session_id);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_public_id_key UNIQUE (public_id);

ALTER TABLE ONLY public.shard_positions
    ADD CONSTRAINT shard_positions_pkey PRIMARY KEY (shard);

ALTER TABLE ONLY public.shards
    ADD CONSTRAINT shards_pkey PRIMARY KEY (shard);

ALTER TABLE ONLY public.tenant_quotas
    ADD CONSTRAINT tenant_quotas_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY public.tenant_usage
    ADD CONSTRAINT tenant_usage_pkey PRIMARY KEY (tenant_id, day);

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_pkey PRIMARY KEY (tenant_id);

CREATE INDEX api_keys_tenant ON public.api_keys USING btree (tenant_id);

CREATE INDEX audit_log_newest ON public.audit_log USING btree (tenant_id, at DESC, audit_id DESC);

CREATE INDEX client_runs_of_run ON public.client_runs USING btree (run_id, after_seq);

CREATE INDEX job_deps_child ON public.job_deps USING btree (child);

CREATE UNIQUE INDEX job_records_job ON public.job_records USING btree (job_id);

CREATE UNIQUE INDEX job_records_key ON public.job_records USING btree (tenant_id, job_key);

CREATE INDEX job_records_newest ON public.job_records USING btree (uuid_send(tenant_id), id DESC);

CREATE INDEX job_records_run ON public.job_records USING btree (run_id, id);

CREATE INDEX job_schedules_due ON public.job_schedules USING btree (shard, next_at) WHERE (enabled AND (next_at IS NOT NULL));

CREATE UNIQUE INDEX run_events_dedup ON public.run_events USING btree (run_id, dedup_key) WHERE (dedup_key IS NOT NULL);

CREATE UNIQUE INDEX run_events_idempotency ON public.run_events USING btree (run_id, idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE INDEX run_events_position ON public.run_events USING brin ("position") WITH (autosummarize='on');

CREATE UNIQUE INDEX runs_create_key ON public.runs USING btree (tenant_id, create_key) WHERE (create_key IS NOT NULL);

CREATE INDEX runs_key_unfinished ON public.runs USING btree (tenant_id, concurrency_key, created_at) WHERE ((completed_at IS NULL) AND (concurrency_key IS NOT NULL));

CREATE INDEX runs_metadata ON public.runs USING gin (metadata jsonb_path_ops);

CREATE INDEX runs_newest ON public.runs USING btree (tenant_id, created_at DESC, run_id DESC);

CREATE INDEX runs_newest_parent ON public.runs USING btree (tenant_id, parent_run_id, created_at DESC, run_id DESC) WHERE (parent_run_id IS NOT NULL);

CREATE INDEX runs_newest_status ON public.runs USING btree (tenant_id, status, created_at DESC, run_id DESC);

CREATE INDEX runs_newest_thread ON public.runs USING btree (tenant_id, thread_id, created_at DESC, run_id DESC) WHERE (thread_id IS NOT NULL);

CREATE INDEX runs_queued ON public.runs USING btree (created_at) WHERE ((status = 'pending'::public.run_status) AND (wake_at IS NULL));

CREATE INDEX runs_thread_unfinished ON public.runs USING btree (tenant_id, thread_id, created_at) WHERE ((completed_at IS NULL) AND (thread_id IS NOT NULL));

CREATE INDEX runs_wake ON public.runs USING btree (wake_at) WHERE (wake_at IS NOT NULL);

CREATE INDEX sessions_tenant ON public.sessions USING btree (tenant_id, expires_at);

CREATE UNIQUE INDEX tenants_single_user ON public.tenants USING btree (single_user) WHERE single_user;

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_installation FOREIGN KEY (installation_id, single_user) REFERENCES public.installation(installation_id, single_user) ON UPDATE CASCADE;

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id);

ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT audit_log_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id);

ALTER TABLE ONLY public.client_runs
    ADD CONSTRAINT client_runs_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.client_runs
    ADD CONSTRAINT client_runs_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.job_pauses
    ADD CONSTRAINT job_pauses_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.job_pruned
    ADD CONSTRAINT job_pruned_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id);

ALTER TABLE ONLY public.job_queues
    ADD CONSTRAINT job_queues_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.job_schedules
    ADD CONSTRAINT job_schedules_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.log_pruned
    ADD CONSTRAINT log_pruned_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_installation_id_single_user_fkey FOREIGN KEY (installation_id, single_user) REFERENCES public.installation(installation_id, single_user) ON UPDATE CASCADE;

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_key_id_fkey FOREIGN KEY (key_id) REFERENCES public.api_keys(key_id);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id);

ALTER TABLE ONLY public.shard_positions
    ADD CONSTRAINT shard_positions_shard_fkey FOREIGN KEY (shard) REFERENCES public.shards(shard);

ALTER TABLE ONLY public.tenant_quotas
    ADD CONSTRAINT tenant_quotas_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.tenant_usage
    ADD CONSTRAINT tenant_usage_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_installation FOREIGN KEY (installation_id, single_user) REFERENCES public.installation(installation_id, single_user) ON UPDATE CASCADE;

ALTER TABLE public.api_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.audit_log ENABLE ROW LEVEL SECURITY;

CREATE POLICY audit_new ON public.audit_log FOR INSERT TO signalbox_api WITH CHECK (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) OR ( SELECT public.is_operator() AS is_operator)));

CREATE POLICY audit_of_tenant ON public.audit_log FOR SELECT TO signalbox_api USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) OR ( SELECT public.is_operator() AS is_operator)));

ALTER TABLE public.client_runs ENABLE ROW LEVEL SECURITY;

CREATE POLICY client_runs_new ON public.client_runs FOR INSERT TO signalbox_api WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY client_runs_of_tenant ON public.client_runs FOR SELECT TO signalbox_api USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY events_of_all ON public.run_events FOR SELECT TO signalbox_sequencer, signalbox_job_runner, signalbox_exporter USING (true);

CREATE POLICY events_of_tenant ON public.run_events FOR SELECT TO signalbox_api, signalbox_streamer USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY heads_of_all ON public.run_heads FOR SELECT TO signalbox_sequencer, signalbox_job_runner, signalbox_exporter USING (true);

CREATE POLICY heads_of_streamer ON public.run_heads FOR SELECT TO signalbox_streamer USING ((tenant_id = ANY (( SELECT public.current_tenants() AS current_tenants)::uuid[])));

CREATE POLICY heads_of_tenant ON public.run_heads FOR SELECT TO signalbox_api USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

ALTER TABLE public.job_dead ENABLE ROW LEVEL SECURITY;

CREATE POLICY job_dead_of_all ON public.job_dead FOR SELECT TO signalbox_sequencer, signalbox_job_runner, signalbox_exporter USING (true);

CREATE POLICY job_dead_of_tenant ON public.job_dead FOR SELECT TO signalbox_api USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

ALTER TABLE public.job_deps ENABLE ROW LEVEL SECURITY;

CREATE POLICY job_deps_of_all ON public.job_deps FOR SELECT TO signalbox_sequencer, signalbox_job_runner, signalbox_exporter USING (true);

CREATE POLICY job_deps_of_tenant ON public.job_deps FOR SELECT TO signalbox_api USING ((EXISTS ( SELECT
   FROM public.job_records r
  WHERE ((r.id = job_deps.child) AND (r.tenant_id = ( SELECT public.current_tenant() AS current_tenant))))));

ALTER TABLE public.job_open ENABLE ROW LEVEL SECURITY;

CREATE POLICY job_open_of_all ON public.job_open FOR SELECT TO signalbox_sequencer, signalbox_job_runner, signalbox_exporter USING (true);

CREATE POLICY job_open_of_tenant ON public.job_open FOR SELECT TO signalbox_api USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

ALTER TABLE public.job_pauses ENABLE ROW LEVEL SECURITY;

CREATE POLICY job_pauses_of_all ON public.job_pauses FOR SELECT TO signalbox_job_runner USING (true);

CREATE POLICY job_pauses_of_tenant ON public.job_pauses TO signalbox_api USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

ALTER TABLE public.job_pruned ENABLE ROW LEVEL SECURITY;

CREATE POLICY job_pruned_of_all ON public.job_pruned FOR SELECT TO signalbox_sequencer, signalbox_job_runner, signalbox_exporter USING (true);

CREATE POLICY job_pruned_of_tenant ON public.job_pruned FOR SELECT TO signalbox_api USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

ALTER TABLE public.job_queues ENABLE ROW LEVEL SECURITY;

CREATE POLICY job_queues_of_all ON public.job_queues FOR SELECT TO signalbox_job_runner USING (true);

CREATE POLICY job_queues_of_tenant ON public.job_queues TO signalbox_api USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

ALTER TABLE public.job_records ENABLE ROW LEVEL SECURITY;

CREATE POLICY job_records_of_all ON public.job_records FOR SELECT TO signalbox_sequencer, signalbox_job_runner, signalbox_exporter USING (true);

CREATE POLICY job_records_of_tenant ON public.job_records FOR SELECT TO signalbox_api USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

ALTER TABLE public.job_schedules ENABLE ROW LEVEL SECURITY;

CREATE POLICY job_schedules_of_all ON public.job_schedules FOR SELECT TO signalbox_job_runner USING (true);

CREATE POLICY job_schedules_of_tenant ON public.job_schedules TO signalbox_api USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant))) WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY keys_ended ON public.api_keys FOR UPDATE TO signalbox_api USING (((revoked_at IS NULL) AND ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) OR ( SELECT public.is_operator() AS is_operator)))) WITH CHECK (((revoked_at IS NOT NULL) AND ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) OR ( SELECT public.is_operator() AS is_operator))));

CREATE POLICY keys_new ON public.api_keys FOR INSERT TO signalbox_api WITH CHECK (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) OR ( SELECT public.is_operator() AS is_operator)));

CREATE POLICY keys_of_streamer ON public.api_keys FOR SELECT TO signalbox_streamer USING ((tenant_id = ANY (( SELECT public.current_tenants() AS current_tenants)::uuid[])));

CREATE POLICY keys_of_tenant ON public.api_keys FOR SELECT TO signalbox_api USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) OR ( SELECT public.is_operator() AS is_operator)));

ALTER TABLE public.log_pruned ENABLE ROW LEVEL SECURITY;

CREATE POLICY log_pruned_of_all ON public.log_pruned FOR SELECT TO signalbox_sequencer, signalbox_job_runner USING (true);

CREATE POLICY log_pruned_of_tenant ON public.log_pruned FOR SELECT TO signalbox_api USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) OR ( SELECT public.is_operator() AS is_operator)));

CREATE POLICY producers_of_all ON public.run_producers FOR SELECT TO signalbox_sequencer USING (true);

CREATE POLICY producers_of_reconcile ON public.run_producers FOR SELECT TO signalbox_job_runner USING (true);

CREATE POLICY questions_of_all ON public.run_questions FOR SELECT TO signalbox_sequencer, signalbox_job_runner, signalbox_exporter USING (true);

CREATE POLICY questions_of_tenant ON public.run_questions FOR SELECT TO signalbox_api, signalbox_streamer USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY quotas_of_all ON public.tenant_quotas FOR SELECT TO signalbox_sequencer USING (true);

CREATE POLICY quotas_of_tenant ON public.tenant_quotas FOR SELECT TO signalbox_api USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) OR ( SELECT public.is_operator() AS is_operator)));

ALTER TABLE public.run_events ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.run_heads ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.run_producers ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.run_questions ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.runs ENABLE ROW LEVEL SECURITY;

CREATE POLICY runs_of_all ON public.runs FOR SELECT TO signalbox_sequencer, signalbox_job_runner, signalbox_exporter USING (true);

CREATE POLICY runs_of_tenant ON public.runs FOR SELECT TO signalbox_api, signalbox_streamer USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

ALTER TABLE public.sessions ENABLE ROW LEVEL SECURITY;

CREATE POLICY sessions_ended ON public.sessions FOR UPDATE TO signalbox_api USING (((ended_at IS NULL) AND (tenant_id = ( SELECT public.current_tenant() AS current_tenant)))) WITH CHECK (((ended_at IS NOT NULL) AND (tenant_id = ( SELECT public.current_tenant() AS current_tenant))));

CREATE POLICY sessions_gone ON public.sessions FOR DELETE TO signalbox_api USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) AND (expires_at < now())));

CREATE POLICY sessions_new ON public.sessions FOR INSERT TO signalbox_api WITH CHECK ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY sessions_of_streamer ON public.sessions FOR SELECT TO signalbox_streamer USING ((tenant_id = ANY (( SELECT public.current_tenants() AS current_tenants)::uuid[])));

CREATE POLICY sessions_of_tenant ON public.sessions FOR SELECT TO signalbox_api USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

ALTER TABLE public.tenant_quotas ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.tenant_usage ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.tenants ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenants_of_operator ON public.tenants FOR INSERT TO signalbox_api WITH CHECK (( SELECT public.is_operator() AS is_operator));

CREATE POLICY tenants_of_sequencer ON public.tenants FOR SELECT TO signalbox_sequencer USING (true);

CREATE POLICY tenants_of_streamer ON public.tenants FOR SELECT TO signalbox_streamer USING ((tenant_id = ( SELECT public.current_tenant() AS current_tenant)));

CREATE POLICY tenants_of_tenant ON public.tenants FOR SELECT TO signalbox_api USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) OR ( SELECT public.is_operator() AS is_operator)));

CREATE POLICY usage_of_all ON public.tenant_usage FOR SELECT TO signalbox_sequencer USING (true);

CREATE POLICY usage_of_reconcile ON public.tenant_usage FOR SELECT TO signalbox_job_runner USING (true);

CREATE POLICY usage_of_tenant ON public.tenant_usage FOR SELECT TO signalbox_api USING (((tenant_id = ( SELECT public.current_tenant() AS current_tenant)) OR ( SELECT public.is_operator() AS is_operator)));

GRANT ALL ON SCHEMA public TO signalbox_owner;

REVOKE ALL ON FUNCTION public.acquire_epoch(p_shard integer, p_owner text, p_host text, p_lease_ms integer, p_previous bigint) FROM PUBLIC;

GRANT ALL ON FUNCTION public.acquire_epoch(p_shard integer, p_owner text, p_host text, p_lease_ms integer, p_previous bigint) TO signalbox_sequencer;

REVOKE ALL ON FUNCTION public.advance_outbox(p_shard integer, p_epoch bigint, p_sink text, p_position bigint) FROM PUBLIC;

GRANT ALL ON FUNCTION public.advance_outbox(p_shard integer, p_epoch bigint, p_sink text, p_position bigint) TO signalbox_sequencer;

REVOKE ALL ON FUNCTION public.append_batch(p_shard integer, p_epoch bigint, p_position bigint, p_cancel_ms bigint, c_run uuid[], c_tenant uuid[], c_thread uuid[], c_parent uuid[], c_metadata jsonb[], c_by text[], c_ts timestamp with time zone[], c_key text[], c_hash bytea[], c_deliverable text[], c_start timestamp with time zone[], c_strategy integer[], c_group text[], c_limit integer[], c_liveness bigint[], c_started json[], c_origin bigint[], c_no bigint[], h_run uuid[], h_tenant uuid[], h_old bigint[], h_new bigint[], h_closed boolean[], e_head integer[], e_seq bigint[], e_type integer[], e_payload json[], e_ts timestamp with time zone[], e_actor text[], e_key text[], e_hash bytea[], e_events integer[], e_origin bigint[], e_no bigint[], o_origin bigint[], o_no bigint[], e_trace uuid[], e_dedup text[]) FROM PUBLIC;

GRANT ALL ON FUNCTION public.append_batch(p_shard integer, p_epoch bigint, p_position bigint, p_cancel_ms bigint, c_run uuid[], c_tenant uuid[], c_thread uuid[], c_parent uuid[], c_metadata jsonb[], c_by text[], c_ts timestamp with time zone[], c_key text[], c_hash bytea[], c_deliverable text[], c_start timestamp with time zone[], c_strategy integer[], c_group text[], c_limit integer[], c_liveness bigint[], c_started json[], c_origin bigint[], c_no bigint[], h_run uuid[], h_tenant uuid[], h_old bigint[], h_new bigint[], h_closed boolean[], e_head integer[], e_seq bigint[], e_type integer[], e_payload json[], e_ts timestamp with time zone[], e_actor text[], e_key text[], e_hash bytea[], e_events integer[], e_origin bigint[], e_no bigint[], o_origin bigint[], o_no bigint[], e_trace uuid[], e_dedup text[]) TO signalbox_sequencer;

GRANT SELECT ON TABLE public.job_deps TO signalbox_api;

GRANT SELECT ON TABLE public.job_deps TO signalbox_sequencer;

GRANT SELECT ON TABLE public.job_deps TO signalbox_job_runner;

GRANT SELECT ON TABLE public.job_deps TO signalbox_exporter;

GRANT SELECT ON TABLE public.job_open TO signalbox_api;

GRANT SELECT ON TABLE public.job_open TO signalbox_sequencer;

GRANT SELECT ON TABLE public.job_open TO signalbox_job_runner;

GRANT SELECT ON TABLE public.job_open TO signalbox_exporter;

GRANT SELECT ON TABLE public.job_records TO signalbox_api;

GRANT SELECT ON TABLE public.job_records TO signalbox_sequencer;

GRANT SELECT ON TABLE public.job_records TO signalbox_job_runner;

GRANT SELECT ON TABLE public.job_records TO signalbox_exporter;

GRANT SELECT ON TABLE public.job_memory TO signalbox_sequencer;

REVOKE ALL ON FUNCTION public.append_jobs(p_shard integer, p_epoch bigint, p_position bigint, p_after timestamp with time zone, p_ts timestamp with time zone, n_row integer[], n_job uuid[], n_tenant uuid[], n_run uuid[], n_key text[], n_type text[], n_artifact text[], n_queue text[], n_priority integer[], n_max integer[], n_payload json[], n_dep_fail integer[], n_group text[], n_detached boolean[], n_by text[], n_seq bigint[], n_run_at timestamp with time zone[], n_deps_left integer[], n_dep_failed boolean[], f_id bigint[], f_ok boolean[], d_id bigint[], d_claim integer[], d_token uuid[], r_id bigint[], r_run uuid[], r_status integer[], r_attempts integer[], r_claim integer[], r_payload json[], r_result json[], r_error jsonb[], r_class text[], r_partial boolean[], r_worker text[], r_token uuid[], r_queued bigint[], r_finished bigint[], r_detached boolean[], u_id bigint[], u_made boolean[], u_old_claim integer[], u_old_token uuid[], u_run_at timestamp with time zone[], u_attempts integer[], u_claim integer[], u_token uuid[], u_worker text[], u_lease_ms bigint[], u_cancel boolean[], u_last_token uuid[], u_error text[], p_parent bigint[], p_child bigint[], p_done boolean[]) FROM PUBLIC;

GRANT ALL ON FUNCTION public.append_jobs(p_shard integer, p_epoch bigint, p_position bigint, p_after timestamp with time zone, p_ts timestamp with time zone, n_row integer[], n_job uuid[], n_tenant uuid[], n_run uuid[], n_key text[], n_type text[], n_artifact text[], n_queue text[], n_priority integer[], n_max integer[], n_payload json[], n_dep_fail integer[], n_group text[], n_detached boolean[], n_by text[], n_seq bigint[], n_run_at timestamp with time zone[], n_deps_left integer[], n_dep_failed boolean[], f_id bigint[], f_ok boolean[], d_id bigint[], d_claim integer[], d_token uuid[], r_id bigint[], r_run uuid[], r_status integer[], r_attempts integer[], r_claim integer[], r_payload json[], r_result json[], r_error jsonb[], r_class text[], r_partial boolean[], r_worker text[], r_token uuid[], r_queued bigint[], r_finished bigint[], r_detached boolean[], u_id bigint[], u_made boolean[], u_old_claim integer[], u_old_token uuid[], u_run_at timestamp with time zone[], u_attempts integer[], u_claim integer[], u_token uuid[], u_worker text[], u_lease_ms bigint[], u_cancel boolean[], u_last_token uuid[], u_error text[], p_parent bigint[], p_child bigint[], p_done boolean[]) TO signalbox_sequencer;

REVOKE ALL ON FUNCTION public.apply_lifecycle(p_cancel_ms bigint, h_run uuid[], e_head integer[], e_seq bigint[], e_type integer[], e_payload json[], e_ts timestamp with time zone[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.installation_is_single() FROM PUBLIC;

GRANT ALL ON FUNCTION public.installation_is_single() TO signalbox_api;

GRANT INSERT ON TABLE public.api_keys TO signalbox_api;

GRANT SELECT(key_id) ON TABLE public.api_keys TO signalbox_api;

GRANT SELECT(key_id) ON TABLE public.api_keys TO signalbox_streamer;

GRANT SELECT(tenant_id) ON TABLE public.api_keys TO signalbox_api;

GRANT SELECT(tenant_id) ON TABLE public.api_keys TO signalbox_streamer;

GRANT SELECT(public_id) ON TABLE public.api_keys TO signalbox_api;

GRANT SELECT(name) ON TABLE public.api_keys TO signalbox_api;

GRANT SELECT(scopes) ON TABLE public.api_keys TO signalbox_api;

GRANT SELECT(created_at) ON TABLE public.api_keys TO signalbox_api;

GRANT SELECT(expires_at) ON TABLE public.api_keys TO signalbox_api;

GRANT SELECT(expires_at) ON TABLE public.api_keys TO signalbox_streamer;

GRANT SELECT(revoked_at),UPDATE(revoked_at) ON TABLE public.api_keys TO signalbox_api;

GRANT SELECT(revoked_at) ON TABLE public.api_keys TO signalbox_streamer;

GRANT SELECT(user_name) ON TABLE public.api_keys TO signalbox_api;

GRANT SELECT(created_by) ON TABLE public.api_keys TO signalbox_api;

REVOKE ALL ON FUNCTION public.find_api_key(p_public_id text) FROM PUBLIC;

GRANT ALL ON FUNCTION public.find_api_key(p_public_id text) TO signalbox_api;

GRANT INSERT,DELETE ON TABLE public.sessions TO signalbox_api;

GRANT SELECT(session_id) ON TABLE public.sessions TO signalbox_api;

GRANT SELECT(session_id) ON TABLE public.sessions TO signalbox_streamer;

GRANT SELECT(tenant_id) ON TABLE public.sessions TO signalbox_api;

GRANT SELECT(tenant_id) ON TABLE public.sessions TO signalbox_streamer;

GRANT SELECT(key_id) ON TABLE public.sessions TO signalbox_api;

GRANT SELECT(key_id) ON TABLE public.sessions TO signalbox_streamer;

GRANT SELECT(public_id) ON TABLE public.sessions TO signalbox_api;

GRANT SELECT(user_name) ON TABLE public.sessions TO signalbox_api;

GRANT SELECT(scopes) ON TABLE public.sessions TO signalbox_api;

GRANT SELECT(created_at) ON TABLE public.sessions TO signalbox_api;

GRANT SELECT(expires_at) ON TABLE public.sessions TO signalbox_api;

GRANT SELECT(expires_at) ON TABLE public.sessions TO signalbox_streamer;

GRANT SELECT(ended_at),UPDATE(ended_at) ON TABLE public.sessions TO signalbox_api;

GRANT SELECT(ended_at) ON TABLE public.sessions TO signalbox_streamer;

REVOKE ALL ON FUNCTION public.find_session(p_public_id text) FROM PUBLIC;

GRANT ALL ON FUNCTION public.find_session(p_public_id text) TO signalbox_api;

REVOKE ALL ON FUNCTION public.forget_jobs(p_ids bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.fork_run(p_shard integer, p_epoch bigint, p_position bigint, p_ts timestamp with time zone, p_cancel_ms bigint, p_tenant uuid, p_run uuid, p_source uuid, p_seq bigint, p_by text, p_key text, p_hash bytea, p_origin bigint, p_no bigint, p_admitted boolean, p_active bigint, p_events bigint, p_bytes bigint) FROM PUBLIC;

GRANT ALL ON FUNCTION public.fork_run(p_shard integer, p_epoch bigint, p_position bigint, p_ts timestamp with time zone, p_cancel_ms bigint, p_tenant uuid, p_run uuid, p_source uuid, p_seq bigint, p_by text, p_key text, p_hash bytea, p_origin bigint, p_no bigint, p_admitted boolean, p_active bigint, p_events bigint, p_bytes bigint) TO signalbox_sequencer;

REVOKE ALL ON FUNCTION public.hold_job_shards(p_name text, p_origin bigint, p_lease_ms integer) FROM PUBLIC;

GRANT ALL ON FUNCTION public.hold_job_shards(p_name text, p_origin bigint, p_lease_ms integer) TO signalbox_job_runner;

REVOKE ALL ON FUNCTION public.leave_job_shards(p_name text, p_origin bigint) FROM PUBLIC;

GRANT ALL ON FUNCTION public.leave_job_shards(p_name text, p_origin bigint) TO signalbox_job_runner;

REVOKE ALL ON FUNCTION public.move_job_schedule(p_tenant uuid, p_name text, p_due timestamp with time zone, p_next timestamp with time zone, p_last timestamp with time zone, p_error text) FROM PUBLIC;

GRANT ALL ON FUNCTION public.move_job_schedule(p_tenant uuid, p_name text, p_due timestamp with time zone, p_next timestamp with time zone, p_last timestamp with time zone, p_error text) TO signalbox_job_runner;

REVOKE ALL ON FUNCTION public.prune_jobs(p_shard integer, p_epoch bigint, p_tenant uuid, p_after bigint, p_success timestamp with time zone, p_error timestamp with time zone, p_max integer, p_dry boolean, p_actor text, p_object text) FROM PUBLIC;

GRANT ALL ON FUNCTION public.prune_jobs(p_shard integer, p_epoch bigint, p_tenant uuid, p_after bigint, p_success timestamp with time zone, p_error timestamp with time zone, p_max integer, p_dry boolean, p_actor text, p_object text) TO signalbox_sequencer;

REVOKE ALL ON FUNCTION public.prune_runs(p_shard integer, p_epoch bigint, p_tenant uuid, p_after_at timestamp with time zone, p_after uuid, p_before timestamp with time zone, p_max integer, p_events bigint, p_dry boolean, p_actor text, p_object text) FROM PUBLIC;

GRANT ALL ON FUNCTION public.prune_runs(p_shard integer, p_epoch bigint, p_tenant uuid, p_after_at timestamp with time zone, p_after uuid, p_before timestamp with time zone, p_max integer, p_events bigint, p_dry boolean, p_actor text, p_object text) TO signalbox_sequencer;

REVOKE ALL ON FUNCTION public.record_producers(p_shard integer, p_epoch bigint, p_run uuid[], p_tenant uuid[], p_id text[], p_old_epoch bigint[], p_old_seq bigint[], p_new_epoch bigint[], p_new_seq bigint[]) FROM PUBLIC;

GRANT ALL ON FUNCTION public.record_producers(p_shard integer, p_epoch bigint, p_run uuid[], p_tenant uuid[], p_id text[], p_old_epoch bigint[], p_old_seq bigint[], p_new_epoch bigint[], p_new_seq bigint[]) TO signalbox_sequencer;

REVOKE ALL ON FUNCTION public.record_usage(p_shard integer, p_epoch bigint, p_day date, u_tenant uuid[], u_runs bigint[], u_events bigint[], u_bytes bigint[], u_active bigint[]) FROM PUBLIC;

GRANT ALL ON FUNCTION public.record_usage(p_shard integer, p_epoch bigint, p_day date, u_tenant uuid[], u_runs bigint[], u_events bigint[], u_bytes bigint[], u_active bigint[]) TO signalbox_sequencer;

REVOKE ALL ON FUNCTION public.renew_job_leases(p_id bigint[], p_token uuid[], p_lease_ms integer[], p_progress json[]) FROM PUBLIC;

GRANT ALL ON FUNCTION public.renew_job_leases(p_id bigint[], p_token uuid[], p_lease_ms integer[], p_progress json[]) TO signalbox_job_runner;

REVOKE ALL ON FUNCTION public.renew_lease(p_shard integer, p_epoch bigint, p_lease_ms integer) FROM PUBLIC;

GRANT ALL ON FUNCTION public.renew_lease(p_shard integer, p_epoch bigint, p_lease_ms integer) TO signalbox_sequencer;

REVOKE ALL ON FUNCTION public.reschedule_runs(p_shard integer, p_epoch bigint, p_run uuid[], p_old timestamp with time zone[], p_new timestamp with time zone[]) FROM PUBLIC;

GRANT ALL ON FUNCTION public.reschedule_runs(p_shard integer, p_epoch bigint, p_run uuid[], p_old timestamp with time zone[], p_new timestamp with time zone[]) TO signalbox_sequencer;

REVOKE ALL ON FUNCTION public.seq_at_position(p_run uuid, p_last bigint, p_position bigint) FROM PUBLIC;

GRANT ALL ON FUNCTION public.seq_at_position(p_run uuid, p_last bigint, p_position bigint) TO signalbox_streamer;

REVOKE ALL ON FUNCTION public.set_tenant_quota(p_tenant uuid, p_runs bigint, p_events bigint, p_bytes bigint, p_concurrent bigint) FROM PUBLIC;

GRANT ALL ON FUNCTION public.set_tenant_quota(p_tenant uuid, p_runs bigint, p_events bigint, p_bytes bigint, p_concurrent bigint) TO signalbox_api;

GRANT SELECT,INSERT ON TABLE public.audit_log TO signalbox_api;

GRANT SELECT,INSERT ON TABLE public.client_runs TO signalbox_api;

GRANT SELECT ON TABLE public.job_dead TO signalbox_api;

GRANT SELECT ON TABLE public.job_dead TO signalbox_sequencer;

GRANT SELECT ON TABLE public.job_dead TO signalbox_job_runner;

GRANT SELECT ON TABLE public.job_dead TO signalbox_exporter;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.job_pauses TO signalbox_api;

GRANT SELECT ON TABLE public.job_pauses TO signalbox_job_runner;

GRANT SELECT ON TABLE public.job_pruned TO signalbox_api;

GRANT SELECT ON TABLE public.job_pruned TO signalbox_sequencer;

GRANT SELECT ON TABLE public.job_pruned TO signalbox_job_runner;

GRANT SELECT ON TABLE public.job_pruned TO signalbox_exporter;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.job_queues TO signalbox_api;

GRANT SELECT ON TABLE public.job_queues TO signalbox_job_runner;

GRANT SELECT ON TABLE public.job_runners TO signalbox_api;

GRANT SELECT ON TABLE public.job_runners TO signalbox_job_runner;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.job_schedules TO signalbox_api;

GRANT SELECT ON TABLE public.job_schedules TO signalbox_job_runner;

GRANT SELECT ON TABLE public.job_shards TO signalbox_api;

GRANT SELECT ON TABLE public.job_shards TO signalbox_job_runner;

GRANT SELECT ON TABLE public.jobs TO signalbox_api;

GRANT SELECT ON TABLE public.jobs TO signalbox_sequencer;

GRANT SELECT ON TABLE public.jobs TO signalbox_job_runner;

GRANT SELECT ON TABLE public.jobs TO signalbox_exporter;

GRANT SELECT ON TABLE public.jwks_documents TO signalbox_api;

GRANT SELECT,INSERT,UPDATE ON TABLE public.jwks_documents TO signalbox_job_runner;

GRANT SELECT ON TABLE public.log_pruned TO signalbox_sequencer;

GRANT SELECT ON TABLE public.log_pruned TO signalbox_job_runner;

GRANT SELECT ON TABLE public.log_pruned TO signalbox_api;

GRANT SELECT ON TABLE public.origins TO signalbox_sequencer;

GRANT SELECT ON TABLE public.origins TO signalbox_api;

GRANT SELECT ON TABLE public.origins TO signalbox_streamer;

GRANT SELECT ON TABLE public.origins TO signalbox_job_runner;

GRANT SELECT ON TABLE public.outbox_cursors TO signalbox_sequencer;

GRANT SELECT ON TABLE public.outbox_cursors TO signalbox_api;

GRANT SELECT ON TABLE public.outbox_cursors TO signalbox_streamer;

GRANT SELECT ON TABLE public.outbox_cursors TO signalbox_job_runner;

GRANT SELECT ON TABLE public.run_events TO signalbox_api;

GRANT SELECT ON TABLE public.run_events TO signalbox_sequencer;

GRANT SELECT ON TABLE public.run_events TO signalbox_streamer;

GRANT SELECT ON TABLE public.run_events TO signalbox_job_runner;

GRANT SELECT ON TABLE public.run_events TO signalbox_exporter;

GRANT SELECT ON TABLE public.run_events_jsonb TO signalbox_api;

GRANT SELECT ON TABLE public.run_events_jsonb TO signalbox_sequencer;

GRANT SELECT ON TABLE public.run_events_jsonb TO signalbox_streamer;

GRANT SELECT ON TABLE public.run_events_jsonb TO signalbox_job_runner;

GRANT SELECT ON TABLE public.run_events_jsonb TO signalbox_exporter;

GRANT SELECT ON TABLE public.run_heads TO signalbox_api;

GRANT SELECT ON TABLE public.run_heads TO signalbox_sequencer;

GRANT SELECT ON TABLE public.run_heads TO signalbox_streamer;

GRANT SELECT ON TABLE public.run_heads TO signalbox_job_runner;

GRANT SELECT ON TABLE public.run_heads TO signalbox_exporter;

GRANT SELECT ON TABLE public.run_producers TO signalbox_sequencer;

GRANT SELECT ON TABLE public.run_producers TO signalbox_job_runner;

GRANT SELECT ON TABLE public.run_questions TO signalbox_api;

GRANT SELECT ON TABLE public.run_questions TO signalbox_sequencer;

GRANT SELECT ON TABLE public.run_questions TO signalbox_streamer;

GRANT SELECT ON TABLE public.run_questions TO signalbox_job_runner;

GRANT SELECT ON TABLE public.run_questions TO signalbox_exporter;

GRANT SELECT ON TABLE public.runs TO signalbox_api;

GRANT SELECT ON TABLE public.runs TO signalbox_sequencer;

GRANT SELECT ON TABLE public.runs TO signalbox_streamer;

GRANT SELECT ON TABLE public.runs TO signalbox_job_runner;

GRANT SELECT ON TABLE public.runs TO signalbox_exporter;

GRANT SELECT ON TABLE public.shard_positions TO signalbox_sequencer;

GRANT SELECT ON TABLE public.shard_positions TO signalbox_api;

GRANT SELECT ON TABLE public.shard_positions TO signalbox_streamer;

GRANT SELECT ON TABLE public.shard_positions TO signalbox_job_runner;

GRANT SELECT ON TABLE public.shards TO signalbox_sequencer;

GRANT SELECT ON TABLE public.shards TO signalbox_api;

GRANT SELECT ON TABLE public.shards TO signalbox_streamer;

GRANT SELECT ON TABLE public.tenant_quotas TO signalbox_sequencer;

GRANT SELECT ON TABLE public.tenant_quotas TO signalbox_api;

GRANT SELECT ON TABLE public.tenant_runs TO signalbox_api;

GRANT SELECT ON TABLE public.tenant_usage TO signalbox_sequencer;

GRANT SELECT ON TABLE public.tenant_usage TO signalbox_api;

GRANT SELECT ON TABLE public.tenant_usage TO signalbox_job_runner;

GRANT SELECT,INSERT ON TABLE public.tenants TO signalbox_api;

GRANT SELECT ON TABLE public.tenants TO signalbox_sequencer;

GRANT SELECT(tenant_id) ON TABLE public.tenants TO signalbox_streamer;

GRANT SELECT(name) ON TABLE public.tenants TO signalbox_streamer;

GRANT SELECT(created_at) ON TABLE public.tenants TO signalbox_streamer;
