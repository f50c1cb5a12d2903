-- Roles of Signalbox, made before the first migration; safe to run again. Needs CREATEROLE (or an administrator).
-- Each actor logs in as its own role, or SET ROLEs to it, and may do only what its grants in the migrations say.
do $$
declare
    wanted text;
begin
    foreach wanted in array array['signalbox_owner', 'signalbox_api', 'signalbox_sequencer', 'signalbox_streamer',
                                  'signalbox_job_runner', 'signalbox_exporter'] loop
        if not exists (select from pg_roles where rolname = wanted) then
            execute format('create role %I login', wanted);
        end if;
    end loop;
end
$$;
