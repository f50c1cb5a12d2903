/* See reader.h. */
#include "streamer/reader.h"

#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "streamer/catch_up.h"
#include "streamer/feed.h"
#include "streamer/feed_pages.h"
#include "streamer/feed_reader.h"
#include "streamer/feed_tail.h"
#include "streamer/handoff.h"
#include "streamer/heads.h"
#include "streamer/keys.h"
#include "streamer/pings.h"
#include "streamer/run.h"
#include "streamer/sse.h"
#include "streamer/stream_socket.h"
#include "streamer/streamer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    IOVECS = 32,
    SOCKET_EVENTS = 256,
    RETRY_MIN_MS = 1000,
    RETRY_MAX_MS = 3000,
    RETRY_REFUSED_MIN_MS = 10000,
    RETRY_REFUSED_MAX_MS = 20000
};

/* What one write is made of, in this order. */
struct gathered {
    struct iovec iov[IOVECS];
    int count;
    size_t rest;
    size_t frames;
    size_t last;                     /* of the last chunk */
    const struct run_window *source; /* of the frames */
    const struct feed_window *feed;  /* or this */
    struct window_position after;    /* all frames */
};

static struct streamer *streamer_of(const struct reader *reader)
{
    return reader->feed != NULL ? reader->feed->streamer : reader->run->streamer;
}

static void set_behind(struct reader *reader, bool behind)
{
    struct streamer *streamer = streamer_of(reader);
    if (reader->behind != behind) {
        reader->behind = behind;
        streamer->catching_up += behind ? 1 : -1;
        streamer_show_counts(streamer);
    }
}

static void set_rest(struct reader *reader, const void *bytes, size_t length)
{
    assert(reader->rest == NULL);
    if (length > 0) {
        reader->rest = memory_grow(NULL, 1, sizeof *reader->rest + length);
        *reader->rest = (struct reader_rest){.length = length};
        memcpy(reader->rest->bytes, bytes, length);
    }
}

static void drop_rest(struct reader *reader)
{
    free(reader->rest);
    reader->rest = NULL;
}

/* ---- gathering ---- */

/* Its position is beyond everything known: either the head that is being read will reach it, or it
 * is told. */
static void judge(struct reader *reader)
{
    struct run *run = reader->run;
    if (run->closed || reader->cursor < run->window.next) {
        return;
    }
    if (heads_is_pending(run) || run_has_hole(run)) {
        run->judging = true;
        return;
    }
    struct buffer text = {0};
    reader->cursor = run->window.next - 1;
    sse_append_reset(&text, reader->cursor);
    set_rest(reader, text.data, text.length);
    buffer_deinit(&text);
}

static const struct run_window *source_of(const struct reader *reader)
{
    uint64_t seq = reader->cursor + 1;
    return run_window_has(&reader->run->window, seq) ? &reader->run->window
                                                     : catch_up_page(reader->run, seq);
}

/* Finds where its next events are; false: not in memory. */
static bool find_source(struct reader *reader, struct gathered *gathered)
{
    if (reader->feed != NULL) {
        gathered->feed = feed_reader_source(reader);
    } else {
        gathered->source = source_of(reader);
    }
    return gathered->feed != NULL || gathered->source != NULL;
}

static struct window_position advance(const struct gathered *gathered, struct window_position from,
                                      size_t taken)
{
    return gathered->feed != NULL ? feed_window_advance(gathered->feed, from, taken)
                                  : run_window_advance(gathered->source, from, taken);
}

static void gather_frames(struct reader *reader, struct gathered *gathered)
{
    int first = gathered->count;
    bool found = find_source(reader, gathered);
    const struct window_position from = {reader->cursor, reader->skip};
    struct iovec *iov = gathered->iov + first;
    gathered->after = from;
    if (!found) {
        return;
    }
    gathered->count += gathered->feed != NULL
                           ? feed_window_gather(gathered->feed, from, iov, IOVECS - 1 - first)
                           : run_window_gather(gathered->source, from, iov, IOVECS - 1 - first);
    for (int i = first; i < gathered->count; i++) {
        gathered->frames += gathered->iov[i].iov_len;
    }
    if (gathered->frames > 0) {
        gathered->after = advance(gathered, from, gathered->frames);
    }
}

