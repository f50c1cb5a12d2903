/* See catch_up.h. */
#include "streamer/catch_up.h"

#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "streamer/position.h"
#include "streamer/run.h"
#include "streamer/store.h"
#include "streamer/streamer.h"
#include "streamer/view.h"

#include <stdlib.h>

enum {
    PAGES_IN_FLIGHT = 4,
    PAGE_KEPT_MS = 1000, /* after its last use */
    NEIGHBOURS_EVENTS =
        64, /* a page begins this much earlier when another reader can use it then */
    NEIGHBOURS_LOOKED_AT = 64,
    PAGE_ROOM_BYTES = 64 << 10, /* beyond twice its rows: for what is around payloads */
    SERVED_AT_ONCE = 256        /* of one run: thousands may wait for the same page */
};

struct page {
    struct list in_run;
    struct list in_pages; /* catch_up.pages */
    struct run *run;
    struct run_window window;
    int64_t used_ms;
};

/* One query on the way. */
struct page_question {
    struct streamer *streamer;
    struct uuid run_id;
    uint64_t serial;
    uint64_t after;
    bool fill; /* for the window of the run, else for waiting readers */
    /* Of a page for a view: the projection's state behind `after`, owned. */
    const struct projection_format *format;
    struct projection *state;
};

/* ---- pages in memory ---- */

static void drop_page(struct page *page)
{
    struct catch_up *catch_up = &page->run->streamer->catch_up;
    page->run->streamer->trim_due = true;
    catch_up->pages_bytes -= page->window.bytes;
    run_window_clear(&page->window);
    list_remove(&page->in_run);
    list_remove(&page->in_pages);
    free(page);
}

void catch_up_drop_pages(struct run *run)
{
    struct list *first;
    while ((first = list_first(&run->pages)) != NULL) {
        drop_page(LIST_ENTRY(first, struct page, in_run));
    }
}

static void keep_page(struct run *run, struct page *page)
{
    struct catch_up *catch_up = &run->streamer->catch_up;
    list_init(&page->in_run);
    list_init(&page->in_pages);
    page->run = run;
    page->used_ms = clock_monotonic_ms();
    list_append(&run->pages, &page->in_run);
    list_append(&catch_up->pages, &page->in_pages);
    catch_up->pages_bytes += page->window.bytes;
    while (catch_up->pages_bytes > STREAMER_PAGES_BYTES &&
           list_first(&catch_up->pages) != &page->in_pages) {
        drop_page(LIST_ENTRY(list_first(&catch_up->pages), struct page, in_pages));
    }
}

const struct run_window *catch_up_page(struct run *run, uint64_t seq)
{
    LIST_FOR_EACH(node, &run->pages)
    {
        struct page *page = LIST_ENTRY(node, struct page, in_run);
        if (run_window_has(&page->window, seq)) {
            page->used_ms = clock_monotonic_ms();
            list_remove(&page->in_pages);
            list_append(&run->streamer->catch_up.pages, &page->in_pages);
            return &page->window;
        }
    }
    return NULL;
}

void catch_up_tick(struct streamer *streamer, int64_t now_ms)
{
    struct list *first;
    while ((first = list_first(&streamer->catch_up.pages)) != NULL) {
        struct page *page = LIST_ENTRY(first, struct page, in_pages);
        if (now_ms - page->used_ms < PAGE_KEPT_MS) {
            break;
        }
        drop_page(page);
    }
    catch_up_go(streamer);
}

/* ---- who wants a page ---- */

void catch_up_enqueue(struct run *run)
{
    if (!list_is_linked(&run->in_queue) && !run->paging) {
        list_append(&run->streamer->catch_up.queue, &run->in_queue);
        streamer_wake(run->streamer);
    }
}

/* Position behind which the page for the first waiting reader starts: its own, or that of a waiting
 * neighbour a little behind it, who then needs no page of its own. That of a view starts where its
 * state is known; when it ends before the reader's position, the next one begins there. */
static uint64_t page_start(const struct run *run)
{
    uint64_t leader = LIST_ENTRY(run->waiting.next, struct position, in_wait)->cursor;
    uint64_t start = leader;
    unsigned looked_at = 0;
    LIST_FOR_EACH(node, &run->waiting)
    {
        uint64_t cursor = LIST_ENTRY(node, struct position, in_wait)->cursor;
        if (cursor < start && leader - cursor <= NEIGHBOURS_EVENTS) {
            start = cursor;
        }
        if (++looked_at == NEIGHBOURS_LOOKED_AT) {
            break;
        }
    }
    return run->view == NULL ? start : view_nearest(run->view, start);
}

