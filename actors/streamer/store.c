/* See store.h. */
#include "streamer/store.h"

const struct db_statement store_heads = {
    "streamer_heads",
    "select h.last_seq, h.closed"
    "  from unnest($1::uuid[], $2::uuid[]) with ordinality as w (run_id, tenant_id, ordinal)"
    "  left join run_heads h on h.run_id = w.run_id and h.tenant_id = w.tenant_id"
    " order by w.ordinal",
};

/* Sizes are bounded twice: first by what is stored, which costs no decompression, then by what is
 * sent. */
const struct db_statement store_page = {
    "streamer_page",
    "select seq, event_type, ts, payload from ("
    "  select seq, event_type, ts, payload,"
    "         sum(octet_length(payload::text)) over (order by seq rows unbounded preceding)"
    "           - octet_length(payload::text) as bytes_before"
    "    from ("
    "      select seq, event_type, ts, payload,"
    "             sum(pg_column_size(payload)) over (order by seq rows unbounded preceding)"
    "               - pg_column_size(payload) as stored_before"
    "        from (select seq, event_type, ts, payload from run_events"
    "               where run_id = $1::uuid and tenant_id = $2::uuid and seq > $3::bigint and seq "
    "< $4::bigint"
    "               order by seq limit $5::bigint) page"
    "    ) stored where stored_before < $6::bigint"
    ") sent where bytes_before < $6::bigint order by seq",
};

/* Keys and sessions. A session ends with the key it was opened with; the id of neither has ended. */
const struct db_statement store_ended_keys = {
    "streamer_ended_keys",
    "select u.key_id from unnest($1::uuid[]) as u (key_id)"
    "  left join sessions s on s.session_id = u.key_id"
    "  left join api_keys k on k.key_id = coalesce(s.key_id, u.key_id)"
    " where coalesce(k.key_id, s.session_id) is null"
    "    or k.revoked_at <= now() or k.expires_at <= now()"
    "    or s.ended_at <= now() or s.expires_at <= now()",
};

const struct db_statement store_scope = {
    "streamer_scope",
    "select set_config('signalbox.tenant', coalesce($1::uuid::text, ''), true),"
    "       set_config('signalbox.tenants', coalesce($2::uuid[]::text, ''), true)",
};