static void gather(struct reader *reader, struct gathered *gathered)
{
    const struct run *run = reader->run;
    bool live = !reader->ending && (run == NULL || run->known);
    if (live && run != NULL && reader->rest == NULL) {
        judge(reader);
    }
    if (reader->rest != NULL) {
        gathered->rest = reader->rest->length - reader->rest->taken;
        gathered->iov[gathered->count++] =
            (struct iovec){reader->rest->bytes + reader->rest->taken, gathered->rest};
    }
    if (!live) {
        return;
    }
    gather_frames(reader, gathered);
    if (run != NULL && run->closed && gathered->after.cursor >= run->head &&
        gathered->after.skip == 0) {
        gathered->last = SSE_LAST_CHUNK_LENGTH;
        gathered->iov[gathered->count++] =
            (struct iovec){(char *)(uintptr_t)sse_last_chunk, SSE_LAST_CHUNK_LENGTH};
    }
}

/* ---- writing ---- */

static void count_sent(const struct gathered *gathered, uint64_t after, uint64_t up_to)
{
    uint64_t events =
        gathered->feed != NULL ? feed_window_count(gathered->feed, after, up_to) : up_to - after;
    metric_add(METRIC_STREAM_EVENTS_SENT, (int64_t)events);
}

/* Moves the position by what the socket took; true when that was everything. */
static bool take(struct reader *reader, const struct gathered *gathered, size_t taken)
{
    if (gathered->rest > 0) {
        size_t part = taken < gathered->rest ? taken : gathered->rest;
        reader->rest->taken += part;
        if (part < gathered->rest) {
            return false;
        }
        drop_rest(reader);
        taken -= part;
    }
    if (gathered->frames > 0) {
        const struct window_position from = {reader->cursor, reader->skip};
        const struct window_position now = taken >= gathered->frames ? gathered->after
                                           : taken > 0 ? advance(gathered, from, taken)
                                                       : from;
        count_sent(gathered, from.cursor, now.cursor);
        reader->cursor = now.cursor;
        reader->skip = (uint32_t)now.skip;
        if (taken < gathered->frames) {
            return false;
        }
        taken -= gathered->frames;
    }
    if (gathered->last > 0) {
        reader->ending = true;
        set_rest(reader, sse_last_chunk + taken, gathered->last - taken);
    }
    return reader->rest == NULL;
}

static void block(struct reader *reader)
{
    catch_up_leave(reader);
    reader->blocked = true;
    reader->blocked_ms = clock_monotonic_ms();
    reader->queued = stream_socket_queued(reader->fd);
    list_remove(&reader->in_wait);
    list_append(&streamer_of(reader)->blocked, &reader->in_wait);
    set_behind(reader, true);
}

static void unblock(struct reader *reader)
{
    catch_up_leave(reader);
    reader->blocked = false;
    list_remove(&reader->in_wait);
}

static bool needs_page(const struct reader *reader)
{
    const struct run *run = reader->run;
    return reader->feed != NULL ? reader->cursor < reader->feed->window.from
                                : run->known && reader->cursor + 1 < run->window.first;
}

void reader_want(struct reader *reader)
{
    if (reader->feed != NULL) {
        feed_pages_want(reader);
    } else {
        catch_up_want(reader);
    }
}

/* Nothing to write: it is at the end of what is known, or its next event must be read. */
static void settle(struct reader *reader)
{
    if (needs_page(reader)) {
        set_behind(reader, true);
        reader_want(reader);
    } else {
        catch_up_leave(reader);
        set_behind(reader, false);
    }
}

void reader_pump(struct reader *reader)
{
    while (!reader->blocked && !reader->frozen) {
        struct gathered gathered = {.count = 0};
        gather(reader, &gathered);
        if (gathered.count == 0) {
            settle(reader);
            return;
        }
        struct msghdr message = {.msg_iov = gathered.iov, .msg_iovlen = (size_t)gathered.count};
        SB_FAULT("streamer_before_write");
        ssize_t sent = sendmsg(reader->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0 && errno != EAGAIN) {
            reader_close(reader, errno == ETIMEDOUT ? READER_CLOSE_STALLED : READER_CLOSE_GONE,
                         error_errno(errno));
            return;
        }
        if (sent < 0 || !take(reader, &gathered, (size_t)sent)) {
            block(reader);
        } else if (reader->ending) {
            reader_close(reader, READER_CLOSE_ENDED, "end of the run");
            return;
        }
    }
}

void reader_resume(struct reader *reader)
{
    if (reader->blocked) {
        list_append(&streamer_of(reader)->blocked, &reader->in_wait);
        handoff_continue(streamer_of(reader));
    } else {
        reader_pump(reader);
    }
}

