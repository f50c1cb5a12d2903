/* Connections while they are there: their turns, what their clients say, the clock. See ws.h; how they
 * come and go is in ws_life.c. */
#include "streamer/ws.h"

#include "proto/stream_kind.h"
#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "streamer/keys.h"
#include "streamer/streamer.h"
#include "streamer/ws_internal.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    HELD_HEAD = 1 + sizeof(uint32_t), /* before a held message: is it text, its length */
    KEPT_BYTES = 4 << 10              /* of an idle connection's buffer */
};

/* ---- marks ---- */

void ws_mark(struct ws *ws)
{
    if (ws != ws->hub->serving && !list_is_linked(&ws->in_marked)) {
        list_append(&ws->hub->marked, &ws->in_marked);
        streamer_wake(ws->hub->streamer);
    }
}

void ws_gone(struct ws *ws, enum stream_socket_close how, const char *why)
{
    if (!ws->gone) {
        LOG_DEBUG("WebSocket closed", LOG_UUID("tenant_id", &ws->tenant), LOG_TEXT("why", why));
        ws->gone = true;
        ws->how = how;
        ws_mark(ws);
    }
}

void ws_end(struct ws *ws, unsigned code, const char *reason)
{
    if (!ws_codec_is_closing(ws->codec)) {
        ws_codec_send_close(ws->codec, code, reason);
        ws->end_ms = clock_monotonic_ms() + WS_CLOSE_MS;
        ws_mark(ws);
    }
}

/* One more message can be carried out, and answered. */
static bool may_take(const struct ws *ws)
{
    return ws_pending(ws) < WS_OUT_BYTES && ws_command_has_room(ws);
}

bool ws_may_listen(const struct ws *ws)
{
    if (!ws->readable || ws->gone || ws->frozen) {
        return false;
    }
    /* What still comes then is dropped, and costs no answer. */
    if (ws->over || ws_codec_is_closing(ws->codec)) {
        return true;
    }
    return !ws->hub->draining && ws->held.length == 0 && may_take(ws);
}

/* ---- what the codec finds ---- */

/* More messages than that came in one read: they wait here, and nothing more is read. */
static void hold(struct ws *ws, bool is_text, const uint8_t *bytes, size_t length)
{
    uint32_t size = (uint32_t)length;
    buffer_append_byte(&ws->held, is_text);
    buffer_append(&ws->held, &size, sizeof size);
    buffer_append(&ws->held, bytes, length);
}

static void take_held(struct ws *ws)
{
    size_t at = 0;
    while (at < ws->held.length && may_take(ws)) {
        uint32_t size;
        const uint8_t *head = ws->held.data + at;
        memcpy(&size, head + 1, sizeof size);
        at += HELD_HEAD + size;
        ws_message_take(ws, head[0] != 0, head + HELD_HEAD, size);
    }
    buffer_consume(&ws->held, at);
    if (ws->held.length == 0) {
        buffer_deinit(&ws->held);
    }
}

static void on_message(void *arg, bool is_text, const uint8_t *bytes, size_t length)
{
    struct ws *ws = arg;
    metric_add(METRIC_WEBSOCKET_MESSAGES, 1);
    ws->pings = 0;
    if (ws->held.length > 0 || !may_take(ws)) {
        hold(ws, is_text, bytes, length);
    } else {
        ws_message_take(ws, is_text, bytes, length);
    }
}

static void on_pong(void *arg, const uint8_t *bytes, size_t length)
{
    struct ws *ws = arg;
    (void)bytes;
    (void)length;
    ws->pings = 0;
}

static void on_close(void *arg, bool by_client, unsigned code, const char *reason, size_t length)
{
    (void)arg;
    (void)reason;
    (void)length;
    LOG_DEBUG("WebSocket ends", LOG_INT("code", code), LOG_INT("by_client", by_client));
}

void ws_listen(struct ws *ws)
{
    const struct ws_handler handler = {
        .on_message = on_message, .on_pong = on_pong, .on_close = on_close, .arg = ws};
    ws->codec = ws_codec_create(ws->hub->message_max, &ws->out, &handler);
}

/* ---- a turn ---- */

/* What the subscriptions have, in turn, as long as there is room. */
static void fill(struct ws *ws)
{
    for (int turns = 0; turns < WS_PASS_TURNS && ws_pending(ws) < WS_OUT_BYTES; turns++) {
        if (!ws_subscription_next(ws)) {
            return;
        }
    }
}

