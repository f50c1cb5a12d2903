/* See store.h. */
#include "api/store.h"

#include "runtime/base/clock.h"
#include "runtime/base/list.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_MS = 5000, LOOK_MS = 250, HASH_BYTES = 32 };

#define TEXT_OF(value) #value
#define TEXT_OF_VALUE(value) TEXT_OF(value)
#define PAGE_BYTES TEXT_OF_VALUE(STORE_PAGE_BYTES)

enum statement {
    STATEMENT_PING,
    STATEMENT_FIND_KEY,
    STATEMENT_GET_RUN,
    STATEMENT_LIST_RUNS,
    STATEMENT_GET_HEAD,
    STATEMENT_GET_FEED,
    STATEMENT_PAGE_EVENTS,
    STATEMENT_COUNT
};

#define RUN_COLUMNS                                                                          \
    "r.run_id, r.thread_id, r.parent_run_id, r.status::text, r.metadata::text, h.last_seq, " \
    "r.created_at, r.started_at, r.completed_at"

static const struct db_statement statements[STATEMENT_COUNT] = {
    [STATEMENT_PING] = {"api_ping", "select 1"},
    [STATEMENT_FIND_KEY] = {"api_find_key",
                            "select key_id, tenant_id, hash, 'read' = any (scopes), "
                            "       'append' = any (scopes), 'admin' = any (scopes), expires_at "
                            "  from api_keys "
                            " where public_id = $1::text and revoked_at is null"},
    [STATEMENT_GET_RUN] = {"api_get_run",
                           "select " RUN_COLUMNS "  from runs r join run_heads h using (run_id) "
                           " where r.run_id = $1::uuid and r.tenant_id = $2::uuid"},
    /* `before` sums the rows above: the first row always comes. */
    [STATEMENT_LIST_RUNS] =
        {"api_list_runs",
         "select " RUN_COLUMNS "  from (select *, sum(octet_length(metadata::text)) "
         "                    over (order by created_at desc, run_id desc "
         "                          rows between unbounded preceding and 1 preceding) as before "
         "          from (select * from runs "
         "                 where tenant_id = $1::uuid "
         "                   and (created_at, run_id) < ($2::timestamptz, $3::uuid) "
         "                   and ($4::text is null or status = $4::text::run_status) "
         "                   and ($5::uuid is null or thread_id = $5::uuid) "
         "                 order by created_at desc, run_id desc limit $6::integer) newest) r "
         "  join run_heads h using (run_id) "
         " where coalesce(r.before, 0) < " PAGE_BYTES " order by r.created_at desc, r.run_id desc"},
    [STATEMENT_GET_HEAD] = {"api_get_head", "select last_seq, closed from run_heads "
                                            " where run_id = $1::uuid and tenant_id = $2::uuid"},
    [STATEMENT_GET_FEED] = {"api_get_feed",
                            "select p.position, $2::uuid is null or exists "
                            "       (select from runs "
                            "         where tenant_id = $1::uuid and thread_id = $2::uuid) "
                            "  from shard_positions p where p.shard = 0"},
    [STATEMENT_PAGE_EVENTS] =
        {"api_page_events",
         "select h.last_seq, e.seq, e.event_type::text, e.ts, e.payload "
         "  from run_heads h "
         "  left join lateral "
         "       (select seq, event_type, ts, payload "
         "          from (select seq, event_type, ts, payload, "
         "                       sum(octet_length(payload::text)) "
         "                         over (order by seq rows between unbounded preceding "
         "                                                     and 1 preceding) as before "
         "                  from (select seq, event_type, ts, payload from run_events "
         "                         where run_id = $1::uuid and seq > $3::bigint "
         "                         order by seq limit $4::integer) page) summed "
         "         where coalesce(before, 0) < " PAGE_BYTES ") e on true "
         " where h.run_id = $1::uuid and h.tenant_id = $2::uuid "
         " order by e.seq"},
};

struct store {
    struct db *db;
    struct event *clock;
    struct list calls; /* given and not answered, in order */
    struct db_params params;
};

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

