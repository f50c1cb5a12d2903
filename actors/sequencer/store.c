/* See store.h. */
#include "sequencer/store.h"

/* SHA-256 hashes of the ids behind each other; null: none. */
#define OPEN_QUESTIONS(run)                                                          \
    " (select string_agg(sha256(convert_to(q.clarification_id, 'UTF8')), ''::bytea)" \
    "   from run_questions q where q.run_id = " run " and q.answered_seq is null)"

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
    [STORE_UNPUBLISHED] =
        {"unpublished",
         "select run_id, tenant_id, seq, event_type::text, ts, payload, position"
         "  from run_events where position > $1::int8 order by position limit $2::int4"},
    [STORE_RESOLVE_HEADS] =
        {"resolve_heads",
         "select h.run_id, h.tenant_id, h.last_seq, r.status::text," OPEN_QUESTIONS(
             "h.run_id") "  from run_heads h join runs r using (run_id) where h.run_id = "
                         "any($1::uuid[])"},
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
    [STORE_APPEND] =
        {"append",
         "select append_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,"
         " $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30,"
         " $31, $32, $33, $34, $35, $36, $37, $38, $39, $40)"},
    [STORE_ADVANCE] = {"advance", "select advance_outbox($1::int4, $2::int8, 'bus', $3::int8)"},
};
