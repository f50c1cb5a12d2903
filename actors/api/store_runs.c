/*
 * See store_runs.h. Which index a query goes along is decided here and not by the planner, which
 * does not know what is rare in metadata: one statement for each way, all with the same parameters.
 */
#include "api/store_runs.h"

#include "api/request.h"
#include "api/store_internal.h"
#include "runtime/run_status.h"

#include <assert.h>
#include <string.h>

/* clang-format off */
/* The head by a sub-select: a join could be made with all heads there are. */
#define RUN_COLUMNS                                                                           \
    "r.run_id, r.thread_id, r.parent_run_id, r.status::text, r.metadata::text, "              \
    "(select h.last_seq from run_heads h where h.run_id = r.run_id), "                        \
    "r.created_at, r.started_at, r.completed_at, r.created_by, r.deliverable_type, r.start_at, " \
    "r.fork_seq, r.create_no is not null"

/* $1 tenant, $2 and $3 position, $4 earliest time, $5 statuses, $6 thread, $7 parent, $8 metadata,
 * $9 and $10 ids, $11 rows; of walks, $12 whether to stop at the edge. Sub-selects: their text is read once, not for every row. */
#define WANTED_STATUSES "(select $5::text[]::run_status[])::run_status[]"
#define WANTED_METADATA "(select $8::text::jsonb)"
#define POSITION                                                                              \
    " and (r.created_at, r.run_id) < ($2::timestamptz, $3::uuid) and r.created_at > $4::timestamptz "
/* "is true" keeps the planner from going along an index that was not chosen here. */
#define MATCHES                                                                               \
    " and ($5::text[] is null or (r.status = any (" WANTED_STATUSES ")) is true) "            \
    " and ($6::uuid is null or (r.thread_id = $6::uuid) is true) "                            \
    " and ($7::uuid is null or (r.parent_run_id = $7::uuid) is true) "                        \
    " and ($8::text is null or (r.metadata @> " WANTED_METADATA ") is true) "                 \
    " and ($9::uuid is null or (r.run_id between $9::uuid and $10::uuid) is true) "
#define NEWEST " order by r.created_at desc, r.run_id desc "

#define BY_TENANT "r.tenant_id = $1::uuid"
#define BY_THREAD BY_TENANT " and r.thread_id = $6::uuid"
#define BY_PARENT BY_TENANT " and r.parent_run_id = $7::uuid"
#define BY_STATUS BY_TENANT " and r.status = s.status"
#define BY_METADATA BY_TENANT " and r.metadata @> " WANTED_METADATA
#define BY_ID BY_TENANT " and r.run_id between $9::uuid and $10::uuid"
#define STATUSES "(select unnest($5::text[]::run_status[]) as status) s cross join lateral "

/* The row at which a walk of STORE_WALK_ROWS ends; none: the list is shorter. */
#define EDGE_ROWS STORE_TEXT_OF_VALUE(10000)
_Static_assert(STORE_WALK_ROWS == 10000, "the text of the statements says the same");
#define KEYS(way) "select r.created_at, r.run_id from tenant_runs r where " way POSITION NEWEST
#define EDGE(way) KEYS("$12::boolean and " way) " offset " EDGE_ROWS " - 1 limit 1"
#define EDGE_OF_STATUSES                                                                      \
    "select r.created_at, r.run_id from " STATUSES "(" KEYS(BY_STATUS) " limit " EDGE_ROWS ") r " \
    " where $12::boolean " NEWEST " offset " EDGE_ROWS " - 1 limit 1"

/* The most rows of a page as a number: with a parameter alone the planner takes a page for a tenth
 * of the table. */
#define MOST_ROWS STORE_TEXT_OF_VALUE(1001)
_Static_assert(REQUEST_LIMIT_MAX + 1 == 1001, "the text of the statements says the same");
#define ROWS(way)                                                                             \
    "select * from (select r.* from tenant_runs r where " way POSITION MATCHES                \
    " and (r.created_at, r.run_id) >= (coalesce(edge.created_at, '-infinity'), "              \
    "      coalesce(edge.run_id, '00000000-0000-0000-0000-000000000000')) "                   \
    NEWEST " limit " MOST_ROWS ") r limit $11::integer"