/* ---- the answer ---- */

static void read_row(const struct db_result *result, int row, const char *run_id,
                     struct native_event *event)
{
    *event = (struct native_event){.run_id = run_id,
                                   .seq = (uint64_t)db_int8(result, row, STORE_PAGE_SEQ),
                                   .ts_us = db_timestamptz(result, row, STORE_PAGE_TS)};
    event->type = db_bytes(result, row, STORE_PAGE_TYPE, &event->type_length);
    if (event_type_find(event->type, event->type_length, &event->number) != 0) {
        event->number = 0; /* of a newer schema: shown, but nothing to a projection */
    }
    event->payload = db_bytes(result, row, STORE_PAGE_PAYLOAD, &event->payload_length);
}

static void fill_window(struct run *run, const struct db_result *result)
{
    char id[UUID_TEXT_SIZE];
    struct native_event event;
    uuid_format(&run->id, id);
    for (int row = 0; row < db_rows(result); row++) {
        read_row(result, row, id, &event);
        run_take_row(run, &event);
    }
    run_rows_taken(run);
}

/* Rows that do not follow `after` densely end the page: what is behind a gap in the log is never
 * shown. So does what has grown far beyond a page: in some forms a few bytes of the log are many. */
static struct page *encode_page(struct run *run, const struct db_result *result,
                                struct page_question *question)
{
    char id[UUID_TEXT_SIZE];
    struct native_event event;
    struct page *page = memory_new(sizeof *page);
    size_t most = 2 * (size_t)run->streamer->limits.page_bytes + PAGE_ROOM_BYTES;
    uuid_format(&run->id, id);
    run_window_start(&page->window, question->after + 1);
    for (int row = 0; row < db_rows(result); row++) {
        read_row(result, row, id, &event);
        if (event.seq != page->window.next || page->window.bytes > most) {
            break;
        }
        if (run->view == NULL) {
            run_encode(&page->window, &event);
        } else {
            (void)view_encode(run->view, question->state, &page->window, &event);
        }
    }
    if (run->view != NULL && !run_window_is_empty(&page->window)) {
        view_keep(run->view, page->window.next - 1, &question->state);
    }
    return page;
}

/* Serves those that wait for an event that is in memory now; in a list of their own first, because
 * serving one may put it back at the end of the line. True when there may be more of them. */
static bool serve_waiting(struct run *run)
{
    size_t count = 0;
    struct list ready;
    struct list *first;
    list_init(&ready);
    LIST_FOR_EACH(node, &run->waiting)
    {
        uint64_t seq = LIST_ENTRY(node, struct position, in_wait)->cursor + 1;
        if (count == SERVED_AT_ONCE) {
            break;
        }
        if (run_window_has(&run->window, seq) || catch_up_page(run, seq) != NULL) {
            list_remove(node);
            list_append(&ready, node);
            count++;
        }
    }
    while ((first = list_first(&ready)) != NULL) {
        struct position *position = LIST_ENTRY(first, struct position, in_wait);
        position_unwait(position);
        position_resume(position);
    }
    return count == SERVED_AT_ONCE;
}

/* The table does not have what it must have: these streams cannot go on here. */
static void break_off_waiting(struct run *run, uint64_t seq)
{
    LOG_ERROR("an event is missing in the log", LOG_UUID("run_id", &run->id), LOG_INT("seq", seq));
    LIST_FOR_EACH(node, &run->waiting)
    {
        struct position *position = LIST_ENTRY(node, struct position, in_wait);
        if (run->view == NULL ? position->cursor + 1 == seq : position->cursor + 1 >= seq) {
            position_break_off(position, "an event is missing in the log");
        }
    }
}

static void take_page(struct run *run, struct page_question *question,
                      const struct db_result *result)
{
    if (question->fill) {
        fill_window(run, result);
        return;
    }
    struct page *page = encode_page(run, result, question);
    SB_FAULT("streamer_mid_catch_up");
    if (run_window_is_empty(&page->window)) {
        free(page);
        break_off_waiting(run, question->after + 1);
        return;
    }
    keep_page(run, page);
}

