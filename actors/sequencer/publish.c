/*
 * The event bus: EVENTS frames for the streamers, HINT frames for everybody. A hint: the table is
 * the truth. Each EVENTS frame has the next counter; hints repeat the last one, so that a lost tail
 * shows within sequencer.beat_ms.
 */
#include "contracts/generated/event_types.h"
#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/limits.h"
#include "runtime/base/log.h"
#include "runtime/base/metrics.h"
#include "sequencer/sequencer.h"
#include "sequencer/store.h"

#include <string.h>

enum {
    PUBLISH_FRAME_BYTES = LIMIT_EVENT_FRAME_BYTES / 2, /* a frame is closed before it passes this */
    PUBLISH_EVENT_OVERHEAD = 64,
    PUBLISH_HINT_SOON_MS = 20 /* at most one hint this often behind commits */
};

/* Whose event it is. */
struct event_owner {
    struct uuid run;
    struct uuid tenant;
    struct uuid thread;
};

/* The frame being gathered: consecutive events of one run. */
struct gather {
    struct sequencer *sequencer;
    int64_t batch; /* log position before it */
    struct event_owner owner;
    int64_t first_seq;
    uint32_t count;
    struct msgpack_sbuffer items;
};

/* `settled`: log position up to which everything is published with this frame; 0: more follows. */
static void send_gathered(struct gather *gather, int64_t settled)
{
    struct sequencer *sequencer = gather->sequencer;
    if (gather->count == 0) {
        return;
    }
    struct message_header header = {.generation = sequencer->actor->generation,
                                    .shard = SEQUENCER_SHARD,
                                    .epoch = sequencer->epoch};
    struct message_events events = {
        .counter = ++sequencer->counter,
        .first_seq = (uint64_t)gather->first_seq,
        .batch = (uint64_t)gather->batch,
        .settled = (uint64_t)settled,
        .events = {(const uint8_t *)gather->items.data, gather->items.size, gather->count}};
    struct msgpack_sbuffer frame;
    memcpy(events.tenant, gather->owner.tenant.bytes, sizeof events.tenant);
    memcpy(events.run, gather->owner.run.bytes, sizeof events.run);
    memcpy(events.thread, gather->owner.thread.bytes, sizeof events.thread);
    msgpack_sbuffer_init(&frame);
    message_events_encode(&frame, &header, &events);
    /* A frame above the limit would cut every reader off. Left out, it shows as a jump of the
     * counter, and is read from the table. */
    if (frame.size < LIMIT_EVENT_FRAME_BYTES) {
        (void)bus_send(sequencer->events, NULL, BUS_TOPIC_EVENTS, frame.data, frame.size);
        metric_add(METRIC_EVENTS_PUBLISHED, gather->count);
    }
    msgpack_sbuffer_destroy(&frame);
    gather->count = 0;
    msgpack_sbuffer_clear(&gather->items);
}

static void gather_event(struct gather *gather, const struct event_owner *owner, int64_t seq,
                         const struct message_events_event *event)
{
    bool fits =
        gather->count > 0 && uuid_equal(&gather->owner.run, &owner->run) &&
        seq == gather->first_seq + (int64_t)gather->count &&
        gather->items.size + event->payload.length + PUBLISH_EVENT_OVERHEAD <= PUBLISH_FRAME_BYTES;
    if (!fits) {
        send_gathered(gather, 0);
        gather->owner = *owner;
        gather->first_seq = seq;
    }
    message_events_event_encode(&gather->items, event);
    gather->count++;
}

/* One line a command. */
static void log_published(const struct batch *batch)
{
    for (size_t i = 0; i < batch->rows_count; i++) {
        const struct row *row = &batch->rows[i];
        const struct run *run = batch->heads[row->head - 1].run;
        if (row->first != NULL) {
            LOG_DEBUG("events published", LOG_UUID("run_id", &run->id),
                      LOG_UUID("tenant_id", &run->tenant), LOG_INT("first_seq", row->seq),
                      LOG_TRACE("trace_id", row->first->trace.bytes));
        }
    }
}

void publish_batch(struct sequencer *sequencer, const struct batch *batch)
{
    struct gather gather = {.sequencer = sequencer,
                            .batch = sequencer->position - (int64_t)batch->rows_count};
    msgpack_sbuffer_init(&gather.items);
    /* Run by run: only the order within a run is promised, and each frame costs every streamer a
     * message. */
    for (size_t i = 0; i < batch->heads_count; i++) {
        const struct run *run = batch->heads[i].run;
        const struct event_owner owner = {run->id, run->tenant, run->thread};
        for (size_t at = batch->heads[i].first; at > 0; at = batch->rows[at - 1].next) {
            const struct row *row = &batch->rows[at - 1];
            struct message_events_event event = {
                .type = (uint64_t)row->type, .ts = batch->ts_us, .payload = row->payload, .at = at};
            gather_event(&gather, &owner, row->seq, &event);
        }
    }
    send_gathered(&gather, sequencer->position);
    msgpack_sbuffer_destroy(&gather.items);
    SB_FAULT("sequencer_after_publish");
    sequencer->published = sequencer->position;
    metric_set(METRIC_OUTBOX_LAG_MS, 0);
    if (log_enabled(LOG_LEVEL_DEBUG)) {
        log_published(batch);
    }
    LOG_DEBUG("published", LOG_INT("batch", batch->rows_count),
              LOG_INT("lag_us", clock_monotonic_us() - batch->started_us));
    if (clock_monotonic_ms() - sequencer->hinted_ms >= PUBLISH_HINT_SOON_MS) {
        publish_hint(sequencer);
    }
}

