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

const struct db_statement store_position = {
    "streamer_position",
    "select position from shard_positions where shard = $1::integer",
};

/* One statement, one snapshot: no event up to the end it tells is missing. Cut as in store_page; the
 * inner limit is one more than wanted, so that what is cut shows. */
#define FEED_PAGE(found)                                                                   \
    "select h.position, p.cut, p.position, p.run_id, p.seq, p.event_type, p.ts, p.payload" \
    "  from shard_positions h left join lateral ("                                         \
    "    select sent.*, count(*) over () < found as cut from ("                            \
    "      select stored.*,"                                                               \
    "             sum(octet_length(payload::text)) over (order by position rows unbounded" \
    " preceding) - octet_length(payload::text) as bytes_before"                            \
    "        from (select page.*, count(*) over () as found,"                              \
    "                     row_number() over (order by position) as row,"                   \
    "                     sum(pg_column_size(payload)) over (order by position rows"       \
    " unbounded preceding) - pg_column_size(payload) as stored_before"                     \
    "                from (" found " order by position limit $5::bigint + 1) page"         \
    "             ) stored where stored_before < $6::bigint and row <= $5::bigint"         \
    "      ) sent where bytes_before < $6::bigint"                                         \
    "    ) p on true where h.shard = $1::integer order by p.position"

const struct db_statement store_tenant_page = {
    "streamer_tenant_page",
    FEED_PAGE("select position, run_id, seq, event_type, ts, payload from run_events"
              " where position > $3::bigint and position <= least($4::bigint, h.position)"
              "   and tenant_id = $2::uuid"),
};

/* Run by run from the first event behind the position, by the log's own index. The places are worked
 * out before: a function that is not leakproof must not stand in a condition on rows with a policy,
 * or no index is used for it. */
const struct db_statement store_thread_page = {
    "streamer_thread_page",
    "with places as materialized"
    "  (select r.run_id, seq_at_position(r.run_id, k.last_seq, $3::bigint) as seq"
    "     from runs r join run_heads k on k.run_id = r.run_id"
    "    where r.tenant_id = $2::uuid and r.thread_id = $7::uuid) " FEED_PAGE(
        "select e.position, e.run_id, e.seq, e.event_type, e.ts, e.payload"
        "  from places r cross join lateral"
        "       (select * from run_events t where t.run_id = r.run_id and t.seq > r.seq"
        "         order by t.seq limit $5::bigint + 1) e"
        " where e.position <= least($4::bigint, h.position)"),
};

const struct db_statement store_feed_head = {
    "streamer_feed_head",
    "select p.position, $3::uuid is null or exists"
    "       (select from runs where tenant_id = $2::uuid and thread_id = $3::uuid)"
    "  from shard_positions p where p.shard = $1::integer",
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