static void take_answer(struct run *run, struct page_question *question, enum db_status status,
                        const struct db_result *result)
{
    struct catch_up *catch_up = &run->streamer->catch_up;
    bool stuck = false;
    run->paging = false;
    run_hold(run);
    if (status == DB_OK) {
        take_page(run, question, result);
        (void)serve_waiting(run); /* who is left is served in its turn */
        stuck = question->fill && db_rows(result) == 0 && run_has_hole(run);
    }
    if (stuck) {
        LOG_ERROR("events are missing in the log", LOG_UUID("run_id", &run->id),
                  LOG_INT("from_seq", run->window.next), LOG_INT("to_seq", run->target));
    } else if (status == DB_REFUSED) {
        LOG_WARN("cannot read a page of events", LOG_UUID("run_id", &run->id),
                 LOG_TEXT("error", db_message(result)));
        catch_up->pause_until_ms = clock_monotonic_ms() + STREAMER_REFUSED_PAUSE_MS;
    }
    /* A hole that the table does not fill is looked at again by the sweep. */
    if ((run_has_hole(run) && !stuck) || !list_is_empty(&run->waiting)) {
        catch_up_enqueue(run);
    }
    run_release(run);
}

static void on_page(void *arg, enum db_status status, const struct db_result *result)
{
    struct page_question *question = arg;
    struct streamer *streamer = question->streamer;
    struct run *run = run_find_life(streamer, &question->run_id, question->serial);
    streamer->catch_up.in_flight--;
    if (status == DB_LOST) {
        streamer->catch_up.pause_until_ms = clock_monotonic_ms() + STREAMER_LOST_PAUSE_MS;
    }
    if (run != NULL) {
        take_answer(run, question, status, result);
    }
    if (question->state != NULL) {
        question->format->destroy(&question->state);
    }
    free(question);
    streamer_wake(streamer);
}

/* ---- the query ---- */

static void ask(struct run *run, bool fill)
{
    struct streamer *streamer = run->streamer;
    struct db_params params = {0};
    struct db_params scope = {0};
    struct page_question *question = memory_new(sizeof *question);
    uint64_t below = fill ? INT64_MAX : run->window.first;
    *question = (struct page_question){.streamer = streamer,
                                       .run_id = run->id,
                                       .serial = run->serial,
                                       .after = fill ? run->window.next - 1 : page_start(run),
                                       .fill = fill};
    if (!fill && run->view != NULL) {
        question->format = run->view->format;
        question->state = view_state_at(run->view, question->after);
    }
    if (fill && !run_window_is_empty(&run->ahead)) {
        below = run->ahead.first;
    }
    db_param_uuid(&params, &run->id);
    db_param_uuid(&params, &run->tenant);
    db_param_int8(&params, (int64_t)question->after);
    db_param_int8(&params, (int64_t)below);
    db_param_int8(&params, streamer->limits.page_events);
    db_param_int8(&params, streamer->limits.page_bytes);
    run->paging = true;
    run->filled_last = fill;
    streamer->catch_up.in_flight++;
    metric_add(METRIC_STREAM_PAGES, 1);
    db_param_uuid(&scope, &run->tenant);
    db_param_null(&scope);
    db_query_in(streamer->db, &(struct db_scope){&store_scope, &scope}, &store_page, &params,
                on_page, question);
    db_params_deinit(&params);
    db_params_deinit(&scope);
}

/* What the run needs next. A hole and waiting readers take turns. */
static void ask_next(struct run *run)
{
    bool hole = run_has_hole(run);
    bool waiting = !list_is_empty(&run->waiting);
    if (hole && !(waiting && run->filled_last)) {
        ask(run, true);
    } else if (waiting) {
        ask(run, false);
    }
}

void catch_up_go(struct streamer *streamer)
{
    struct catch_up *catch_up = &streamer->catch_up;
    struct list *first;
    bool more = false;
    if (!db_is_connected(streamer->db) || clock_monotonic_ms() < catch_up->pause_until_ms) {
        return;
    }
    while (!more && catch_up->in_flight < PAGES_IN_FLIGHT &&
           (first = list_first(&catch_up->queue)) != NULL) {
        struct run *run = LIST_ENTRY(first, struct run, in_queue);
        list_remove(first);
        run_hold(run);
        /* What they wait for may have come by the bus or in another's page. */
        more = serve_waiting(run);
        if (more) {
            catch_up_enqueue(run);
        } else if (!list_is_empty(&run->positions)) {
            /* Those just served may have queued it again; what they want is asked for now, once. */
            list_remove(&run->in_queue);
            ask_next(run);
        }
        run_release(run);
    }
    if (more) {
        streamer_wake(streamer);
    }
}
