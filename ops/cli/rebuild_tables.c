/*
 * See rebuild_tables.h. The replay is written for itself, after docs/events.md, and shares nothing
 * with the functions that write the tables: a fault there shows here. Types are compared as text,
 * because a database may be older than the newest type.
 */
#include "ops/cli/rebuild_tables.h"

#define PART                                      \
    " where ($1::uuid is null or e.run_id > $1) " \
    "   and ($2::uuid is null or e.run_id <= $2) "
#define ENDS "('RUN_FINISHED', 'RUN_FAILED', 'RUN_CANCELLED')"

const char *const REBUILD_COUNT_SQL =
    "select (select count(*) from runs), (select count(*) from run_events)";
const char *const REBUILD_NEXT_SQL =
    "select run_id::text from run_heads where $1::uuid is null or run_id > $1"
    " order by run_id offset 4999 limit 1";

_Static_assert(REBUILD_PART_RUNS == 5000, "the offset above is the part's size less one");

/* One line for each column that differs: "COLUMN is LIVE, the log says REPLAYED". */
#define DIFFERS(column)                                                                         \
    "case when l." column " is distinct from n." column " then '" column                        \
    " is ' || coalesce(l." column "::text, 'empty') || ', the log says ' || coalesce(n." column \
    "::text, 'empty') end"

#define HEADS_DIFFER DIFFERS("tenant_id") ", " DIFFERS("last_seq") ", " DIFFERS("closed")
#define RUNS_DIFFER      \
    DIFFERS("tenant_id") \
    ", " DIFFERS("status") ", " DIFFERS("started_at") ", " DIFFERS("completed_at")
#define QUESTIONS_DIFFER \
    DIFFERS("tenant_id") \
    ", " DIFFERS("asked_seq") ", " DIFFERS("expires_at") ", " DIFFERS("answered_seq")
#define PRODUCERS_DIFFER DIFFERS("tenant_id") ", " DIFFERS("epoch") ", " DIFFERS("last_seq")
#define MISSING "case when l.run_id is null then 'the row is missing' else concat_ws('; ', "

