/* See feed.h. */
#include "streamer/feed.h"

#include "runtime/base/clock.h"
#include "runtime/event_mask.h"
#include "streamer/feed_pages.h"
#include "streamer/feed_roles.h"
#include "streamer/feed_tail.h"
#include "streamer/feed_tenants.h"
#include "streamer/keys.h"
#include "streamer/position.h"
#include "streamer/streamer.h"

#include <assert.h>
#include <stdlib.h>

enum { SERVED_IN_A_PASS = 512 };

/* ---- life ---- */

static bool is_variant(const struct feed *feed, const struct feed_variant *variant)
{
    return feed->variant.types == variant->types && feed->variant.chat == variant->chat;
}

static struct feed *create(struct streamer *streamer, struct feed_tenant *tenant,
                           const struct uuid *thread, const struct feed_variant *variant,
                           const struct feed_key *key)
{
    struct feed *feed = pool_new(&streamer->feed_pool);
    struct list *lists[] = {&feed->in_all,   &feed->in_tail,   &feed->in_changed,
                            &feed->in_queue, &feed->in_recent, &feed->positions,
                            &feed->waiting,  &feed->pages,     &feed->in_told};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        list_init(lists[i]);
    }
    feed->streamer = streamer;
    feed->tenant = tenant;
    feed->thread = *thread;
    feed->variant = *variant;
    feed->key = *key;
    feed->serial = ++streamer->last_serial;
    if (variant->chat) {
        feed->roles = feed_roles_create(key);
    }
    feed_tenants_add(feed);
    list_append(&streamer->feeds, &feed->in_all);
    feed_tail_join(feed);
    return feed;
}

struct feed *feed_watch(struct streamer *streamer, const struct uuid *tenant,
                        const struct uuid *thread, const struct feed_variant *variant,
                        const struct feed_key *key)
{
    struct feed_tenant *owner = feed_tenants_get(streamer, tenant);
    struct feed *feed = feed_tenants_first(owner, thread);
    while (feed != NULL && !is_variant(feed, variant)) {
        feed = feed->next;
    }
    return feed != NULL ? feed : create(streamer, owner, thread, variant, key);
}

struct feed *feed_find(const struct streamer *streamer, const struct uuid *tenant,
                       const struct uuid *thread, uint64_t serial)
{
    const struct feed_tenant *owner = feed_tenants_find(streamer, tenant);
    struct feed *feed = owner == NULL ? NULL : feed_tenants_first(owner, thread);
    while (feed != NULL && feed->serial != serial) {
        feed = feed->next;
    }
    return feed;
}

/* Sums follow the window's size. */
static void account(struct feed *feed)
{
    size_t bytes = feed_window_bytes(&feed->window);
    feed->streamer->feed_bytes += bytes;
    feed->streamer->feed_bytes -= feed->accounted;
    feed->accounted = bytes;
}

static void drop_window(struct feed *feed)
{
    feed_window_clear(&feed->window);
    account(feed);
    list_remove(&feed->in_recent);
    feed->streamer->trim_due = true;
}

static void destroy(struct feed *feed)
{
    struct streamer *streamer = feed->streamer;
    struct list *nodes[] = {&feed->in_all, &feed->in_tail, &feed->in_changed, &feed->in_queue,
                            &feed->in_told};
    assert(list_is_empty(&feed->waiting));
    drop_window(feed);
    feed_window_deinit(&feed->window);
    feed_pages_drop(feed);
    free(feed->batch.events);
    free(feed->batch.bytes);
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        list_remove(nodes[i]);
    }
    feed_tenants_remove(feed);
    feed_roles_destroy(&feed->roles);
    pool_free(&streamer->feed_pool, feed);
}

void feed_hold(struct feed *feed)
{
    feed->holds++;
}

void feed_release(struct feed *feed)
{
    assert(feed->holds > 0);
    if (--feed->holds == 0 && list_is_empty(&feed->positions)) {
        destroy(feed);
    }
}

void feed_add(struct feed *feed, struct position *position)
{
    list_append(&feed->positions, &position->in_shown);
    feed->count++;
}

void feed_remove(struct feed *feed, struct position *position)
{
    list_remove(&position->in_shown);
    feed->count--;
}

/* ---- the window ---- */

void feed_refresh(struct feed *feed)
{
    if (feed->joined) {
        feed_window_reach(&feed->window, feed->streamer->tail.settled);
    }
}

void feed_tell(struct feed *feed, uint64_t position)
{
    feed->told = position > feed->told ? position : feed->told;
    feed_refresh(feed);
    if (!feed_has_all(feed)) {
        list_remove(&feed->in_told);
        list_append(&feed->streamer->tail.told, &feed->in_told);
    }
}

bool feed_has_all(const struct feed *feed)
{
    return feed->window.to >= feed->told;
}

