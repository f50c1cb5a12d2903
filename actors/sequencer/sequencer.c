/*
 * The sequencer: the only writer of run state.
 *
 * Receives, from every other actor, on the inherited listener "commands" (ROUTER): CREATE_RUN,
 * APPEND, CANCEL_RUN, RESUME_RUN, TOUCH_RUN, HELLO. Sends RESULT, NACK, BUSY back; EVENTS and HINT on
 * the inherited listener "events" (XPUB). Owns the epoch of its shard; runs, run_heads, run_events,
 * run_questions, origins through append_batch, nothing directly. On crash nothing it knew is needed:
 * heads, high marks, keys and due times are in the table; senders ask again in order; a successor
 * takes the next epoch, and a batch of the old one can no longer commit.
 */
#include "sequencer/commands.h"

#include "proto/child_contract.h"
#include "runtime/base/limits.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"

#include <sodium.h>
#include <stdlib.h>

enum { SEQUENCER_DRAIN_LINGER_MS = 200 };

/* Statement limits: a frozen writer must not hold anything for long. And
 * plans that do not depend on statistics: every statement here finds its rows by index from an
 * array, whatever the tables held when it was planned (a hash join over run_events, planned while
 * it was small, cost 160 us a command). */
static const char session_settings[] =
    "-c statement_timeout=5s -c lock_timeout=2s -c jit=off -c plan_cache_mode=force_generic_plan "
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off";

static void drop_commands(struct sequencer *sequencer)
{
    struct list *first;
    batch_abandon(sequencer);
    sequencer->gate_command = NULL;
    sequencer->lone.command = NULL;
    while ((first = list_first(&sequencer->queue)) != NULL) {
        list_remove(first);
        command_destroy(LIST_ENTRY(first, struct command, node));
    }
    sequencer->queue_count = 0;
    sequencer->queue_bytes = 0;
    sequencer->split = 0;
}

void sequencer_fenced(struct sequencer *sequencer)
{
    LOG_WARN("fenced: another sequencer holds the shard", LOG_INT("epoch", sequencer->epoch));
    sequencer->serving = false;
    sequencer->wanted = false;
    actor_fail(sequencer->actor, EXIT_CODE_FENCED);
}

void sequencer_lost(struct sequencer *sequencer)
{
    if (sequencer->serving) {
        LOG_WARN("database lost: outcomes in flight are unknown until it is back");
    }
    sequencer->serving = false;
    sequencer->taking = false;
    sequencer->epoch = 0;
    drop_commands(sequencer);
    jobs_clear(sequencer);
    runs_clear(sequencer);
    producers_clear(&sequencer->producers);
    order_reset(&sequencer->order);
    sequencer_check_drained(sequencer);
}

void sequencer_check_drained(struct sequencer *sequencer)
{
    if (!sequencer->actor->draining || sequencer->batch->under_way || sequencer->queue_count > 0) {
        return;
    }
    if (sequencer->serving) {
        publish_store_cursor(sequencer);
    }
    if (sequencer->storing_cursor) {
        return; /* its answer comes back here */
    }
    actor_drained(sequencer->actor);
}

static void on_work(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct sequencer *sequencer = arg;
    if (!sequencer->serving) {
        return;
    }
    resolve_start(sequencer);
    batch_start(sequencer);
    timers_work(sequencer);
    sequencer_check_drained(sequencer);
}

static void on_writer(void *arg, bool up)
{
    struct sequencer *sequencer = arg;
    if (up) {
        epoch_take(sequencer);
    } else {
        sequencer_lost(sequencer);
    }
}

static void on_reader(void *arg, bool up)
{
    struct sequencer *sequencer = arg;
    if (up) {
        event_active(sequencer->work, EV_TIMEOUT, 0);
    }
}

/* Streamers subscribe when they start: a hint at once spares them the wait for the next beat. */
static void on_subscription(void *arg, const struct bus_peer *peer, const uint8_t *frame,
                            size_t length)
{
    (void)peer;
    (void)frame;
    (void)length;
    struct sequencer *sequencer = arg;
    if (sequencer->serving) {
        publish_hint(sequencer);
    }
}

static struct db *open_db(struct actor *actor, void (*connected)(void *, bool), void *arg)
{
    struct db_options options = {.settings = actor->settings,
                                 .role = actor->description->database_role,
                                 .application_name = actor->instance,
                                 .session_settings = session_settings,
                                 .connected = connected,
                                 .arg = arg};
    return db_open(actor->base, &options);
}

static struct batch *create_batch(void)
{
    struct batch *batch = memory_new(sizeof *batch);
    list_init(&batch->commands);
    return batch;
}

static void destroy_batch(struct batch *batch)
{
    free(batch->rows);
    free(batch->heads);
    free(batch->origins);
    free(batch->creates);
    free(batch->jobs);
    free(batch->deps);
    free(batch->job_rows);
    free(batch->texts);
    db_params_deinit(&batch->params);
    free(batch);
}

