/* How a run follows its log: frames of the bus, rows of the table, its head, its window. See run.h. */
#include "contracts/generated/event_types.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/metrics.h"
#include "streamer/aside.h"
#include "streamer/catch_up.h"
#include "streamer/heads.h"
#include "streamer/run.h"
#include "streamer/streamer.h"
#include "streamer/view.h"

#include <string.h>

/* ---- the window ---- */

void run_encode(struct run_window *window, const struct native_event *event)
{
    struct native_frame frame;
    native_prepare(&frame, event);
    native_write(&frame, run_window_append(window, frame.size));
    metric_add(METRIC_STREAM_EVENTS_ENCODED, 1);
}

/* The event continues the window. */
static void take(struct run *run, const struct native_event *event)
{
    if (run->view != NULL) {
        view_take(run->view, &run->window, event);
    } else {
        run_encode(&run->window, event);
    }
}

/* The event continues what waits behind a hole. */
static void put_ahead(struct run *run, const struct native_event *event)
{
    if (run->view != NULL) {
        aside_put(&run->ahead, event);
    } else {
        run_encode(&run->ahead, event);
    }
}

void run_drop_window(struct run *run)
{
    run->streamer->recent_bytes -= run->accounted;
    run->accounted = 0;
    run_window_clear(&run->window);
    list_remove(&run->in_recent);
    run->streamer->trim_due = true;
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
        run_drop_window(LIST_ENTRY(list_first(&streamer->recent), struct run, in_recent));
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
        run_drop_window(run);
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

void run_tell(struct run *run, uint64_t seq)
{
    run->told = seq > run->told ? seq : run->told;
}

bool run_has_all(const struct run *run)
{
    return run->known && !run_has_hole(run) && run->window.next > run->told;
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
            if (window == &run->window) {
                take(run, &event);
            } else {
                put_ahead(run, &event);
            }
        }
        if (type != NULL && event_type_is_terminal((enum event_type)item.type) && !run->closed) {
            heads_ask(run); /* the end is a row, never a message */
        }
    }
    if (seq > frame->first_seq && seq - 1 > run->target) {
        run->target = seq - 1;
    }
    if (run->known) {
        if (run->view != NULL) {
            view_keep_head(run->view, run->window.next - 1);
        }
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
        take(run, event);
    }
}

static void join_ahead(struct run *run)
{
    char id[UUID_TEXT_SIZE];
    if (run->view == NULL) {
        run_window_join(&run->window, &run->ahead);
    } else {
        uuid_format(&run->id, id);
        view_take_aside(run->view, &run->window, &run->ahead, id);
        view_keep_head(run->view, run->window.next - 1);
    }
}

void run_rows_taken(struct run *run)
{
    join_ahead(run);
    account(run);
    if (run->window.next - 1 > run->target) {
        run->target = run->window.next - 1;
    }
    run_changed(run);
}

/* The first answer: the window begins at the head, or where frames that came meanwhile begin, if
 * they reach down to it. That of a view begins where its state is known: from there the table is read
 * like a hole. */
static void begin(struct run *run, uint64_t last_seq)
{
    uint64_t next = run->view == NULL ? last_seq + 1 : view_start(run->view, last_seq);
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