void reader_ping(struct reader *reader)
{
    /* A reader with something unwritten has no use for a ping, and half an event is no place for
     * one. */
    if (reader->blocked || reader->frozen || reader->rest != NULL || reader->skip > 0) {
        return;
    }
    struct buffer text = {0};
    sse_append_ping(&text);
    set_rest(reader, text.data, text.length);
    buffer_deinit(&text);
    reader_pump(reader);
}

/* ---- the socket ---- */

static void on_socket(struct reader *reader, uint32_t events)
{
    if ((events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0) {
        reader_close(reader,
                     stream_socket_timed_out(reader->fd) ? READER_CLOSE_STALLED : READER_CLOSE_GONE,
                     "hung up");
        return;
    }
    if ((events & EPOLLIN) != 0 && !stream_socket_discard(reader->fd)) {
        reader_close(reader, READER_CLOSE_GONE, "hung up, or sends too much");
        return;
    }
    if ((events & EPOLLOUT) != 0 && reader->blocked) {
        unblock(reader);
        reader_pump(reader);
    }
}

void reader_on_sockets(int fd, short what, void *arg)
{
    struct epoll_event events[SOCKET_EVENTS];
    (void)what;
    (void)arg;
    /* One batch: the loop comes back for the rest. A reader is in it once, and no handler closes
     * another one. */
    int count = epoll_wait(fd, events, SOCKET_EVENTS, 0);
    for (int i = 0; i < count; i++) {
        on_socket(events[i].data.ptr, events[i].events);
    }
}

static int watch_socket(const struct streamer *streamer, struct reader *reader)
{
    /* Edge-triggered and for everything, so that no write ever has to change it. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = reader};
    return epoll_ctl(streamer->sockets, EPOLL_CTL_ADD, reader->fd, &event);
}

void reader_freeze(struct reader *reader)
{
    if (!reader->frozen) {
        reader->frozen = true;
        catch_up_leave(reader);
        list_remove(&reader->in_wait);
        (void)epoll_ctl(streamer_of(reader)->sockets, EPOLL_CTL_DEL, reader->fd, NULL);
    }
}

int reader_unsent(struct reader *reader, struct buffer *out, uint64_t *cursor_out)
{
    *cursor_out = reader->cursor;
    if (reader->rest != NULL) {
        buffer_append(out, reader->rest->bytes + reader->rest->taken,
                      reader->rest->length - reader->rest->taken);
    }
    if (reader->skip > 0 && reader->feed != NULL) {
        return feed_reader_unsent(reader, out, cursor_out);
    }
    if (reader->skip > 0) {
        const struct run_window *source = source_of(reader);
        if (source == NULL) {
            return -1;
        }
        const struct window_position at = {reader->cursor, reader->skip};
        struct iovec iov;
        run_window_gather(source, at, &iov, 1);
        buffer_append(out, iov.iov_base, run_window_left(source, at));
        *cursor_out = reader->cursor + 1;
    }
    return 0;
}

/* ---- life ---- */

static unsigned random_between(unsigned low, unsigned high)
{
    return low + arc4random_uniform(high - low + 1);
}

/* Over a limit: native EventSource gives up for good on an error status, so it is told to come back
 * later. */
static void refuse(struct streamer *streamer, int fd, const char *why)
{
    struct buffer head = {0};
    sse_append_head(&head, clock_real_us(),
                    random_between(RETRY_REFUSED_MIN_MS, RETRY_REFUSED_MAX_MS));
    if (send(fd, head.data, head.length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        LOG_DEBUG("refused stream has gone", LOG_TEXT("error", error_errno(errno)));
    }
    buffer_deinit(&head);
    stream_socket_close(fd, STREAM_SOCKET_CUT);
    streamer->refused++;
    LOG_DEBUG("stream refused", LOG_TEXT("why", why));
}

static void begin(struct reader *reader, const struct reader_opening *opening)
{
    struct buffer head = {0};
    if (opening->handed_off) {
        reader->ending = opening->ended;
        set_rest(reader, opening->unsent, opening->unsent_length);
    } else {
        sse_append_head(&head, clock_real_us(), random_between(RETRY_MIN_MS, RETRY_MAX_MS));
        if (reader->feed != NULL && reader->cursor > opening->head) {
            feed_reader_reset(reader, opening->head, &head);
        }
        set_rest(reader, head.data, head.length);
        buffer_deinit(&head);
    }
    if (reader->ending && reader->rest == NULL) {
        reader_close(reader, READER_CLOSE_ENDED, "end of the run");
        return;
    }
    reader_pump(reader);
}

static struct reader *create(struct streamer *streamer, const struct reader_opening *opening)
{
    struct reader *reader = pool_new(&streamer->reader_pool);
    list_init(&reader->in_run);
    list_init(&reader->in_slot);
    list_init(&reader->in_wait);
    reader->fd = opening->fd;
    reader->cursor = opening->cursor;
    reader->key = keys_take(streamer, &opening->key, &opening->tenant);
    if (opening->kind == STREAM_KIND_RUN) {
        reader->run = run_watch(streamer, &opening->run, &opening->tenant);
        list_append(&reader->run->readers, &reader->in_run);
    } else {
        feed_tail_learn(streamer, opening->head);
        reader->feed = feed_watch(streamer, &opening->tenant, &opening->thread, &opening->signing);
        feed_add(reader->feed, reader);
    }
    pings_place(streamer, reader);
    streamer->readers++;
    metric_add(METRIC_STREAMS_OPENED, 1);
    streamer_show_counts(streamer);
    return reader;
}

void reader_open(struct streamer *streamer, const struct reader_opening *opening)
{
    if (!opening->handed_off && streamer->readers >= streamer->limits.per_process) {
        refuse(streamer, opening->fd, "too many streams in this process");
        return;
    }
    if (!opening->handed_off && keys_streams(streamer, &opening->key) >= streamer->limits.per_key) {
        refuse(streamer, opening->fd, "too many streams of this key");
        return;
    }
    struct reader *reader = create(streamer, opening);
    struct run *run = reader->run;
    SB_FAULT("streamer_after_register");
    if (run != NULL && !uuid_equal(&run->tenant, &opening->tenant)) {
        reader_close(reader, READER_CLOSE_BROKEN, "not this tenant's run");
        return;
    }
    stream_socket_prepare(reader->fd, streamer->limits.stall_ms);
    if (watch_socket(streamer, reader) != 0) {
        reader_close(reader, READER_CLOSE_BROKEN, error_errno(errno));
        return;
    }
    if (run != NULL && run->known && reader->cursor >= run->window.next) {
        heads_ask(run);
    }
    LOG_DEBUG("stream opened", LOG_INT("kind", opening->kind), LOG_UUID("run_id", &opening->run),
              LOG_UUID("key_id", &opening->key), LOG_INT("after_seq", reader->cursor),
              LOG_INT("handed_off", opening->handed_off));
    begin(reader, opening);
}

void reader_close(struct reader *reader, enum reader_close how, const char *why)
{
    static const enum stream_socket_close socket_close[] = {
        [READER_CLOSE_ENDED] = STREAM_SOCKET_ORDERLY, [READER_CLOSE_GONE] = STREAM_SOCKET_CUT,
        [READER_CLOSE_STALLED] = STREAM_SOCKET_RESET, [READER_CLOSE_BROKEN] = STREAM_SOCKET_CUT,
        [READER_CLOSE_HANDED] = STREAM_SOCKET_LEAVE,
    };
    struct run *run = reader->run;
    struct feed *feed = reader->feed;
    struct streamer *streamer = streamer_of(reader);
    LOG_DEBUG("stream closed", LOG_UUID("run_id", run != NULL ? &run->id : &feed->thread),
              LOG_INT("cursor", reader->cursor), LOG_TEXT("why", why));
    if (how == READER_CLOSE_STALLED) {
        metric_add(METRIC_STREAMS_STALLED, 1);
    }
    reader_freeze(reader);
    stream_socket_close(reader->fd, socket_close[how]);
    set_behind(reader, false);
    list_remove(&reader->in_slot);
    if (feed != NULL) {
        feed_remove(feed, reader);
    }
    list_remove(&reader->in_run);
    keys_release(streamer, reader->key);
    drop_rest(reader);
    pool_free(&streamer->reader_pool, reader);
    streamer->readers--;
    streamer_show_counts(streamer);
    if (feed != NULL) {
        feed_hold(feed);
        feed_release(feed);
    } else {
        run_hold(run);
        run_release(run);
    }
}

void reader_check_stalled(struct streamer *streamer, int64_t now_ms)
{
    struct list *first;
    while ((first = list_first(&streamer->blocked)) != NULL) {
        struct reader *reader = LIST_ENTRY(first, struct reader, in_wait);
        if (now_ms - reader->blocked_ms < streamer->limits.stall_ms) {
            return;
        }
        uint32_t queued = stream_socket_queued(reader->fd);
        if (queued < reader->queued) {
            /* It takes a little, just not enough for the socket to be writable yet. */
            reader->queued = queued;
            reader->blocked_ms = now_ms;
            list_remove(first);
            list_append(&streamer->blocked, first);
            continue;
        }
        reader_close(reader, READER_CLOSE_STALLED, "it takes nothing");
    }
}
