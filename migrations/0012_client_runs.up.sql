-- Names that clients of other protocols have given to a part of a run: in AG-UI an answer begins another run, here the run
-- goes on. What they name the whole run by is derived and needs no row.
create table client_runs (
    tenant_id  uuid not null references tenants on delete cascade,
    protocol   text not null,
    client_id  uuid not null,                -- made from the client's text
    run_id     uuid not null references runs on delete cascade,
    after_seq  bigint not null check (after_seq > 0),  -- the part begins behind this
    created_at timestamptz not null default now(),
    primary key (tenant_id, protocol, client_id)
);
create index client_runs_of_run on client_runs (run_id, after_seq);

alter table client_runs enable row level security;
create policy client_runs_of_tenant on client_runs for select to signalbox_api
    using (tenant_id = (select current_tenant()));
create policy client_runs_new on client_runs for insert to signalbox_api
    with check (tenant_id = (select current_tenant()));
grant select, insert on client_runs to signalbox_api;
