drop function append_batch;
drop function advance_outbox;
drop function renew_lease;
drop function acquire_epoch;
drop table outbox_cursors;
drop table origins;
drop table shard_positions;
drop table shards;
