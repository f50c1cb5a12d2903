/* See position.h. */
#include "streamer/position.h"

#include "streamer/catch_up.h"
#include "streamer/feed.h"
#include "streamer/feed_pages.h"
#include "streamer/heads.h"
#include "streamer/reader.h"
#include "streamer/run.h"
#include "streamer/streamer.h"
#include "streamer/ws.h"

#include <assert.h>

/* By enum position_taker. */
static const struct position_taker_ops *const takers[] = {
    [POSITION_READER] = &reader_taker,
    [POSITION_SOCKET] = &ws_taker,
};

/* ---- on what ---- */

void position_init(struct position *position, enum position_taker taker, struct key_use *key,
                   uint64_t cursor)
{
    *position = (struct position){.key = key, .cursor = cursor, .taker = taker};
    list_init(&position->in_shown);
    list_init(&position->in_wait);
}

void position_follow_run(struct position *position, struct run *run)
{
    position->shown.run = run;
    run_add(run, position);
}

void position_follow_feed(struct position *position, struct feed *feed)
{
    position->shown.feed = feed;
    position->of_feed = true;
    feed_add(feed, position);
}

void position_leave(struct position *position)
{
    struct run *run = position_run(position);
    struct feed *feed = position_feed(position);
    position_unwait(position);
    position_set_behind(position, false);
    if (feed != NULL) {
        feed_remove(feed, position);
        feed_hold(feed);
        feed_release(feed);
    } else {
        run_remove(run, position);
        run_hold(run);
        run_release(run);
    }
}

struct run *position_run(const struct position *position)
{
    return position->of_feed ? NULL : position->shown.run;
}

struct feed *position_feed(const struct position *position)
{
    return position->of_feed ? position->shown.feed : NULL;
}

struct streamer *position_streamer(const struct position *position)
{
    return position->of_feed ? position->shown.feed->streamer : position->shown.run->streamer;
}

/* ---- what follows ---- */

enum position_judgement position_judge(struct position *position)
{
    struct run *run = position_run(position);
    if (run->closed || position->cursor < run->window.next) {
        return POSITION_KNOWN;
    }
    if (heads_is_pending(run) || run_has_hole(run)) {
        run->judging = true;
        return POSITION_UNSURE;
    }
    position->cursor = run->window.next - 1;
    return POSITION_BEYOND;
}

/* NULL: a page is needed. */
static const struct feed_window *find_in_feed(struct position *position)
{
    struct feed *feed = position_feed(position);
    feed_refresh(feed);
    while (position->cursor < feed->window.from) {
        const struct feed_window *page = feed_pages_find(feed, position->cursor);
        if (page == NULL || feed_window_last(page) > position->cursor || position->skip > 0) {
            return page;
        }
        position->cursor = page->to;
    }
    return &feed->window;
}

bool position_find(struct position *position, struct position_source *source_out)
{
    struct run *run = position_run(position);
    uint64_t seq = position->cursor + 1;
    *source_out = (struct position_source){NULL, NULL};
    if (run == NULL) {
        source_out->feed = find_in_feed(position);
    } else {
        source_out->run =
            run_window_has(&run->window, seq) ? &run->window : catch_up_page(run, seq);
    }
    return source_out->run != NULL || source_out->feed != NULL;
}

int position_gather(const struct position *position, const struct position_source *source,
                    uint64_t last, struct iovec *iov, int max)
{
    const struct window_position from = {position->cursor, position->skip};
    return source->feed != NULL ? feed_window_gather(source->feed, from, iov, max)
                                : run_window_gather_to(source->run, from, last, iov, max);
}

struct window_position position_after(const struct position *position,
                                      const struct position_source *source, size_t taken)
{
    const struct window_position from = {position->cursor, position->skip};
    return source->feed != NULL ? feed_window_advance(source->feed, from, taken)
                                : run_window_advance(source->run, from, taken);
}

uint64_t position_move(struct position *position, const struct position_source *source,
                       struct window_position to)
{
    uint64_t events = source->feed != NULL
                          ? feed_window_count(source->feed, position->cursor, to.cursor)
                          : to.cursor - position->cursor;
    position->cursor = to.cursor;
    position->skip = (uint32_t)to.skip;
    return events;
}

bool position_event(struct position *position, struct iovec *frame_out, uint64_t *next_out)
{
    struct position_source source;
    if (!position_find(position, &source)) {
        return false;
    }
    const struct window_position at = {position->cursor, 0}; /* which finding may have moved */
    if (source.feed != NULL) {
        if (feed_window_gather(source.feed, at, frame_out, 1) == 0) {
            return false;
        }
        frame_out->iov_len = feed_window_left(source.feed, at);
        *next_out = feed_window_next(source.feed, at.cursor);
        return true;
    }
    *next_out = at.cursor + 1;
    frame_out->iov_base =
        (uint8_t *)(uintptr_t)run_window_frame(source.run, *next_out, &frame_out->iov_len);
    return true;
}

uint64_t position_stop(const struct position *position, const struct position_source *source,
                       uint64_t stop_after)
{
    uint64_t after = position->cursor > stop_after ? position->cursor : stop_after;
    return source->run == NULL ? 0 : run_window_marked(source->run, after);
}

bool position_ends_at(const struct position *position, struct window_position at)
{
    const struct run *run = position_run(position);
    return run != NULL && run->known && run->closed && at.cursor >= run->head && at.skip == 0;
}

/* ---- waiting ---- */

void position_set_behind(struct position *position, bool behind)
{
    struct streamer *streamer = position_streamer(position);
    if (position->behind != behind) {
        position->behind = behind;
        streamer->catching_up += behind ? 1 : -1;
        streamer_show_counts(streamer);
    }
}

bool position_lags(const struct position *position)
{
    const struct run *run = position_run(position);
    return run == NULL ? position->cursor < position_feed(position)->window.from
                       : run->known && position->cursor + 1 < run->window.first;
}

bool position_settle(struct position *position)
{
    const struct run *run = position_run(position);
    bool needs = position_lags(position);
    position_set_behind(position, needs);
    if (needs) {
        position_want(position);
    } else {
        position_unwait(position);
    }
    return !needs && (run == NULL ? feed_has_all(position_feed(position)) : run_has_all(run));
}

void position_want(struct position *position)
{
    struct run *run = position_run(position);
    struct feed *feed = position_feed(position);
    if (!position->waiting) {
        position->waiting = true;
        list_remove(&position->in_wait);
        list_append(run != NULL ? &run->waiting : &feed->waiting, &position->in_wait);
    }
    if (run != NULL) {
        catch_up_enqueue(run);
    } else {
        feed_pages_enqueue(feed);
    }
}

void position_unwait(struct position *position)
{
    if (position->waiting) {
        position->waiting = false;
        list_remove(&position->in_wait);
    }
}

/* ---- who takes ---- */

static const struct position_taker_ops *taker_of(const struct position *position)
{
    assert(position->taker < sizeof takers / sizeof takers[0]);
    return takers[position->taker];
}

void position_pump(struct position *position)
{
    taker_of(position)->pump(position);
}

void position_resume(struct position *position)
{
    taker_of(position)->resume(position);
}

void position_break_off(struct position *position, const char *why)
{
    taker_of(position)->break_off(position, why);
}
