drop function renew_job_leases;
drop function leave_job_shards;
drop function hold_job_shards;
drop table job_pauses, job_queues, job_shards, job_runners;
drop view jobs;
drop table job_pruned, job_dead, job_deps, job_open, job_records;
drop function job_shard;
drop type job_status;
