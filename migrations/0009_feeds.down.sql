drop function seq_at_position;
