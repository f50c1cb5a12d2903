/* See store_conversation.h. */
#include "api/store_conversation.h"

#include "api/store_internal.h"

enum statement {
    STATEMENT_GET_CONVERSATION,
    STATEMENT_FIND_CONVERSATION,
    STATEMENT_FIND_CHAT,
    STATEMENT_COUNT
};

/* Where the stream of an interrupted run pauses: looked for among its last 10,000 events. */
#define CONVERSATION                                                                        \
    "select r.run_id, h.closed, r.status = 'interrupted', h.last_seq, coalesce(p.seq, 0) "  \
    "  from runs r join run_heads h on h.run_id = r.run_id "                                \
    "  left join lateral "                                                                  \
    "       (select e.seq from run_events e "                                               \
    "         where e.run_id = r.run_id and e.seq > h.last_seq - 10000 "                    \
    "           and e.event_type in "                                                       \
    "               ('RUN_INTERRUPTED', 'CLARIFICATION_NEEDED', 'CLARIFICATION_ANSWERED') " \
    "         order by e.seq desc limit 1) p on r.status = 'interrupted' "

static const struct db_statement statements[STATEMENT_COUNT] = {
    [STATEMENT_GET_CONVERSATION] = {"api_get_conversation", CONVERSATION
                                    " where r.run_id = $1::uuid and r.tenant_id = $2::uuid"},
    [STATEMENT_FIND_CONVERSATION] = {"api_find_conversation", CONVERSATION
                                     " where r.tenant_id = $1::uuid and r.thread_id = $2::uuid "
                                     "   and r.completed_at is null "
                                     " order by r.created_at desc, r.run_id desc limit 1"},
    [STATEMENT_FIND_CHAT] =
        {"api_find_chat",
         "select r.run_id, h.closed, r.status = 'interrupted', "
         "       coalesce(r.metadata #>> '{client,request}', ''), "
         "       coalesce((select json_agg(q.clarification_id order by q.asked_seq) "
         "                   from run_questions q "
         "                  where q.run_id = r.run_id and q.answered_seq is null), '[]'), "
         "       coalesce((select min(e.seq) from run_events e "
         "                  where e.run_id = r.run_id and e.seq > h.last_seq - 10000 "
         "                    and e.event_type in ('RUN_RESUMED', 'CLARIFICATION_ANSWERED') "
         "                    and e.payload->>'message_id' = $3::text), 0) "
         "  from (select run_id, 1 as choice from "
         "               (select run_id from runs "
         "                 where tenant_id = $1::uuid and thread_id = $2::uuid "
         "                   and completed_at is null "
         "                 order by created_at desc, run_id desc limit 1) active "
         "        union all "
         "        select run_id, 2 from "
         "               (select run_id from runs "
         "                 where tenant_id = $1::uuid and thread_id = $2::uuid "
         "                 order by created_at desc, run_id desc limit 1) newest) found "
         "  join runs r on r.run_id = found.run_id "
         "  join run_heads h on h.run_id = r.run_id "
         " order by found.choice limit 1"},
};

void store_get_conversation(struct store *store, const struct uuid *tenant, const struct uuid *run,
                            db_done_fn *done, void *arg)
{
    db_param_uuid(&store->params, run);
    db_param_uuid(&store->params, tenant);
    store_give(store, tenant, &statements[STATEMENT_GET_CONVERSATION], done, arg);
}

void store_find_conversation(struct store *store, const struct uuid *tenant,
                             const struct uuid *thread, db_done_fn *done, void *arg)
{
    db_param_uuid(&store->params, tenant);
    db_param_uuid(&store->params, thread);
    store_give(store, tenant, &statements[STATEMENT_FIND_CONVERSATION], done, arg);
}

void store_read_conversation(const struct db_result *result, struct store_conversation *out)
{
    db_uuid(result, 0, 0, &out->run);
    out->closed = db_bool(result, 0, 1);
    out->interrupted = db_bool(result, 0, 2);
    out->last_seq = db_int8(result, 0, 3);
    out->paused_seq = db_int8(result, 0, 4);
}

void store_find_chat(struct store *store, const struct uuid *tenant, const struct uuid *thread,
                     const char *message, size_t message_length, db_done_fn *done, void *arg)
{
    db_param_uuid(&store->params, tenant);
    db_param_uuid(&store->params, thread);
    db_param_text(&store->params, message, message_length);
    store_give(store, tenant, &statements[STATEMENT_FIND_CHAT], done, arg);
}

void store_read_chat(const struct db_result *result, struct store_chat *out)
{
    db_uuid(result, 0, 0, &out->run);
    out->closed = db_bool(result, 0, 1);
    out->interrupted = db_bool(result, 0, 2);
    out->request = db_bytes(result, 0, 3, &out->request_length);
    out->questions = db_bytes(result, 0, 4, &out->questions_length);
    out->answered_seq = db_int8(result, 0, 5);
}
