/*
 * See store_invariants.h. The statements need no write and keep nothing but counters: big sorts and
 * groups are the server's, which spills them to disk within its own work_mem.
 */
#include "runtime/store_invariants.h"

#define ENDS "('RUN_FINISHED', 'RUN_FAILED', 'RUN_CANCELLED')"

#define MISPLACED \
    "((seq = 1) <> (event_type = 'RUN_STARTED') and (seq > 1 or event_type <> 'RUN_CANCELLED'))"

const char *const invariants_count_sql =
    "select (select count(*) from runs where run_id between $1::uuid and $2::uuid),"
    "       (select count(*) from run_events where run_id between $1::uuid and $2::uuid)";

const struct invariant invariants[] = {
    {"log", INVARIANT_RUNS,
     "seqs are 1..n, positions grow with them, RUN_STARTED is first, an end is last (a run that "
     "never started has only its RUN_CANCELLED)",
     "select run_id::text, seq::text, concat_ws('; ',"
     "    case when seq <> coalesce(seq_before, 0) + 1"
     "         then 'follows seq ' || coalesce(seq_before, 0) end,"
     "    case when position <= position_before"
     "         then 'position ' || position || ' follows position ' || position_before end,"
     "    case when " MISPLACED " then 'is ' || event_type end,"
     "    case when type_before in " ENDS
     "         then event_type || ' stands after ' || type_before end)"
     "  from (select run_id, seq, position, event_type, lag(seq) over log as seq_before,"
     "               lag(position) over log as position_before,"
     "               lag(event_type) over log as type_before"
     "          from run_events where run_id between $1::uuid and $2::uuid"
     "        window log as (partition by run_id order by seq)) e"
     " where seq <> coalesce(seq_before, 0) + 1 or position <= position_before"
     "    or " MISPLACED " or type_before in " ENDS},

    {"heads", INVARIANT_RUNS,
     "a head equals the last seq of its run, and is closed exactly when the run has ended",
     "select run_id::text, e.last_seq::text,"
     "       case when h.last_seq is null then 'has events and no head'"
     "            else concat_ws('; ',"
     "                 case when h.last_seq <> coalesce(e.last_seq, 0)"
     "                      then 'the head is ' || h.last_seq || ', the last seq is '"
     "                           || coalesce(e.last_seq, 0) end,"
     "                 case when h.closed and not coalesce(e.ended, false)"
     "                      then 'the head is closed, the log has no end'"
     "                      when not h.closed and e.ended"
     "                      then 'the log has an end, the head is open' end) end"
     "  from (select run_id, last_seq, closed from run_heads"
     "         where run_id between $1::uuid and $2::uuid) h"
     "  full join (select run_id, max(seq) as last_seq, bool_or(event_type in " ENDS ") as ended"
     "               from run_events where run_id between $1::uuid and $2::uuid group by run_id) e"
     "       using (run_id)"
     " where h.last_seq is null or h.last_seq <> coalesce(e.last_seq, 0)"
     "    or h.closed <> coalesce(e.ended, false)"},

    {"orphans", INVARIANT_RUNS,
     "every run has a head, every head and every event a run, all of one tenant",
     "select coalesce(r.run_id, h.run_id)::text, null,"
     "       case when r.run_id is null then 'a head without a run'"
     "            when h.run_id is null then 'a run without a head'"
     "            else 'the head is of tenant ' || h.tenant_id || ', the run of ' || r.tenant_id "
     "end"
     "  from (select run_id, tenant_id from runs where run_id between $1::uuid and $2::uuid) r"
     "  full join (select run_id, tenant_id from run_heads"
     "              where run_id between $1::uuid and $2::uuid) h using (run_id)"
     " where r.run_id is null or h.run_id is null or r.tenant_id <> h.tenant_id"
     " union all "
     "select e.run_id::text, e.seq::text,"
     "       case when r.run_id is null then 'an event without a run'"
     "            else 'the event is of tenant ' || e.tenant_id || ', the run of ' || r.tenant_id "
     "end"
     "  from run_events e left join runs r using (run_id)"
     " where e.run_id between $1::uuid and $2::uuid"
     "   and (r.run_id is null or e.tenant_id <> r.tenant_id)"},

    {"status", INVARIANT_RUNS, "status, start and end of a run follow from its lifecycle events",
     "select r.run_id::text, p.wrong_seq::text,"
     "       case when p.wrong_seq is not null"
     "            then 'an event that cannot follow on status ' || p.status"
     "            else 'is ' || r.status || coalesce(' since ' || r.started_at, ', not started')"
     "                 || coalesce(' until ' || r.completed_at, ', not completed')"
     "                 || '; the log says ' || p.status"
     "                 || coalesce(' since ' || p.started_at, ', not started')"
     "                 || coalesce(' until ' || p.completed_at, ', not completed') end"
     "  from runs r cross join lateral project_run(r.run_id) p"
     " where r.run_id between $1::uuid and $2::uuid"
     "   and (p.wrong_seq is not null or r.status <> p.status"
     "        or r.started_at is distinct from p.started_at"
     "        or r.completed_at is distinct from p.completed_at)"},

    {"questions", INVARIANT_RUNS, "the questions of a run and their answers follow from its events",
     "select coalesce(q.run_id, e.run_id)::text, coalesce(q.asked_seq, e.seq)::text,"
     "       case when e.run_id is null then 'a question without its event'"
     "            when q.run_id is null then 'an event without its question'"
     "            else 'asked at ' || q.asked_seq || ', answered at '"
     "                 || coalesce(q.answered_seq::text, 'no seq') || '; the log says '"
     "                 || e.seq || ' and ' || coalesce(e.answered::text, 'no seq') end"
     "  from (select * from run_questions where run_id between $1::uuid and $2::uuid) q"
     "  full join"
     "       (select a.run_id, a.payload->>'clarification_id' as clarification_id, a.seq,"
     "               (select min(seq) from run_events b where b.run_id = a.run_id"
     "                   and b.event_type = 'CLARIFICATION_ANSWERED' and b.seq > a.seq"
     "                   and b.payload->>'clarification_id' = a.payload->>'clarification_id')"
     "               as answered"
     "          from run_events a where a.event_type = 'CLARIFICATION_NEEDED'"
     "           and a.run_id between $1::uuid and $2::uuid) e using (run_id, clarification_id)"
     " where q.run_id is null or e.run_id is null or q.asked_seq <> e.seq"
     "    or q.answered_seq is distinct from e.answered"},

    {"timers", INVARIANT_RUNS,
     "a run that has ended is never looked at again, one that is cancelled always",
     "select run_id::text, null, 'is ' || status || ' and '"
     "       || case when wake_at is null then 'never due' else 'due at ' || wake_at end"
     "  from runs where run_id between $1::uuid and $2::uuid"
     "   and ((completed_at is not null and wake_at is not null)"
     "        or (status = 'cancelling' and wake_at is null))"},

    {"commands", INVARIANT_RUNS, "a command's events stand together and are all there",
     "select run_id::text, seq::text, 'a command of ' || coalesce(command_events::text, '?')"
     "       || ' events has ' || next_seq - seq"
     "  from (select e.run_id, e.seq, e.command_events,"
     "               coalesce(lead(e.seq) over (partition by e.run_id order by e.seq),"
     "                        h.last_seq + 1) as next_seq"
     "          from run_events e join run_heads h using (run_id)"
     "         where e.run_id between $1::uuid and $2::uuid"
     "           and (e.command_no is not null or e.idempotency_key is not null)) c"
     " where command_events is distinct from next_seq - seq"},

    {"origins", INVARIANT_LOG,
     "a command was done once, and lies below the high mark of its origin",
     "select min(run_id::text), min(seq)::text,"
     "       'command ' || command_no || ' of origin ' || origin || ' was done '"
     "       || count(*) || ' times'"
     "  from (select run_id, seq, origin, command_no from run_events"
     "        union all"
     "        select run_id, 0, create_origin, create_no from runs) c"
     /* 0: the server's own */
     " where origin <> 0 group by origin, command_no"
     " having count(*) > 1 and bool_or(run_id between $1::uuid and $2::uuid)"
     " union all "
     "select e.run_id::text, e.seq::text,"
     "       'command ' || e.command_no || ' is above the high mark ' || o.command_no"
     "       || ' of origin ' || e.origin"
     "  from run_events e join origins o using (origin)"
     " where e.run_id between $1::uuid and $2::uuid and e.command_no > o.command_no"},

    {"producers", INVARIANT_RUNS, "a producer stands at the last of its appends",
     "select p.run_id::text, null, 'producer ' || p.producer_id || ' stands at epoch ' || p.epoch"
     "       || ' number ' || p.last_seq || ', '"
     "       || case when last.seq is null then 'which is not in the log'"
     "               else 'the log goes on' end"
     "  from run_producers p"
     "  left join run_events last"
     "    on last.run_id = p.run_id"
     "   and last.idempotency_key = producer_key(p.producer_id, p.epoch, p.last_seq)"
     "  left join run_events next"
     "    on next.run_id = p.run_id"
     "   and next.idempotency_key in (producer_key(p.producer_id, p.epoch, p.last_seq + 1),"
     "                                producer_key(p.producer_id, p.epoch + 1, 0))"
     " where p.run_id between $1::uuid and $2::uuid and (last.seq is null or next.seq is not "
     "null)"},

    {"forks", INVARIANT_RUNS, "a fork begins with the events of its source",
     "select r.run_id::text, e.seq::text, 'is not what run ' || r.parent_run_id || ' has there'"
     "  from runs r join run_events e on e.run_id = r.run_id and e.seq <= r.fork_seq"
     "  join run_events s on s.run_id = r.parent_run_id and s.seq = e.seq"
     " where r.run_id between $1::uuid and $2::uuid"
     "   and (e.event_type, e.payload::text, e.ts) is distinct from"
     "       (s.event_type, s.payload::text, s.ts)"
     " union all "
     "select r.run_id::text, r.fork_seq::text, 'is forked there, but has ' || h.last_seq"
     "       || ' events'"
     "  from runs r join run_heads h using (run_id)"
     " where r.run_id between $1::uuid and $2::uuid and h.last_seq < r.fork_seq"},

    {"usage", INVARIANT_TENANTS, "the usage of tenants is what the log holds, and what was pruned",
     "select null, null, 'usage of tenant ' || tenant_id || ' on ' || day || ': '"
     "       || coalesce(u.runs, 0) || ' runs and ' || coalesce(u.events, 0) || ' events, '"
     "       || coalesce(c.runs, 0) || ' and ' || coalesce(c.events, 0) || ' in the log'"
     "  from tenant_usage u full join"
     "       (select tenant_id, day, sum(runs) as runs, sum(events) as events"
     "          from (select tenant_id, (created_at at time zone 'UTC')::date as day,"
     "                       count(*) as runs, 0 as events from runs group by 1, 2"
     "                union all"
     "                select e.tenant_id, (e.ts at time zone 'UTC')::date, 0, count(*)"
     "                  from run_events e join runs r using (run_id)"
     "                 where e.seq > coalesce(r.fork_seq, 0) group by 1, 2"
     "                union all"
     "                select tenant_id, day, runs, events from log_pruned) l"
     "         group by 1, 2) c using (tenant_id, day)"
     " where $1::uuid < $2::uuid and (coalesce(u.runs, 0), coalesce(u.events, 0))"
     "       is distinct from (coalesce(c.runs, 0), coalesce(c.events, 0))"
     " union all "
     "select null, null, 'usage of tenant ' || u.tenant_id || ': ' || u.active_runs"
     "       || ' runs have not ended, ' || c.runs || ' in the log'"
     "  from (select distinct on (tenant_id) tenant_id, active_runs from tenant_usage"
     "         order by tenant_id, day desc) u"
     "  join lateral (select count(*) as runs from runs r"
     "                 where r.tenant_id = u.tenant_id and r.completed_at is null) c on true"
     " where $1::uuid < $2::uuid and c.runs <> u.active_runs"},

    {"jobs", INVARIANT_RUNS,
     "jobs are what the log says of them: queued, ended once, open until then",
     "with told as"
     " (select run_id, seq, event_type, payload->>'job_id' as job,"
     "         lag(event_type) over log as before, lead(seq) over log as next_seq"
     "    from run_events"
     "   where event_type in ('JOB_QUEUED', 'JOB_COMPLETED', 'JOB_FAILED', 'JOB_CANCELLED')"
     "     and run_id between $1::uuid and $2::uuid"
     "  window log as (partition by run_id, payload->>'job_id' order by seq)),"
     " kept as"
     " (select * from job_records where run_id between $1::uuid and $2::uuid)"
     "select run_id::text, seq::text, 'job ' || job || ' ends again: ' || event_type || ' stands "
     "after '"
     "       || before"
     "  from told where event_type <> 'JOB_QUEUED' and before <> 'JOB_QUEUED'"
     " union all "
     "select r.run_id::text, r.enqueue_seq::text, 'job ' || r.job_id || ' is not queued there'"
     "  from kept r where not exists"
     "       (select from run_events e where e.run_id = r.run_id and e.seq = r.enqueue_seq"
     "           and e.event_type = 'JOB_QUEUED' and e.payload->>'job_id' = r.job_id::text)"
     " union all "
     "select r.run_id::text, r.finish_seq::text, 'job ' || r.job_id || ' is ' || r.status"
     "       || coalesce(' since seq ' || r.finish_seq, '') || ', the log says '"
     "       || coalesce(t.event_type || ' at seq ' || t.seq, 'nothing')"
     "  from kept r left join told t"
     "    on t.run_id = r.run_id and t.job = r.job_id::text and t.next_seq is null"
     " where (r.status, r.finish_seq) is distinct from"
     "       (case t.event_type when 'JOB_QUEUED' then 'pending' when 'JOB_COMPLETED' then "
     "'success'"
     "                          when 'JOB_FAILED' then 'error' when 'JOB_CANCELLED' then "
     "'cancelled'"
     "        end::job_status, case when t.event_type <> 'JOB_QUEUED' then t.seq end)"
     " union all "
     "select p.run_id::text, null, 'job ' || p.job_id"
     "       || case when o.id is null then ' waits, and no row says for what'"
     "               else ' is open in run ' || o.run_id end"
     "  from kept p left join job_open o using (id)"
     " where p.status = 'pending' and (o.id is null or o.run_id <> p.run_id)"
     " union all "
     "select o.run_id::text, null, 'job ' || o.job_id"
     "       || case when r.id is null then ' is open and unknown'"
     "               else ' has ended and is open' end"
     "  from job_open o left join job_records r using (id)"
     " where o.run_id between $1::uuid and $2::uuid and (r.id is null or r.status <> 'pending')"
     " union all "
     "select o.run_id::text, null, 'job ' || o.job_id || ' waits for ' || o.deps_left || ' jobs, '"
     "       || d.waits || ' have not ended'"
     "  from job_open o join lateral"
     "       (select count(*) as waits from job_deps d where d.child = o.id and not d.done) d on "
     "true"
     " where o.run_id between $1::uuid and $2::uuid and o.deps_left <> d.waits"
     " union all "
     "select r.run_id::text, null, 'job ' || r.job_id || ' has ended, job ' || c.job_id"
     "       || ' waits for it'"
     "  from kept r join job_deps d on d.parent = r.id and not d.done"
     "  join job_open c on c.id = d.child where r.status <> 'pending'"
     " union all "
     "select r.run_id::text, null, 'job ' || r.job_id || ' is ' || r.status || ', listed among the "
     "dead: '"
     "       || (d.id is not null)"
     "  from kept r left join job_dead d on d.tenant_id = r.tenant_id and d.id = r.id"
     " where (r.status = 'error') <> (d.id is not null)"
     " union all "
     "select t.run_id::text, t.seq::text, 'is an end of job ' || t.job || ', which there is not'"
     "  from told t join runs u on u.run_id = t.run_id"
     "  left join job_records r"
     "    on r.job_id = case when t.job ~ '^[0-9a-f-]{36}$' then t.job::uuid end"
     " where t.event_type <> 'JOB_QUEUED' and t.seq > coalesce(u.fork_seq, 0) and r.id is null"
     "   and not exists (select from job_pruned p where p.tenant_id = u.tenant_id"
     "                      and p.job_id::text = t.job)"},

    {"positions", INVARIANT_LOG,
     "positions are unique, the last one is the shard's, no outbox is ahead of it",
     "select min(run_id::text), min(seq)::text,"
     "       'position ' || position || ' is used ' || count(*) || ' times'"
     "  from run_events group by position"
     " having count(*) > 1 and bool_or(run_id between $1::uuid and $2::uuid)"
     " union all "
     "select null, null, 'the position of the shards is ' || s.position"
     "       || ', the last event has ' || e.position"
     "  from (select coalesce(max(position), 0) as position from shard_positions) s,"
     "       (select greatest((select max(position) from run_events),"
     "                        (select max(position) from log_pruned), 0) as position) e"
     " where s.position <> e.position"
     " union all "
     "select null, null, 'outbox ' || c.sink || ' is at ' || c.position"
     "       || ', shard ' || c.shard || ' at ' || coalesce(p.position, 0)"
     "  from outbox_cursors c left join shard_positions p using (shard)"
     " where c.position > coalesce(p.position, 0)"},
};

const size_t invariants_count = sizeof invariants / sizeof invariants[0];
