/* See store.h. */
#include "sequencer/store.h"

/* SHA-256 hashes of the ids behind each other; null: none. */
#define OPEN_QUESTIONS(run)                                                          \
    " (select string_agg(sha256(convert_to(q.clarification_id, 'UTF8')), ''::bytea)" \
    "   from run_questions q where q.run_id = " run " and q.answered_seq is null)"

/* Its unfinished jobs. */
#define OPEN_JOBS(run) \
    " (select count(*) from job_records j where j.run_id = " run " and j.status = 'pending')"

/* A run to be looked at, from runs r, run_heads h and its expired question q: how it is, and what it
 * would be told. Only the last 10,000 events are searched: a timer must not take for ever. */
#define LISTED(type, id)                                                            \
    " coalesce((select json_agg(i.id) from (select e.payload->>'" id "' as id"      \
    "   from run_events e where e.run_id = r.run_id and e.seq > h.last_seq - 10000" \
    "    and e.event_type = '" type "' order by e.seq limit 1000) i"                \
    "  where i.id is not null), '[]')"
#define DUE_RUN                                                                                    \
    " r.run_id, r.tenant_id, r.status::text, h.last_seq, r.wake_at, r.created_at,"                 \
    " r.liveness_ms, (select e.ts from run_events e"                                               \
    "                  where e.run_id = r.run_id and e.seq = h.last_seq) as sign," OPEN_QUESTIONS( \
        "r.run_id") " as open, sha256(convert_to(q.id, 'UTF8')) as expired,"                       \
                    " case r.status when 'pending' then r.start_payload"                           \
                    "  when 'running' then '{\"reason\":\"liveness_expired\"}'"                    \
                    "  when 'interrupted' then json_build_object('reason', "                       \
                    "'clarification_expired',"                                                     \
                    "                                            'clarification_id', q.id)"        \
                    "  else json_build_object('reason', 'deadline', 'completed_tasks'," LISTED(    \
                        "TASK_COMPLETED",                                                          \
                        "task_id") ", 'partial_artifacts'," LISTED("ARTIFACT_CREATED",             \
                                                                   "artifact_id") ") end::text "   \
                                                                                  "as payload,"    \
                                                                                  " r.thread_id, " \
                                                                                  "r.multitask_"   \
                                                                                  "strategy::"     \
                                                                                  "int4, "         \
                                                                                  "r.concurrency_" \
                                                                                  "key, "          \
                                                                                  "r.concurrency_" \
                                                                                  "limit"          \
                                                                                  "," OPEN_JOBS(   \
                                                                                      "r.run_id")

/* A uuid[] as bytes. */
#define UUIDS(array) "(select string_agg(uuid_send(u), ''::bytea) from unnest(" array ") u)"

