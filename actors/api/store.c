/* See store.h. */
#include "api/store.h"

#include "api/store_internal.h"
#include "runtime/base/clock.h"
#include "runtime/base/list.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/event_mask.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MS = 5000, LOOK_MS = 250 };

enum statement {
    STATEMENT_PING,
    STATEMENT_GET_HEADS,
    STATEMENT_GET_FEED,
    STATEMENT_PAGE_EVENTS,
    STATEMENT_PAGE_SOME_EVENTS,
    STATEMENT_COUNT
};

/* The text of the statement says the same. */
#define LOOKED_AT STORE_TEXT_OF_VALUE(10000)
_Static_assert(STORE_LOOKED_AT == 10000, "LOOKED_AT");

static const struct db_statement statements[STATEMENT_COUNT] = {
    [STATEMENT_PING] = {"api_ping", "select 1"},
    [STATEMENT_GET_HEADS] = {"api_get_heads",
                             "select h.last_seq, h.closed"
                             "  from unnest($1::uuid[]) with ordinality as w (run_id, ordinal)"
                             "  left join run_heads h on h.run_id = w.run_id"
                             "   and h.tenant_id = $2::uuid"
                             " order by w.ordinal"},
    [STATEMENT_GET_FEED] = {"api_get_feed",
                            "select p.position, $2::uuid is null or exists "
                            "       (select from runs "
                            "         where tenant_id = $1::uuid and thread_id = $2::uuid) "
                            "  from shard_positions p where p.shard = 0"},
    [STATEMENT_PAGE_EVENTS] =
        {"api_page_events",
         "select h.last_seq, e.seq, e.event_type::text, e.ts, e.payload, e.trace_id "
         "  from run_heads h "
         "  left join lateral "
         "       (select seq, event_type, ts, payload, trace_id "
         "          from (select seq, event_type, ts, payload, trace_id, "
         "                       sum(octet_length(payload::text)) "
         "                         over (order by seq rows between unbounded preceding "
         "                                                     and 1 preceding) as before "
         "                  from (select seq, event_type, ts, payload, trace_id from run_events "
         "                         where run_id = $1::uuid and seq > $3::bigint "
         "                         order by seq limit $4::integer) page) summed "
         "         where coalesce(before, 0) < " PAGE_BYTES ") e on true "
         " where h.run_id = $1::uuid and h.tenant_id = $2::uuid "
         " order by e.seq"},
    /* Seqs are dense: a stretch of them is a number of events to look at. */
    [STATEMENT_PAGE_SOME_EVENTS] =
        {"api_page_some_events",
         "select h.last_seq, e.seq, e.event_type::text, e.ts, e.payload, e.trace_id, r.thread_id, "
         "       e.found "
         "  from run_heads h "
         "  join runs r on r.run_id = h.run_id and r.tenant_id = h.tenant_id "
         "  left join lateral "
         "       (select seq, event_type, ts, payload, trace_id, found "
         "          from (select seq, event_type, ts, payload, trace_id, count(*) over () as "
         "found, "
         "                       sum(octet_length(payload::text)) "
         "                         over (order by seq rows between unbounded preceding "
         "                                                     and 1 preceding) as before "
         "                  from (select seq, event_type, ts, payload, trace_id from run_events "
         "                         where run_id = $1::uuid and seq > $3::bigint "
         "                           and seq <= $3::bigint + " LOOKED_AT
         "                           and ($5::text[] is null "
         "                                or event_type = any "
         "                                   ((select $5::text[]::run_event_type[])"
         "                                    ::run_event_type[])) "
         "                         order by seq limit $4::integer) page) summed "
         "         where coalesce(before, 0) < " PAGE_BYTES ") e on true "
         " where h.run_id = $1::uuid and h.tenant_id = $2::uuid "
         " order by e.seq"},
};

