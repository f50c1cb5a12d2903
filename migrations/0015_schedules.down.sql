drop function move_job_schedule;
drop table job_schedules;
