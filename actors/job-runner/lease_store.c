/* What the database is asked about leases, see lease.h: its clock decides, and one statement speaks
 * of many. */
#include "job-runner/jobs.h"
#include "job-runner/lease_internal.h"
#include "job-runner/shards.h"
#include "job-runner/store.h"
#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"

#include <stdlib.h>
#include <string.h>

enum { LOOK_AGAIN_MS = 2000 }; /* whether the process of a claim lives */

/* ---- beats ---- */

static bool is_to_be_renewed(const struct held *held, int64_t now_ms)
{
    return !held->ending &&
           (held->beaten || (held->cancelled != NULL &&
                             now_ms - held->renewed_ms >= (int64_t)(held->lease_ms / 3)));
}

/* Its place was not answered: the claim is not live. */
static void lose(struct lease *lease, int64_t id, const struct uuid *token)
{
    struct held *held = lease_find(lease, id, token);
    if (held != NULL) {
        lease_drop(lease, held, true);
    }
    jobs_doubt(lease->runner->jobs, id);
}

/* What could not be written is said again at the next flush, with the words that came with it. */
static void settle(struct lease *lease, struct held *held, bool written)
{
    held->beaten |= !written;
    if (written && held->progress_sent) {
        buffer_clear(&held->progress);
    }
    held->progress_sent = false;
    if (held->leaving && !held->beaten) {
        lease_drop(lease, held, false);
    }
}

static void on_renewed(void *arg, enum db_status status, const struct db_result *result)
{
    struct lease *lease = arg;
    struct lease_batch *batch = &lease->renewing;
    bool alive[LEASE_RENEW_MAX] = {false};
    size_t count = batch->count;
    batch->count = 0;
    if (status == DB_REFUSED) {
        LOG_ERROR("leases cannot be renewed", LOG_TEXT("error", db_message(result)));
    }
    for (int row = 0; status == DB_OK && row < db_rows(result); row++) {
        alive[db_int8(result, row, 0) - 1] = true;
    }
    for (size_t i = 0; i < count; i++) {
        struct held *held = lease_find(lease, batch->ids[i], &batch->tokens[i]);
        if (status == DB_OK && !alive[i]) {
            lose(lease, batch->ids[i], &batch->tokens[i]);
        } else if (held != NULL) {
            settle(lease, held, status == DB_OK);
        }
    }
}

static void put_progress(struct db_params *params, struct held *held)
{
    if (held->progress.length == 0) {
        db_array_null(params);
    } else {
        db_array_bytes(params, held->progress.data, held->progress.length);
        held->progress_sent = true;
    }
}

static size_t choose(struct lease *lease, struct held **chosen)
{
    int64_t now_ms = clock_monotonic_ms();
    size_t count = 0;
    size_t cursor = 0;
    struct held *held;
    while (count < LEASE_RENEW_MAX && (held = map_next(&lease->by_number, &cursor)) != NULL) {
        if (is_to_be_renewed(held, now_ms)) {
            held->beaten = false;
            held->renewed_ms = now_ms;
            lease->renewing.ids[count] = held->id;
            lease->renewing.tokens[count] = held->token;
            chosen[count++] = held;
        }
    }
    return count;
}

static void put_renewals(struct db_params *params, struct held *const *chosen, size_t count)
{
    db_array_begin(params, DB_ARRAY_INT8, count);
    for (size_t i = 0; i < count; i++) {
        db_array_int8(params, chosen[i]->id);
    }
    db_array_end(params);
    db_array_begin(params, DB_ARRAY_UUID, count);
    for (size_t i = 0; i < count; i++) {
        db_array_uuid(params, chosen[i]->token.bytes);
    }
    db_array_end(params);
    db_array_begin(params, DB_ARRAY_INT4, count);
    for (size_t i = 0; i < count; i++) {
        db_array_int4(params, (int32_t)chosen[i]->lease_ms);
    }
    db_array_end(params);
    db_array_begin(params, DB_ARRAY_JSON, count);
    for (size_t i = 0; i < count; i++) {
        put_progress(params, chosen[i]);
    }
    db_array_end(params);
}

void lease_flush(struct lease *lease)
{
    struct held *chosen[LEASE_RENEW_MAX];
    struct db *db = lease->runner->links.db;
    if (lease->renewing.count > 0 || !db_is_connected(db)) {
        return;
    }
    size_t count = choose(lease, chosen);
    if (count == 0) {
        return;
    }
    struct db_params params = {0};
    put_renewals(&params, chosen, count);
    lease->renewing.count = count;
    SB_FAULT("jobs_before_renewal");
    db_query(db, &store_renew, &params, on_renewed, lease);
    db_params_deinit(&params);
}

/* ---- leases that seem to be over ---- */

