-- Runs, their heads and the event log. Nobody is granted a write here: all of it happens in append_batch (0003).
create type run_status as enum (
    'pending', 'running', 'interrupted', 'cancelling', 'finished', 'failed', 'cancelled'
);

create type run_event_type as enum (
    'RUN_STARTED', 'RUN_FINISHED', 'RUN_FAILED', 'RUN_CANCELLED',
    'MESSAGE_STARTED', 'MESSAGE_DELTA', 'MESSAGE_COMPLETED',
    'TOOL_CALL_STARTED', 'TOOL_CALL_COMPLETED',
    'TASK_STARTED', 'TASK_PROGRESS', 'TASK_COMPLETED', 'TASK_FAILED',
    'PLAN_CREATED', 'PLAN_UPDATED',
    'USAGE_RECORDED', 'CUSTOM'
);

-- Projection of the events (status, times) and what the creator said.
create table runs (
    run_id uuid primary key,
    tenant_id uuid not null references tenants,
    thread_id uuid,
    parent_run_id uuid,
    status run_status not null,
    metadata jsonb not null default '{}',
    created_by text not null default '',
    created_at timestamptz not null,
    started_at timestamptz,
    completed_at timestamptz,
    create_key text check (length(create_key) between 1 and 255),
    create_hash bytea check (octet_length(create_hash) = 32),
    check ((create_key is null) = (create_hash is null))
);
create unique index runs_create_key on runs (tenant_id, create_key) where create_key is not null;
create index runs_newest on runs (tenant_id, created_at desc, run_id desc);

-- The counter of each run: last_seq moves in the same statement as the events. Narrow, so that updates stay on a page. No
-- CHECK here and in run_events: append_batch starts at 0 and is dense, and a check is parsed anew by every statement (a
-- fifth of a small batch).
create table run_heads (
    run_id uuid primary key,
    tenant_id uuid not null,
    last_seq bigint not null,
    closed boolean not null default false
) with (fillfactor = 50);

-- Append-only. payload is json, not jsonb: the stored text is what the client sent. The command columns (actor,
-- idempotency_key .. command_no) are set on the first event of a command only.
create table run_events (
    tenant_id uuid not null,
    run_id uuid not null,
    seq bigint not null,
    position bigint not null,
    event_type run_event_type not null,
    schema_version smallint not null default 1,
    payload json not null,
    actor text,
    ts timestamptz not null,
    duration_ms integer,
    idempotency_key text,
    command_hash bytea,
    command_events integer,
    origin bigint,
    command_no bigint,
    dedup_key text,
    primary key (run_id, seq)
);
create unique index run_events_idempotency on run_events (run_id, idempotency_key) where idempotency_key is not null;
create unique index run_events_dedup on run_events (run_id, dedup_key) where dedup_key is not null;
create index run_events_position on run_events using brin (position) with (autosummarize = on);

-- For queries that look into payloads.
create view run_events_jsonb as
    select tenant_id, run_id, seq, position, event_type, ts, payload::jsonb as payload from run_events;

grant select on runs, run_heads, run_events, run_events_jsonb
    to signalbox_api, signalbox_sequencer, signalbox_streamer, signalbox_job_runner, signalbox_exporter;
