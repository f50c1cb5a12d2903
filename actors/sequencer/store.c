/* See store.h. */
#include "sequencer/store.h"

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
    [STORE_RESOLVE_HEADS] = {"resolve_heads", "select run_id, tenant_id, last_seq, closed"
                                              "  from run_heads where run_id = any($1::uuid[])"},
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
         "select k.tenant, k.key, r.run_id, r.create_hash"
         "  from unnest($1::uuid[], $2::text[]) as k (tenant, key)"
         "  join lateral (select run_id, create_hash from runs t"
         "                 where t.tenant_id = k.tenant and t.create_key = k.key"
         "                 limit 1) r on true"},
    /* No index on (origin, command_no): the tail of the run is read. A sender has at most
     * command.window (4096) commands in flight, of at most 1000 events, and all of its run's newer
     * events are of such commands. */
    [STORE_RESOLVE_COMMANDS] =
        {"resolve_commands",
         "select k.run, k.origin, k.no, e.seq, e.command_events"
         "  from unnest($1::uuid[], $2::int8[], $3::int8[]) as k (run, origin, no)"
         "  join lateral (select seq, command_events from run_events t"
         "                 where t.run_id = k.run and t.origin = k.origin"
         "                   and t.command_no = k.no"
         "                 order by t.seq desc limit 1) e on true"},
    [STORE_APPEND] =
        {"append",
         "select append_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,"
         " $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30)"},
    [STORE_ADVANCE] = {"advance", "select advance_outbox($1::int4, $2::int8, 'bus', $3::int8)"},
};
