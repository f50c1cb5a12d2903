-- (b) counter upsert, then insert: one transaction an event, four round trips.
\set run random(1, :runs)
begin;
insert into bench.counters values (bench.run_id(:run), 1)
    on conflict (run_id) do update set last_seq = counters.last_seq + 1 returning last_seq \gset
insert into bench.events values (bench.run_id(:run), :last_seq, 'MESSAGE_DELTA', :payload, now());
commit;
