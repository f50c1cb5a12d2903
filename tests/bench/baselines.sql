-- Tables of the designs we are measured against, in a schema of their own in the same database: the same column types
-- (payload json), one index as such a design has. copy_events is our own table, indexes included.
drop schema if exists bench cascade;
create schema bench;
create table bench.counters (run_id uuid primary key, last_seq bigint not null) with (fillfactor = 50);
create table bench.events (
    run_id uuid not null,
    seq bigint not null,
    event_type text not null,
    payload json not null,
    ts timestamptz not null,
    primary key (run_id, seq)
);
create table bench.locked_events (like bench.events including all);
create table bench.copy_events (like public.run_events including all);
-- Inlined by the planner.
create function bench.run_id(run integer) returns uuid language sql immutable
    return lpad(run::text, 32, '0')::uuid;
