-- Who may do what, and on whose rows. Scopes, revocation, sessions, an audit log; row-level security on every table that
-- belongs to a tenant.
--
-- What a role sees is said by two settings of its session, set for one transaction at a time: signalbox.tenant (one tenant;
-- unset: no row) and, for roles that serve many tenants in one query, signalbox.tenants (an array). signalbox.operator =
-- 'on' opens tenants, keys and audit of all tenants. They guard against a query that forgets its tenant; what a role may do
-- at all is said by its grants. The owner, in whose name the sequencer's functions work, is not held by the policies.

-- The one row every tenant hangs on. single_user: one tenant and one user, by the constraints below; `signalbox prepare`
-- writes it from the setting, and fails when the database holds more.
create table installation (
    installation_id smallint primary key default 1 check (installation_id = 1),
    single_user boolean not null default false,
    unique (installation_id, single_user)
);
insert into installation default values;

create function installation_is_single() returns boolean
language sql stable security definer set search_path = public, pg_temp
    return (select single_user from installation);

alter table tenants
    add column installation_id smallint not null default 1,
    add column single_user boolean not null default installation_is_single(),
    add constraint tenants_installation foreign key (installation_id, single_user)
        references installation (installation_id, single_user) on update cascade;
create unique index tenants_single_user on tenants (single_user) where single_user;

-- user_name: the person a key or a session speaks for.
alter table api_keys
    add column user_name text not null default 'owner' check (length(user_name) between 1 and 255),
    add column created_by text not null default '',
    add column installation_id smallint not null default 1,
    add column single_user boolean not null default installation_is_single(),
    add constraint api_keys_installation foreign key (installation_id, single_user)
        references installation (installation_id, single_user) on update cascade,
    add constraint api_keys_single_user check (not single_user or user_name = 'owner'),
    add constraint api_keys_scopes check (scopes <@ array['read', 'append', 'admin', 'operator']);
update api_keys set scopes = scopes || '{operator}'
 where name = 'first key' and scopes @> '{read,append,admin}' and not scopes @> '{operator}';

-- Browser sessions. Only the hash of the cookie is kept. key_id: the key it was opened with, and ends with; null: a token.
create table sessions (
    session_id uuid primary key,
    tenant_id uuid not null references tenants,
    key_id uuid references api_keys,
    public_id text not null unique check (length(public_id) between 8 and 64),
    hash bytea not null check (octet_length(hash) = 32),
    user_name text not null check (length(user_name) between 1 and 255),
    scopes text[] not null check (scopes <@ array['read', 'append', 'admin', 'operator']),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    ended_at timestamptz,
    installation_id smallint not null default 1,
    single_user boolean not null default installation_is_single(),
    foreign key (installation_id, single_user) references installation (installation_id, single_user) on update cascade,
    check (not single_user or user_name = 'owner')
);
create index sessions_tenant on sessions (tenant_id, expires_at);

-- Who changed what; written in the transaction of the change, never changed. No secrets: not even hashes.
create table audit_log (
    audit_id uuid primary key,
    tenant_id uuid not null references tenants,
    at timestamptz not null default now(),
    actor text not null check (length(actor) between 1 and 300),
    action text not null check (length(action) between 1 and 64),
    object_id text not null default '' check (length(object_id) <= 255),
    before jsonb,
    after jsonb
);
create index audit_log_newest on audit_log (tenant_id, at desc, audit_id desc);

-- A key by its public part, before anybody knows whose it is.
create function find_api_key(p_public_id text)
returns table (key_id uuid, tenant_id uuid, hash bytea, scopes text[], expires_at timestamptz, user_name text)
language sql stable security definer set search_path = public, pg_temp
begin atomic
    select k.key_id, k.tenant_id, k.hash, k.scopes, k.expires_at, k.user_name
      from api_keys k where k.public_id = p_public_id and k.revoked_at is null;
end;

-- A session likewise; it ends with the key it was opened with.
create function find_session(p_public_id text)
returns table (session_id uuid, tenant_id uuid, hash bytea, scopes text[], expires_at timestamptz, user_name text)
language sql stable security definer set search_path = public, pg_temp
begin atomic
    select s.session_id, s.tenant_id, s.hash, s.scopes, least(s.expires_at, k.expires_at), s.user_name
      from sessions s left join api_keys k using (key_id)
     where s.public_id = p_public_id and s.ended_at is null and k.revoked_at is null;
end;

create function current_tenant() returns uuid language sql stable parallel safe
    return nullif(current_setting('signalbox.tenant', true), '')::uuid;
create function current_tenants() returns uuid[] language sql stable parallel safe
    return nullif(current_setting('signalbox.tenants', true), '')::uuid[];
create function is_operator() returns boolean language sql stable parallel safe
    return coalesce(current_setting('signalbox.operator', true), '') = 'on';

-- As in 0006, but for operators only: it works in the name of the owner, whom the policies do not hold.
create or replace function set_tenant_quota(p_tenant uuid, p_runs bigint, p_events bigint, p_bytes bigint, p_concurrent bigint)
returns void
language plpgsql security definer set search_path = public, pg_temp as $$
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

-- The view looks with the eyes of who asks.
alter view run_events_jsonb set (security_invoker = true);

-- The subselects are worked out once a query, not once a row.
alter table tenants enable row level security;
create policy tenants_of_tenant on tenants for select to signalbox_api
    using (tenant_id = (select current_tenant()) or (select is_operator()));
