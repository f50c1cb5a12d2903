-- (c) advisory lock, then max(seq) + 1.
\set run random(1, :runs)
begin;
select pg_advisory_xact_lock(:run);
insert into bench.locked_events
    select bench.run_id(:run), coalesce(max(seq), 0) + 1, 'MESSAGE_DELTA', :payload, now()
      from bench.locked_events where run_id = bench.run_id(:run);
commit;
