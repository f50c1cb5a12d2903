drop index runs_metadata;
drop index runs_newest_status;
drop index runs_newest_parent;
drop index runs_newest_thread;
