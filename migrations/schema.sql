-- The schema after all migrations, for reading. Made by 'make schema'; the migrations are the truth.

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
    'CUSTOM'
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

CREATE FUNCTION public.append_batch(p_shard integer, p_epoch bigint, p_position bigint, c_run uuid[], c_tenant uuid[], c_thread uuid[], c_parent uuid[], c_metadata jsonb[], c_by text[], c_ts timestamp with time zone[], c_key text[], c_hash bytea[], h_run uuid[], h_tenant uuid[], h_old bigint[], h_new bigint[], h_closed boolean[], e_head integer[], e_seq bigint[], e_type integer[], e_payload json[], e_ts timestamp with time zone[], e_actor text[], e_key text[], e_hash bytea[], e_events integer[], e_origin bigint[], e_no bigint[], o_origin bigint[], o_no bigint[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
declare
    touched bigint;
    heads constant integer := coalesce(cardinality(h_run), 0);
    starting integer := 0;
    reached bigint[] := h_old;
begin
    perform 1 from shards where shard = p_shard and epoch = p_epoch for share;
    if not found then
        raise exception 'shard % has a newer epoch than %', p_shard, p_epoch using errcode = 'SB001';
    end if;

    -- Loops over arrays, here and below: in a small batch a query costs more than all of them.
    -- Arrays that are both subscripted and unnested must have one shape, or the two would not agree. Every head moves.
    if (array_ndims(h_run) = 1 and array_lower(h_run, 1) = 1 and array_lower(h_tenant, 1) = 1
        and array_lower(h_old, 1) = 1 and array_lower(h_new, 1) = 1 and array_lower(h_closed, 1) = 1
        and cardinality(h_tenant) = heads and cardinality(h_old) = heads
        and cardinality(h_new) = heads and cardinality(h_closed) = heads
        and array_lower(e_head, 1) = 1 and array_lower(e_seq, 1) = 1) is not true then
        raise exception 'the heads do not fit together' using errcode = 'SB002';
    end if;
    for i in 1 .. heads loop
        if (h_new[i] > h_old[i] and h_closed[i] is not null) is not true then
            raise exception 'the heads do not fit together' using errcode = 'SB002';
        elsif h_old[i] = 0 then
            starting := starting + 1;
        end if;
    end loop;

    if starting <> coalesce(cardinality(c_run), 0) then
        raise exception 'a run is created by its first event' using errcode = 'SB002';
    elsif starting > 0 then
        insert into runs (run_id, tenant_id, thread_id, parent_run_id, status, metadata, created_by, created_at,
                          started_at, create_key, create_hash)
        select c.run, c.tenant, c.thread, c.parent, 'running', c.metadata, c.by, c.ts, c.ts, c.key, c.hash
          from unnest(c_run, c_tenant, c_thread, c_parent, c_metadata, c_by, c_ts, c_key, c_hash)
            as c (run, tenant, thread, parent, metadata, by, ts, key, hash);
        insert into run_heads (run_id, tenant_id, last_seq)
        select c.run, c.tenant, 0 from unnest(c_run, c_tenant) as c (run, tenant);
    end if;

    -- Each event is the next one of its run, and together they reach the new heads.
    for i in 1 .. cardinality(e_seq) loop
        if (e_seq[i] = reached[e_head[i]] + 1) is not true then
            raise exception 'the batch is not dense' using errcode = 'SB002';
        end if;
        reached[e_head[i]] := e_seq[i];
    end loop;
    if reached <> h_new then
        raise exception 'the batch is not dense' using errcode = 'SB002';
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
     where (e.seq = 1) = (e.type = 1) -- RUN_STARTED
       and (h_closed[e.head] and e.seq = h_new[e.head])
           = (e.type between 2 and 4) -- RUN_FINISHED, RUN_FAILED, RUN_CANCELLED
       and num_nulls(e.events, e.origin, e.no) in (0, 3)
       and (e.key is null) = (e.hash is null) and (e.key is null or e.events is not null);
    get diagnostics touched = row_count;
    if touched <> cardinality(e_seq) then
        raise exception 'an event does not fit its place' using errcode = 'SB002';
    end if;

    update run_heads r set last_seq = h.new, closed = h.closed
      from unnest(h_run, h_tenant, h_old, h_new, h_closed) as h (run, tenant, old, new, closed)
     where r.run_id = h.run and r.tenant_id = h.tenant and r.last_seq = h.old and not r.closed;
    get diagnostics touched = row_count;
    if touched <> heads then
        raise exception 'a head is not where the batch starts' using errcode = 'SB002';
    end if;

    if true = any (h_closed) then
        update runs r
           set status = case e.type when 2 then 'finished' when 3 then 'failed' else 'cancelled' end::run_status,
               completed_at = e.ts
          from unnest(e_head, e_type, e_ts) as e (head, type, ts)
         where e.type between 2 and 4 and r.run_id = h_run[e.head];
    end if;

    insert into origins (origin, command_no, updated_at)
    select o.origin, o.no, now() from unnest(o_origin, o_no) as o (origin, no)
    on conflict (origin) do update
       set command_no = greatest(origins.command_no, excluded.command_no), updated_at = excluded.updated_at;

    update shard_positions set position = p_position + cardinality(e_seq)
     where shard = p_shard and position = p_position;
    if not found then
        raise exception 'the position is not where the batch starts' using errcode = 'SB002';
    end if;
end
$$;

ALTER FUNCTION public.append_batch(p_shard integer, p_epoch bigint, p_position bigint, c_run uuid[], c_tenant uuid[], c_thread uuid[], c_parent uuid[], c_metadata jsonb[], c_by text[], c_ts timestamp with time zone[], c_key text[], c_hash bytea[], h_run uuid[], h_tenant uuid[], h_old bigint[], h_new bigint[], h_closed boolean[], e_head integer[], e_seq bigint[], e_type integer[], e_payload json[], e_ts timestamp with time zone[], e_actor text[], e_key text[], e_hash bytea[], e_events integer[], e_origin bigint[], e_no bigint[], o_origin bigint[], o_no bigint[]) OWNER TO signalbox_owner;

CREATE FUNCTION public.event_types() RETURNS public.run_event_type[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN enum_range(NULL::public.run_event_type);

ALTER FUNCTION public.event_types() OWNER TO signalbox_owner;

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
    CONSTRAINT api_keys_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT api_keys_public_id_check CHECK (((length(public_id) >= 8) AND (length(public_id) <= 64)))
);

ALTER TABLE public.api_keys OWNER TO signalbox_owner;

CREATE TABLE public.jwks_documents (
    url text NOT NULL,
    body json NOT NULL,
    fetched_at timestamp with time zone NOT NULL,
    CONSTRAINT jwks_documents_body_check CHECK ((octet_length((body)::text) <= 65536)),
    CONSTRAINT jwks_documents_url_check CHECK (((length(url) >= 1) AND (length(url) <= 2048)))
);

ALTER TABLE public.jwks_documents OWNER TO signalbox_owner;

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
    dedup_key text
);

ALTER TABLE public.run_events OWNER TO signalbox_owner;

CREATE VIEW public.run_events_jsonb AS
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

CREATE TABLE public.tenants (
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT tenants_name_check CHECK (((length(name) >= 1) AND (length(name) <= 255)))
);

ALTER TABLE public.tenants OWNER TO signalbox_owner;

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (key_id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_public_id_key UNIQUE (public_id);

ALTER TABLE ONLY public.jwks_documents
    ADD CONSTRAINT jwks_documents_pkey PRIMARY KEY (url);

ALTER TABLE ONLY public.origins
    ADD CONSTRAINT origins_pkey PRIMARY KEY (origin);

ALTER TABLE ONLY public.outbox_cursors
    ADD CONSTRAINT outbox_cursors_pkey PRIMARY KEY (sink, shard);

ALTER TABLE ONLY public.run_events
    ADD CONSTRAINT run_events_pkey PRIMARY KEY (run_id, seq);

ALTER TABLE ONLY public.run_heads
    ADD CONSTRAINT run_heads_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);

ALTER TABLE ONLY public.shard_positions
    ADD CONSTRAINT shard_positions_pkey PRIMARY KEY (shard);

ALTER TABLE ONLY public.shards
    ADD CONSTRAINT shards_pkey PRIMARY KEY (shard);

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_pkey PRIMARY KEY (tenant_id);

CREATE INDEX api_keys_tenant ON public.api_keys USING btree (tenant_id);

CREATE UNIQUE INDEX run_events_dedup ON public.run_events USING btree (run_id, dedup_key) WHERE (dedup_key IS NOT NULL);

CREATE UNIQUE INDEX run_events_idempotency ON public.run_events USING btree (run_id, idempotency_key) WHERE (idempotency_key IS NOT NULL);

CREATE INDEX run_events_position ON public.run_events USING brin ("position") WITH (autosummarize='on');

CREATE UNIQUE INDEX runs_create_key ON public.runs USING btree (tenant_id, create_key) WHERE (create_key IS NOT NULL);

CREATE INDEX runs_newest ON public.runs USING btree (tenant_id, created_at DESC, run_id DESC);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id);

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(tenant_id);

