/*
 * Messages of a WebSocket's client: which there are, and subscribing. Whatever is wrong with one is
 * told as the problem document that the same mistake gets over HTTP; none of it ends the
 * connection.
 */
#include "contracts/generated/event_types.h"
#include "runtime/base/clock.h"
#include "runtime/body.h"
#include "streamer/ws_internal.h"

#include <string.h>

static int wrong(struct ws *ws, const char *pointer, const char *detail)
{
    return refusal_at(&ws->hub->submission.refusal, PROBLEM_INVALID_PAYLOAD, pointer, detail);
}

static int not_found(struct ws *ws, const char *detail)
{
    return refusal_set(&ws->hub->submission.refusal, PROBLEM_NOT_FOUND, detail);
}

/* ---- subscribe ---- */

struct subscribe {
    struct json_span run;
    struct json_span thread;
    struct json_span feed;
    struct json_span after_seq;
    struct json_span cursor;
    struct json_span from;
    struct json_span types;
};

static int read_members(struct ws *ws, struct json_span object, struct subscribe *subscribe)
{
    const struct {
        const char *name;
        struct json_span *value;
    } known[] = {{"run_id", &subscribe->run},
                 {"thread_id", &subscribe->thread},
                 {"feed", &subscribe->feed},
                 {"after_seq", &subscribe->after_seq},
                 {"cursor", &subscribe->cursor},
                 {"from", &subscribe->from},
                 {"types", &subscribe->types},
                 {"op", NULL},
                 {"id", NULL}};
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    while (json_pair(object, &cursor, &name, &value)) {
        size_t i = 0;
        while (i < sizeof known / sizeof known[0] && !body_is(name, known[i].name)) {
            i++;
        }
        if (i == sizeof known / sizeof known[0]) {
            return refusal_unknown_field(&ws->hub->submission.refusal, "", name);
        }
        if (known[i].value != NULL && !body_is_null(value)) {
            *known[i].value = value;
        }
    }
    return 0;
}

/* Exactly one of them says what is followed. */
static int read_target(struct ws *ws, const struct subscribe *subscribe,
                       struct ws_subscription *wanted)
{
    int given = (subscribe->run.data != NULL) + (subscribe->thread.data != NULL) +
                (subscribe->feed.data != NULL);
    if (given != 1) {
        return wrong(ws, "", "Say what to follow: one of run_id, thread_id and feed.");
    }
    if (subscribe->run.data != NULL) {
        wanted->kind = STREAM_KIND_RUN;
        return body_is_string(subscribe->run) ? body_uuid(subscribe->run, &wanted->run) == 0
                                                    ? 0
                                                    : not_found(ws, "There is no such run.")
                                              : wrong(ws, "/run_id", "run_id must be a string.");
    }
    if (subscribe->thread.data != NULL) {
        wanted->kind = STREAM_KIND_THREAD;
        if (!body_is_string(subscribe->thread)) {
            return wrong(ws, "/thread_id", "thread_id must be a string.");
        }
        return body_uuid(subscribe->thread, &wanted->thread) == 0 && !uuid_is_nil(&wanted->thread)
                   ? 0
                   : not_found(ws, "There is no such thread.");
    }
    wanted->kind = STREAM_KIND_TENANT;
    return body_is(subscribe->feed, "\"tenant\"") ? 0
                                                  : wrong(ws, "/feed", "feed must be \"tenant\".");
}

static int bad_cursor(struct ws *ws, const char *pointer, const char *detail)
{
    return refusal_at(&ws->hub->submission.refusal, PROBLEM_INVALID_CURSOR, pointer, detail);
}

static int read_run_position(struct ws *ws, const struct subscribe *subscribe,
                             struct ws_subscription *wanted)
{
    int64_t after_seq = 0;
    if (subscribe->cursor.data != NULL || subscribe->from.data != NULL) {
        return wrong(ws, subscribe->cursor.data != NULL ? "/cursor" : "/from",
                     "The position in a run is after_seq.");
    }
    if (subscribe->after_seq.data != NULL && body_number(subscribe->after_seq, &after_seq) != 0) {
        return bad_cursor(ws, "/after_seq", "after_seq must be the number of an event.");
    }
    wanted->at.cursor = (uint64_t)after_seq;
    return 0;
}

