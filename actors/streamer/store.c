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
 * inner limit is one more than wanted, so that what is cut shows. `log` is a row with the position
 * up to which the page may look. */
#define FEED_PAGE(log, found)                                                               \
    "select h.position, p.cut, p.position, p.run_id, p.seq, p.event_type, p.ts, p.payload," \
    "       p.shown"                                                                        \
    "  from (" log ") h left join lateral ("                                                \
    "    select sent.*, count(*) over () < found as cut from ("                             \
    "      select stored.*,"                                                                \
    "             sum(octet_length(payload::text)) over (order by position rows unbounded"  \
    " preceding) - octet_length(payload::text) as bytes_before"                             \
    "        from (select page.*, count(*) over () as found,"                               \
    "                     row_number() over (order by position) as row,"                    \
    "                     sum(pg_column_size(payload)) over (order by position rows"        \
    " unbounded preceding) - pg_column_size(payload) as stored_before"                      \
    "                from (" found " order by position limit $5::bigint + 1) page"          \
    "             ) stored where stored_before < $6::bigint and row <= $5::bigint"          \
    "      ) sent where bytes_before < $6::bigint"                                          \
    "    ) p on true order by p.position"

#define LOG "select position from shard_positions where shard = $1::integer"

/* The names are read once, and not for every row. */
#define OF_TYPES(types) "= any ((select " types "::text[]::run_event_type[])::run_event_type[])"

const struct db_statement store_tenant_page = {
    "streamer_tenant_page",
    FEED_PAGE(LOG, "select position, run_id, seq, event_type, ts, payload, true as shown"
                   "  from run_events"
                   " where position > $3::bigint and position <= least($4::bigint, h.position)"
                   "   and tenant_id = $2::uuid"
                   "   and ($7::text[] is null or event_type " OF_TYPES("$7") ")"),
};

/* Run by run from the first event behind the position, by the log's own index. The places are worked
 * out before: a function that is not leakproof must not stand in a condition on rows with a policy,
 * or no index is used for it. */
#define PLACES                                                                     \
    "with places as materialized"                                                  \
    "  (select r.run_id, seq_at_position(r.run_id, k.last_seq, $3::bigint) as seq" \
    "     from runs r join run_heads k on k.run_id = r.run_id"                     \
    "    where r.tenant_id = $2::uuid and r.thread_id = $7::uuid) "

const struct db_statement store_thread_page = {
    "streamer_thread_page",
    PLACES FEED_PAGE(
        LOG, "select e.position, e.run_id, e.seq, e.event_type, e.ts, e.payload, true as shown"
             "  from places r cross join lateral"
             "       (select * from run_events t where t.run_id = r.run_id and t.seq > r.seq"
             "         order by t.seq limit $5::bigint + 1) e"
             " where e.position <= least($4::bigint, h.position)"),
};

/* Where few events of a run are wanted, many must be looked at, but not all: of each run a stretch of
 * this many (seqs are dense). The page then reaches to the end of the stretch that ends first. */
#define LOOKED_AT "1024"
#define STRETCHES                                                                                 \
    PLACES ", edge as materialized"                                                               \
           "  (select least(l.position, min((select t.position from run_events t"                 \
           "                                  where t.run_id = r.run_id"                          \
           "                                    and t.seq = r.seq + " LOOKED_AT "))) as position" \
           "     from (" LOG ") l left join places r on true group by l.position) "
#define STRETCH                                                                      \
    "places r cross join lateral"                                                    \
    "       (select * from run_events t where t.run_id = r.run_id and t.seq > r.seq" \
    "           and t.seq <= r.seq + " LOOKED_AT ") e"

const struct db_statement store_some_thread_page = {
    "streamer_some_thread_page",
    STRETCHES FEED_PAGE("select position from edge",
                        "select e.position, e.run_id, e.seq, e.event_type, e.ts, e.payload,"
                        "       true as shown"
                        "  from " STRETCH " where e.position <= least($4::bigint, h.position)"
                        "   and e.event_type " OF_TYPES("$8")),
};