ALTER TABLE ONLY public.shard_positions
    ADD CONSTRAINT shard_positions_shard_fkey FOREIGN KEY (shard) REFERENCES public.shards(shard);

GRANT ALL ON SCHEMA public TO signalbox_owner;

REVOKE ALL ON FUNCTION public.acquire_epoch(p_shard integer, p_owner text, p_host text, p_lease_ms integer, p_previous bigint) FROM PUBLIC;

GRANT ALL ON FUNCTION public.acquire_epoch(p_shard integer, p_owner text, p_host text, p_lease_ms integer, p_previous bigint) TO signalbox_sequencer;

REVOKE ALL ON FUNCTION public.advance_outbox(p_shard integer, p_epoch bigint, p_sink text, p_position bigint) FROM PUBLIC;

GRANT ALL ON FUNCTION public.advance_outbox(p_shard integer, p_epoch bigint, p_sink text, p_position bigint) TO signalbox_sequencer;

REVOKE ALL ON FUNCTION public.append_batch(p_shard integer, p_epoch bigint, p_position bigint, c_run uuid[], c_tenant uuid[], c_thread uuid[], c_parent uuid[], c_metadata jsonb[], c_by text[], c_ts timestamp with time zone[], c_key text[], c_hash bytea[], h_run uuid[], h_tenant uuid[], h_old bigint[], h_new bigint[], h_closed boolean[], e_head integer[], e_seq bigint[], e_type integer[], e_payload json[], e_ts timestamp with time zone[], e_actor text[], e_key text[], e_hash bytea[], e_events integer[], e_origin bigint[], e_no bigint[], o_origin bigint[], o_no bigint[]) FROM PUBLIC;

