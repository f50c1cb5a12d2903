/* See feed_pages.h. */
#include "streamer/feed_pages.h"

#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "runtime/event_mask.h"
#include "streamer/feed.h"
#include "streamer/feed_tenants.h"
#include "streamer/position.h"
#include "streamer/store.h"
#include "streamer/streamer.h"

#include <stdlib.h>

enum {
    SHARD = 0,
    PAGES_IN_FLIGHT = 2,
    PAGE_KEPT_MS = 1000, /* after its last use */
    /* Positions that one page looks at. The table finds positions, not tenants: a tenant's page
     * costs all rows of the range. */
    SPAN_MIN = 1 << 10,
    SPAN_MAX = 1 << 17,
    /* A tenant's page is so many times larger than a run's: the smallest part of the table that can
     * be looked at holds thousands of events. */
    TENANT_PAGE = 4,
    NEIGHBOURS_POSITIONS = 1 << 10, /* a page begins this much earlier if that serves another one */
    NEIGHBOURS_LOOKED_AT = 64,
    SERVED_AT_ONCE = 256 /* of one feed: thousands may wait for the same page */
};

struct feed_page {
    struct list in_feed;
    struct list in_pages; /* streamer->feed_pages.pages */
    struct feed *feed;
    struct feed_window window;
    int64_t used_ms;
};

/* One query on the way. */
struct feed_question {
    struct streamer *streamer;
    struct uuid tenant;
    struct uuid thread;
    uint64_t serial;
    uint64_t after;
    uint64_t up_to;
};

/* ---- pages in memory ---- */

static void drop(struct feed_page *page)
{
    struct streamer *streamer = page->feed->streamer;
    streamer->trim_due = true;
    streamer->feed_pages.bytes -= feed_window_bytes(&page->window);
    feed_window_deinit(&page->window);
    list_remove(&page->in_feed);
    list_remove(&page->in_pages);
    free(page);
}

void feed_pages_drop(struct feed *feed)
{
    struct list *first;
    while ((first = list_first(&feed->pages)) != NULL) {
        drop(LIST_ENTRY(first, struct feed_page, in_feed));
    }
}

static void use(struct feed_page *page)
{
    page->used_ms = clock_monotonic_ms();
    list_remove(&page->in_pages);
    list_append(&page->feed->streamer->feed_pages.pages, &page->in_pages);
}

static void keep(struct feed *feed, struct feed_page *page)
{
    struct feed_pages *pages = &feed->streamer->feed_pages;
    list_append(&feed->pages, &page->in_feed);
    pages->bytes += feed_window_bytes(&page->window);
    use(page);
    while (pages->bytes > STREAMER_PAGES_BYTES && list_first(&pages->pages) != &page->in_pages) {
        drop(LIST_ENTRY(list_first(&pages->pages), struct feed_page, in_pages));
    }
}

const struct feed_window *feed_pages_find(struct feed *feed, uint64_t cursor)
{
    LIST_FOR_EACH(node, &feed->pages)
    {
        struct feed_page *page = LIST_ENTRY(node, struct feed_page, in_feed);
        if (cursor >= page->window.from && cursor < page->window.to) {
            use(page);
            return &page->window;
        }
    }
    return NULL;
}

void feed_pages_tick(struct streamer *streamer, int64_t now_ms)
{
    struct list *first;
    while ((first = list_first(&streamer->feed_pages.pages)) != NULL) {
        struct feed_page *page = LIST_ENTRY(first, struct feed_page, in_pages);
        if (now_ms - page->used_ms < PAGE_KEPT_MS) {
            break;
        }
        drop(page);
    }
    feed_pages_go(streamer);
}

/* ---- who wants one ---- */

void feed_pages_enqueue(struct feed *feed)
{
    if (!list_is_linked(&feed->in_queue) && !feed->paging) {
        list_append(&feed->streamer->feed_pages.queue, &feed->in_queue);
        streamer_wake(feed->streamer);
    }
}

/* The cursor of the first that waits, or of one a little before it, who then needs no page of its
 * own. */
static uint64_t page_start(const struct feed *feed)
{
    uint64_t leader = LIST_ENTRY(feed->waiting.next, struct position, in_wait)->cursor;
    uint64_t start = leader;
    unsigned looked_at = 0;
    LIST_FOR_EACH(node, &feed->waiting)
    {
        uint64_t cursor = LIST_ENTRY(node, struct position, in_wait)->cursor;
        if (cursor < start && leader - cursor <= NEIGHBOURS_POSITIONS) {
            start = cursor;
        }
        if (++looked_at == NEIGHBOURS_LOOKED_AT) {
            break;
        }
    }
    return start;
}

/* ---- the answer ---- */

