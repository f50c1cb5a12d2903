/* See feed_tail.h. */
#include "streamer/feed_tail.h"

#include "contracts/generated/event_types.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "streamer/feed.h"
#include "streamer/feed_tenants.h"
#include "streamer/store.h"
#include "streamer/streamer.h"

#include <stdlib.h>
#include <string.h>

enum {
    SHARD = 0,
    SUSPECT_MS = 200, /* time for frames that were under way during a sweep */
    BATCH_FIRST_EVENTS = 64,
    BATCH_FIRST_BYTES = 8 << 10
};

void feed_tail_init(struct streamer *streamer)
{
    struct feed_tail *tail = &streamer->tail;
    list_init(&tail->filled);
    list_init(&tail->joining);
    list_init(&tail->told);
    tail->next_sweep_ms = clock_monotonic_ms() + streamer->limits.sweep_ms;
}

/* ---- joining ---- */

/* From now on its events come by the bus; what is before the tail's mark is in the table. */
static void join(struct feed *feed)
{
    feed_restart(feed, feed->streamer->tail.settled);
    list_remove(&feed->in_tail);
    feed->joined = true;
}

static void join_all(struct feed_tail *tail)
{
    struct list *first;
    while ((first = list_first(&tail->joining)) != NULL) {
        join(LIST_ENTRY(first, struct feed, in_tail));
    }
}

/* It takes nothing until the next mark. */
static void leave(struct feed *feed)
{
    feed_refresh(feed);
    feed->joined = false;
    feed->batch.count = feed->batch.used = 0;
    list_remove(&feed->in_tail);
    list_append(&feed->streamer->tail.joining, &feed->in_tail);
}

static void ask_table(struct streamer *streamer);

void feed_tail_join(struct feed *feed)
{
    struct feed_tail *tail = &feed->streamer->tail;
    feed_window_start(&feed->window, tail->settled);
    if (feed->roles != NULL) {
        feed_roles_restart(feed->roles, tail->settled);
    }
    if (tail->known && !tail->broken && tail->received == 0) {
        feed->joined = true;
        return;
    }
    list_append(&tail->joining, &feed->in_tail);
    if (!tail->known) {
        ask_table(feed->streamer);
    }
}

/* ---- frames ---- */

static void make_room(struct feed_batch *batch, size_t size)
{
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity == 0 ? BATCH_FIRST_EVENTS : batch->capacity * 2;
        batch->events = memory_grow(batch->events, batch->capacity, sizeof *batch->events);
    }
    while (batch->room - batch->used < size) {
        batch->room = batch->room == 0 ? BATCH_FIRST_BYTES : batch->room * 2;
        batch->bytes = memory_grow(batch->bytes, batch->room, 1);
    }
}

static void collect_event(struct feed *feed, uint64_t position, struct native_event *event)
{
    char cursor[FEED_CURSOR_TEXT_SIZE];
    struct native_frame frame;
    struct feed_batch *batch = &feed->batch;
    feed_prepare(feed, position, event, cursor, &frame);
    make_room(batch, frame.size);
    native_write(&frame, batch->bytes + batch->used);
    batch->events[batch->count++] = (struct feed_event){
        .position = position, .offset = (uint32_t)batch->used, .size = (uint32_t)frame.size};
    batch->used += frame.size;
}

/* False: what is not understood, what only the table can tell, or too much at once: it is read from
 * there. */
static bool collect_item(struct feed *feed, const struct message_events_event *item,
                         uint64_t position, struct native_event *event)
{
    event->ts_us = item->ts;
    event->number = (enum event_type)item->type;
    event->type = event_type_name(event->number);
    if (event->type == NULL || feed->batch.used > feed->streamer->limits.window_bytes) {
        return false;
    }
    event->type_length = strlen(event->type);
    event->payload = (const char *)item->payload.data;
    event->payload_length = item->payload.length;
    switch (feed_judge(feed, event)) {
    case FEED_SHOWS:
        collect_event(feed, position, event);
        return true;
    case FEED_HIDES:
        return true;
    case FEED_DOUBTS:
        break;
    }
    return false;
}