static void say_last(struct ws *ws)
{
    if (!ws->shut) {
        ws->shut = true;
        /* Closing at once with something unread would be a reset, which may overtake the reason. */
        (void)shutdown(ws->fd, SHUT_WR);
    }
}

static void take_turn(struct ws *ws)
{
    size_t total = 0;
    bool open = true;
    take_held(ws);
    ws_socket_read(ws);
    if (ws->over || ws_codec_is_closing(ws->codec)) {
        ws_drop_subscriptions(ws);
    }
    while (open && !ws->gone && !ws->frozen && total < WS_PASS_BYTES) {
        if (!ws->hub->draining) {
            fill(ws);
        }
        size_t pending = ws_pending(ws);
        open = pending > 0 && ws_socket_write(ws);
        total += pending;
    }
    if (ws->over && ws_pending(ws) == 0 && !ws->gone) {
        say_last(ws);
    }
}

/* Something was left for the next pass. */
static bool wants_more(const struct ws *ws)
{
    return ws->gone || ws_may_listen(ws) || (ws->held.length > 0 && !ws->frozen && may_take(ws)) ||
           (!list_is_empty(&ws->ready) && ws->blocked_ms == 0 && !ws->hub->draining);
}

void ws_serve(struct streamer *streamer)
{
    struct ws_hub *hub = streamer->ws;
    struct list turn;
    struct list *first;
    list_init(&turn);
    while ((first = list_first(&hub->marked)) != NULL) {
        list_remove(first);
        list_append(&turn, first);
    }
    while ((first = list_first(&turn)) != NULL) {
        struct ws *ws = LIST_ENTRY(first, struct ws, in_marked);
        list_remove(first);
        hub->serving = ws;
        if (!ws->gone) {
            take_turn(ws);
        }
        hub->serving = NULL;
        if (ws->gone) {
            ws_destroy(ws);
        } else if (wants_more(ws)) {
            list_append(&hub->marked, &ws->in_marked);
            event_add(hub->again, &(struct timeval){0, 0});
        } else {
            ws_command_await_room(ws);
        }
    }
    ws_lookup_go(hub);
}

/* ---- by the clock ---- */

static void check_stalled(struct ws *ws, int64_t now_ms)
{
    if (ws->blocked_ms == 0 || now_ms - ws->blocked_ms < ws->hub->streamer->limits.stall_ms) {
        return;
    }
    uint32_t queued = stream_socket_queued(ws->fd);
    if (queued < ws->queued) {
        ws->queued = queued; /* it takes a little, just not enough to be writable yet */
        ws->blocked_ms = now_ms;
        return;
    }
    metric_add(METRIC_STREAMS_STALLED, 1);
    ws_gone(ws, STREAM_SOCKET_RESET, "it takes nothing");
}

static void ping(struct ws *ws, int64_t now_ms)
{
    if (now_ms < ws->ping_ms || ws->hub->draining) {
        return;
    }
    ws->ping_ms = now_ms + ws->hub->ping_ms;
    if (ws_pending(ws) > 0) {
        return; /* it has something to take: check_stalled sees to that */
    }
    if (ws->pings >= WS_PINGS_MAX) {
        ws_gone(ws, STREAM_SOCKET_CUT, "it does not answer");
        return;
    }
    if (ws->out.capacity > KEPT_BYTES) {
        buffer_deinit(&ws->out);
        ws->written = 0;
    }
    ws->pings++;
    ws_codec_send_ping(ws->codec, NULL, 0);
    ws_mark(ws);
}

static void tick(struct ws *ws, int64_t now_ms)
{
    if (ws->end_ms != 0 && now_ms >= ws->end_ms) {
        ws_gone(ws, STREAM_SOCKET_CUT, "its end was not agreed upon in time");
    }
    if (!ws->gone && !ws->frozen) {
        check_stalled(ws, now_ms);
        ping(ws, now_ms);
    }
}

void ws_tick(struct streamer *streamer, int64_t now_ms)
{
    LIST_FOR_EACH(node, &streamer->ws->all)
    {
        struct ws *ws = LIST_ENTRY(node, struct ws, in_all);
        tick(ws, now_ms);
    }
    ws_lookup_tick(streamer->ws, now_ms);
}
