drop function fork_run;
drop function set_tenant_quota;
drop function record_usage;
drop function record_producers;
drop function producer_key;
alter table runs drop column fork_seq;
drop table tenant_usage;
drop table tenant_quotas;
drop table run_producers;
