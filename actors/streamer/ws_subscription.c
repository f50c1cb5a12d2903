/* Subscriptions of a WebSocket: positions that are asked in turn. See ws.h. */
#include "proto/messages.h"
#include "proto/stream_kind.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/body.h"
#include "runtime/event_mask.h"
#include "streamer/feed.h"
#include "streamer/feed_tail.h"
#include "streamer/heads.h"
#include "streamer/keys.h"
#include "streamer/run.h"
#include "streamer/streamer.h"
#include "streamer/ws_internal.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* Events that a subscription may pass over before the next one has its turn. */
enum { PASSED_OVER_MAX = 256 };

_Static_assert(sizeof(struct uuid) == crypto_shorthash_siphashx24_BYTES, "a hash is a map's key");

/* ---- by id ---- */

/* Two texts of the same string are the same id. The hash is keyed, so nobody can make two that
 * collide. */
static struct uuid id_key(struct ws_hub *hub, struct json_span id)
{
    struct uuid key;
    struct json_span text = body_text(id);
    buffer_clear(&hub->text);
    char *plain = (char *)buffer_reserve(&hub->text, text.length + 1);
    size_t length = json_unescape(text.data, text.length, plain);
    (void)crypto_shorthash_siphashx24(key.bytes, (const uint8_t *)plain, length, hub->hash_key);
    return key;
}

struct json_span ws_subscription_id(const struct ws_subscription *subscription)
{
    return (struct json_span){subscription->id, subscription->id_length};
}

struct ws_subscription *ws_subscription_find(struct ws *ws, struct json_span id)
{
    struct uuid key = id_key(ws->hub, id);
    return map_get(&ws->subscriptions, &key);
}

struct ws_subscription *ws_subscription_create(struct ws *ws, struct json_span id)
{
    struct ws_subscription *subscription = memory_new(sizeof *subscription + id.length);
    struct uuid key = id_key(ws->hub, id);
    list_init(&subscription->in_ready);
    list_init(&subscription->in_lookup);
    subscription->ws = ws;
    subscription->id_length = id.length;
    memcpy(subscription->id, id.data, id.length);
    position_init(&subscription->at, POSITION_SOCKET, ws->key, 0);
    assert(map_get(&ws->subscriptions, &key) == NULL);
    (void)map_put(&ws->subscriptions, &key, subscription);
    return subscription;
}

void ws_subscription_begin(struct ws_subscription *subscription, int64_t asks_until_ms)
{
    subscription->asks_until_ms = asks_until_ms;
    subscription->state = WS_ASKING;
    ws_lookup_add(subscription);
}

/* What a predecessor says comes from outside this process. */
static bool makes_sense(const struct message_socket_state_subscription *item)
{
    const struct json_span id = {(const char *)item->id.data, item->id.length};
    struct uuid thread;
    memcpy(thread.bytes, item->thread, sizeof item->thread);
    return id.length >= 3 && body_is_string(id) && id.data[id.length - 1] == '"' &&
           item->kind <= STREAM_KIND_TENANT && item->cursor <= INT64_MAX &&
           uuid_is_nil(&thread) == (item->kind != STREAM_KIND_THREAD) &&
           event_mask_is_sound(item->types);
}

void ws_subscription_restore(struct ws *ws, const struct message_list *list)
{
    struct message_list cursor = *list;
    struct message_socket_state_subscription item;
    while (message_socket_state_subscription_next(&cursor, &item)) {
        struct json_span id = {(const char *)item.id.data, item.id.length};
        if (!makes_sense(&item) || ws_subscription_find(ws, id) != NULL) {
            continue;
        }
        struct ws_subscription *subscription = ws_subscription_create(ws, id);
        subscription->kind = (enum stream_kind)item.kind;
        memcpy(subscription->run.bytes, item.run, sizeof item.run);
        memcpy(subscription->thread.bytes, item.thread, sizeof item.thread);
        feed_key_of(&ws->signing, subscription->kind, &subscription->thread,
                    &subscription->signing);
        subscription->at.cursor = item.cursor;
        subscription->types = item.types;
        subscription->latest = item.latest;
        subscription->caught_up = item.caught_up;
        subscription->at.excused = item.caught_up;
        ws_subscription_begin(subscription, INT64_MAX);
    }
}

/* Off its run or feed, or out of the line of those that ask. */
static void leave(struct ws_subscription *subscription)
{
    if (subscription->state == WS_FOLLOWS) {
        position_leave(&subscription->at);
    }
    ws_lookup_forget(subscription);
}

void ws_subscription_destroy(struct ws_subscription *subscription)
{
    struct uuid key = id_key(subscription->ws->hub, ws_subscription_id(subscription));
    leave(subscription);
    list_remove(&subscription->in_ready);
    (void)map_remove(&subscription->ws->subscriptions, &key);
    free(subscription);
}

void ws_subscription_ready(struct ws_subscription *subscription)
{
    if (!list_is_linked(&subscription->in_ready)) {
        list_append(&subscription->ws->ready, &subscription->in_ready);
    }
    ws_mark(subscription->ws);
}

void ws_subscription_fail(struct ws_subscription *subscription, enum problem problem)
{
    leave(subscription);
    subscription->state = WS_FAILED;
    subscription->problem = problem;
    ws_subscription_ready(subscription);
}

