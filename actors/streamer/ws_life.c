/* How connections come and go, and all of them together. See ws.h. */
#include "streamer/ws.h"

#include "proto/stream_kind.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "streamer/keys.h"
#include "streamer/streamer.h"
#include "streamer/ws_internal.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- going ---- */

void ws_drop_subscriptions(struct ws *ws)
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
    ws_drop_subscriptions(ws);
    ws_socket_unwatch(ws);
    stream_socket_close(ws->fd, ws->how);
    keys_release(hub->streamer, ws->key);
    list_remove(&ws->in_all);
    list_remove(&ws->in_marked);
    list_remove(&ws->in_crowded);
    ws_codec_destroy(&ws->codec);
    map_deinit(&ws->subscriptions);
    buffer_deinit(&ws->out);
    buffer_deinit(&ws->held);
    free(ws->actor);
    free(ws);
    hub->count--;
    metric_set(METRIC_WEBSOCKETS, (int64_t)hub->count);
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
    struct list *lists[] = {&ws->in_all, &ws->in_marked, &ws->in_crowded, &ws->ready,
                            &ws->commands};
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
    ws_listen(ws);
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

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    streamer_wake(arg);
}

/* The lower of the two limits, where both are set. */
static void read_rate(struct gcra_rule *rule, const struct settings *settings)
{
    int64_t of_key = settings_int(settings, SETTING_LIMIT_KEY_PER_S);
    *rule = (struct gcra_rule){.count = settings_int(settings, SETTING_WEBSOCKET_COMMANDS_PER_S),
                               .period_us = 1000000,
                               .burst = settings_int(settings, SETTING_WEBSOCKET_COMMANDS_BURST)};
    if (of_key > 0 && (rule->count == 0 || of_key < rule->count)) {
        rule->count = of_key;
        rule->burst = settings_int(settings, SETTING_LIMIT_KEY_BURST);
    }
}

static void read_limits(struct ws_hub *hub, const struct settings *settings)
{
    hub->ping_ms = settings_int(settings, SETTING_WEBSOCKET_PING_MS);
    hub->commands_max = (size_t)settings_int(settings, SETTING_WEBSOCKET_COMMANDS);
    hub->subscriptions_max = (size_t)settings_int(settings, SETTING_WEBSOCKET_SUBSCRIPTIONS);
    hub->message_max = (size_t)settings_int(settings, SETTING_HTTP_APPEND_BODY_BYTES);
    hub->ask_ms = settings_int(settings, SETTING_COMMAND_TIMEOUT_MS);
    hub->shares.count_max = (size_t)settings_int(settings, SETTING_COMMAND_WINDOW);
    hub->shares.bytes_max = (size_t)settings_int(settings, SETTING_COMMAND_WINDOW_BYTES);
    read_rate(&hub->rate, settings);
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
    list_init(&hub->crowded);
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
    ws_shares_deinit(&hub->shares);
    submission_deinit(&hub->submission);
    buffer_deinit(&hub->text);
    map_deinit(&hub->asked);
    free(hub->bytes);
    free(hub);
    streamer->ws = NULL;
}
