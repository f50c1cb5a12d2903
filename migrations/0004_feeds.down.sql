drop function seq_at_position;
drop index runs_thread;