/* Whose rows a query may see: the policies of the tables read these settings. */
static const struct db_statement scope_statement = {
    "api_scope", "select set_config('signalbox.tenant', $1::text, true), "
                 "       set_config('signalbox.operator', $2::text, true)"};

struct call {
    struct list node;
    struct store *store;
    db_done_fn *done;
    void *arg;
    int64_t given_ms;
};

/* A database that is frozen, or a network that swallows everything, must not hold requests for
 * ever. */
static void look(evutil_socket_t fd SB_UNUSED, short what SB_UNUSED, void *arg)
{
    struct store *store = arg;
    struct list *first = list_first(&store->calls);
    if (first == NULL) {
        return;
    }
    int64_t waited_ms = clock_monotonic_ms() - LIST_ENTRY(first, struct call, node)->given_ms;
    if (waited_ms > ANSWER_MS) {
        LOG_WARN("the database does not answer", LOG_INT("waited_ms", waited_ms));
        db_reset(store->db);
    }
}

/* Plans are made for the values they are run with: a page of a list is a hundred rows of the newest,
 * and not the tenth of a table that a plan without values would reckon with. */
static const char session_settings[] =
    "-c statement_timeout=5s -c plan_cache_mode=force_custom_plan -c jit=off "
    "-c max_parallel_workers_per_gather=0";

struct store *store_create(const struct actor *actor, void (*connected)(void *arg, bool up),
                           void *arg)
{
    struct store *store = memory_new(sizeof *store);
    struct timeval every = {.tv_usec = LOOK_MS * 1000};
    list_init(&store->calls);
    store->db = db_open(actor->base, &(struct db_options){
                                         .settings = actor->settings,
                                         .role = actor->description->database_role,
                                         .application_name = actor->instance,
                                         .session_settings = session_settings,
                                         .connected = connected,
                                         .arg = arg,
                                     });
    store->clock = event_new(actor->base, -1, EV_PERSIST, look, store);
    (void)event_add(store->clock, &every);
    return store;
}

void store_destroy(struct store **store)
{
    if (*store == NULL) {
        return;
    }
    db_close(&(*store)->db);
    assert(list_is_empty(&(*store)->calls));
    event_free((*store)->clock);
    db_params_deinit(&(*store)->params);
    db_params_deinit(&(*store)->scope);
    free(*store);
    *store = NULL;
}

bool store_is_connected(const struct store *store)
{
    return db_is_connected(store->db);
}

static void answered(void *arg, enum db_status status, const struct db_result *result)
{
    struct call *call = arg;
    if (status == DB_REFUSED) {
        LOG_ERROR("the database refused a query", LOG_TEXT("sqlstate", db_sqlstate(result)),
                  LOG_TEXT("reason", db_message(result)));
    }
    list_remove(&call->node);
    call->done(call->arg, status, result);
    free(call);
}

static void set_scope(struct db_params *params, const struct store_view *view)
{
    char tenant[UUID_TEXT_SIZE] = "";
    if (!uuid_is_nil(&view->tenant)) {
        uuid_format(&view->tenant, tenant);
    }
    db_params_clear(params);
    db_param_text(params, tenant, strlen(tenant));
    db_param_text(params, "on", view->all_tenants ? 2 : 0);
}

void store_give_view(struct store *store, const struct store_view *view,
                     const struct db_statement *statement, db_done_fn *done, void *arg)
{
    struct call *call = memory_new(sizeof *call);
    const struct db_scope scope = {&scope_statement, &store->scope};
    *call =
        (struct call){.store = store, .done = done, .arg = arg, .given_ms = clock_monotonic_ms()};
    list_init(&call->node);
    list_append(&store->calls, &call->node);
    if (view != NULL) {
        set_scope(&store->scope, view);
    }
    db_query_in(store->db, view == NULL ? NULL : &scope, statement, &store->params, answered, call);
    db_params_clear(&store->params);
}

