drop table client_runs;