static void follow_run(struct ws_subscription *subscription, uint64_t head)
{
    struct position *at = &subscription->at;
    const struct run_form form = {subscription->types == 0 ? STREAM_FORMAT_NATIVE
                                                           : STREAM_FORMAT_FILTERED,
                                  subscription->types};
    struct run *run = run_watch(subscription->ws->hub->streamer, &subscription->run,
                                &subscription->ws->tenant, form);
    run_tell(run, head);
    position_follow_run(at, run);
    if (run->known && at->cursor >= run->window.next) {
        heads_ask(run);
    }
}

static void follow_feed(struct ws_subscription *subscription, uint64_t head)
{
    struct ws *ws = subscription->ws;
    struct streamer *streamer = ws->hub->streamer;
    struct position *at = &subscription->at;
    const struct feed_variant variant = {.types = subscription->types};
    feed_tail_learn(streamer, head);
    struct feed *feed =
        feed_watch(streamer, &ws->tenant, &subscription->thread, &variant, &subscription->signing);
    feed_tell(feed, head);
    position_follow_feed(at, feed);
    if (subscription->latest) {
        at->cursor = head;
    } else if (at->cursor > head) {
        at->cursor = head;
        ws_answer_position(subscription, "reset");
    }
}

void ws_subscription_follow(struct ws_subscription *subscription, uint64_t head)
{
    subscription->state = WS_FOLLOWS;
    if (subscription->kind == STREAM_KIND_RUN) {
        follow_run(subscription, head);
    } else {
        follow_feed(subscription, head);
    }
    ws_subscription_ready(subscription);
}

/* ---- what comes next ---- */

enum next { NEXT_SAID, NEXT_LATER, NEXT_NOTHING, NEXT_OVER };

static enum next tell_failure(struct ws_subscription *subscription)
{
    static const char *const unavailable = "The database cannot be reached now. Try again.";
    struct refusal *refusal = &subscription->ws->hub->submission.refusal;
    bool missing = subscription->problem == PROBLEM_NOT_FOUND;
    (void)refusal_set(refusal, subscription->problem,
                      !missing                                ? unavailable
                      : subscription->kind == STREAM_KIND_RUN ? "There is no such run."
                                                              : "There is no such thread.");
    ws_answer_refusal(subscription->ws, ws_subscription_id(subscription), refusal);
    return NEXT_OVER;
}

/* Nothing is in memory. */
static enum next settle(struct ws_subscription *subscription)
{
    const struct window_position here = {subscription->at.cursor, 0};
    if (position_ends_at(&subscription->at, here)) {
        ws_answer_position(subscription, "end");
        return NEXT_OVER;
    }
    bool complete = position_settle(&subscription->at);
    if (complete) {
        subscription->at.excused = false;
    } else if (subscription->at.waiting && !subscription->at.excused) {
        subscription->caught_up = false; /* what it lacks comes from the table */
    }
    if (complete && !subscription->caught_up) {
        subscription->caught_up = true;
        ws_answer_position(subscription, "caught_up");
        return NEXT_SAID;
    }
    return NEXT_NOTHING;
}

static enum next take(struct ws_subscription *subscription)
{
    struct position *at = &subscription->at;
    struct run *run = position_run(at);
    if (run != NULL && !run->known) {
        return NEXT_NOTHING; /* its head is being read */
    }
    if (run != NULL) {
        switch (position_judge(at)) {
        case POSITION_KNOWN:
            break;
        case POSITION_UNSURE:
            return NEXT_NOTHING;
        case POSITION_BEYOND:
            ws_answer_position(subscription, "reset");
            return NEXT_SAID;
        }
    }
    for (int passed = 0; passed < PASSED_OVER_MAX; passed++) {
        struct iovec frame;
        uint64_t next;
        if (!position_event(at, &frame, &next)) {
            return settle(subscription);
        }
        position_unwait(at); /* or it would be taken for one that lacks a page, wherever it stops */
        bool said = ws_answer_event(subscription, frame.iov_base, frame.iov_len);
        at->cursor = next;
        if (said) {
            return NEXT_SAID;
        }
    }
    return NEXT_LATER;
}

bool ws_subscription_next(struct ws *ws)
{
    struct list *first = list_first(&ws->ready);
    if (first == NULL) {
        return false;
    }
    struct ws_subscription *subscription = LIST_ENTRY(first, struct ws_subscription, in_ready);
    list_remove(first);
    enum next next =
        subscription->state == WS_FAILED ? tell_failure(subscription) : take(subscription);
    if (next == NEXT_OVER) {
        ws_subscription_destroy(subscription);
    } else if (next != NEXT_NOTHING) {
        list_append(&ws->ready, first);
    }
    return true;
}

/* ---- as what takes a position ---- */

static struct ws_subscription *subscription_of(struct position *position)
{
    return LIST_ENTRY(position, struct ws_subscription, at);
}

static void pump(struct position *position)
{
    ws_subscription_ready(subscription_of(position));
}

/* Whose key has ended is closed as a whole, by ws_end_keys. */
static void break_off(struct position *position, const char *why)
{
    if (!keys_has_ended(position->key)) {
        LOG_DEBUG("subscription broken off", LOG_TEXT("why", why));
        ws_subscription_fail(subscription_of(position), PROBLEM_NOT_FOUND);
    }
}

const struct position_taker_ops ws_taker = {.pump = pump, .resume = pump, .break_off = break_off};