void store_give(struct store *store, const struct uuid *tenant,
                const struct db_statement *statement, db_done_fn *done, void *arg)
{
    if (tenant == NULL) {
        store_give_view(store, NULL, statement, done, arg);
    } else {
        store_give_view(store, &(struct store_view){.tenant = *tenant}, statement, done, arg);
    }
}

void store_ping(struct store *store, db_done_fn *done, void *arg)
{
    store_give(store, NULL, &statements[STATEMENT_PING], done, arg);
}

void store_get_heads(struct store *store, const struct uuid *tenant, const struct uuid *runs,
                     size_t count, db_done_fn *done, void *arg)
{
    db_array_begin(&store->params, DB_ARRAY_UUID, count);
    for (size_t i = 0; i < count; i++) {
        db_array_uuid(&store->params, runs[i].bytes);
    }
    db_array_end(&store->params);
    db_param_uuid(&store->params, tenant);
    store_give(store, tenant, &statements[STATEMENT_GET_HEADS], done, arg);
}

bool store_read_head(const struct db_result *result, int row, struct store_head *head_out)
{
    if (db_is_null(result, row, 0)) {
        return false;
    }
    head_out->last_seq = db_int8(result, row, 0);
    head_out->closed = db_bool(result, row, 1);
    return true;
}

void store_get_feed(struct store *store, const struct uuid *tenant, const struct uuid *thread,
                    db_done_fn *done, void *arg)
{
    db_param_uuid(&store->params, tenant);
    if (uuid_is_nil(thread)) {
        db_param_null(&store->params);
    } else {
        db_param_uuid(&store->params, thread);
    }
    store_give(store, tenant, &statements[STATEMENT_GET_FEED], done, arg);
}

void store_read_feed(const struct db_result *result, int64_t *position_out, bool *found_out)
{
    *position_out = db_int8(result, 0, 0);
    *found_out = db_bool(result, 0, 1);
}

void store_page_events(struct store *store, const struct uuid *tenant, const struct uuid *run,
                       int64_t after_seq, int32_t limit, db_done_fn *done, void *arg)
{
    db_param_uuid(&store->params, run);
    db_param_uuid(&store->params, tenant);
    db_param_int8(&store->params, after_seq);
    db_param_int4(&store->params, limit);
    store_give(store, tenant, &statements[STATEMENT_PAGE_EVENTS], done, arg);
}

void store_page_some_events(struct store *store, const struct uuid *tenant, const struct uuid *run,
                            int64_t after_seq, int32_t limit, uint64_t types, db_done_fn *done,
                            void *arg)
{
    /* No sum of a position and STORE_LOOKED_AT overflows. */
    int64_t most = INT64_MAX - STORE_LOOKED_AT;
    db_param_uuid(&store->params, run);
    db_param_uuid(&store->params, tenant);
    db_param_int8(&store->params, after_seq > most ? most : after_seq);
    db_param_int4(&store->params, limit);
    event_mask_param(&store->params, types);
    store_give(store, tenant, &statements[STATEMENT_PAGE_SOME_EVENTS], done, arg);
}

void store_read_event(const struct db_result *result, int row, struct store_event *event_out)
{
    *event_out = (struct store_event){.head = db_int8(result, row, 0)};
    if (db_is_null(result, row, 1)) {
        return;
    }
    event_out->seq = db_int8(result, row, 1);
    event_out->type = db_bytes(result, row, 2, &event_out->type_length);
    event_out->ts_us = db_timestamptz(result, row, 3);
    event_out->payload = db_bytes(result, row, 4, &event_out->payload_length);
    if (!db_is_null(result, row, 5)) {
        db_uuid(result, row, 5, &event_out->trace);
    }
}

struct uuid store_read_event_thread(const struct db_result *result)
{
    struct uuid thread = {0};
    if (!db_is_null(result, 0, 6)) {
        db_uuid(result, 0, 6, &thread);
    }
    return thread;
}

int64_t store_read_event_count(const struct db_result *result)
{
    return db_is_null(result, 0, 7) ? 0 : db_int8(result, 0, 7);
}