static int read_feed_position(struct ws *ws, const struct subscribe *subscribe,
                              struct ws_subscription *wanted)
{
    feed_key_of(&ws->signing, wanted->kind, &wanted->thread, &wanted->signing);
    if (subscribe->after_seq.data != NULL) {
        return wrong(ws, "/after_seq", "Events of several runs have no common seq: use cursor.");
    }
    if (subscribe->cursor.data != NULL && subscribe->from.data != NULL) {
        return wrong(ws, "/from", "Give cursor or from, not both.");
    }
    if (subscribe->from.data != NULL) {
        wanted->latest = body_is(subscribe->from, "\"latest\"");
        return wanted->latest || body_is(subscribe->from, "\"start\"")
                   ? 0
                   : wrong(ws, "/from", "from must be start or latest.");
    }
    if (subscribe->cursor.data != NULL) {
        struct json_span text = body_is_string(subscribe->cursor) ? body_text(subscribe->cursor)
                                                                  : (struct json_span){"", 0};
        if (feed_cursor_decode(&wanted->signing, text.data, text.length, &wanted->at.cursor) != 0 ||
            wanted->at.cursor > INT64_MAX) {
            return bad_cursor(ws, "/cursor", "The cursor was not given out here.");
        }
    }
    return 0;
}

static int read_types(struct ws *ws, struct json_span list, struct ws_subscription *wanted)
{
    static const char must[] = "types must be a list of types of events, with at least one.";
    struct json_span cursor = {0};
    struct json_span element;
    if (list.data == NULL) {
        return 0;
    }
    if (!body_is_array(list)) {
        return wrong(ws, "/types", must);
    }
    while ((element = json_element(list, &cursor)).data != NULL) {
        enum event_type type;
        if (!body_is_string(element)) {
            return wrong(ws, "/types", must);
        }
        struct json_span name = body_text(element);
        if (event_type_find(name.data, name.length, &type) != 0) {
            return refusal_at(&ws->hub->submission.refusal, PROBLEM_UNKNOWN_EVENT_TYPE, "/types",
                              "There is no such type of event.");
        }
        wanted->types |= UINT64_C(1) << type;
    }
    return wanted->types != 0 ? 0 : wrong(ws, "/types", must);
}

static int read_subscribe(struct ws *ws, struct json_span object, struct ws_subscription *wanted)
{
    struct subscribe subscribe = {0};
    if (read_members(ws, object, &subscribe) != 0 || read_target(ws, &subscribe, wanted) != 0 ||
        read_types(ws, subscribe.types, wanted) != 0) {
        return -1;
    }
    return wanted->kind == STREAM_KIND_RUN ? read_run_position(ws, &subscribe, wanted)
                                           : read_feed_position(ws, &subscribe, wanted);
}

static int check_room(struct ws *ws, struct json_span id)
{
    struct refusal *refusal = &ws->hub->submission.refusal;
    if (ws_subscription_find(ws, id) != NULL) {
        return refusal_at(refusal, PROBLEM_SUBSCRIPTION_EXISTS, "/id",
                          "A subscription of this connection has this id.");
    }
    if (ws->subscriptions.count >= ws->hub->subscriptions_max) {
        return refusal_set(refusal, PROBLEM_TOO_MANY_SUBSCRIPTIONS,
                           "The connection has as many subscriptions as one may have.");
    }
    return 0;
}

static void subscribe(struct ws *ws, struct json_span id, struct json_span object)
{
    struct ws_subscription wanted = {.state = WS_ASKING};
    if (read_subscribe(ws, object, &wanted) != 0 || check_room(ws, id) != 0) {
        ws_answer_refusal(ws, id, &ws->hub->submission.refusal);
        return;
    }
    struct ws_subscription *subscription = ws_subscription_create(ws, id);
    subscription->kind = wanted.kind;
    subscription->run = wanted.run;
    subscription->thread = wanted.thread;
    subscription->signing = wanted.signing;
    subscription->types = wanted.types;
    subscription->latest = wanted.latest;
    subscription->at.cursor = wanted.at.cursor;
    ws_subscription_begin(subscription, clock_monotonic_ms() + subscription->ws->hub->ask_ms);
}

