-- Back to the state of 0006: what the new scope allowed is taken from every key.
drop view tenant_runs;
create or replace function set_tenant_quota(p_tenant uuid, p_runs bigint, p_events bigint, p_bytes bigint, p_concurrent bigint)
returns void
language sql security definer set search_path = public, pg_temp as $$
    insert into tenant_quotas (tenant_id, runs_per_day, events_per_day, bytes_per_day, concurrent_runs)
    values (p_tenant, p_runs, p_events, p_bytes, p_concurrent)
    on conflict (tenant_id) do update
       set runs_per_day = excluded.runs_per_day, events_per_day = excluded.events_per_day,
           bytes_per_day = excluded.bytes_per_day, concurrent_runs = excluded.concurrent_runs, updated_at = now()
$$;
drop policy tenants_of_tenant on tenants;
drop policy tenants_of_operator on tenants;
drop policy tenants_of_streamer on tenants;
drop policy tenants_of_sequencer on tenants;
drop policy keys_of_tenant on api_keys;
drop policy keys_new on api_keys;
drop policy keys_ended on api_keys;
drop policy keys_of_streamer on api_keys;
drop policy runs_of_tenant on runs;
drop policy runs_of_all on runs;
drop policy heads_of_tenant on run_heads;
drop policy heads_of_streamer on run_heads;
drop policy heads_of_all on run_heads;
drop policy events_of_tenant on run_events;
drop policy events_of_all on run_events;
drop policy questions_of_tenant on run_questions;
drop policy questions_of_all on run_questions;
drop policy producers_of_all on run_producers;
drop policy quotas_of_tenant on tenant_quotas;
drop policy quotas_of_all on tenant_quotas;
drop policy usage_of_tenant on tenant_usage;
drop policy usage_of_all on tenant_usage;
alter table run_producers disable row level security;
alter table tenant_quotas disable row level security;
alter table tenant_usage disable row level security;
alter table tenants disable row level security;
alter table api_keys disable row level security;
alter table runs disable row level security;
alter table run_heads disable row level security;
alter table run_questions disable row level security;
alter table run_events disable row level security;
alter view run_events_jsonb reset (security_invoker);

drop function find_api_key, find_session;
drop table audit_log;
drop table sessions;
drop function current_tenant, current_tenants, is_operator;
alter table api_keys
    drop column user_name, drop column created_by, drop column installation_id, drop column single_user,
    drop constraint api_keys_scopes;
update api_keys set scopes = array_remove(scopes, 'operator');
alter table tenants drop column installation_id, drop column single_user;
drop function installation_is_single;
drop table installation;

revoke select on api_keys from signalbox_api;
revoke select (key_id, tenant_id, public_id, name, scopes, created_at, expires_at, revoked_at) on api_keys from signalbox_api;
revoke select (key_id, tenant_id, expires_at, revoked_at) on api_keys from signalbox_streamer;
revoke select (tenant_id, name, created_at) on tenants from signalbox_streamer;
grant select on api_keys to signalbox_api, signalbox_streamer;
grant select on tenants to signalbox_streamer;
grant update (name, expires_at, scopes) on api_keys to signalbox_api;
