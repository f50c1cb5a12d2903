/* See run.h. */
#include "streamer/run.h"

#include "contracts/generated/event_types.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/metrics.h"
#include "streamer/catch_up.h"
#include "streamer/heads.h"
#include "streamer/position.h"
#include "streamer/streamer.h"

#include <assert.h>
#include <string.h>

/* ---- life ---- */

static struct run *create(struct streamer *streamer, const struct uuid *id,
                          const struct uuid *tenant)
{
    struct run *run = pool_new(&streamer->run_pool);
    struct list *lists[] = {&run->positions, &run->waiting,  &run->pages,    &run->in_changed,
                            &run->in_dirty,  &run->in_queue, &run->in_recent};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        list_init(lists[i]);
    }
    run->streamer = streamer;
    run->id = *id;
    run->tenant = *tenant;
    run->serial = ++streamer->last_serial;
    map_put(&streamer->runs, id, run);
    return run;
}

struct run *run_watch(struct streamer *streamer, const struct uuid *id, const struct uuid *tenant)
{
    struct run *run = map_get(&streamer->runs, id);
    if (run == NULL) {
        run = create(streamer, id, tenant);
        heads_ask(run);
    }
    return run;
}

struct run *run_find(struct streamer *streamer, const struct uuid *id)
{
    return map_get(&streamer->runs, id);
}

struct run *run_find_life(struct streamer *streamer, const struct uuid *id, uint64_t serial)
{
    struct run *run = run_find(streamer, id);
    return run != NULL && run->serial == serial ? run : NULL;
}

static void drop_window(struct run *run)
{
    run->streamer->recent_bytes -= run->accounted;
    run->accounted = 0;
    run_window_clear(&run->window);
    list_remove(&run->in_recent);
    run->streamer->trim_due = true;
}

static void destroy(struct run *run)
{
    assert(list_is_empty(&run->waiting));
    drop_window(run);
    run_window_clear(&run->ahead);
    catch_up_drop_pages(run);
    list_remove(&run->in_changed);
    list_remove(&run->in_dirty);
    list_remove(&run->in_queue);
    map_remove(&run->streamer->runs, &run->id);
    pool_free(&run->streamer->run_pool, run);
}

void run_hold(struct run *run)
{
    run->holds++;
}

void run_release(struct run *run)
{
    assert(run->holds > 0);
    if (--run->holds == 0 && list_is_empty(&run->positions)) {
        destroy(run);
    }
}

/* ---- serving readers ---- */

void run_changed(struct run *run)
{
    if (!list_is_linked(&run->in_changed)) {
        list_append(&run->streamer->changed, &run->in_changed);
        streamer_wake(run->streamer);
    }
}

static void serve(struct run *run)
{
    run_hold(run);
    run->judging = false;
    LIST_FOR_EACH(node, &run->positions)
    {
        struct position *position = LIST_ENTRY(node, struct position, in_shown);
        if (run->gone && !position->frozen) {
            position_break_off(position, "the run is gone");
        } else {
            position_pump(position);
        }
    }
    run_release(run);
}

void run_serve_changed(struct streamer *streamer)
{
    struct list *first;
    while ((first = list_first(&streamer->changed)) != NULL) {
        struct run *run = LIST_ENTRY(first, struct run, in_changed);
        list_remove(first);
        serve(run);
    }
}

/* ---- the window ---- */

void run_encode(struct run_window *window, const struct native_event *event)
{
    struct native_frame frame;
    native_prepare(&frame, event);
    native_write(&frame, run_window_append(window, frame.size));
}

/* The window has grown or moved: keeps the sums, the order of use and the limits. */
static void account(struct run *run)
{
    struct streamer *streamer = run->streamer;
    run_window_trim(&run->window, streamer->limits.window_bytes);
    streamer->recent_bytes += run->window.bytes;
    streamer->recent_bytes -= run->accounted;
    run->accounted = run->window.bytes;
    list_remove(&run->in_recent);
    if (run->window.bytes > 0) {
        run->recent_ms = clock_monotonic_ms();
        list_append(&streamer->recent, &run->in_recent);
    }
    while (streamer->recent_bytes > streamer->limits.window_bytes * STREAMER_WINDOWS_MAX &&
           list_first(&streamer->recent) != &run->in_recent) {
        drop_window(LIST_ENTRY(list_first(&streamer->recent), struct run, in_recent));
    }
}

void run_drop_idle_windows(struct streamer *streamer, int64_t now_ms)
{
    struct list *first;
    while ((first = list_first(&streamer->recent)) != NULL) {
        struct run *run = LIST_ENTRY(first, struct run, in_recent);
        if (now_ms - run->recent_ms < STREAMER_IDLE_WINDOW_MS) {
            return;
        }
        drop_window(run);
    }
}

