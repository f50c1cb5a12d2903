-- (b') the same in one statement.
\set run random(1, :runs)
with counter as (
    insert into bench.counters values (bench.run_id(:run), 1)
        on conflict (run_id) do update set last_seq = counters.last_seq + 1 returning last_seq
)
insert into bench.events select bench.run_id(:run), last_seq, 'MESSAGE_DELTA', :payload, now() from counter;