const struct rebuild_table REBUILD_TABLES[] = {
    {"run_heads",
     /* allows ddl: a table of this session, gone with its transaction */
     "create temporary table rebuilt_heads (run_id uuid primary key, tenant_id uuid,"
     " last_seq bigint, closed boolean) on commit drop",
     "insert into rebuilt_heads"
     " select e.run_id, max(e.tenant_id::text)::uuid, max(e.seq),"
     "        bool_or(e.event_type::text in " ENDS ")"
     "   from run_events e" PART "group by e.run_id",
     /* A run that was not started has no event: head 0, open. */
     "select run_id::text, concat_ws('; ', " MISSING HEADS_DIFFER ") end)"
     "  from run_heads l full join"
     "       (select run_id, tenant_id, last_seq, closed from rebuilt_heads union all"
     "        select h.run_id, h.tenant_id, 0, false from run_heads h"
     "         where not exists (select from rebuilt_heads r where r.run_id = h.run_id)) n"
     "       using (run_id)"
     " where (l.tenant_id, l.last_seq, l.closed) is distinct from"
     "       (n.tenant_id, n.last_seq, n.closed)"
     " order by run_id"},

    {"runs",
     /* allows ddl: a table of this session, gone with its transaction */
     "create temporary table rebuilt_runs (run_id uuid primary key, tenant_id uuid, status "
     "text,"
     " started_at timestamptz, completed_at timestamptz) on commit drop",
     "with questions as materialized ("
     "    select e.run_id, e.seq, e.event_type::text as type,"
     "           e.payload ->> 'clarification_id' as id"
     "      from run_events e" PART
     "       and e.event_type::text in ('CLARIFICATION_NEEDED', 'CLARIFICATION_ANSWERED')),"
     " paused as ("
     "    select distinct on (p.run_id) p.run_id, p.pauses from ("
     "        select e.run_id, e.seq, e.event_type::text = 'RUN_INTERRUPTED' as pauses"
     "          from run_events e" PART
     "           and e.event_type::text in ('RUN_INTERRUPTED', 'RUN_RESUMED')"
     "        union all"
     "        select q.run_id, q.seq, q.type = 'CLARIFICATION_NEEDED' from questions q"
     /* an answer goes on only when no question is open behind it */
     "         where q.type = 'CLARIFICATION_NEEDED' or not exists ("
     "               select from questions n"
     "                where n.run_id = q.run_id and n.seq < q.seq"
     "                  and n.type = 'CLARIFICATION_NEEDED' and not exists ("
     "                      select from questions a"
     "                       where a.run_id = n.run_id and a.id = n.id and a.seq > n.seq"
     "                         and a.seq <= q.seq and a.type = 'CLARIFICATION_ANSWERED'))) p"
     "     order by p.run_id, p.seq desc),"
     " log as ("
     "    select e.run_id, max(e.tenant_id::text)::uuid as tenant_id,"
     "           min(e.ts) filter (where e.event_type::text = 'RUN_STARTED') as started_at,"
     "           max(e.ts) filter (where e.event_type::text in " ENDS ") as completed_at,"
     "           max(e.event_type::text) filter (where e.event_type::text in " ENDS ") as ending,"
     "           bool_or(e.event_type::text = 'RUN_CANCEL_REQUESTED') as cancelling"
     "      from run_events e" PART "group by e.run_id)"
     " insert into rebuilt_runs"
     " select l.run_id, l.tenant_id,"
     "        case when l.ending is not null then lower(substr(l.ending, 5))"
     "             when l.cancelling then 'cancelling' when p.pauses then 'interrupted'"
     "             else 'running' end,"
     "        l.started_at, l.completed_at"
     "   from log l left join paused p using (run_id)",
     "select run_id::text, concat_ws('; ', " MISSING RUNS_DIFFER ") end)"
     "  from (select run_id, tenant_id, status::text, started_at, completed_at from runs) l"
     "  full join"
     "       (select run_id, tenant_id, status, started_at, completed_at from rebuilt_runs"
     "        union all"
     "        select r.run_id, r.tenant_id, 'pending', null, null from runs r"
     "         where not exists (select from rebuilt_runs n where n.run_id = r.run_id)) n"
     "       using (run_id)"
     " where (l.tenant_id, l.status, l.started_at, l.completed_at) is distinct from"
     "       (n.tenant_id, n.status, n.started_at, n.completed_at)"
     " order by run_id"},

    {"run_questions",
     /* allows ddl: a table of this session, gone with its transaction */
     "create temporary table rebuilt_questions (run_id uuid, clarification_id text,"
     " tenant_id uuid, asked_seq bigint, expires_at timestamptz, answered_seq bigint,"
     " primary key (run_id, clarification_id)) on commit drop",
     "with questions as materialized ("
     "    select e.run_id, e.tenant_id, e.seq, e.event_type::text as type, e.payload"
     "      from run_events e" PART
     "       and e.event_type::text in ('CLARIFICATION_NEEDED', 'CLARIFICATION_ANSWERED'))"
     " insert into rebuilt_questions"
     " select n.run_id, n.payload ->> 'clarification_id', n.tenant_id, n.seq,"
     "        (n.payload ->> 'expires_at')::timestamptz,"
     "        (select min(a.seq) from questions a"
     "          where a.run_id = n.run_id and a.seq > n.seq and a.type = 'CLARIFICATION_ANSWERED'"
     "            and a.payload ->> 'clarification_id' = n.payload ->> 'clarification_id')"
     "   from questions n where n.type = 'CLARIFICATION_NEEDED'",
     "select run_id::text, 'question ' || clarification_id || ': ' || concat_ws('; '," MISSING
     " case when n.run_id is null then 'the log does not ask it' end, " QUESTIONS_DIFFER ") end)"
     "  from run_questions l full join rebuilt_questions n using (run_id, clarification_id)"
     " where (l.run_id is null) <> (n.run_id is null)"
     "    or (l.tenant_id, l.asked_seq, l.expires_at, l.answered_seq) is distinct from"
     "       (n.tenant_id, n.asked_seq, n.expires_at, n.answered_seq)"
     " order by run_id, clarification_id"},

    {"run_producers",
     /* allows ddl: a table of this session, gone with its transaction */
     "create temporary table rebuilt_producers (run_id uuid, producer_id text, tenant_id uuid,"
     " epoch bigint, last_seq bigint, primary key (run_id, producer_id)) on commit drop",
     /* The key of a producer's append says whose it is: see producer_key() in the migrations. An id
      * may hold anything, the two numbers behind it are digits. */
     "insert into rebuilt_producers"
     " select distinct on (p.run_id, p.parts[1]) p.run_id, p.parts[1], p.tenant_id,"
     "        p.parts[2]::bigint, p.parts[3]::bigint"
     "   from (select e.run_id, e.tenant_id,"
     "                regexp_match(e.idempotency_key, '^\\x02(.*)\\x02(\\d+)\\x02(\\d+)$') as parts"
     "           from run_events e" PART " and e.idempotency_key like e'\\x02%') p"
     "  order by p.run_id, p.parts[1], p.parts[2]::bigint desc, p.parts[3]::bigint desc",
     "select run_id::text, 'producer ' || producer_id || ': ' || concat_ws('; '," MISSING
     " case when n.run_id is null then 'the log does not know it' end, " PRODUCERS_DIFFER ") end)"
     "  from run_producers l full join rebuilt_producers n using (run_id, producer_id)"
     " where (l.run_id is null) <> (n.run_id is null)"
     "    or (l.tenant_id, l.epoch, l.last_seq) is distinct from"
     "       (n.tenant_id, n.epoch, n.last_seq)"
     " order by run_id, producer_id"},
};

const size_t REBUILD_TABLES_COUNT = sizeof REBUILD_TABLES / sizeof REBUILD_TABLES[0];
