/* See reader.h. */
#include "streamer/reader.h"

#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "streamer/feed.h"
#include "streamer/feed_tail.h"
#include "streamer/heads.h"
#include "streamer/keys.h"
#include "streamer/pings.h"
#include "streamer/refusal.h"
#include "streamer/run.h"
#include "streamer/sse.h"
#include "streamer/stream_socket.h"
#include "streamer/streamer.h"
#include "streamer/view.h"
#include "streamer/ws.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    RETRY_MIN_MS = 1000,
    RETRY_MAX_MS = 3000,
    RETRY_REFUSED_MIN_MS = 10000,
    RETRY_REFUSED_MAX_MS = 20000
};

void reader_set_rest(struct reader *reader, const void *bytes, size_t length)
{
    free(reader->rest);
    reader->rest = NULL;
    if (length > 0) {
        reader->rest = memory_grow(NULL, 1, sizeof *reader->rest + length);
        *reader->rest = (struct reader_rest){.length = length};
        memcpy(reader->rest->bytes, bytes, length);
    }
}

/* ---- handing on ---- */

void reader_freeze(struct reader *reader)
{
    if (!reader->at.frozen) {
        reader->at.frozen = true;
        position_unwait(&reader->at);
        list_remove(&reader->at.in_wait);
        (void)epoll_ctl(position_streamer(&reader->at)->sockets, EPOLL_CTL_DEL, reader->fd, NULL);
    }
}

/* The half-written event goes along whole, so what comes behind it may be the end. */
static int leave_event(struct reader *reader, struct reader_left *left)
{
    struct iovec frame;
    struct position_source source;
    if (!position_find(&reader->at, &source) ||
        !position_event(&reader->at, &frame, &left->cursor)) {
        return -1;
    }
    buffer_append(&left->unsent, (const uint8_t *)frame.iov_base + reader->at.skip,
                  frame.iov_len - reader->at.skip);
    if (reader_stop(reader, &source) == left->cursor) {
        buffer_append(&left->unsent, sse_last_chunk, SSE_LAST_CHUNK_LENGTH);
        left->ended = true;
    }
    return 0;
}

int reader_leave(struct reader *reader, struct reader_left *left_out)
{
    *left_out = (struct reader_left){.cursor = reader->at.cursor, .ended = reader->ending};
    if (reader->rest != NULL) {
        buffer_append(&left_out->unsent, reader->rest->bytes + reader->rest->taken,
                      reader->rest->length - reader->rest->taken);
    }
    if (reader->at.skip > 0 && leave_event(reader, left_out) != 0) {
        buffer_deinit(&left_out->unsent);
        return -1;
    }
    return 0;
}

/* ---- its form ---- */

const struct projection_format *reader_format(const struct reader *reader)
{
    const struct run *run = position_run(&reader->at);
    return run == NULL || run->view == NULL ? NULL : run->view->format;
}

uint64_t reader_stop(const struct reader *reader, const struct position_source *source)
{
    const struct projection_format *format = reader_format(reader);
    return format == NULL || !format->is_conversation
               ? 0
               : position_stop(&reader->at, source, reader->stop_after);
}

static unsigned random_between(struct streamer *streamer, unsigned low, unsigned high)
{
    return low + streamer_jitter(streamer, high - low + 1);
}

void reader_append_head(const struct reader *reader, struct buffer *out)
{
    const struct projection_format *format = reader_format(reader);
    unsigned retry_ms = random_between(position_streamer(&reader->at), RETRY_MIN_MS, RETRY_MAX_MS);
    if (format == NULL) {
        sse_append_head(out, clock_real_us(), retry_ms);
        return;
    }
    sse_append_response(out, clock_real_us(), format->content_type, format->fields);
    if (format->is_sse) {
        sse_append_hello(out, retry_ms,
                         format->is_conversation ? SSE_PING_COMMENT : SSE_PING_EVENT);
    }
}

/* ---- life ---- */

