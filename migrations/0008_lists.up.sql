-- Lists of runs: an index for every way a page may be read, each in the order of the list. What a filter has beyond its
-- index is looked at row by row, a bounded number of them; metadata that is rare is found by its own index.
create index runs_newest_thread on runs (tenant_id, thread_id, created_at desc, run_id desc) where thread_id is not null;
create index runs_newest_parent on runs (tenant_id, parent_run_id, created_at desc, run_id desc)
    where parent_run_id is not null;
create index runs_newest_status on runs (tenant_id, status, created_at desc, run_id desc);
create index runs_metadata on runs using gin (metadata jsonb_path_ops);
