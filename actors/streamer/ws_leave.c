/*
 * WebSockets of a streamer that drains: each moves to another one, with its subscriptions and their
 * cursors, what its socket did not take, and what has come of a message that is not complete. First
 * its commands are answered; what the client sends meanwhile stays in its socket. See ws.h.
 */
#include "proto/messages.h"
#include "proto/stream_kind.h"
#include "runtime/base/clock.h"
#include "runtime/base/limits.h"
#include "streamer/keys.h"
#include "streamer/streamer.h"
#include "streamer/ws_internal.h"

#include <string.h>

enum {
    PENDING_MAX =
        64 << 10,          /* of an incomplete message; the client is told to come back otherwise */
    UNSENT_MAX = 64 << 10, /* the socket has to take the rest first */
    GIVE_UP_MS = 300       /* for the end to be agreed upon */
};

void ws_drain(struct streamer *streamer)
{
    struct ws_hub *hub = streamer->ws;
    hub->draining = true;
    LIST_FOR_EACH(node, &hub->all)
    {
        ws_mark(LIST_ENTRY(node, struct ws, in_all));
    }
}

/* Nothing is under way, and what it has fits into a packet. */
static bool may_leave(const struct ws *ws)
{
    return !ws->frozen && !ws->gone && !ws->over && !ws_codec_is_closing(ws->codec) &&
           ws->commands_count == 0 && ws->held.length == 0 && ws_pending(ws) <= UNSENT_MAX;
}

static void encode_subscription(const struct ws_subscription *subscription,
                                struct msgpack_sbuffer *list)
{
    struct message_socket_state_subscription item = {
        .id = {(const uint8_t *)subscription->id, subscription->id_length},
        .kind = (uint64_t)subscription->kind,
        .cursor = subscription->at.cursor,
        .types = subscription->types,
        .latest = subscription->latest && subscription->state == WS_ASKING,
        .caught_up = subscription->caught_up};
    memcpy(item.run, subscription->run.bytes, sizeof item.run);
    memcpy(item.thread, subscription->thread.bytes, sizeof item.thread);
    message_socket_state_subscription_encode(list, &item);
}

static void encode_state(const struct ws *ws, const struct message_header *header,
                         const struct buffer *pending, struct msgpack_sbuffer *state)
{
    struct msgpack_sbuffer list;
    size_t cursor = 0;
    const struct ws_subscription *subscription;
    msgpack_sbuffer_init(&list);
    while ((subscription = map_next(&ws->subscriptions, &cursor)) != NULL) {
        encode_subscription(subscription, &list);
    }
    const struct message_socket_state message = {
        .pending = {pending->data, pending->length},
        .subscriptions = {.data = (const uint8_t *)list.data,
                          .length = list.size,
                          .count = (uint32_t)ws->subscriptions.count}};
    message_socket_state_encode(state, header, &message);
    msgpack_sbuffer_destroy(&list);
}

static void encode(const struct ws *ws, const struct buffer *pending,
                   struct msgpack_sbuffer *packet)
{
    const struct message_header header = {.generation = ws->hub->streamer->actor->generation};
    struct msgpack_sbuffer state;
    msgpack_sbuffer_init(&state);
    encode_state(ws, &header, pending, &state);
    struct message_handoff message = {.kind = STREAM_KIND_SOCKET,
                                      .signing = {ws->signing.bytes, sizeof ws->signing.bytes},
                                      .scopes = ws->rights,
                                      .actor = {(const uint8_t *)ws->actor, strlen(ws->actor)},
                                      .state = {(const uint8_t *)state.data, state.size},
                                      .unsent = {ws->out.data + ws->written, ws_pending(ws)}};
    memcpy(message.key, keys_id(ws->key)->bytes, sizeof message.key);
    memcpy(message.tenant, ws->tenant.bytes, sizeof message.tenant);
    msgpack_sbuffer_clear(packet);
    message_handoff_encode(packet, &header, &message);
    msgpack_sbuffer_destroy(&state);
}

void ws_give_up(struct ws *ws)
{
    ws_end(ws, WS_CODE_RESTART, "the server restarts");
    ws->end_ms = clock_monotonic_ms() + GIVE_UP_MS;
}

/* False: it does not fit, and its client is told to come back. */
static bool pack(struct ws *ws, struct msgpack_sbuffer *packet)
{
    struct buffer pending = {0};
    ws_codec_pending(ws->codec, &pending);
    bool fits = pending.length <= PENDING_MAX;
    if (fits) {
        encode(ws, &pending, packet);
        fits = packet->size <= LIMIT_HANDOFF_FRAME_BYTES;
    }
    buffer_deinit(&pending);
    if (!fits) {
        ws_give_up(ws);
    }
    return fits;
}

struct ws *ws_next_to_leave(struct streamer *streamer, struct msgpack_sbuffer *packet_out)
{
    LIST_FOR_EACH(node, &streamer->ws->all)
    {
        struct ws *ws = LIST_ENTRY(node, struct ws, in_all);
        if (may_leave(ws) && pack(ws, packet_out)) {
            ws->frozen = true;
            ws_socket_unwatch(ws);
            return ws;
        }
    }
    return NULL;
}

int ws_descriptor(const struct ws *ws)
{
    return ws->fd;
}

void ws_left(struct ws *ws, bool taken)
{
    if (taken) {
        ws->how = STREAM_SOCKET_LEAVE;
        ws_destroy(ws);
        return;
    }
    ws->frozen = false;
    if (ws_socket_watch(ws) != 0) {
        ws_gone(ws, STREAM_SOCKET_CUT, "its socket cannot be watched");
    }
    ws_mark(ws);
}

bool ws_break_off(struct streamer *streamer)
{
    LIST_FOR_EACH(node, &streamer->ws->all)
    {
        struct ws *ws = LIST_ENTRY(node, struct ws, in_all);
        if (!ws->frozen && !ws->gone && !ws_codec_is_closing(ws->codec)) {
            ws_give_up(ws);
            return true;
        }
    }
    return false;
}
