/* What a reader writes: its rest, then the frames behind its position in one gathered write, then
 * the end. See reader.h. */
#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/metrics.h"
#include "streamer/feed.h"
#include "streamer/handoff.h"
#include "streamer/reader.h"
#include "streamer/run.h"
#include "streamer/sse.h"
#include "streamer/stream_socket.h"
#include "streamer/streamer.h"
#include "streamer/view.h"

#include <errno.h>
#include <sys/socket.h>

enum { IOVECS = 32 };

/* What one write is made of, in this order. */
struct gathered {
    struct iovec iov[IOVECS];
    int count;
    size_t rest;
    size_t frames;
    size_t last;                   /* of the last chunk */
    struct buffer said;            /* that it is caught up, behind the frames */
    struct position_source source; /* of the frames */
    struct window_position after;  /* all frames */
    bool stops;                    /* the conversation, there */
};

/* ---- gathering ---- */

/* Its position is beyond everything known: either the head that is being read will reach it, or it
 * is told. False: it cannot be told. */
static bool judge(struct reader *reader)
{
    const struct projection_format *format = reader_format(reader);
    struct buffer text = {0};
    if (position_judge(&reader->at) != POSITION_BEYOND) {
        return true;
    }
    if (format != NULL && (!format->is_sse || format->is_conversation)) {
        return false;
    }
    sse_append_control(&text, "reset", reader->at.cursor);
    reader_set_rest(reader, text.data, text.length);
    buffer_deinit(&text);
    return true;
}

/* Whether it is told about itself: an event without id may stand anywhere in its stream. */
static bool hears(const struct reader *reader)
{
    const struct projection_format *format = reader_format(reader);
    return format == NULL || (format->is_sse && !format->is_conversation);
}

static void say(struct reader *reader, const char *name)
{
    struct buffer text = {0};
    const struct feed *feed = position_feed(&reader->at);
    if (feed == NULL) {
        sse_append_control(&text, name, reader->at.cursor);
    } else {
        char cursor[FEED_CURSOR_TEXT_SIZE];
        /* Up to where it has everything, which may be far behind its last event. */
        bool has_window = !position_lags(&reader->at) && feed->window.to > reader->at.cursor;
        feed_cursor_encode(&feed->key, has_window ? feed->window.to : reader->at.cursor, cursor);
        sse_append_feed_control(&text, name, cursor);
    }
    reader_set_rest(reader, text.data, text.length);
    buffer_deinit(&text);
}

/* It was caught up, and what follows has left the window: it must be told before it gets that. */
static bool falls_behind(const struct reader *reader)
{
    return reader->live && !reader->at.excused && position_lags(&reader->at) && hears(reader);
}

/* It begins at the end of the run, with the run so far in short, as soon as that is known. */
static void join(struct reader *reader)
{
    const struct run *run = position_run(&reader->at);
    struct buffer text = {0};
    if (run_has_hole(run)) {
        return;
    }
    bool pauses = view_join(run->view, &text);
    reader->at.cursor = run->window.next - 1;
    reader->ending = pauses && run->view->paused > reader->stop_after;
    if (reader->ending) {
        buffer_append(&text, sse_last_chunk, SSE_LAST_CHUNK_LENGTH);
    }
    reader_set_rest(reader, text.data, text.length);
    buffer_deinit(&text);
}

/* What its socket has not taken of one event, and no more: it has to be told something behind it. */
static void gather_half(struct reader *reader, struct gathered *gathered)
{
    struct iovec frame;
    uint64_t next;
    if (position_event(&reader->at, &frame, &next)) {
        gathered->frames = frame.iov_len - reader->at.skip;
        gathered->iov[gathered->count++] =
            (struct iovec){(uint8_t *)frame.iov_base + reader->at.skip, gathered->frames};
        gathered->after = (struct window_position){next, 0};
    }
}

/* Fills in what follows from the source that holds the next event. False: it shows nothing, and the
 * position has moved behind it. */
static bool gather_source(struct reader *reader, struct gathered *gathered)
{
    int first = gathered->count;
    uint64_t stop = reader_stop(reader, &gathered->source);
    if (falls_behind(reader)) {
        gather_half(reader, gathered);
        return true;
    }
    gathered->count +=
        position_gather(&reader->at, &gathered->source, stop == 0 ? UINT64_MAX : stop,
                        gathered->iov + first, IOVECS - 1 - first);
    for (int i = first; i < gathered->count; i++) {
        gathered->frames += gathered->iov[i].iov_len;
    }
    if (gathered->frames > 0 || gathered->source.run != NULL) {
        gathered->after = position_after(&reader->at, &gathered->source, gathered->frames);
    }
    if (stop != 0 && gathered->after.cursor >= stop) {
        gathered->after = (struct window_position){stop, 0};
        gathered->stops = true;
    }
    if (gathered->frames > 0 || gathered->stops || gathered->after.cursor == reader->at.cursor) {
        return true;
    }
    (void)position_move(&reader->at, &gathered->source, gathered->after);
    return false;
}