bool run_has_hole(const struct run *run)
{
    return run->known && run->target >= run->window.next;
}

void run_repair(struct run *run, const char *why)
{
    metric_add(METRIC_STREAM_REPAIRS, 1);
    LOG_INFO("events missing, reading them from the table", LOG_UUID("run_id", &run->id),
             LOG_TEXT("why", why), LOG_INT("from_seq", run->window.next),
             LOG_INT("to_seq", run->target));
    catch_up_enqueue(run);
}

/* ---- frames of the bus ---- */

/* Where an event with this seq goes; NULL when it is known already. */
static struct run_window *place_for(struct run *run, uint64_t seq)
{
    if (run->known && seq <= run->window.next) {
        return seq == run->window.next ? &run->window : NULL;
    }
    if (run_window_is_empty(&run->ahead) || seq > run->ahead.next ||
        run->ahead.bytes > run->streamer->limits.window_bytes) {
        /* A second hole, or too much to keep: the table has what is dropped here. */
        run_window_clear(&run->ahead);
        run_window_start(&run->ahead, seq);
    }
    return seq == run->ahead.next ? &run->ahead : NULL;
}

void run_take_frame(struct run *run, const struct message_events *frame)
{
    char id[UUID_TEXT_SIZE];
    struct message_list cursor = frame->events;
    struct message_events_event item;
    uint64_t seq = frame->first_seq;
    bool had_hole = run_has_hole(run);
    uuid_format(&run->id, id);
    for (; message_events_event_next(&cursor, &item); seq++) {
        const char *type = event_type_name((enum event_type)item.type);
        struct run_window *window = type == NULL ? NULL : place_for(run, seq);
        if (window != NULL) {
            struct native_event event = {.run_id = id,
                                         .seq = seq,
                                         .ts_us = item.ts,
                                         .number = (enum event_type)item.type,
                                         .type = type,
                                         .type_length = strlen(type),
                                         .payload = (const char *)item.payload.data,
                                         .payload_length = item.payload.length};
            run_encode(window, &event);
        }
        if (type != NULL && event_type_is_terminal((enum event_type)item.type) && !run->closed) {
            heads_ask(run); /* the end is a row, never a message */
        }
    }
    if (seq > frame->first_seq && seq - 1 > run->target) {
        run->target = seq - 1;
    }
    if (run->known) {
        account(run);
        if (run_has_hole(run) && !had_hole) {
            run_repair(run, "a hole before a frame");
        }
        run_changed(run);
        if (seq > frame->first_seq) {
            metric_observe_us(HISTOGRAM_EVENT_DELIVERY, clock_real_us() - item.ts);
        }
    }
}

/* ---- rows of the table ---- */

void run_take_row(struct run *run, const struct native_event *event)
{
    if (event->seq == run->window.next) {
        run_encode(&run->window, event);
    }
}

void run_rows_taken(struct run *run)
{
    run_window_join(&run->window, &run->ahead);
    account(run);
    if (run->window.next - 1 > run->target) {
        run->target = run->window.next - 1;
    }
    run_changed(run);
}

/* The first answer: the window begins at the head, or where frames that came meanwhile begin, if
 * they reach down to it. */
static void begin(struct run *run, uint64_t last_seq)
{
    uint64_t next = last_seq + 1;
    if (!run_window_is_empty(&run->ahead) && run->ahead.first < next) {
        next = run->ahead.first;
    }
    run->known = true;
    run_window_start(&run->window, next);
    if (last_seq > run->target) {
        run->target = last_seq;
    }
    run_rows_taken(run);
}

void run_learn(struct run *run, uint64_t last_seq, bool closed, bool sweep)
{
    bool first = !run->known;
    bool ends = closed && !run->closed;
    run->head = last_seq > run->head ? last_seq : run->head;
    run->closed = run->closed || closed;
    if (first) {
        begin(run, last_seq);
        if (run_has_hole(run)) {
            catch_up_enqueue(run);
        }
        return;
    }
    if (last_seq >= run->window.next && last_seq > run->target && sweep) {
        run->suspect = last_seq;
        heads_suspect(run);
    } else if (last_seq >= run->window.next && last_seq > run->target) {
        run->target = last_seq;
        run_repair(run, "the table is ahead");
    } else if (run_has_hole(run)) {
        catch_up_enqueue(run);
    }
    if (ends || run->judging) {
        run_changed(run);
    }
}