#define ROWS_OF_STATUSES                                                                      \
    "select r.* from " STATUSES "(" ROWS(BY_STATUS) ") r " NEWEST " limit $11::integer"

/* `before` sums the rows above: the first row always comes. */
#define WITH_SIZES(rows)                                                                      \
    "select r.*, sum(octet_length(r.metadata::text)) "                                        \
    "  over (" NEWEST " rows between unbounded preceding and 1 preceding) as before "         \
    "  from (" rows ") r"

#define WALK(edge, rows)                                                                      \
    "with edge as materialized (" edge ") "                                                   \
    "select " RUN_COLUMNS ", edge.created_at, edge.run_id "                                  \
    "  from (select 1) one left join edge on true "                                          \
    "  left join lateral (" WITH_SIZES(rows) ") r on coalesce(r.before, 0) < " PAGE_BYTES NEWEST

#define FIND(way)                                                                             \
    "with hits as materialized (select r.created_at, r.run_id from tenant_runs r "                   \
    "                            where " way POSITION MATCHES ") "                           \
    "select " RUN_COLUMNS ", null::timestamptz, null::uuid "                                 \
    "  from (" WITH_SIZES("select r.* from (select * from hits r " NEWEST " limit $11::integer) hit " \
                          "  join tenant_runs r using (run_id)") ") r "                              \
    " where coalesce(r.before, 0) < " PAGE_BYTES NEWEST

#define COUNT(way)                                                                            \
    "select count(*) from (select 1 from tenant_runs r where " way POSITION MATCHES " limit $11::integer) r"
#define COUNT_OF_STATUSES                                                                     \
    "select count(*) from (select 1 from " STATUSES                                           \
    "  (select 1 from tenant_runs r where " BY_STATUS POSITION MATCHES " limit $11::integer) r "     \
    "  limit $11::integer) r"

#define SELECT(way)                                                                           \
    "select r.run_id, count(*) over () from tenant_runs r where " way POSITION MATCHES               \
    " order by r.created_at, r.run_id limit $11::integer"

enum way { WAY_NEWEST, WAY_STATUS, WAY_THREAD, WAY_PARENT, WAY_METADATA, WAY_ID, WAYS };

static const struct db_statement get_run = {
    "api_get_run", "select " RUN_COLUMNS "  from tenant_runs r "
                   " where r.run_id = $1::uuid and r.tenant_id = $2::uuid"};

static const struct db_statement walks[] = {
    [WAY_NEWEST] = {"api_walk_runs", WALK(EDGE(BY_TENANT), ROWS(BY_TENANT))},
    [WAY_STATUS] = {"api_walk_runs_status", WALK(EDGE_OF_STATUSES, ROWS_OF_STATUSES)},
    [WAY_THREAD] = {"api_walk_runs_thread", WALK(EDGE(BY_THREAD), ROWS(BY_THREAD))},
    [WAY_PARENT] = {"api_walk_runs_parent", WALK(EDGE(BY_PARENT), ROWS(BY_PARENT))},
};

static const struct db_statement finds[WAYS] = {
    [WAY_METADATA] = {"api_find_runs_metadata", FIND(BY_METADATA)},
    [WAY_ID] = {"api_find_runs_id", FIND(BY_ID)},
};

static const struct db_statement counts[WAYS] = {
    [WAY_NEWEST] = {"api_count_runs", COUNT(BY_TENANT)},
    [WAY_STATUS] = {"api_count_runs_status", COUNT_OF_STATUSES},
    [WAY_THREAD] = {"api_count_runs_thread", COUNT(BY_THREAD)},
    [WAY_PARENT] = {"api_count_runs_parent", COUNT(BY_PARENT)},
    [WAY_METADATA] = {"api_count_runs_metadata", COUNT(BY_METADATA)},
    [WAY_ID] = {"api_count_runs_id", COUNT(BY_ID)},
};