GRANT ALL ON FUNCTION public.append_batch(p_shard integer, p_epoch bigint, p_position bigint, c_run uuid[], c_tenant uuid[], c_thread uuid[], c_parent uuid[], c_metadata jsonb[], c_by text[], c_ts timestamp with time zone[], c_key text[], c_hash bytea[], h_run uuid[], h_tenant uuid[], h_old bigint[], h_new bigint[], h_closed boolean[], e_head integer[], e_seq bigint[], e_type integer[], e_payload json[], e_ts timestamp with time zone[], e_actor text[], e_key text[], e_hash bytea[], e_events integer[], e_origin bigint[], e_no bigint[], o_origin bigint[], o_no bigint[]) TO signalbox_sequencer;

REVOKE ALL ON FUNCTION public.renew_lease(p_shard integer, p_epoch bigint, p_lease_ms integer) FROM PUBLIC;

GRANT ALL ON FUNCTION public.renew_lease(p_shard integer, p_epoch bigint, p_lease_ms integer) TO signalbox_sequencer;

GRANT SELECT,INSERT ON TABLE public.api_keys TO signalbox_api;

GRANT SELECT ON TABLE public.api_keys TO signalbox_streamer;

GRANT UPDATE(name) ON TABLE public.api_keys TO signalbox_api;

GRANT UPDATE(scopes) ON TABLE public.api_keys TO signalbox_api;

GRANT UPDATE(expires_at) ON TABLE public.api_keys TO signalbox_api;

GRANT UPDATE(revoked_at) ON TABLE public.api_keys TO signalbox_api;

GRANT SELECT ON TABLE public.jwks_documents TO signalbox_api;

GRANT SELECT,INSERT,UPDATE ON TABLE public.jwks_documents TO signalbox_job_runner;

GRANT SELECT ON TABLE public.origins TO signalbox_sequencer;

GRANT SELECT ON TABLE public.origins TO signalbox_api;

GRANT SELECT ON TABLE public.origins TO signalbox_streamer;

GRANT SELECT ON TABLE public.outbox_cursors TO signalbox_sequencer;

GRANT SELECT ON TABLE public.outbox_cursors TO signalbox_api;

GRANT SELECT ON TABLE public.outbox_cursors TO signalbox_streamer;

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

GRANT SELECT ON TABLE public.runs TO signalbox_api;

GRANT SELECT ON TABLE public.runs TO signalbox_sequencer;

GRANT SELECT ON TABLE public.runs TO signalbox_streamer;

GRANT SELECT ON TABLE public.runs TO signalbox_job_runner;

GRANT SELECT ON TABLE public.runs TO signalbox_exporter;

GRANT SELECT ON TABLE public.shard_positions TO signalbox_sequencer;

GRANT SELECT ON TABLE public.shard_positions TO signalbox_api;

GRANT SELECT ON TABLE public.shard_positions TO signalbox_streamer;

GRANT SELECT ON TABLE public.shards TO signalbox_sequencer;

GRANT SELECT ON TABLE public.shards TO signalbox_api;

GRANT SELECT ON TABLE public.shards TO signalbox_streamer;

GRANT SELECT,INSERT ON TABLE public.tenants TO signalbox_api;

GRANT SELECT ON TABLE public.tenants TO signalbox_streamer;

GRANT SELECT ON TABLE public.tenants TO signalbox_sequencer;