void publish_stored(struct sequencer *sequencer, const struct db_result *result)
{
    struct gather gather = {.sequencer = sequencer};
    int64_t lag_us = db_rows(result) == 0 ? 0 : clock_real_us() - db_timestamptz(result, 0, 4);
    metric_set(METRIC_OUTBOX_LAG_MS, lag_us < 0 ? 0 : lag_us / 1000);
    msgpack_sbuffer_init(&gather.items);
    for (int row = 0; row < db_rows(result); row++) {
        struct event_owner owner = {.run = {{0}}};
        enum event_type type;
        size_t length;
        db_uuid(result, row, 0, &owner.run);
        db_uuid(result, row, 1, &owner.tenant);
        if (!db_is_null(result, row, 7)) {
            db_uuid(result, row, 7, &owner.thread);
        }
        const char *name = db_bytes(result, row, 3, &length);
        if (event_type_find(name, length, &type) != 0) {
            LOG_ERROR("stored event of an unknown type", LOG_UUID("run_id", &owner.run));
            continue;
        }
        const char *payload = db_bytes(result, row, 5, &length);
        struct message_events_event event = {.type = (uint64_t)type,
                                             .ts = db_timestamptz(result, row, 4),
                                             .payload = {(const uint8_t *)payload, length},
                                             .at = (uint64_t)db_int8(result, row, 6)};
        gather_event(&gather, &owner, db_int8(result, row, 2), &event);
    }
    send_gathered(&gather, 0);
    msgpack_sbuffer_destroy(&gather.items);
}

void publish_hint(struct sequencer *sequencer)
{
    char space[256];
    struct msgpack_sbuffer frame = {.size = 0, .data = space, .alloc = sizeof space};
    struct message_header header = {.generation = sequencer->actor->generation,
                                    .shard = SEQUENCER_SHARD,
                                    .epoch = sequencer->epoch};
    struct message_hint hint = {.counter = sequencer->counter,
                                .position = (uint64_t)sequencer->position,
                                .jobs = sequencer->jobs.counter};
    message_hint_encode(&frame, &header, &hint);
    (void)bus_send(sequencer->events, NULL, BUS_TOPIC_HINTS, frame.data, frame.size);
    sequencer->hinted_ms = clock_monotonic_ms();
}

static void on_hint_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct sequencer *sequencer = arg;
    if (sequencer->serving) {
        publish_hint(sequencer);
    }
}

void publish_start(struct sequencer *sequencer)
{
    int64_t beat_ms = settings_int(sequencer->actor->settings, SETTING_SEQUENCER_BEAT_MS);
    struct timeval beat = {beat_ms / 1000, beat_ms % 1000 * 1000};
    if (sequencer->hint_timer == NULL) {
        sequencer->hint_timer =
            event_new(sequencer->actor->base, -1, EV_PERSIST, on_hint_timer, sequencer);
    }
    event_add(sequencer->hint_timer, &beat);
    publish_hint(sequencer);
}

static void on_cursor_stored(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    sequencer->storing_cursor = false;
    if (status == DB_REFUSED) {
        if (strcmp(db_sqlstate(result), "SB001") == 0) {
            sequencer_fenced(sequencer);
            return;
        }
        LOG_ERROR("outbox cursor refused", LOG_TEXT("error", db_message(result)));
    }
    sequencer_check_drained(sequencer);
}

void publish_store_cursor(struct sequencer *sequencer)
{
    if (sequencer->storing_cursor || sequencer->published == sequencer->published_stored ||
        !db_is_connected(sequencer->writer)) {
        return;
    }
    struct db_params params = {0};
    db_param_int4(&params, SEQUENCER_SHARD);
    db_param_int8(&params, (int64_t)sequencer->epoch);
    db_param_int8(&params, sequencer->published);
    db_query(sequencer->writer, &store_statements[STORE_ADVANCE], &params, on_cursor_stored,
             sequencer);
    db_params_deinit(&params);
    sequencer->published_stored = sequencer->published;
    sequencer->storing_cursor = true;
    LOG_DEBUG("outbox advanced", LOG_INT("next_position", sequencer->published + 1));
}