static const struct db_statement selects = {"api_select_runs", SELECT(
    BY_TENANT " and r.status = any (" WANTED_STATUSES ")")};
/* clang-format on */

void store_get_run(struct store *store, const struct uuid *tenant, const struct uuid *run,
                   db_done_fn *done, void *arg)
{
    db_param_uuid(&store->params, run);
    db_param_uuid(&store->params, tenant);
    store_give(store, tenant, &get_run, done, arg);
}

/* ---- parameters ---- */

static void param_statuses(struct db_params *params, unsigned statuses)
{
    if (statuses == 0) {
        db_param_null(params);
        return;
    }
    db_array_begin(params, DB_ARRAY_TEXT, (size_t)__builtin_popcount(statuses));
    for (unsigned i = 0; i < STORE_RUN_STATUSES; i++) {
        if ((statuses & 1U << i) != 0) {
            const char *name = run_status_name(i);
            db_array_bytes(params, name, strlen(name));
        }
    }
    db_array_end(params);
}

static void param_uuid_or_null(struct db_params *params, const struct uuid *uuid, bool given)
{
    if (given) {
        db_param_uuid(params, uuid);
    } else {
        db_param_null(params);
    }
}

static void fill(struct db_params *params, const struct store_runs_filter *filter,
                 const struct store_runs_page *page)
{
    /* Where the filter ends earlier than the page: nil is the least of all ids. */
    bool earlier = filter->before_us != 0 && filter->before_us <= page->before_us;
    struct uuid nil = {0};
    db_param_uuid(params, &filter->tenant);
    db_param_timestamptz(params, earlier ? filter->before_us : page->before_us);
    db_param_uuid(params, earlier ? &nil : &page->before_id);
    db_param_timestamptz(params, filter->after_us);
    param_statuses(params, filter->statuses);
    param_uuid_or_null(params, &filter->thread, !uuid_is_nil(&filter->thread));
    param_uuid_or_null(params, &filter->parent, !uuid_is_nil(&filter->parent));
    if (filter->metadata.length > 0) {
        db_param_text(params, (const char *)filter->metadata.data, filter->metadata.length);
    } else {
        db_param_null(params);
    }
    param_uuid_or_null(params, &filter->id_low, filter->by_id);
    param_uuid_or_null(params, &filter->id_high, filter->by_id);
    db_param_int4(params, page->limit);
}

/* ---- pages ---- */

static enum way way_to_walk(const struct store_runs_filter *filter)
{
    if (!uuid_is_nil(&filter->thread)) {
        return WAY_THREAD;
    }
    if (!uuid_is_nil(&filter->parent)) {
        return WAY_PARENT;
    }
    return filter->statuses != 0 ? WAY_STATUS : WAY_NEWEST;
}

static enum way way_to_count(const struct store_runs_filter *filter)
{
    if (store_common_digits(filter) >= STORE_RARE_DIGITS) {
        return WAY_ID;
    }
    if (!uuid_is_nil(&filter->thread) || !uuid_is_nil(&filter->parent)) {
        return way_to_walk(filter);
    }
    return filter->metadata.length > 0 ? WAY_METADATA : way_to_walk(filter);
}

/* Whether rows on the way may not match, so that a page could be far to seek. */
static bool is_partial(const struct store_runs_filter *filter, enum way way)
{
    return filter->by_id || filter->metadata.length > 0 ||
           (way != WAY_STATUS && filter->statuses != 0) ||
           (way == WAY_THREAD && !uuid_is_nil(&filter->parent));
}

void store_walk_runs(struct store *store, const struct store_runs_filter *filter,
                     const struct store_runs_page *page, db_done_fn *done, void *arg)
{
    enum way way = way_to_walk(filter);
    fill(&store->params, filter, page);
    db_param_bool(&store->params, is_partial(filter, way));
    store_give(store, &filter->tenant, &walks[way], done, arg);
}

