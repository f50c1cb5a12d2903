/* See store_conversation.h. */
#include "api/store_conversation.h"

#include "api/store_internal.h"

enum statement {
    STATEMENT_GET_CONVERSATION,
    STATEMENT_FIND_CONVERSATION,
    STATEMENT_OPEN_QUESTIONS,
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
    [STATEMENT_OPEN_QUESTIONS] = {"api_open_questions",
                                  "select clarification_id from run_questions "
                                  " where run_id = $1::uuid and tenant_id = $2::uuid "
                                  "   and answered_seq is null order by asked_seq limit 64"},
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

void store_open_questions(struct store *store, const struct uuid *tenant, const struct uuid *run,
                          db_done_fn *done, void *arg)
{
    db_param_uuid(&store->params, run);
    db_param_uuid(&store->params, tenant);
    store_give(store, tenant, &statements[STATEMENT_OPEN_QUESTIONS], done, arg);
}

const char *store_read_question(const struct db_result *result, int row, size_t *length_out)
{
    return db_bytes(result, row, 0, length_out);
}