create policy tenants_of_operator on tenants for insert to signalbox_api with check ((select is_operator()));
create policy tenants_of_streamer on tenants for select to signalbox_streamer
    using (tenant_id = (select current_tenant()));
create policy tenants_of_sequencer on tenants for select to signalbox_sequencer using (true);

alter table api_keys enable row level security;
create policy keys_of_tenant on api_keys for select to signalbox_api
    using (tenant_id = (select current_tenant()) or (select is_operator()));
create policy keys_new on api_keys for insert to signalbox_api
    with check (tenant_id = (select current_tenant()) or (select is_operator()));
-- What was revoked stays so: an update sees only keys that are not.
create policy keys_ended on api_keys for update to signalbox_api
    using (revoked_at is null and (tenant_id = (select current_tenant()) or (select is_operator())))
    with check (revoked_at is not null and (tenant_id = (select current_tenant()) or (select is_operator())));
create policy keys_of_streamer on api_keys for select to signalbox_streamer
    using (tenant_id = any ((select current_tenants())::uuid[]));

alter table sessions enable row level security;
create policy sessions_of_tenant on sessions for select to signalbox_api using (tenant_id = (select current_tenant()));
create policy sessions_new on sessions for insert to signalbox_api with check (tenant_id = (select current_tenant()));
create policy sessions_ended on sessions for update to signalbox_api
    using (ended_at is null and tenant_id = (select current_tenant()))
    with check (ended_at is not null and tenant_id = (select current_tenant()));
create policy sessions_gone on sessions for delete to signalbox_api
    using (tenant_id = (select current_tenant()) and expires_at < now());
create policy sessions_of_streamer on sessions for select to signalbox_streamer
    using (tenant_id = any ((select current_tenants())::uuid[]));

alter table audit_log enable row level security;
create policy audit_of_tenant on audit_log for select to signalbox_api
    using (tenant_id = (select current_tenant()) or (select is_operator()));
create policy audit_new on audit_log for insert to signalbox_api
    with check (tenant_id = (select current_tenant()) or (select is_operator()));

alter table runs enable row level security;
create policy runs_of_tenant on runs for select to signalbox_api, signalbox_streamer
    using (tenant_id = (select current_tenant()));
create policy runs_of_all on runs for select to signalbox_sequencer, signalbox_job_runner, signalbox_exporter using (true);

alter table run_heads enable row level security;
create policy heads_of_tenant on run_heads for select to signalbox_api using (tenant_id = (select current_tenant()));
create policy heads_of_streamer on run_heads for select to signalbox_streamer
    using (tenant_id = any ((select current_tenants())::uuid[]));
create policy heads_of_all on run_heads for select to signalbox_sequencer, signalbox_job_runner, signalbox_exporter
    using (true);

alter table run_events enable row level security;
create policy events_of_tenant on run_events for select to signalbox_api, signalbox_streamer
    using (tenant_id = (select current_tenant()));
create policy events_of_all on run_events for select to signalbox_sequencer, signalbox_job_runner, signalbox_exporter
    using (true);

alter table run_questions enable row level security;
create policy questions_of_tenant on run_questions for select to signalbox_api, signalbox_streamer
    using (tenant_id = (select current_tenant()));
create policy questions_of_all on run_questions for select
    to signalbox_sequencer, signalbox_job_runner, signalbox_exporter using (true);

alter table run_producers enable row level security;
create policy producers_of_all on run_producers for select to signalbox_sequencer using (true);

alter table tenant_quotas enable row level security;
create policy quotas_of_tenant on tenant_quotas for select to signalbox_api
    using (tenant_id = (select current_tenant()) or (select is_operator()));
create policy quotas_of_all on tenant_quotas for select to signalbox_sequencer using (true);

alter table tenant_usage enable row level security;
create policy usage_of_tenant on tenant_usage for select to signalbox_api
    using (tenant_id = (select current_tenant()) or (select is_operator()));
create policy usage_of_all on tenant_usage for select to signalbox_sequencer using (true);

-- For searching the runs of the tenant. As restrictive as the policy, but a plain condition: behind a policy only indexes on
-- operators that are marked leakproof are used, which those of enums, jsonb and LIKE are not.
create view tenant_runs as select * from runs where tenant_id = current_tenant();

-- Keys: what the api may see of a row, and the one thing it may change. Hashes leave the database by find_api_key alone.
revoke select, update on api_keys from signalbox_api;
revoke update (name, expires_at, revoked_at, scopes) on api_keys from signalbox_api;
revoke select on api_keys, tenants from signalbox_streamer;
grant select (key_id, tenant_id, public_id, name, scopes, user_name, created_by, created_at, expires_at, revoked_at)
    on api_keys to signalbox_api;
grant update (revoked_at) on api_keys to signalbox_api;
grant select (key_id, tenant_id, expires_at, revoked_at) on api_keys to signalbox_streamer;
grant select (tenant_id, name, created_at) on tenants to signalbox_streamer;

grant select (session_id, tenant_id, key_id, public_id, user_name, scopes, created_at, expires_at, ended_at)
    on sessions to signalbox_api;
grant insert, delete on sessions to signalbox_api;
grant update (ended_at) on sessions to signalbox_api;
grant select (session_id, tenant_id, key_id, expires_at, ended_at) on sessions to signalbox_streamer;
grant select, insert on audit_log to signalbox_api;
grant select on tenant_runs to signalbox_api;

revoke execute on function find_api_key, find_session, installation_is_single from public;
grant execute on function find_api_key, find_session, installation_is_single to signalbox_api;