static void gather_frames(struct reader *reader, struct gathered *gathered)
{
    do {
        bool found = position_find(&reader->at, &gathered->source);
        gathered->after = (struct window_position){reader->at.cursor, reader->at.skip};
        if (!found) {
            return;
        }
    } while (!gather_source(reader, gathered));
}

/* Whether there may be events for it now. */
static bool is_live(struct reader *reader)
{
    const struct run *run = position_run(&reader->at);
    if (reader->ending || (run != NULL && !run->known)) {
        return false;
    }
    if (run != NULL && reader->rest == NULL && reader->at.cursor == STREAM_AFTER_JOIN) {
        join(reader);
    }
    return !reader->ending && reader->at.cursor != STREAM_AFTER_JOIN;
}

/* Whether it has everything behind these frames and is to be told: then that goes with them, which
 * halves the writes when very many streams are opened at once. What settle() would find later. */
static bool arrives(const struct reader *reader, const struct gathered *gathered)
{
    const struct run *run = position_run(&reader->at);
    return run != NULL && gathered->frames > 0 && !reader->live && hears(reader) &&
           gathered->after.skip == 0 && gathered->after.cursor + 1 == run->window.next &&
           run_has_all(run);
}

static void gather_text(struct gathered *gathered, const struct buffer *text)
{
    gathered->iov[gathered->count++] = (struct iovec){text->data, text->length};
}

/* False: it cannot go on. */
static bool gather(struct reader *reader, struct gathered *gathered)
{
    bool live = is_live(reader);
    if (live && !reader->at.of_feed && reader->rest == NULL && !judge(reader)) {
        return false;
    }
    if (live && falls_behind(reader)) {
        live = reader->rest == NULL; /* what is left of that goes first, alone */
        if (live && reader->at.skip == 0) {
            say(reader, "fell-behind");
            reader->live = false;
        }
    }
    if (reader->rest != NULL) {
        gathered->rest = reader->rest->length - reader->rest->taken;
        gathered->iov[gathered->count++] =
            (struct iovec){reader->rest->bytes + reader->rest->taken, gathered->rest};
    }
    if (!live) {
        return true;
    }
    gather_frames(reader, gathered);
    if (gathered->stops || position_ends_at(&reader->at, gathered->after)) {
        gathered->last = SSE_LAST_CHUNK_LENGTH;
        gathered->iov[gathered->count++] =
            (struct iovec){(char *)(uintptr_t)sse_last_chunk, SSE_LAST_CHUNK_LENGTH};
    } else if (arrives(reader, gathered)) {
        sse_append_control(&gathered->said, "caught-up", gathered->after.cursor);
        gather_text(gathered, &gathered->said);
    }
    return true;
}

/* ---- writing ---- */

/* Moves the position by what the socket took; true when that was everything. */
static bool take(struct reader *reader, const struct gathered *gathered, size_t taken)
{
    if (gathered->rest > 0) {
        size_t part = taken < gathered->rest ? taken : gathered->rest;
        reader->rest->taken += part;
        if (part < gathered->rest) {
            return false;
        }
        reader_set_rest(reader, NULL, 0);
        taken -= part;
    }
    if (gathered->frames > 0) {
        bool all = taken >= gathered->frames;
        if (all || taken > 0) {
            metric_add(
                METRIC_STREAM_EVENTS_SENT,
                (int64_t)position_move(
                    &reader->at, &gathered->source,
                    all ? gathered->after : position_after(&reader->at, &gathered->source, taken)));
        }
        if (!all) {
            return false;
        }
        taken -= gathered->frames;
    }
    if (gathered->last > 0) {
        reader->ending = true;
        reader_set_rest(reader, sse_last_chunk + taken, gathered->last - taken);
    }
    if (gathered->said.length > 0) {
        reader->live = true;
        reader_set_rest(reader, gathered->said.data + taken, gathered->said.length - taken);
    }
    return reader->rest == NULL;
}