static void read_row(const struct db_result *result, int row, char run_id[UUID_TEXT_SIZE],
                     struct native_event *event)
{
    struct uuid run;
    *event = (struct native_event){.run_id = run_id,
                                   .seq = (uint64_t)db_int8(result, row, STORE_FEED_SEQ),
                                   .ts_us = db_timestamptz(result, row, STORE_FEED_TS)};
    db_uuid(result, row, STORE_FEED_RUN, &run);
    uuid_format(&run, run_id);
    event->type = db_bytes(result, row, STORE_FEED_TYPE, &event->type_length);
    if (event_type_find(event->type, event->type_length, &event->number) != 0) {
        event->number = 0; /* of a newer schema */
    }
    event->payload = db_bytes(result, row, STORE_FEED_PAYLOAD, &event->payload_length);
}

static void add_row(struct feed *feed, struct feed_window *window, const struct db_result *result,
                    int row)
{
    char run_id[UUID_TEXT_SIZE];
    char cursor[FEED_CURSOR_TEXT_SIZE];
    struct native_frame frame;
    struct native_event event;
    uint64_t position = (uint64_t)db_int8(result, row, STORE_FEED_AT);
    if (!db_bool(result, row, STORE_FEED_SHOWN)) {
        feed_window_reach(window, position);
        return;
    }
    read_row(result, row, run_id, &event);
    feed_prepare(feed, position, &event, cursor, &frame);
    native_write(&frame, feed_window_append(window, position, frame.size));
}

/* A page that reaches the point from which a chat judges events itself says whose the messages
 * before it are. The last word on a message counts. */
static void learn_roles(struct feed *feed, const struct feed_page *page,
                        const struct db_result *result)
{
    uint64_t from = feed_roles_from(feed->roles);
    if (page->window.to < from) {
        return;
    }
    for (int row = db_rows(result) - 1; row >= 0; row--) {
        char run_id[UUID_TEXT_SIZE];
        struct native_event event;
        if (!db_is_null(result, row, STORE_FEED_AT) &&
            (uint64_t)db_int8(result, row, STORE_FEED_AT) <= from) {
            read_row(result, row, run_id, &event);
            feed_roles_learn(feed->roles, &event, db_bool(result, row, STORE_FEED_SHOWN));
        }
    }
}

static struct feed_page *make_page(struct feed *feed, const struct feed_question *question,
                                   const struct db_result *result)
{
    struct feed_page *page = memory_new(sizeof *page);
    list_init(&page->in_feed);
    list_init(&page->in_pages);
    page->feed = feed;
    feed_window_start(&page->window, question->after);
    for (int row = 0; row < db_rows(result); row++) {
        if (!db_is_null(result, row, STORE_FEED_AT) &&
            (uint64_t)db_int8(result, row, STORE_FEED_AT) > page->window.to) {
            add_row(feed, &page->window, result, row);
        }
    }
    return page;
}

/* How far the page knows the log: to its last event when it was cut there, else to the end of what
 * it looked at. */
static uint64_t reach_of(const struct feed_page *page, const struct feed_question *question,
                         const struct db_result *result, bool *full_out)
{
    uint64_t end = (uint64_t)db_int8(result, 0, STORE_FEED_END);
    *full_out = !db_is_null(result, 0, STORE_FEED_AT) && db_bool(result, 0, STORE_FEED_CUT);
    if (*full_out) {
        return page->window.to;
    }
    return question->up_to < end ? question->up_to : end;
}

/* A range that held more than a page is too wide, one that held less is too narrow. */
static void adapt_span(struct feed *feed, uint64_t looked_at, bool full)
{
    uint64_t span = full ? looked_at * 2 : feed->span * 4;
    feed->span = span < SPAN_MIN ? SPAN_MIN : span > SPAN_MAX ? SPAN_MAX : span;
}

static void take_page(struct feed *feed, const struct feed_question *question,
                      const struct db_result *result)
{
    bool full = false;
    struct feed_page *page = make_page(feed, question, result);
    SB_FAULT("streamer_mid_feed_page");
    feed_window_reach(&page->window, reach_of(page, question, result, &full));
    if (feed->roles != NULL) {
        learn_roles(feed, page, result);
    }
    if (page->window.to == question->after) {
        LOG_WARN("the log ends before a reader's position", LOG_INT("after", question->after));
        feed->streamer->feed_pages.pause_until_ms =
            clock_monotonic_ms() + STREAMER_REFUSED_PAUSE_MS;
    }
    adapt_span(feed, page->window.to - question->after, full);
    keep(feed, page);
}

/* Serves those for whom something is in memory now; in a list of their own first, because serving
 * one may put it back at the end of the line. True when there may be more of them. */