struct store *store_create(const struct actor *actor)
{
    struct store *store = memory_new(sizeof *store);
    struct timeval every = {.tv_usec = LOOK_MS * 1000};
    list_init(&store->calls);
    store->db = db_open(actor->base, &(struct db_options){
                                         .settings = actor->settings,
                                         .role = actor->description->database_role,
                                         .application_name = actor->instance,
                                         .session_settings = "-c statement_timeout=5s",
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

static void give(struct store *store, enum statement statement, db_done_fn *done, void *arg)
{
    struct call *call = memory_new(sizeof *call);
    *call =
        (struct call){.store = store, .done = done, .arg = arg, .given_ms = clock_monotonic_ms()};
    list_init(&call->node);
    list_append(&store->calls, &call->node);
    db_query(store->db, &statements[statement], &store->params, answered, call);
    db_params_clear(&store->params);
}

void store_ping(struct store *store, db_done_fn *done, void *arg)
{
    give(store, STATEMENT_PING, done, arg);
}

void store_find_key(struct store *store, const char *public_id, db_done_fn *done, void *arg)
{
    db_param_text(&store->params, public_id, strlen(public_id));
    give(store, STATEMENT_FIND_KEY, done, arg);
}

void store_read_key(const struct db_result *result, struct store_key *key_out)
{
    size_t hash_length;
    db_uuid(result, 0, 0, &key_out->key);
    db_uuid(result, 0, 1, &key_out->tenant);
    key_out->hash = db_bytes(result, 0, 2, &hash_length);
    assert(hash_length == HASH_BYTES);
    key_out->read = db_bool(result, 0, 3);
    key_out->append = db_bool(result, 0, 4);
    key_out->admin = db_bool(result, 0, 5);
    key_out->expires_us = db_is_null(result, 0, 6) ? INT64_MAX : db_timestamptz(result, 0, 6);
}

void store_get_run(struct store *store, const struct uuid *tenant, const struct uuid *run,
                   db_done_fn *done, void *arg)
{
    db_param_uuid(&store->params, run);
    db_param_uuid(&store->params, tenant);
    give(store, STATEMENT_GET_RUN, done, arg);
}

void store_list_runs(struct store *store, const struct store_runs_filter *filter, db_done_fn *done,
                     void *arg)
{
    struct db_params *params = &store->params;
    db_param_uuid(params, &filter->tenant);
    db_param_timestamptz(params, filter->before_us);
    db_param_uuid(params, &filter->before_id);
    if (filter->status == NULL) {
        db_param_null(params);
    } else {
        db_param_text(params, filter->status, strlen(filter->status));
    }
    if (uuid_is_nil(&filter->thread)) {
        db_param_null(params);
    } else {
        db_param_uuid(params, &filter->thread);
    }
    db_param_int4(params, filter->limit);
    give(store, STATEMENT_LIST_RUNS, done, arg);
}

static struct uuid uuid_or_nil(const struct db_result *result, int row, int column)
{
    struct uuid uuid = {0};
    if (!db_is_null(result, row, column)) {
        db_uuid(result, row, column, &uuid);
    }
    return uuid;
}

static int64_t time_or_zero(const struct db_result *result, int row, int column)
{
    return db_is_null(result, row, column) ? 0 : db_timestamptz(result, row, column);
}

void store_read_run(const struct db_result *result, int row, struct store_run *run_out)
{
    db_uuid(result, row, 0, &run_out->id);
    run_out->thread = uuid_or_nil(result, row, 1);
    run_out->parent = uuid_or_nil(result, row, 2);
    run_out->status = db_bytes(result, row, 3, &run_out->status_length);
    run_out->metadata = db_bytes(result, row, 4, &run_out->metadata_length);
    run_out->last_seq = db_int8(result, row, 5);
    run_out->created_us = db_timestamptz(result, row, 6);
    run_out->started_us = time_or_zero(result, row, 7);
    run_out->completed_us = time_or_zero(result, row, 8);
}

void store_get_head(struct store *store, const struct uuid *tenant, const struct uuid *run,
                    db_done_fn *done, void *arg)
{
    db_param_uuid(&store->params, run);
    db_param_uuid(&store->params, tenant);
    give(store, STATEMENT_GET_HEAD, done, arg);
}

void store_read_head(const struct db_result *result, struct store_head *head_out)
{
    head_out->last_seq = db_int8(result, 0, 0);
    head_out->closed = db_bool(result, 0, 1);
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
    give(store, STATEMENT_GET_FEED, done, arg);
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
    give(store, STATEMENT_PAGE_EVENTS, done, arg);
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
}
