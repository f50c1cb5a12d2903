/*
 * Taking the shard and keeping it. Taking: check the durability settings, raise the epoch, read the
 * origins' high marks, publish what a predecessor committed and may not have published, then serve.
 * Each step is one query on the writing connection; whatever fails ends the attempt, and the next
 * one begins when the connection is back or the timer fires.
 */
#include "proto/child_contract.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "sequencer/sequencer.h"
#include "sequencer/store.h"

#include <string.h>
#include <unistd.h>

enum {
    EPOCH_RENEW_MS = 1000,
    EPOCH_DRAIN_PAGE = 500,
    EPOCH_ANSWERS_MS = 600000,  /* answers kept for a silent sender */
    EPOCH_ORIGINS_MS = 86400000 /* its numbers: as long as acquire_epoch keeps them in the table */
};

/* True: go on. Otherwise the attempt has ended, and what follows has been arranged. */
static bool step_succeeded(struct sequencer *sequencer, enum db_status status,
                           const struct db_result *result, const char *step)
{
    if (status == DB_OK) {
        return true;
    }
    sequencer->taking = false;
    if (status == DB_LOST) {
        return false; /* the connection's return begins again */
    }
    if (strcmp(db_sqlstate(result), "SB001") == 0) {
        sequencer_fenced(sequencer);
        return false;
    }
    /* Lease held by another host, tables not migrated yet, ...: the renew timer tries again. */
    LOG_WARN("cannot take the shard", LOG_TEXT("step", step),
             LOG_TEXT("sqlstate", db_sqlstate(result)), LOG_TEXT("error", db_message(result)));
    return false;
}

static void serve(struct sequencer *sequencer)
{
    sequencer->taking = false;
    sequencer->serving = true;
    metric_set(METRIC_OUTBOX_LAG_MS, 0);
    LOG_INFO("serving", LOG_INT("epoch", sequencer->epoch),
             LOG_INT("position", sequencer->position));
    publish_start(sequencer);
    timers_start(sequencer);
    intake_ask_again(sequencer);
    event_active(sequencer->work, EV_TIMEOUT, 0);
}

static void drain_unpublished(struct sequencer *sequencer);

static void on_unpublished(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    if (status == DB_REFUSED) {
        /* Readers repair from the table when they see the new epoch; service does not wait for a
         * hint. */
        LOG_WARN("what the predecessor had not published stays unpublished",
                 LOG_TEXT("sqlstate", db_sqlstate(result)), LOG_TEXT("error", db_message(result)));
        sequencer->published = sequencer->position;
        serve(sequencer);
        return;
    }
    if (!step_succeeded(sequencer, status, result, "unpublished")) {
        return;
    }
    int rows = db_rows(result);
    publish_stored(sequencer, result);
    if (rows > 0) {
        sequencer->published = db_int8(result, rows - 1, 6);
        LOG_INFO("published what the predecessor had not", LOG_INT("events", rows),
                 LOG_INT("position", sequencer->published));
    }
    if (rows == EPOCH_DRAIN_PAGE) {
        drain_unpublished(sequencer);
        return;
    }
    sequencer->published = sequencer->position;
    serve(sequencer);
}

static void drain_unpublished(struct sequencer *sequencer)
{
    struct db_params params = {0};
    db_param_int8(&params, sequencer->published);
    db_param_int4(&params, EPOCH_DRAIN_PAGE);
    db_query(sequencer->writer, &store_statements[STORE_UNPUBLISHED], &params, on_unpublished,
             sequencer);
    db_params_deinit(&params);
}

static void on_origins(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    if (!step_succeeded(sequencer, status, result, "origins")) {
        return;
    }
    int64_t now_ms = clock_monotonic_ms();
    for (int row = 0; row < db_rows(result); row++) {
        uint64_t origin = (uint64_t)db_int8(result, row, 0);
        order_load(&sequencer->order, origin, (uint64_t)db_int8(result, row, 1));
        order_origin(&sequencer->order, origin)->seen_ms = now_ms;
    }
    quota_load(sequencer); /* before its answer there is none to the next */
    drain_unpublished(sequencer);
}