static int start(struct actor *actor, struct error *err)
{
    struct sequencer *sequencer = memory_new(sizeof *sequencer);
    actor->state = sequencer;
    sequencer->actor = actor;
    order_init(&sequencer->order);
    list_init(&sequencer->queue);
    list_init(&sequencer->runs_by_use);
    producers_init(&sequencer->producers);
    jobs_init(&sequencer->jobs);
    accounts_init(&sequencer->quotas.accounts);
    sequencer->batch = create_batch();
    sequencer->spare_batch = create_batch();
    if (sodium_init() < 0) {
        return error_set(err, "libsodium cannot start");
    }
    /* Keys stay in the ring at least until every command that was queued when they committed has
     * been evaluated. */
    sequencer->key_capacity =
        2 * (size_t)(settings_int(actor->settings, SETTING_SEQUENCER_QUEUE) +
                     settings_int(actor->settings, SETTING_SEQUENCER_BATCH_ROWS));
    sequencer->key_ring = memory_array(sequencer->key_capacity, sizeof *sequencer->key_ring);
    sequencer->work = event_new(actor->base, -1, EV_TIMEOUT, on_work, sequencer);
    epoch_keep(sequencer);
    sequencer->writer = open_db(actor, on_writer, sequencer);
    sequencer->reader = open_db(actor, on_reader, sequencer);
    return 0;
}

/* After GO: bind, then take the epoch as soon as the database is there. Senders that connect before
 * that are not answered; they ask again. */
static int go(struct actor *actor, struct error *err)
{
    struct sequencer *sequencer = actor->state;
    char commands[LIMIT_SOCKET_PATH_BYTES + 1];
    char events[LIMIT_SOCKET_PATH_BYTES + 1];
    actor_path(actor, CHILD_SOCKET_COMMANDS, commands);
    actor_path(actor, CHILD_SOCKET_EVENTS, events);
    struct bus_options command_options = {.role = BUS_COMMANDS_SERVER,
                                          .path = commands,
                                          .listener =
                                              actor_listener(actor, CHILD_LISTENER_COMMANDS),
                                          .handler = {intake_received, NULL, sequencer}};
    struct bus_options event_options = {.role = BUS_EVENTS_SERVER,
                                        .path = events,
                                        .listener = actor_listener(actor, CHILD_LISTENER_EVENTS),
                                        .handler = {on_subscription, NULL, sequencer}};
    sequencer->commands = bus_open(actor->bus, &command_options, err);
    sequencer->events =
        sequencer->commands == NULL ? NULL : bus_open(actor->bus, &event_options, err);
    if (sequencer->events == NULL) {
        return -1;
    }
    sequencer->wanted = true;
    epoch_take(sequencer);
    return 0;
}

static void drain(struct actor *actor, int64_t deadline_ms)
{
    (void)deadline_ms;
    struct sequencer *sequencer = actor->state;
    if (sequencer->commands != NULL) {
        bus_linger(sequencer->commands, SEQUENCER_DRAIN_LINGER_MS);
        bus_linger(sequencer->events, SEQUENCER_DRAIN_LINGER_MS);
    }
    if (!sequencer->serving) {
        drop_commands(sequencer);
    }
    sequencer_check_drained(sequencer);
}

static void stop(struct actor *actor)
{
    struct sequencer *sequencer = actor->state;
    if (sequencer == NULL) {
        return;
    }
    sequencer->serving = false;
    timers_stop(sequencer);
    bus_close(&sequencer->commands);
    bus_close(&sequencer->events);
    db_close(&sequencer->reader);
    db_close(&sequencer->writer);
    drop_commands(sequencer);
    jobs_clear(sequencer);
    runs_clear(sequencer);
    producers_clear(&sequencer->producers);
    accounts_clear(&sequencer->quotas.accounts);
    map_deinit(&sequencer->runs);
    map_deinit(&sequencer->keys);
    map_deinit(&sequencer->jobs.by_id);
    map_deinit(&sequencer->jobs.by_key);
    order_deinit(&sequencer->order);
    free(sequencer->key_ring);
    destroy_batch(sequencer->batch);
    destroy_batch(sequencer->spare_batch);
    struct event *events[] = {sequencer->work, sequencer->lease_timer, sequencer->hint_timer};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i] != NULL) {
            event_free(events[i]);
        }
    }
    free(sequencer);
    actor->state = NULL;
}

static void report(struct actor *actor, struct actor_report *report_out)
{
    const struct sequencer *sequencer = actor->state;
    report_out->healthy =
        sequencer->serving && db_is_connected(sequencer->reader) && !sequencer->stuck.blocked;
    report_out->queued = sequencer->queue_count;
    report_out->in_flight = sequencer->batch->count;
}

static void dump(struct actor *actor)
{
    const struct sequencer *sequencer = actor->state;
    LOG_INFO("state", LOG_TEXT("serving", sequencer->serving ? "yes" : "no"),
             LOG_INT("epoch", sequencer->epoch), LOG_INT("position", sequencer->position),
             LOG_INT("published", sequencer->published), LOG_INT("queue", sequencer->queue_count),
             LOG_INT("queue_bytes", sequencer->queue_bytes), LOG_INT("runs", sequencer->runs.count),
             LOG_INT("keys", sequencer->keys.count), LOG_INT("failures", sequencer->stuck.failures),
             LOG_INT("origins", sequencer->order.origins.count));
}

int main(void)
{
    static const struct actor_description description = {
        .name = "sequencer",
        .database_role = "signalbox_sequencer",
        .start = start,
        .go = go,
        .drain = drain,
        .stop = stop,
        .report = report,
        .dump = dump,
    };
    return actor_main(&description);
}
