drop function prune_runs, prune_jobs, forget_jobs;
drop policy usage_of_reconcile on tenant_usage;
drop policy producers_of_reconcile on run_producers;
revoke select on origins, run_producers, tenant_usage, shard_positions, outbox_cursors from signalbox_job_runner;
drop table log_pruned;