const struct db_statement store_statements[STORE_COUNT] = {
    [STORE_ACQUIRE] = {"acquire",
                       "select epoch, position_out, published"
                       "  from acquire_epoch($1::int4, $2::text, $3::text, $4::int4, $5::int8)"},
    [STORE_RENEW] = {"renew", "select renew_lease($1::int4, $2::int8, $3::int4)"},
    [STORE_DURABILITY] = {"durability",
                          "select current_setting('fsync') = 'on',"
                          "       current_setting('full_page_writes') = 'on',"
                          "       current_setting('synchronous_commit') in ('on', 'remote_apply'),"
                          "       s.system_identifier::text, c.timeline_id"
                          "  from pg_control_system() s, pg_control_checkpoint() c"},
    [STORE_ORIGINS] = {"origins", "select origin, command_no from origins"},
    /* One row a tenant: its last day. */
    [STORE_USAGE] = {"usage", "select u.tenant_id, (u.day - date '1970-01-01')::int8, u.runs,"
                              "       u.events, u.bytes, u.active_runs"
                              "  from tenants t"
                              "  join lateral (select * from tenant_usage d"
                              "                 where d.tenant_id = t.tenant_id"
                              "                 order by d.day desc limit 1) u on true"},
    [STORE_QUOTAS] = {"quotas", "select tenant_id, runs_per_day, events_per_day, bytes_per_day,"
                                "       concurrent_runs from tenant_quotas"},
    [STORE_UNPUBLISHED] =
        {"unpublished",
         "select e.run_id, e.tenant_id, e.seq, e.event_type::text, e.ts, e.payload, e.position,"
         "       r.thread_id"
         "  from (select * from run_events where position > $1::int8"
         "         order by position limit $2::int4) e"
         "  join runs r on r.run_id = e.run_id order by e.position"},
    [STORE_RESOLVE_HEADS] =
        {"resolve_heads", "select h.run_id, h.tenant_id, h.last_seq, r.status::text, r.liveness_ms,"
                          " " OPEN_QUESTIONS("h.run_id") ", r.thread_id," OPEN_JOBS(
                              "h.run_id") " from run_heads h join runs r using (run_id)"
                                          " where h.run_id = any($1::uuid[])"},
    /* `limit 1` keeps the planner from turning a lookup per key into a scan of the whole log. */
    [STORE_RESOLVE_KEYS] =
        {"resolve_keys",
         "select k.run, k.key, e.seq, e.command_events, e.command_hash"
         "  from unnest($1::uuid[], $2::text[]) as k (run, key)"
         "  join lateral (select seq, command_events, command_hash from run_events t"
         "                 where t.run_id = k.run and t.idempotency_key = k.key"
         "                 limit 1) e on true"},
    [STORE_RESOLVE_CREATE_KEYS] =
        {"resolve_create_keys",
         "select k.tenant, k.key, r.run_id, r.create_hash, r.status::text,"
         "       case when r.started_at is null then 0 else 1 end::int8"
         "  from unnest($1::uuid[], $2::text[]) as k (tenant, key)"
         "  join lateral (select run_id, create_hash, status, started_at from runs t"
         "                 where t.tenant_id = k.tenant and t.create_key = k.key"
         "                 limit 1) r on true"},
    /* Of runs that were resumed without a question: the hash of the last answer, among the last
     * events only, because everybody waits. One row a run. */
    [STORE_RESOLVE_LAST_ANSWERS] =
        {"resolve_last_answers",
         "select h.run_id, e.command_hash"
         "  from (select distinct unnest($1::uuid[]) as run) k join run_heads h on h.run_id = k.run"
         "  left join lateral (select command_hash from run_events t"
         "                      where t.run_id = h.run_id and t.seq > h.last_seq - 10000"
         "                        and t.event_type = 'RUN_RESUMED' and t.command_hash is not null"
         "                      order by t.seq desc limit 1) e on true"},
    /* One row for each that was asked. */
    [STORE_RESOLVE_PRODUCERS] =
        {"resolve_producers",
         "select k.run, k.id, p.epoch, p.last_seq"
         "  from unnest($1::uuid[], $2::text[]) as k (run, id)"
         "  left join lateral (select epoch, last_seq from run_producers t"
         "                      where t.run_id = k.run and t.producer_id = k.id"
         "                      limit 1) p on true"},
    /* The places of those commands that ask what has been asked in their run before. */
    [STORE_RESOLVE_QUESTIONS] =
        {"resolve_questions",
         "select distinct k.place"
         "  from unnest($1::uuid[], $2::text[], $3::int8[]) as k (run, id, place)"
         "  join lateral (select from run_questions t"
         "                 where t.run_id = k.run and t.clarification_id = k.id"
         "                 limit 1) q on true order by k.place"},
    /* No index on (origin, command_no). What was done shortly before a death is near the end of its
     * run. What is not there was refused, or others have written much since: one pass over each
     * such run looks for all of them. */
    [STORE_RESOLVE_COMMANDS] =
        {"resolve_commands",
         "with near as materialized"
         "  (select h.run_id, e.origin, e.command_no, e.seq, e.command_events from run_heads h"
         "     join lateral (select * from run_events t"
         "                    where t.run_id = h.run_id and t.seq > h.last_seq - 2000"
         "                      and t.origin = any($2::int8[]) and t.command_no = any($3::int8[])"
         "                    limit 2000) e on true"
         "    where h.run_id = any($1::uuid[])),"
         " far as"
         "  (select k.run, k.origin, k.no from unnest($1::uuid[], $2::int8[], $3::int8[])"
         "     as k (run, origin, no) except select run_id, origin, command_no from near)"
         " select run_id, origin, command_no, seq, command_events from near"
         " union all"
         " select e.run_id, e.origin, e.command_no, e.seq, e.command_events from run_events e"
         "  where e.run_id = any(array(select run from far)) and e.origin = any($2::int8[])"
         "    and e.command_no = any($3::int8[])"
         /* Created to start later: no event of it. */
         " union all"
         " select r.run_id, r.create_origin, r.create_no, 0, 0 from runs r"
         "  where r.run_id = any($1::uuid[]) and r.create_origin = any($2::int8[])"
         "    and r.create_no = any($3::int8[])"},
    /* What is known under each key: the job, or what pruning has left of it. Apart from the next one, which
     * costs many times as much even for nothing: most keys are new. */
    [STORE_RESOLVE_JOB_KEYS] =
        {"resolve_job_keys",
         "select k.tenant, k.key, j.job_id, p.job_id, p.status"
         "  from (select unnest($1::uuid[]) as tenant, unnest($2::text[]) as key) k"
         "  left join lateral (select job_id from job_records t"
         "                      where t.tenant_id = k.tenant and t.job_key = k.key limit 1) j"
         "    on true"
         "  left join lateral (select job_id, array_position(array['pending', 'running', 'success',"
         "                            'error', 'cancelled']::job_status[], status) as status"
         "                       from job_pruned t"
         "                      where t.tenant_id = k.tenant and t.job_key = k.key limit 1) p"
         "    on true"
         " where j.job_id is not null or p.job_id is not null"},
    /* Jobs, each with the head of its run. */
    /* Heads once a run: counting for each of its jobs takes longer than a statement may. */
    [STORE_RESOLVE_JOBS] =
        {"resolve_jobs",
         "with found as materialized"
         "   (select m.* from job_records n join job_memory m on m.id = n.id"
         "     where n.job_id = any($1::uuid[])),"
         " heads as materialized"
         "   (select h.run_id, h.last_seq, r.status::text, r.liveness_ms,"
         "           " OPEN_QUESTIONS("r.run_id") " as open, r.thread_id," OPEN_JOBS(
             "r.run_id") " as jobs"
                         "      from (select distinct run_id from found) d"
                         "      join run_heads h on h.run_id = d.run_id"
                         "      join runs r on r.run_id = d.run_id)"
                         " select f.*, h.last_seq, h.status, h.liveness_ms, h.open, h.thread_id,"
                         "        h.jobs"
                         "  from found f join heads h on h.run_id = f.run_id"},
    [STORE_RUN_JOBS] = {"run_jobs", "select m.* from job_records j join job_memory m on m.id = j.id"
                                    "  where j.run_id = any($1::uuid[]) and j.status = 'pending'"},
    [STORE_APPEND] =
        {"append",
         "select append_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,"
         " $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30,"
         " $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $54),"
         "       case when cardinality($41::uuid[]) > 0"
         "            then record_producers($1, $2, $41, $42, $43, $44, $45, $46, $47) end,"
         "       record_usage($1, $2, ($48::timestamptz at time zone 'UTC')::date, $49, $50,"
         "                    $51, $52, $53)"},
    /* The same and what it does to jobs, behind it: only when there is something. */
    [STORE_APPEND_JOBS] =
        {"append_jobs",
         "select a.earliest, j.*"
         "  from (select append_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,"
         " $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30,"
         " $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $54, $55) as earliest,"
         "       case when cardinality($41::uuid[]) > 0"
         "            then record_producers($1, $2, $41, $42, $43, $44, $45, $46, $47) end,"
         "       record_usage($1, $2, ($48::timestamptz at time zone 'UTC')::date, $49, $50,"
         "                    $51, $52, $53) offset 0) a"
         "  left join lateral append_jobs($1, $2, $3, a.earliest,"
         "$56, $57, $58, $59, $60, $61, $62, $63, $64, $65, $66, $67, $68, $69, $70, $71, "
         "$72, $73, $74, $75, $76, $77, $78, $79, $80, $81, $82, $83, $84, $85, $86, $87, "
         "$88, $89, $90, $91, $92, $93, $94, $95, $96, $97, $98, $99, $100, $101, $102, "
         "$103, $104, $105, $106, $107, $108, $109, $110, $111 "
         ") j on true"},
    /* No event. */
    [STORE_CHANGE_JOBS] =
        {"change_jobs",
         "select null::timestamptz, j.*"
         "  from (select) a left join append_jobs($1, $2, $3, null,"
         "$4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, "
         "$21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, "
         "$37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52, "
         "$53, $54, $55, $56, $57, $58, $59 "
         ") j on true"},
    [STORE_FORK] = {"fork",
                    "select outcome, run, last_seq, status, limited, open, wake_at,"
                    "       (select thread_id from runs where run_id = $8::uuid)"
                    "  from fork_run($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,"
                    "                $15, $16, $17, $18)"},
    /* Both: how far, the run there, whether there is more, runs, jobs, events. */
    [STORE_PRUNE_JOBS] =
        {"prune_jobs",
         "select last_out, null::uuid, more_out, null::bytea,"
         "       " UUIDS("jobs_out") ", 0::bigint"
                                     "  from prune_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"},
    [STORE_PRUNE_RUNS] =
        {"prune_runs",
         "select (extract(epoch from last_at_out) * 1000000)::bigint, last_out, more_out,"
         "       " UUIDS("runs_out") ", " UUIDS(
             "jobs_out") ", events_out"
                         "  from prune_runs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"},
    [STORE_ADVANCE] = {"advance", "select advance_outbox($1::int4, $2::int8, 'bus', $3::int8)"},
    [STORE_DUE] =
        {"due", "select n.next, d.*"
                "  from (select min(wake_at) as next from runs where wake_at > $1::timestamptz) n"
                "  left join lateral"
                "       (select" DUE_RUN "  from runs r join run_heads h using (run_id)"
                "          left join lateral (select t.clarification_id as id from run_questions t"
                "                              where t.run_id = r.run_id"
                "                                and t.answered_seq is null"
                "                                and t.expires_at <= $1::timestamptz"
                "                              order by t.expires_at limit 1) q on true"
                "         where r.wake_at <= $1::timestamptz order by r.wake_at, r.created_at"
                "         limit $2::int4) d on true"
                " order by d.wake_at, d.created_at"},
    /* What waits for others of its thread or key, and can start now as far as one sees from here.
     * $1: runs that have ended; $2: look at the next thousand of all, too, behind $4 and $5. */
    [STORE_RELEASE] =
        {"release",
         "with ended as materialized"
         "  (select tenant_id, thread_id, concurrency_key from runs"
         "    where run_id = any($1::uuid[])),"
         " sweep as materialized"
         "  (select run_id, created_at from runs w where $2::bool and w.status = 'pending'"
         "      and w.wake_at is null and (w.created_at, w.run_id) > ($4::timestamptz, $5::uuid)"
         "    order by w.created_at, w.run_id limit 1000),"
         " waiting as materialized"
         "  (select t.run_id from ended e join lateral"
         "     (select run_id from runs w where w.tenant_id = e.tenant_id"
         "         and w.thread_id = e.thread_id and w.completed_at is null"
         "         and w.status = 'pending' and w.wake_at is null"
         "       order by w.created_at limit 4) t on true"
         "   union"
         "   select k.run_id from ended e join lateral"
         "     (select run_id from runs w where w.tenant_id = e.tenant_id"
         "         and w.concurrency_key = e.concurrency_key and w.completed_at is null"
         "         and w.status = 'pending' and w.wake_at is null"
         "       order by w.created_at limit 64) k on true"
         "   union select run_id from sweep)"
         " select n.queued, d.*, s.created_at, s.run_id"
         "  from (select exists (select from runs where status = 'pending' and wake_at is null)"
         "               as queued) n"
         "  left join (select created_at, run_id from sweep"
         "              order by created_at, run_id offset 999) s on true"
         "  left join lateral"
         "       (select" DUE_RUN "  from waiting w join runs r using (run_id)"
         "          join run_heads h using (run_id)"
         "          left join lateral (select null::text as id) q on true"
         "         where (r.multitask_strategy not in (2, 3) or r.thread_id is null or not exists"
         "                (select from runs o where o.tenant_id = r.tenant_id"
         "                    and o.thread_id = r.thread_id and o.completed_at is null"
         "                    and o.created_at < r.created_at))"
         "           and (r.concurrency_key is null or r.concurrency_limit >"
         "                (select count(*) from runs o where o.tenant_id = r.tenant_id"
         "                    and o.concurrency_key = r.concurrency_key"
         "                    and o.completed_at is null and o.status <> 'pending'))"
         "         order by r.created_at limit $3::int4) d on true"
         " order by d.created_at"},
    [STORE_RESCHEDULE] = {"reschedule", "select reschedule_runs($1::int4, $2::int8, $3::uuid[],"
                                        " $4::timestamptz[], $5::timestamptz[])"},
    /* What a run of tenant $1, created at $4, meets in its thread $2 and under its key $3: runs
     * that were there before and have not ended; how many places are taken. */
    [STORE_GATE] =
        {"gate",
         "select g.taken, o.*"
         "  from (select count(*) as taken from runs k where k.tenant_id = $1::uuid"
         "           and k.concurrency_key = $3::text and k.completed_at is null"
         "           and (k.status <> 'pending'"
         "                or k.wake_at is null and k.created_at < $4::timestamptz)) g"
         "  left join lateral"
         "       (select r.run_id, h.last_seq, r.status::text, r.liveness_ms,"
         "               " OPEN_QUESTIONS("r.run_id") " as open, r.thread_id," OPEN_JOBS(
             "r.run_id") " as jobs"
                         "          from runs r join run_heads h using (run_id)"
                         "         where r.tenant_id = $1::uuid and r.thread_id = $2::uuid"
                         "           and r.completed_at is null and r.created_at < $4::timestamptz"
                         "         order by r.created_at limit 1000) o on true"},
};