static void block(struct reader *reader)
{
    position_unwait(&reader->at);
    reader->blocked = true;
    reader->at.excused = false;
    reader->blocked_ms = (uint32_t)clock_monotonic_ms();
    reader->queued = stream_socket_queued(reader->fd);
    list_remove(&reader->at.in_wait);
    list_append(&position_streamer(&reader->at)->blocked, &reader->at.in_wait);
    position_set_behind(&reader->at, true);
}

/* Nothing to write. True: now there is. */
static bool settle(struct reader *reader)
{
    if (reader->at.cursor == STREAM_AFTER_JOIN || !position_settle(&reader->at)) {
        return false; /* served when there is more, or the run's state is known */
    }
    reader->at.excused = false;
    if (reader->live || reader->ending || !hears(reader)) {
        return false;
    }
    reader->live = true;
    say(reader, "caught-up");
    return true;
}

void reader_unblock(struct reader *reader)
{
    position_unwait(&reader->at);
    reader->blocked = false;
    list_remove(&reader->at.in_wait);
    reader_pump(reader);
}

/* False: that was all for now, or it is closed. */
static bool write_gathered(struct reader *reader, struct gathered *gathered)
{
    struct msghdr message = {.msg_iov = gathered->iov, .msg_iovlen = (size_t)gathered->count};
    SB_FAULT("streamer_before_write");
    /* The end of the body waits for the end of the connection, to arrive together with it: a
     * client must not believe in between that the connection is free for another request. */
    int more = gathered->last > 0 || reader->ending ? MSG_MORE : 0;
    ssize_t sent = sendmsg(reader->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL | more);
    if (sent < 0 && errno == EINTR) {
        return true;
    }
    if (sent < 0 && errno != EAGAIN) {
        reader_close(reader, errno == ETIMEDOUT ? READER_CLOSE_STALLED : READER_CLOSE_GONE,
                     error_errno(errno));
        return false;
    }
    if (sent < 0 || !take(reader, gathered, (size_t)sent)) {
        block(reader);
    } else if (reader->ending) {
        reader_close(reader, READER_CLOSE_ENDED, "end of the run");
        return false;
    }
    return true;
}

void reader_pump(struct reader *reader)
{
    bool goes_on = true;
    while (goes_on && !reader->blocked && !reader->at.frozen) {
        struct gathered gathered = {.count = 0};
        if (!gather(reader, &gathered)) {
            reader_close(reader, READER_CLOSE_BROKEN, "its position is beyond the run's end");
            return;
        }
        goes_on = gathered.count == 0 ? settle(reader) : write_gathered(reader, &gathered);
        buffer_deinit(&gathered.said);
    }
}

void reader_resume(struct reader *reader)
{
    struct streamer *streamer = position_streamer(&reader->at);
    if (reader->blocked) {
        list_append(&streamer->blocked, &reader->at.in_wait);
        handoff_continue(streamer);
    } else {
        reader_pump(reader);
    }
}

void reader_ping(struct reader *reader)
{
    /* A reader with something unwritten has no use for a ping, and half an event is no place for
     * one. */
    if (reader->blocked || reader->at.frozen || reader->rest != NULL || reader->at.skip > 0) {
        return;
    }
    const struct projection_format *format = reader_format(reader);
    if (format != NULL && !format->is_sse) {
        return;
    }
    struct buffer text = {0};
    sse_append_ping(&text,
                    format != NULL && format->is_conversation ? SSE_PING_COMMENT : SSE_PING_EVENT);
    reader_set_rest(reader, text.data, text.length);
    buffer_deinit(&text);
    reader_pump(reader);
}

void reader_mention(struct reader *reader, const struct buffer *chunks)
{
    bool busy = reader->blocked || reader->at.frozen || reader->rest != NULL || reader->at.skip > 0;
    if (!busy && reader->live && !reader->ending) {
        reader_set_rest(reader, chunks->data, chunks->length);
        reader_pump(reader);
    }
}

void reader_check_alive(struct reader *reader)
{
    int64_t silent_ms = position_streamer(&reader->at)->limits.ping_ms * 2 / 3;
    /* One that is blocked has the stall limit. */
    if (!reader->blocked && !reader->at.frozen && stream_socket_is_dead(reader->fd, silent_ms)) {
        reader_close(reader, READER_CLOSE_STALLED, "nothing comes back from it");
    }
}

/* ---- as what takes a position ---- */

static void pump(struct position *position)
{
    reader_pump(reader_of(position));
}

static void resume(struct position *position)
{
    reader_resume(reader_of(position));
}

static void break_off(struct position *position, const char *why)
{
    reader_close(reader_of(position), READER_CLOSE_BROKEN, why);
}

const struct position_taker_ops reader_taker = {
    .pump = pump, .resume = resume, .break_off = break_off};
