-- A value of an enum cannot be dropped: the type is made anew without them, and the log is written anew with it. Events of
-- the newer types make this fail, and then nothing has changed.
drop domain entity_type;

drop view run_events_jsonb;
drop function event_types;
alter type run_event_type rename to run_event_type_newer;
create type run_event_type as enum (
    'RUN_STARTED', 'RUN_FINISHED', 'RUN_FAILED', 'RUN_CANCELLED',
    'MESSAGE_STARTED', 'MESSAGE_DELTA', 'MESSAGE_COMPLETED',
    'TOOL_CALL_STARTED', 'TOOL_CALL_COMPLETED',
    'TASK_STARTED', 'TASK_PROGRESS', 'TASK_COMPLETED', 'TASK_FAILED',
    'PLAN_CREATED', 'PLAN_UPDATED',
    'USAGE_RECORDED', 'CUSTOM'
);
alter table run_events alter column event_type type run_event_type using event_type::text::run_event_type;
drop type run_event_type_newer;

create function event_types() returns run_event_type[] language sql immutable parallel safe
    return enum_range(null::run_event_type);
create view run_events_jsonb as
    select tenant_id, run_id, seq, position, event_type, ts, payload::jsonb as payload from run_events;
grant select on run_events_jsonb
    to signalbox_api, signalbox_sequencer, signalbox_streamer, signalbox_job_runner, signalbox_exporter;