/* Columns of store_confirm: place, milliseconds left, beaten since its claim, its process lives. */
static void judge(struct lease *lease, struct held *held, const struct db_result *result, int row)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t left_ms = db_int8(result, row, 1);
    held->confirming = false;
    if (held->leaving || held->over_ms > now_ms) {
        return; /* beaten meanwhile */
    }
    if (held->delivery && db_bool(result, row, 2)) {
        held->delivery = false;
        held->over_ms = now_ms + (int64_t)held->lease_ms;
    } else if (held->origin != 0 && db_bool(result, row, 3) && left_ms > 0) {
        /* It renews the lease itself, as long as it lives. */
        held->over_ms = now_ms + (left_ms < LOOK_AGAIN_MS ? left_ms : LOOK_AGAIN_MS);
    } else if (held->delivery || held->origin != 0 || left_ms <= 0) {
        lease_expire(lease, held);
        return;
    } else {
        held->over_ms = now_ms + left_ms;
    }
}

static void on_confirmed(void *arg, enum db_status status, const struct db_result *result)
{
    struct lease *lease = arg;
    struct lease_batch *batch = &lease->confirming;
    int row = 0;
    size_t count = batch->count;
    batch->count = 0;
    if (status == DB_REFUSED) {
        LOG_ERROR("leases cannot be confirmed", LOG_TEXT("error", db_message(result)));
    }
    for (size_t i = 0; i < count; i++) {
        struct held *held = lease_find(lease, batch->ids[i], &batch->tokens[i]);
        bool shown =
            status == DB_OK && row < db_rows(result) && db_int8(result, row, 0) == (int64_t)i + 1;
        if (status != DB_OK && held != NULL) {
            held->confirming = false;
            held->over_ms = clock_monotonic_ms() + 1000;
        } else if (shown && held != NULL) {
            judge(lease, held, result, row);
        } else if (!shown && status == DB_OK) {
            lose(lease, batch->ids[i], &batch->tokens[i]);
        }
        row += shown ? 1 : 0;
    }
    lease_due(lease, clock_monotonic_ms());
}

static int by_id(const void *a, const void *b)
{
    const struct held *left = *(struct held *const *)a;
    const struct held *right = *(struct held *const *)b;
    return left->id < right->id ? -1 : left->id > right->id;
}

void lease_confirm(struct lease *lease, struct held *const *held, size_t count)
{
    struct held *sorted[LEASE_CONFIRM_MAX];
    struct db_params params = {0};
    struct lease_batch *batch = &lease->confirming;
    memcpy(sorted, held, count * sizeof *held);
    qsort(sorted, count, sizeof *sorted, by_id);
    batch->count = count;
    db_array_begin(&params, DB_ARRAY_INT8, count);
    for (size_t i = 0; i < count; i++) {
        sorted[i]->confirming = true;
        batch->ids[i] = sorted[i]->id;
        batch->tokens[i] = sorted[i]->token;
        db_array_int8(&params, sorted[i]->id);
    }
    db_array_end(&params);
    db_array_begin(&params, DB_ARRAY_UUID, count);
    for (size_t i = 0; i < count; i++) {
        db_array_uuid(&params, sorted[i]->token.bytes);
    }
    db_array_end(&params);
    db_array_begin(&params, DB_ARRAY_INT8, count);
    for (size_t i = 0; i < count; i++) {
        db_array_int8(&params, (int64_t)sorted[i]->origin);
    }
    db_array_end(&params);
    SB_FAULT("jobs_before_confirm");
    db_query(lease->runner->links.db, &store_confirm, &params, on_confirmed, lease);
    db_params_deinit(&params);
}

/* ---- what memory may have missed ---- */

/* Rows: number, token, shard. */
static void on_swept(void *arg, enum db_status status, const struct db_result *result)
{
    struct lease *lease = arg;
    struct uuid token;
    if (status != DB_OK) {
        return;
    }
    metric_set(METRIC_JOBS_STUCK, db_rows(result));
    if (db_rows(result) > 0) {
        LOG_WARN("claims whose lease is long over", LOG_INT("jobs", db_rows(result)),
                 LOG_INT("first", db_int8(result, 0, 0)));
    }
    for (int row = 0; row < db_rows(result); row++) {
        int64_t id = db_int8(result, row, 0);
        db_uuid(result, row, 1, &token);
        if (shards_is_ours(lease->runner->shards, (unsigned)db_int4(result, row, 2)) &&
            lease_find(lease, id, &token) == NULL) {
            jobs_doubt(lease->runner->jobs, id);
        }
    }
}

void lease_sweep(struct lease *lease)
{
    struct db_params params = {0};
    struct db *db = lease->runner->links.db;
    if (!db_is_connected(db) || lease->runner->actor->draining) {
        return;
    }
    db_param_int8(&params,
                  settings_int(lease->runner->actor->settings, SETTING_JOBS_STALE_CHECK_MS));
    db_query(db, &store_stuck, &params, on_swept, lease);
    db_params_deinit(&params);
}