static bool serve_waiting(struct feed *feed)
{
    size_t count = 0;
    struct list ready;
    struct list *first;
    list_init(&ready);
    LIST_FOR_EACH(node, &feed->waiting)
    {
        uint64_t cursor = LIST_ENTRY(node, struct position, in_wait)->cursor;
        if (count < SERVED_AT_ONCE &&
            (cursor >= feed->window.from || feed_pages_find(feed, cursor) != NULL)) {
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

static void on_page(void *arg, enum db_status status, const struct db_result *result)
{
    struct feed_question *question = arg;
    struct streamer *streamer = question->streamer;
    struct feed_pages *pages = &streamer->feed_pages;
    struct feed *feed = feed_find(streamer, &question->tenant, &question->thread, question->serial);
    pages->in_flight--;
    if (status == DB_REFUSED) {
        LOG_WARN("cannot read a page of a feed", LOG_TEXT("error", db_message(result)));
    }
    if (status != DB_OK) {
        pages->pause_until_ms =
            clock_monotonic_ms() +
            (status == DB_LOST ? STREAMER_LOST_PAUSE_MS : STREAMER_REFUSED_PAUSE_MS);
    }
    if (feed != NULL) {
        feed->paging = false;
        feed_hold(feed);
        if (status == DB_OK && db_rows(result) > 0) {
            take_page(feed, question, result);
            (void)serve_waiting(feed); /* who is left is served in its turn */
        }
        if (!list_is_empty(&feed->waiting)) {
            feed_pages_enqueue(feed);
        }
        feed_release(feed);
    }
    free(question);
    streamer_wake(streamer);
}

/* ---- the query ---- */

static const struct db_statement *statement_of(const struct feed *feed)
{
    if (feed->variant.chat) {
        return &store_chat_page;
    }
    if (uuid_is_nil(&feed->thread)) {
        return &store_tenant_page;
    }
    return feed->variant.types == 0 ? &store_thread_page : &store_some_thread_page;
}

static void add_what(struct db_params *params, const struct feed *feed)
{
    bool whole = uuid_is_nil(&feed->thread);
    if (!whole) {
        db_param_uuid(params, &feed->thread);
    }
    if (whole || feed->variant.types != 0) {
        event_mask_param(params, feed->variant.types);
    }
}

static void ask(struct feed *feed)
{
    struct streamer *streamer = feed->streamer;
    bool whole = uuid_is_nil(&feed->thread);
    struct db_params params = {0};
    struct db_params scope = {0};
    struct feed_question *question = memory_new(sizeof *question);
    uint64_t after = page_start(feed);
    feed->span = feed->span < SPAN_MIN ? SPAN_MIN : feed->span;
    /* A thread's runs are found by index, whatever lies between them. */
    *question = (struct feed_question){.streamer = streamer,
                                       .tenant = feed->tenant->id,
                                       .thread = feed->thread,
                                       .serial = feed->serial,
                                       .after = after,
                                       .up_to = whole ? after + feed->span : INT64_MAX};
    db_param_int4(&params, SHARD);
    db_param_uuid(&params, &feed->tenant->id);
    db_param_int8(&params, (int64_t)after);
    db_param_int8(&params, (int64_t)question->up_to);
    db_param_int8(&params, streamer->limits.page_events * (whole ? TENANT_PAGE : 1));
    db_param_int8(&params, streamer->limits.page_bytes * (whole ? TENANT_PAGE : 1));
    add_what(&params, feed);
    LOG_DEBUG("page of a feed", LOG_UUID("tenant_id", &feed->tenant->id), LOG_INT("after", after),
              LOG_INT("span", whole ? feed->span : 0));
    feed->paging = true;
    streamer->feed_pages.in_flight++;
    metric_add(METRIC_STREAM_PAGES, 1);
    db_param_uuid(&scope, &feed->tenant->id);
    db_array_begin(&scope, DB_ARRAY_UUID, 1);
    db_array_uuid(&scope, feed->tenant->id.bytes);
    db_array_end(&scope);
    db_query_in(streamer->feed_db, &(struct db_scope){&store_scope, &scope}, statement_of(feed),
                &params, on_page, question);
    db_params_deinit(&params);
    db_params_deinit(&scope);
}

void feed_pages_go(struct streamer *streamer)
{
    struct feed_pages *pages = &streamer->feed_pages;
    struct list *first;
    bool more = false;
    if (!db_is_connected(streamer->feed_db) || clock_monotonic_ms() < pages->pause_until_ms) {
        return;
    }
    while (!more && pages->in_flight < PAGES_IN_FLIGHT &&
           (first = list_first(&pages->queue)) != NULL) {
        struct feed *feed = LIST_ENTRY(first, struct feed, in_queue);
        list_remove(first);
        feed_hold(feed);
        more = serve_waiting(feed); /* what they wait for may have come in another's page */
        if (!list_is_empty(&feed->waiting) && more) {
            feed_pages_enqueue(feed);
        } else if (!list_is_empty(&feed->waiting)) {
            list_remove(&feed->in_queue); /* those just served may have queued it again */
            ask(feed);
        }
        feed_release(feed);
    }
    if (more) {
        streamer_wake(streamer);
    }
}
