/* Connections: how they come, their turns, how they go. See ws.h. */
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

bool ws_may_listen(const struct ws *ws)
{
    if (!ws->readable || ws->gone || ws->frozen) {
        return false;
    }
    /* What still comes then is dropped, and costs no answer. */
    if (ws->over || ws_codec_is_closing(ws->codec)) {
        return true;
    }
    return !ws->hub->draining && ws->held.length == 0 && ws_pending(ws) < WS_OUT_BYTES &&
           ws->commands_count < ws->hub->commands_max;
}

/* ---- what the codec finds ---- */

/* One more message can be carried out, and answered. */
static bool may_take(const struct ws *ws)
{
    return ws->commands_count < ws->hub->commands_max && ws_pending(ws) < WS_OUT_BYTES;
}

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

/* ---- going ---- */

static void drop_subscriptions(struct ws *ws)
{
    size_t cursor = 0;
    struct ws_subscription *subscription;
    while ((subscription = map_next(&ws->subscriptions, &cursor)) != NULL) {
        ws_subscription_destroy(subscription);
        cursor = 0; /* the map has changed */
    }
}

void ws_destroy(struct ws *ws)
{
    struct ws_hub *hub = ws->hub;
    ws_command_orphan(ws);
    drop_subscriptions(ws);
    ws_socket_unwatch(ws);
    stream_socket_close(ws->fd, ws->how);
    keys_release(hub->streamer, ws->key);
    list_remove(&ws->in_all);
    list_remove(&ws->in_marked);
    ws_codec_destroy(&ws->codec);
    map_deinit(&ws->subscriptions);
    buffer_deinit(&ws->out);
    buffer_deinit(&ws->held);
    free(ws->actor);
    free(ws);
    hub->count--;
    metric_set(METRIC_WEBSOCKETS, (int64_t)hub->count);
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
        drop_subscriptions(ws);
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
        }
    }
    ws_lookup_go(hub);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    streamer_wake(arg);
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

void ws_end_keys(struct streamer *streamer)
{
    LIST_FOR_EACH(node, &streamer->ws->all)
    {
        struct ws *ws = LIST_ENTRY(node, struct ws, in_all);
        if (keys_has_ended(ws->key) && !ws->frozen) {
            buffer_deinit(
                &ws->held); /* what it holds was not begun, and nobody may ask for it now */
            ws_end(ws, WS_CODE_POLICY, "the key has ended");
        }
    }
}

/* ---- coming ---- */

/* Before the connection is a WebSocket a refusal is an answer like any other. */
static void refuse(struct streamer *streamer, int fd, enum problem problem, const char *detail)
{
    const struct problem_info *info = problem_info(problem);
    struct buffer body = {0};
    struct buffer text = {0};
    problem_write(&body, problem, detail, NULL);
    buffer_printf(&text,
                  "HTTP/1.1 %d %s\r\n"
                  "Content-Type: " PROBLEM_MEDIA_TYPE "\r\n"
                  "Retry-After: 10\r\n"
                  "Content-Length: %zu\r\n"
                  "Connection: close\r\n\r\n",
                  info->status, info->title, body.length);
    buffer_append(&text, body.data, body.length);
    if (send(fd, text.data, text.length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        LOG_DEBUG("refused WebSocket has gone", LOG_TEXT("error", error_errno(errno)));
    }
    buffer_deinit(&body);
    buffer_deinit(&text);
    stream_socket_close(fd, STREAM_SOCKET_ORDERLY);
    streamer->refused++;
}

static struct ws *create(struct ws_hub *hub, const struct ws_opening *opening)
{
    struct ws *ws = memory_new(sizeof *ws);
    struct list *lists[] = {&ws->in_all, &ws->in_marked, &ws->ready, &ws->commands};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        list_init(lists[i]);
    }
    ws->hub = hub;
    ws->fd = opening->fd;
    ws->key = keys_take(hub->streamer, &opening->key, &opening->tenant);
    ws->tenant = opening->tenant;
    ws->signing = opening->signing;
    ws->rights = opening->rights;
    ws->actor = memory_new(opening->actor_length + 1);
    memcpy(ws->actor, opening->actor, opening->actor_length);
    ws->how = STREAM_SOCKET_CUT;
    ws->readable = true;
    ws->codec = ws_codec_create(
        hub->message_max, &ws->out,
        &(struct ws_handler){
            .on_message = on_message, .on_pong = on_pong, .on_close = on_close, .arg = ws});
    ws->ping_ms = clock_monotonic_ms() + 1 + streamer_jitter(hub->streamer, (uint32_t)hub->ping_ms);
    list_append(&hub->all, &ws->in_all);
    hub->count++;
    metric_add(METRIC_WEBSOCKETS_OPENED, opening->accept != NULL ? 1 : 0);
    metric_set(METRIC_WEBSOCKETS, (int64_t)hub->count);
    return ws;
}

