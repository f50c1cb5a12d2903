/* See store_agui.h. */
#include "api/store_agui.h"

#include "api/store_internal.h"

enum statement { STATEMENT_FIND_AGUI, STATEMENT_NAME_AGUI, STATEMENT_COUNT };

static const struct db_statement statements[STATEMENT_COUNT] = {
    [STATEMENT_FIND_AGUI] =
        {"api_find_agui",
         "with named as ("
         "  select run_id, 0::int8 as after_seq from runs "
         "   where tenant_id = $1::uuid and run_id = $2::uuid "
         "  union all "
         "  select run_id, after_seq from client_runs "
         "   where tenant_id = $1::uuid and protocol = 'ag-ui' and client_id = $2::uuid "
         "   limit 1), "
         "of_thread as ("
         "  select run_id from ("
         "    select run_id, 1 as choice from ("
         "      select run_id from runs "
         "       where tenant_id = $1::uuid and thread_id = $3::uuid and completed_at is null "
         "       order by created_at desc, run_id desc limit 1) active "
         "    union all "
         "    select run_id, 2 from ("
         "      select run_id from runs where tenant_id = $1::uuid and thread_id = $3::uuid "
         "       order by created_at desc, run_id desc limit 1) newest) found "
         "   order by choice limit 1) "
         "select n.run_id is not null, coalesce(n.run_id, $2::uuid), coalesce(n.after_seq, 0), "
         "       exists (select from client_runs c "
         "                where c.run_id = n.run_id and c.after_seq > n.after_seq), "
         "       coalesce(n.after_seq = 0 and m.completed_at is null "
         "                and m.metadata #>> '{client,protocol}' = 'ag-ui' "
         "                and not exists (select from run_events e where e.run_id = n.run_id "
         "                        and e.idempotency_key = chr(4) || 'conversation'), false), "
         "       not exists (select from runs o where o.tenant_id = $1::uuid "
         "                   and o.thread_id = m.thread_id and o.run_id <> n.run_id), "
         "       r.run_id is not null, coalesce(r.run_id, $2::uuid), "
         "       coalesce(r.status = 'interrupted', false), coalesce(h.last_seq, 0), "
         "       coalesce((select e.seq from run_events e "
         "                  where e.run_id = r.run_id and e.seq > h.last_seq - 10000 "
         "                    and e.event_type = 'RUN_INTERRUPTED' and r.status = 'interrupted' "
         "                  order by e.seq desc limit 1), 0), "
         "       coalesce((select json_agg(q.clarification_id order by q.asked_seq) "
         "                   from run_questions q "
         "                  where q.run_id = r.run_id and q.answered_seq is null), '[]') "
         "  from (values (1)) one left join named n on true left join of_thread t on true "
         "  left join runs r on r.run_id = t.run_id left join run_heads h on h.run_id = t.run_id "
         "  left join runs m on m.run_id = n.run_id"},
    [STATEMENT_NAME_AGUI] = {"api_name_agui",
                             "insert into client_runs (tenant_id, protocol, client_id, run_id, "
                             "after_seq) values ($1::uuid, 'ag-ui', $2::uuid, $3::uuid, $4::int8) "
                             "on conflict do nothing"},
};

void store_find_agui(struct store *store, const struct uuid *tenant, const struct uuid *client_id,
                     const struct uuid *thread, db_done_fn *done, void *arg)
{
    db_param_uuid(&store->params, tenant);
    db_param_uuid(&store->params, client_id);
    db_param_uuid(&store->params, thread);
    store_give(store, tenant, &statements[STATEMENT_FIND_AGUI], done, arg);
}

void store_read_agui(const struct db_result *result, struct store_agui *out)
{
    out->is_named = db_bool(result, 0, 0);
    db_uuid(result, 0, 1, &out->named);
    out->named_after_seq = db_int8(result, 0, 2);
    out->named_goes_on = db_bool(result, 0, 3);
    out->named_unsaid = db_bool(result, 0, 4);
    out->named_first = db_bool(result, 0, 5);
    out->has_run = db_bool(result, 0, 6);
    db_uuid(result, 0, 7, &out->run);
    out->interrupted = db_bool(result, 0, 8);
    out->last_seq = db_int8(result, 0, 9);
    out->interrupted_seq = db_int8(result, 0, 10);
    out->questions = db_bytes(result, 0, 11, &out->questions_length);
}

void store_name_agui(struct store *store, const struct uuid *tenant, const struct uuid *client_id,
                     const struct uuid *run, int64_t after_seq, db_done_fn *done, void *arg)
{
    db_param_uuid(&store->params, tenant);
    db_param_uuid(&store->params, client_id);
    db_param_uuid(&store->params, run);
    db_param_int8(&store->params, after_seq);
    store_give(store, tenant, &statements[STATEMENT_NAME_AGUI], done, arg);
}