static void collect(struct feed *feed, const struct message_events *frame)
{
    char id[UUID_TEXT_SIZE];
    struct uuid run;
    struct message_list cursor = frame->events;
    struct message_events_event item;
    memcpy(run.bytes, frame->run, sizeof run.bytes);
    uuid_format(&run, id);
    for (uint64_t seq = frame->first_seq; message_events_event_next(&cursor, &item); seq++) {
        struct native_event event = {.run_id = id, .seq = seq};
        if (!collect_item(feed, &item, frame->batch + item.at, &event)) {
            leave(feed);
            return;
        }
    }
    if (feed->batch.count > 0 && !list_is_linked(&feed->in_tail)) {
        list_append(&feed->streamer->tail.filled, &feed->in_tail);
    }
}

static void collect_for(struct feed *feed, const struct message_events *frame)
{
    for (; feed != NULL; feed = feed->next) {
        if (feed->joined) {
            collect(feed, frame);
        }
    }
}

static void collect_for_tenant(struct streamer *streamer, const struct message_events *frame)
{
    struct uuid tenant_id;
    struct uuid thread;
    const struct uuid whole = {0};
    memcpy(tenant_id.bytes, frame->tenant, sizeof tenant_id.bytes);
    memcpy(thread.bytes, frame->thread, sizeof thread.bytes);
    const struct feed_tenant *tenant = feed_tenants_find(streamer, &tenant_id);
    if (tenant == NULL) {
        return;
    }
    collect_for(feed_tenants_first(tenant, &whole), frame);
    if (!uuid_is_nil(&thread)) {
        collect_for(feed_tenants_first(tenant, &thread), frame);
    }
}

int feed_tail_take_frame(struct streamer *streamer, const struct message_events *frame)
{
    struct feed_tail *tail = &streamer->tail;
    if (frame->batch > INT64_MAX || frame->settled > INT64_MAX) {
        return -1;
    }
    /* A frame behind the mark: the table has been read past it, or a successor publishes it again. */
    if (tail->known && !tail->broken && frame->batch >= tail->settled) {
        tail->received += frame->events.count;
        collect_for_tenant(streamer, frame);
    }
    if (frame->settled > 0) {
        feed_tail_take_mark(streamer, frame->settled);
    }
    return 0;
}

/* ---- marks ---- */

static int by_position(const void *left, const void *right)
{
    const struct feed_event *a = left;
    const struct feed_event *b = right;
    return a->position < b->position ? -1 : a->position > b->position;
}

/* In order of position, none twice, all in (after, up_to]. */
static bool is_sound(const struct feed_batch *batch, uint64_t after, uint64_t up_to)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->events[i].position <= after || batch->events[i].position > up_to) {
            return false;
        }
        after = batch->events[i].position;
    }
    return true;
}

static void take_batch(struct feed *feed, uint64_t mark)
{
    struct feed_batch *batch = &feed->batch;
    list_remove(&feed->in_tail);
    if (!is_sound(batch, 0, mark)) {
        qsort(batch->events, batch->count, sizeof *batch->events, by_position);
    }
    if (!is_sound(batch, feed->streamer->tail.settled, mark)) {
        LOG_WARN("frames with positions that cannot be, reading the table instead");
        feed_restart(feed, mark);
        return;
    }
    feed_refresh(feed);
    for (size_t i = 0; i < batch->count; i++) {
        const struct feed_event *event = &batch->events[i];
        memcpy(feed_window_append(&feed->window, event->position, event->size),
               batch->bytes + event->offset, event->size);
    }
    batch->count = batch->used = 0;
    feed_grown(feed);
}

/* Readers that wait for nothing but the end are told that they have it. */
static void look_at_told(struct feed_tail *tail)
{
    LIST_FOR_EACH(node, &tail->told)
    {
        struct feed *feed = LIST_ENTRY(node, struct feed, in_told);
        feed_refresh(feed);
        if (feed_has_all(feed)) {
            list_remove(node);
            feed_changed(feed);
        }
    }
}

/* All that was published up to the mark is here. */
static void settle(struct feed_tail *tail, uint64_t mark)
{
    struct list *first;
    while ((first = list_first(&tail->filled)) != NULL) {
        take_batch(LIST_ENTRY(first, struct feed, in_tail), mark);
    }
    tail->settled = mark;
    tail->received = 0;
    join_all(tail);
    look_at_told(tail);
}