/* The answer to the handshake, or what a predecessor could not write, goes out first; what came early
 * is taken as if read. */
static void begin(struct ws *ws, const struct ws_opening *opening)
{
    if (opening->accept != NULL) {
        buffer_printf(&ws->out,
                      "HTTP/1.1 101 Switching Protocols\r\n"
                      "Upgrade: websocket\r\n"
                      "Connection: Upgrade\r\n"
                      "Sec-WebSocket-Accept: %.*s\r\n\r\n",
                      (int)opening->accept_length, opening->accept);
    }
    buffer_append(&ws->out, opening->unsent, opening->unsent_length);
    ws_subscription_restore(ws, &opening->subscriptions);
    if (opening->early_length > 0 &&
        ws_codec_feed(ws->codec, opening->early, opening->early_length) != 0) {
        ws->over = true;
        ws->end_ms = clock_monotonic_ms() + WS_CLOSE_MS;
    }
}

void ws_open(struct streamer *streamer, const struct ws_opening *opening)
{
    struct ws_hub *hub = streamer->ws;
    bool is_new = opening->accept != NULL;
    if (is_new && streamer->readers + hub->count >= streamer->limits.per_process) {
        refuse(streamer, opening->fd, PROBLEM_BUSY, "There are too many streams now. Try again.");
        return;
    }
    if (is_new && keys_streams(streamer, &opening->key) >= streamer->limits.per_key) {
        refuse(streamer, opening->fd, PROBLEM_RATE_LIMITED,
               "The key has as many streams open as one may have.");
        return;
    }
    struct ws *ws = create(hub, opening);
    stream_socket_prepare(ws->fd, streamer->limits.stall_ms);
    begin(ws, opening);
    if (ws_socket_watch(ws) != 0) {
        ws_gone(ws, STREAM_SOCKET_CUT, error_errno(errno));
    }
    LOG_DEBUG("WebSocket opened", LOG_UUID("key_id", &opening->key));
    ws_mark(ws);
}

/* ---- all of them ---- */

size_t ws_connections(const struct streamer *streamer)
{
    return streamer->ws->count;
}

bool ws_commands_reachable(const struct streamer *streamer)
{
    return streamer->ws != NULL && commands_reachable(streamer->ws->commands);
}

static void read_limits(struct ws_hub *hub, const struct settings *settings)
{
    hub->ping_ms = settings_int(settings, SETTING_WEBSOCKET_PING_MS);
    hub->commands_max = (size_t)settings_int(settings, SETTING_WEBSOCKET_COMMANDS);
    hub->subscriptions_max = (size_t)settings_int(settings, SETTING_WEBSOCKET_SUBSCRIPTIONS);
    hub->message_max = (size_t)settings_int(settings, SETTING_HTTP_APPEND_BODY_BYTES);
}

int ws_start(struct streamer *streamer, struct error *err)
{
    struct event_base *base = streamer->actor->base;
    struct ws_hub *hub = memory_new(sizeof *hub);
    streamer->ws = hub;
    hub->streamer = streamer;
    list_init(&hub->all);
    list_init(&hub->marked);
    list_init(&hub->lookups);
    list_init(&hub->feed_lookups);
    read_limits(hub, streamer->actor->settings);
    submission_init(&hub->submission, streamer->actor->settings);
    randombytes_buf(hub->hash_key, sizeof hub->hash_key);
    hub->bytes = memory_new(WS_READ_BYTES);
    hub->sockets = epoll_create1(EPOLL_CLOEXEC);
    if (hub->sockets < 0) {
        return error_set(err, "cannot make an epoll: %s", error_errno(errno));
    }
    hub->sockets_event =
        event_new(base, hub->sockets, EV_READ | EV_PERSIST, ws_socket_on_events, hub);
    hub->again = event_new(base, -1, 0, on_again, streamer);
    event_add(hub->sockets_event, NULL);
    hub->commands = commands_create(streamer->actor, err);
    return hub->commands == NULL ? -1 : 0;
}

void ws_stop(struct streamer *streamer)
{
    struct ws_hub *hub = streamer->ws;
    if (hub == NULL) {
        return;
    }
    LIST_FOR_EACH(node, &hub->all)
    {
        ws_destroy(LIST_ENTRY(node, struct ws, in_all));
    }
    commands_destroy(&hub->commands); /* commands still under way are told, and free themselves */
    if (hub->sockets_event != NULL) {
        event_free(hub->sockets_event);
        event_free(hub->again);
        close(hub->sockets);
    }
    submission_deinit(&hub->submission);
    buffer_deinit(&hub->text);
    map_deinit(&hub->asked);
    free(hub->bytes);
    free(hub);
    streamer->ws = NULL;
}