static void on_acquired(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    if (!step_succeeded(sequencer, status, result, "epoch")) {
        return;
    }
    sequencer->epoch = sequencer->previous_epoch = (uint64_t)db_int8(result, 0, 0);
    sequencer->position = db_int8(result, 0, 1);
    sequencer->published = sequencer->published_stored = db_int8(result, 0, 2);
    sequencer->counter = 0;
    sequencer->jobs.counter = 0;
    LOG_INFO("epoch taken", LOG_INT("epoch", sequencer->epoch));
    db_query(sequencer->writer, &store_statements[STORE_ORIGINS], NULL, on_origins, sequencer);
}

static void acquire(struct sequencer *sequencer)
{
    struct db_params params = {0};
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    db_param_int4(&params, SEQUENCER_SHARD);
    db_param_text(&params, sequencer->actor->instance, strlen(sequencer->actor->instance));
    db_param_text(&params, host, strlen(host));
    db_param_int4(&params,
                  (int32_t)settings_int(sequencer->actor->settings, SETTING_SEQUENCER_LEASE_MS));
    if (sequencer->previous_epoch == 0) {
        db_param_null(&params);
    } else {
        db_param_int8(&params, (int64_t)sequencer->previous_epoch);
    }
    db_query(sequencer->writer, &store_statements[STORE_ACQUIRE], &params, on_acquired, sequencer);
    db_params_deinit(&params);
}

static void on_durability(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    if (!step_succeeded(sequencer, status, result, "durability")) {
        return;
    }
    bool safe = db_bool(result, 0, 0) && db_bool(result, 0, 1) && db_bool(result, 0, 2);
    size_t length;
    char system[32] = "";
    const char *identifier = db_bytes(result, 0, 3, &length);
    memcpy(system, identifier, length < sizeof system ? length : sizeof system - 1);
    LOG_INFO("database durability", LOG_TEXT("safe", safe ? "yes" : "no"),
             LOG_TEXT("system_identifier", system), LOG_INT("timeline", db_int4(result, 0, 4)));
    if (!safe && !settings_bool(sequencer->actor->settings, SETTING_DATABASE_ALLOW_UNSAFE)) {
        LOG_ERROR(
            "fsync, full_page_writes or synchronous_commit is off: acknowledged events could be "
            "lost; set database.allow_unsafe for development only");
        actor_fail(sequencer->actor, EXIT_CODE_CONFIG);
        return;
    }
    acquire(sequencer);
}

void epoch_take(struct sequencer *sequencer)
{
    if (!sequencer->wanted || sequencer->taking || sequencer->serving ||
        sequencer->actor->draining || !db_is_connected(sequencer->writer)) {
        return;
    }
    sequencer->taking = true;
    db_query(sequencer->writer, &store_statements[STORE_DURABILITY], NULL, on_durability,
             sequencer);
}

static void on_renewed(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    if (status == DB_REFUSED && strcmp(db_sqlstate(result), "SB001") == 0) {
        sequencer_fenced(sequencer);
    } else if (status == DB_REFUSED) {
        LOG_WARN("lease not renewed", LOG_TEXT("error", db_message(result)));
    }
}

static void renew(struct sequencer *sequencer)
{
    struct db_params params = {0};
    db_param_int4(&params, SEQUENCER_SHARD);
    db_param_int8(&params, (int64_t)sequencer->epoch);
    db_param_int4(&params,
                  (int32_t)settings_int(sequencer->actor->settings, SETTING_SEQUENCER_LEASE_MS));
    db_query(sequencer->writer, &store_statements[STORE_RENEW], &params, on_renewed, sequencer);
    db_params_deinit(&params);
}

static void on_lease_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct sequencer *sequencer = arg;
    if (sequencer->serving && db_is_connected(sequencer->writer)) {
        renew(sequencer);
        publish_store_cursor(sequencer);
        quota_refresh(sequencer);
        int64_t now_ms = clock_monotonic_ms();
        order_forget(&sequencer->order, now_ms - EPOCH_ANSWERS_MS, now_ms - EPOCH_ORIGINS_MS);
    } else {
        epoch_take(sequencer);
    }
}

void epoch_keep(struct sequencer *sequencer)
{
    sequencer->lease_timer =
        event_new(sequencer->actor->base, -1, EV_PERSIST, on_lease_timer, sequencer);
    event_add(sequencer->lease_timer, &(struct timeval){EPOCH_RENEW_MS / 1000, 0});
}