/* The events of messages, one more than wanted: `named` is the role that the event itself names, and
 * `role` the one named last in its run, on this page. Of messages without one the events before the
 * page are searched backwards, once for each message. The rule is that of feed_roles.h. */
#define NAMES(event)                                          \
    "case " event "event_type when 'MESSAGE_STARTED' then"    \
    "       coalesce(" event "payload->>'role', 'assistant')" \
    "     when 'MESSAGE_COMPLETED' then " event "payload->>'role' end"
#define OF_MESSAGE "s.payload->>'message_id' = m.message"

const struct db_statement store_chat_page = {
    "streamer_chat_page",
    STRETCHES
    ", messages as materialized"
    "  (select e.*, e.payload->>'message_id' as message, " NAMES(
        "e.") " as named"
              "     from (select e.position, e.run_id, e.seq, e.event_type, e.ts, e.payload"
              "             from edge h cross join " STRETCH
              "            where e.position <= least($4::bigint, h.position)"
              "              and e.event_type in ('MESSAGE_STARTED', 'MESSAGE_DELTA', "
              "'MESSAGE_COMPLETED',"
              "                                   'MESSAGE_EDITED')"
              "            order by e.position limit $5::bigint + 1) e)"
              ", parts as materialized"
              "  (select m.*, count(named) over (partition by run_id, message order by seq) as part"
              "     from messages m)"
              ", earlier as materialized"
              "  (select m.run_id, m.message,"
              "          (select " NAMES(
                  "s.") " from run_events s"
                        "            where s.run_id = m.run_id and s.seq < m.seq"
                        "              and s.event_type in ('MESSAGE_STARTED', 'MESSAGE_COMPLETED')"
                        "              and " OF_MESSAGE " and " NAMES(
                            "s.") " is not null"
                                  "            order by s.seq desc limit 1) as role"
                                  "     from (select run_id, message, min(seq) as seq from parts "
                                  "where part = 0"
                                  "            group by run_id, message) m)"
                                  ", judged as materialized"
                                  "  (select m.*,"
                                  "          coalesce(first_value(named) over (partition by "
                                  "m.run_id, m.message, part"
                                  "                                            order by seq), "
                                  "b.role) as role"
                                  "     from parts m left join earlier b"
                                  "       on b.run_id = m.run_id and b.message = m.message and "
                                  "m.part = 0) " FEED_PAGE(
                                      "select position from edge",
                                      "select m.position, m.run_id, m.seq, m.event_type, m.ts, "
                                      "m.shown,"
                                      "       case when m.shown then m.payload"
                                      "            else json_build_object('message_id', m.message,"
                                      "                                   'role', "
                                      "m.payload->>'role') end as payload"
                                      "  from (select m.*,"
                                      "               case when m.role is not null then m.role = "
                                      "'assistant'"
                                      "                    when m.event_type = 'MESSAGE_COMPLETED' "
                                      "then true"
                                      "                    when m.event_type = 'MESSAGE_EDITED' "
                                      "then exists"
                                      /* In its own run it was completed, and nobody said by whom. */
                                      "                         (select from run_events s where "
                                      "s.run_id = m.run_id"
                                      "                             and s.seq < m.seq"
                                      "                             and s.event_type = "
                                      "'MESSAGE_COMPLETED'"
                                      "                             and " OF_MESSAGE ")"
                                      /* It is of other runs, and the assistant's in all of them. */
                                      "                      or coalesce((select "
                                      "bool_and(coalesce(s.payload->>'role',"
                                      "                                                            "
                                      "'assistant')"
                                      "                                                   = "
                                      "'assistant')"
                                      "                                     from places r cross "
                                      "join lateral"
                                      "                                          (select * from "
                                      "run_events t"
                                      "                                            where t.run_id "
                                      "= r.run_id) s"
                                      "                                    where s.position < "
                                      "m.position"
                                      "                                      and s.event_type in "
                                      "('MESSAGE_STARTED',"
                                      "                                                           "
                                      "'MESSAGE_COMPLETED')"
                                      "                                      and " OF_MESSAGE
                                      "), false)"
                                      "                    else false end as shown"
                                      "          from judged m) m"),
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
