drop view run_events_jsonb;
drop table run_events;
drop table run_heads;
drop table runs;
drop type run_event_type;
drop type run_status;