/* Everything up to `position` is in the table, and only there. `from_bus`: what follows will come
 * by the bus. */
static void rebase(struct streamer *streamer, uint64_t position, bool from_bus)
{
    struct feed_tail *tail = &streamer->tail;
    LIST_FOR_EACH(node, &streamer->feeds)
    {
        struct feed *feed = LIST_ENTRY(node, struct feed, in_all);
        feed_restart(feed, position);
        leave(feed);
    }
    if (!list_is_empty(&streamer->feeds)) {
        metric_add(METRIC_STREAM_REPAIRS, 1);
        LOG_INFO("feeds go on from the table", LOG_INT("from", tail->settled),
                 LOG_INT("position", position), LOG_INT("from_bus", from_bus));
    }
    tail->known = true;
    tail->broken = !from_bus;
    tail->settled = position;
    tail->received = 0;
    if (from_bus) {
        join_all(tail);
    }
    look_at_told(tail);
}

void feed_tail_take_mark(struct streamer *streamer, uint64_t mark)
{
    struct feed_tail *tail = &streamer->tail;
    if (tail->known && mark < tail->settled) {
        return; /* the table was read past it */
    }
    if (tail->known && !tail->broken && tail->received == mark - tail->settled) {
        settle(tail, mark);
    } else {
        rebase(streamer, mark, true);
    }
}

void feed_tail_lost(struct streamer *streamer)
{
    streamer->tail.broken = true;
}

/* ---- the table ---- */

static void on_position(void *arg, enum db_status status, const struct db_result *result)
{
    struct streamer *streamer = arg;
    struct feed_tail *tail = &streamer->tail;
    tail->asking = false;
    if (status != DB_OK || db_rows(result) == 0) {
        tail->pause_until_ms = clock_monotonic_ms() + STREAMER_REFUSED_PAUSE_MS;
        return;
    }
    uint64_t position = (uint64_t)db_int8(result, 0, STORE_POSITION);
    if (!tail->known || (tail->silent && position > tail->settled)) {
        rebase(streamer, position, false);
    } else if (position > tail->settled) {
        tail->suspect = position;
        tail->suspect_ms = clock_monotonic_ms();
    }
}

static void ask_table(struct streamer *streamer)
{
    struct feed_tail *tail = &streamer->tail;
    if (tail->asking || !db_is_connected(streamer->feed_db) ||
        clock_monotonic_ms() < tail->pause_until_ms) {
        return;
    }
    struct db_params params = {0};
    db_param_int4(&params, SHARD);
    tail->asking = true;
    db_query(streamer->feed_db, &store_position, &params, on_position, streamer);
    db_params_deinit(&params);
}

void feed_tail_learn(struct streamer *streamer, uint64_t position)
{
    if (!streamer->tail.known) {
        rebase(streamer, position, false);
    }
}

void feed_tail_silent(struct streamer *streamer)
{
    if (!list_is_empty(&streamer->feeds)) {
        streamer->tail.silent = true;
        ask_table(streamer);
    }
}

static void look_at_suspect(struct streamer *streamer, int64_t now_ms)
{
    struct feed_tail *tail = &streamer->tail;
    if (tail->suspect == 0 || now_ms - tail->suspect_ms < SUSPECT_MS) {
        return;
    }
    if (tail->suspect > tail->settled) {
        LOG_INFO("the log is ahead of the bus, found by the sweep");
        rebase(streamer, tail->suspect, false);
    }
    tail->suspect = 0;
}

void feed_tail_tick(struct streamer *streamer, int64_t now_ms)
{
    struct feed_tail *tail = &streamer->tail;
    if (list_is_empty(&streamer->feeds)) {
        return;
    }
    look_at_suspect(streamer, now_ms);
    if (!tail->known) {
        ask_table(streamer);
    } else if (now_ms >= tail->next_sweep_ms) {
        tail->next_sweep_ms = now_ms + streamer->limits.sweep_ms;
        tail->silent = false;
        ask_table(streamer);
    }
}