static void refuse(struct streamer *streamer, const struct reader_opening *opening, const char *why)
{
    struct buffer answer = {0};
    refusal_append(&answer, projection_format(opening->format), clock_real_us(),
                   random_between(streamer, RETRY_REFUSED_MIN_MS, RETRY_REFUSED_MAX_MS));
    if (send(opening->fd, answer.data, answer.length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        LOG_DEBUG("refused stream has gone", LOG_TEXT("error", error_errno(errno)));
    }
    buffer_deinit(&answer);
    stream_socket_close(opening->fd, STREAM_SOCKET_CUT);
    streamer->refused++;
    LOG_DEBUG("stream refused", LOG_TEXT("why", why));
}

/* The position asked for is beyond the log's end: says so, and goes on from there. */
static void reset_feed(struct reader *reader, uint64_t head, struct buffer *out)
{
    char cursor[FEED_CURSOR_TEXT_SIZE];
    feed_cursor_encode(&position_feed(&reader->at)->key, head, cursor);
    sse_append_feed_control(out, "reset", cursor);
    reader->at.cursor = head;
}

static void begin(struct reader *reader, const struct reader_opening *opening)
{
    struct buffer head = {0};
    if (opening->handed_off) {
        reader->ending = opening->ended;
        reader->live = opening->live;
        reader->at.excused = opening->live;
        reader_set_rest(reader, opening->unsent, opening->unsent_length);
    } else {
        reader_append_head(reader, &head);
        if (reader->at.of_feed && reader->at.cursor > opening->head) {
            reset_feed(reader, opening->head, &head);
        }
        reader_set_rest(reader, head.data, head.length);
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
    struct key_use *key = keys_take(streamer, &opening->key, &opening->tenant);
    list_init(&reader->in_slot);
    reader->fd = opening->fd;
    reader->stop_after = opening->stop_after;
    position_init(&reader->at, POSITION_READER, key, opening->cursor);
    if (opening->kind == STREAM_KIND_RUN) {
        const struct run_form form = {opening->format, opening->types};
        struct run *run = run_watch(streamer, &opening->run, &opening->tenant, form);
        run_tell(run, opening->head);
        position_follow_run(&reader->at, run);
    } else {
        feed_tail_learn(streamer, opening->head);
        const struct feed_variant variant = {.types = opening->types,
                                             .chat = opening->kind == STREAM_KIND_CHAT};
        struct feed *feed =
            feed_watch(streamer, &opening->tenant, &opening->thread, &variant, &opening->signing);
        feed_tell(feed, opening->head);
        position_follow_feed(&reader->at, feed);
    }
    pings_place(streamer, reader);
    streamer->readers++;
    metric_add(METRIC_STREAMS_OPENED, 1);
    streamer_show_counts(streamer);
    return reader;
}

void reader_open(struct streamer *streamer, const struct reader_opening *opening)
{
    if (!opening->handed_off &&
        streamer->readers + ws_connections(streamer) >= streamer->limits.per_process) {
        refuse(streamer, opening, "too many streams in this process");
        return;
    }
    if (!opening->handed_off && keys_streams(streamer, &opening->key) >= streamer->limits.per_key) {
        refuse(streamer, opening, "too many streams of this key");
        return;
    }
    struct reader *reader = create(streamer, opening);
    struct run *run = position_run(&reader->at);
    SB_FAULT("streamer_after_register");
    if (run != NULL && !uuid_equal(&run->tenant, &opening->tenant)) {
        reader_close(reader, READER_CLOSE_BROKEN, "not this tenant's run");
        return;
    }
    stream_socket_prepare(reader->fd, streamer->limits.stall_ms);
    if (reader_watch_socket(reader) != 0) {
        reader_close(reader, READER_CLOSE_BROKEN, error_errno(errno));
        return;
    }
    if (run != NULL && run->known && reader->at.cursor >= run->window.next) {
        heads_ask(run);
    }
    LOG_DEBUG("stream opened", LOG_INT("kind", opening->kind), LOG_UUID("run_id", &opening->run),
              LOG_UUID("key_id", &opening->key), LOG_INT("after_seq", reader->at.cursor),
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
    const struct run *run = position_run(&reader->at);
    struct streamer *streamer = position_streamer(&reader->at);
    struct key_use *key = reader->at.key;
    LOG_DEBUG("stream closed",
              LOG_UUID("run_id", run != NULL ? &run->id : &position_feed(&reader->at)->thread),
              LOG_INT("cursor", reader->at.cursor), LOG_TEXT("why", why));
    if (how == READER_CLOSE_STALLED) {
        metric_add(METRIC_STREAMS_STALLED, 1);
    }
    reader_freeze(reader);
    stream_socket_close(reader->fd, socket_close[how]);
    list_remove(&reader->in_slot);
    reader_set_rest(reader, NULL, 0);
    position_leave(&reader->at);
    keys_release(streamer, key);
    pool_free(&streamer->reader_pool, reader);
    streamer->readers--;
    streamer_show_counts(streamer);
}