int store_common_digits(const struct store_runs_filter *filter)
{
    const uint8_t *low = filter->id_low.bytes;
    const uint8_t *high = filter->id_high.bytes;
    int digits = 2 * (int)sizeof filter->id_low.bytes;
    int count = 0;
    if (!filter->by_id || memcmp(low, high, sizeof filter->id_low.bytes) > 0) {
        return filter->by_id ? digits : 0;
    }
    while (count < digits && (low[count / 2] ^ high[count / 2]) >> (count % 2 == 0 ? 4 : 0) == 0) {
        count++;
    }
    return count;
}

void store_find_runs(struct store *store, const struct store_runs_filter *filter,
                     const struct store_runs_page *page, db_done_fn *done, void *arg)
{
    bool by_id = store_common_digits(filter) >= STORE_RARE_DIGITS;
    assert(by_id || filter->metadata.length > 0);
    fill(&store->params, filter, page);
    store_give(store, &filter->tenant, &finds[by_id ? WAY_ID : WAY_METADATA], done, arg);
}

enum { COLUMN_EDGE_TIME = 14, COLUMN_EDGE_ID };

bool store_read_edge(const struct db_result *result, int64_t *created_us_out, struct uuid *id_out)
{
    if (db_rows(result) == 0 || db_is_null(result, 0, COLUMN_EDGE_TIME)) {
        return false;
    }
    *created_us_out = db_timestamptz(result, 0, COLUMN_EDGE_TIME);
    db_uuid(result, 0, COLUMN_EDGE_ID, id_out);
    return true;
}

int store_page_rows(const struct db_result *result)
{
    int rows = db_rows(result);
    return rows == 1 && db_is_null(result, 0, 0) ? 0 : rows;
}

/* Before everything: the end of the year 9999, and the greatest id. */
static struct store_runs_page whole(int32_t limit)
{
    struct store_runs_page page = {.before_us = 253402300799999999, .limit = limit};
    memset(page.before_id.bytes, 0xff, sizeof page.before_id.bytes);
    return page;
}

void store_count_runs(struct store *store, const struct store_runs_filter *filter, db_done_fn *done,
                      void *arg)
{
    struct store_runs_page page = whole(STORE_COUNT_MAX + 1);
    fill(&store->params, filter, &page);
    store_give(store, &filter->tenant, &counts[way_to_count(filter)], done, arg);
}

int64_t store_read_count(const struct db_result *result)
{
    return db_int8(result, 0, 0);
}

void store_select_runs(struct store *store, const struct store_runs_filter *filter, int32_t limit,
                       db_done_fn *done, void *arg)
{
    struct store_runs_page page = whole(limit);
    assert(filter->statuses != 0);
    fill(&store->params, filter, &page);
    store_give(store, &filter->tenant, &selects, done, arg);
}

struct uuid store_read_selected(const struct db_result *result, int row)
{
    struct uuid id;
    db_uuid(result, row, 0, &id);
    return id;
}

int64_t store_read_selected_count(const struct db_result *result)
{
    return db_rows(result) == 0 ? 0 : db_int8(result, 0, 1);
}

/* ---- rows ---- */

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

static const char *text_or_none(const struct db_result *result, int row, int column,
                                size_t *length_out)
{
    *length_out = 0;
    return db_is_null(result, row, column) ? "" : db_bytes(result, row, column, length_out);
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
    run_out->created_by = text_or_none(result, row, 9, &run_out->created_by_length);
    run_out->deliverable = text_or_none(result, row, 10, &run_out->deliverable_length);
    run_out->start_us = time_or_zero(result, row, 11);
    run_out->fork_seq = db_is_null(result, row, 12) ? 0 : db_int8(result, row, 12);
    run_out->began_pending = db_bool(result, row, 13);
}