/* Readers that had everything so far keep that: without it an idle feed would be read again from
 * the last event that it had, however long ago. And those who keep up are not to blame for what they
 * have to read now. */
static void park_positions(struct feed *feed)
{
    feed_refresh(feed);
    LIST_FOR_EACH(node, &feed->positions)
    {
        struct position *position = LIST_ENTRY(node, struct position, in_shown);
        if (!position->frozen && position->skip == 0 &&
            position->cursor >= feed_window_last(&feed->window) &&
            position->cursor < feed->window.to) {
            position->cursor = feed->window.to;
        }
        position->excused = position->excused || !position->behind;
    }
}

void feed_restart(struct feed *feed, uint64_t position)
{
    park_positions(feed);
    drop_window(feed);
    feed_window_start(&feed->window, position);
    feed->batch.count = feed->batch.used = 0;
    if (feed->roles != NULL) {
        feed_roles_restart(feed->roles, position);
    }
    feed_changed(feed);
}

void feed_grown(struct feed *feed)
{
    struct streamer *streamer = feed->streamer;
    size_t most = streamer->limits.window_bytes * STREAMER_WINDOWS_MAX;
    feed_window_trim(&feed->window, streamer->limits.window_bytes);
    account(feed);
    feed->recent_ms = clock_monotonic_ms();
    list_remove(&feed->in_recent);
    list_append(&streamer->recent_feeds, &feed->in_recent);
    while (streamer->feed_bytes > most && list_first(&streamer->recent_feeds) != &feed->in_recent) {
        drop_window(LIST_ENTRY(list_first(&streamer->recent_feeds), struct feed, in_recent));
    }
    feed_changed(feed);
}

void feed_drop_idle_windows(struct streamer *streamer, int64_t now_ms)
{
    struct list *first;
    while ((first = list_first(&streamer->recent_feeds)) != NULL) {
        struct feed *feed = LIST_ENTRY(first, struct feed, in_recent);
        if (now_ms - feed->recent_ms < STREAMER_IDLE_WINDOW_MS) {
            return;
        }
        drop_window(feed);
    }
}

enum feed_verdict feed_judge(struct feed *feed, const struct native_event *event)
{
    if (feed->roles != NULL) {
        return feed_roles_judge(feed->roles, event);
    }
    return event_mask_has(feed->variant.types, event->number) ? FEED_SHOWS : FEED_HIDES;
}

void feed_prepare(const struct feed *feed, uint64_t position, struct native_event *event,
                  char cursor[FEED_CURSOR_TEXT_SIZE], struct native_frame *frame_out)
{
    feed_cursor_encode(&feed->key, position, cursor);
    event->cursor = cursor;
    native_prepare(frame_out, event);
}

/* ---- serving readers ---- */

void feed_changed(struct feed *feed)
{
    feed->unserved = feed->count;
    if (!list_is_linked(&feed->in_changed)) {
        list_append(&feed->streamer->changed_feeds, &feed->in_changed);
        streamer_wake(feed->streamer);
    }
}

/* Those served go to the end of the line. Returns how many were. */
static size_t serve(struct feed *feed, size_t most)
{
    size_t served = 0;
    struct list *first;
    feed_hold(feed);
    while (served < most && feed->unserved > 0 && (first = list_first(&feed->positions)) != NULL) {
        feed->unserved--;
        served++;
        list_remove(first);
        list_append(&feed->positions, first);
        position_pump(LIST_ENTRY(first, struct position, in_shown));
    }
    if (list_is_empty(&feed->positions)) {
        feed->unserved = 0;
    }
    feed_release(feed);
    return served;
}

/* A feed may have thousands of readers, and the runs' readers must not wait for all of them. */
void feed_serve_changed(struct streamer *streamer)
{
    size_t left = SERVED_IN_A_PASS;
    struct list *first;
    while (left > 0 && (first = list_first(&streamer->changed_feeds)) != NULL) {
        struct feed *feed = LIST_ENTRY(first, struct feed, in_changed);
        list_remove(first);
        if (feed->unserved > left) {
            list_append(&streamer->changed_feeds, first);
        }
        left -= serve(feed, left);
    }
    if (!list_is_empty(&streamer->changed_feeds)) {
        streamer_wake(streamer);
    }
}

/* ---- ending streams ---- */

void feed_break_off(struct streamer *streamer, bool only_ended_keys, const char *why)
{
    struct list *at = streamer->feeds.next;
    while (at != &streamer->feeds) {
        struct feed *feed = LIST_ENTRY(at, struct feed, in_all);
        feed_hold(feed);
        LIST_FOR_EACH(node, &feed->positions)
        {
            struct position *position = LIST_ENTRY(node, struct position, in_shown);
            if (!only_ended_keys || (keys_has_ended(position->key) && !position->frozen)) {
                position_break_off(position, why);
            }
        }
        at = at->next;
        feed_release(feed);
    }
}