/* Nothing is said of what goes well: no event of it follows any answer to what is sent later. */
static void unsubscribe(struct ws *ws, struct json_span id, struct json_span object)
{
    struct refusal *refusal = &ws->hub->submission.refusal;
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    while (json_pair(object, &cursor, &name, &value)) {
        if (!body_is(name, "op") && !body_is(name, "id")) {
            (void)refusal_unknown_field(refusal, "", name);
            ws_answer_refusal(ws, id, refusal);
            return;
        }
    }
    struct ws_subscription *subscription = ws_subscription_find(ws, id);
    if (subscription == NULL) {
        (void)refusal_set(refusal, PROBLEM_NOT_FOUND, "There is no subscription with this id.");
        ws_answer_refusal(ws, id, refusal);
        return;
    }
    ws_subscription_destroy(subscription);
}

/* ---- any message ---- */

typedef void message_fn(struct ws *ws, struct json_span id, struct json_span object);

static message_fn *find_op(struct json_span op, bool *writes_out)
{
    static const struct {
        const char *name; /* with its quotes */
        message_fn *take;
        bool writes;
    } ops[] = {{"\"subscribe\"", subscribe, false},
               {"\"unsubscribe\"", unsubscribe, false},
               {"\"append\"", ws_request_append, true},
               {"\"cancel\"", ws_request_cancel, true},
               {"\"resume\"", ws_request_resume, true}};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        if (op.data != NULL && body_is(op, ops[i].name)) {
            *writes_out = ops[i].writes;
            return ops[i].take;
        }
    }
    return NULL;
}

/* 1..WS_ID_BYTES bytes of text. */
static bool is_id(struct ws *ws, struct json_span id)
{
    struct buffer *text = &ws->hub->text;
    if (id.data == NULL || !body_is_string(id) || id.length - 2 > WS_ID_BYTES * 6) {
        return false;
    }
    buffer_clear(text);
    char *plain = (char *)buffer_reserve(text, id.length);
    size_t length = json_unescape(id.data + 1, id.length - 2, plain);
    return length >= 1 && length <= WS_ID_BYTES;
}

static int read_message(struct ws *ws, bool is_text, struct json_span text,
                        struct json_span *id_out, struct json_span *object_out)
{
    struct submission *submission = &ws->hub->submission;
    if (!is_text) {
        return refusal_set(&submission->refusal, PROBLEM_MALFORMED_JSON,
                           "A message must be text, and a JSON object.");
    }
    if (submission_object(submission, text, object_out) != 0) {
        return -1;
    }
    struct json_span id = json_member(*object_out, "id");
    if (!is_id(ws, id)) {
        return wrong(ws, "/id", "id must be a text of 1 to 255 bytes.");
    }
    *id_out = id;
    return 0;
}

void ws_message_take(struct ws *ws, bool is_text, const uint8_t *bytes, size_t length)
{
    struct refusal *refusal = &ws->hub->submission.refusal;
    struct json_span id = {0};
    struct json_span object = {0};
    bool writes = false;
    if (read_message(ws, is_text, (struct json_span){(const char *)bytes, length}, &id, &object) !=
        0) {
        ws_answer_refusal(ws, id, refusal);
        return;
    }
    message_fn *take = find_op(json_member(object, "op"), &writes);
    if (take == NULL) {
        (void)wrong(ws, "/op", "op must be subscribe, unsubscribe, append, cancel or resume.");
        ws_answer_refusal(ws, id, refusal);
    } else if (writes && (ws->rights & STREAM_MAY_APPEND) == 0) {
        (void)refusal_set(refusal, PROBLEM_FORBIDDEN, "The key lacks the scope this needs.");
        ws_answer_refusal(ws, id, refusal);
    } else if (writes && ws_command_charge(ws) != 0) {
        ws_answer_refusal(ws, id, refusal);
    } else {
        take(ws, id, object);
    }
}
