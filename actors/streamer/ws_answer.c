/*
 * What the server says on a WebSocket: one JSON object a message. Events go out as the bytes they
 * have in the shared window, without their dress of server-sent events.
 */
#include "proto/outcome.h"
#include "runtime/base/metrics.h"
#include "runtime/run_status.h"
#include "streamer/feed.h"
#include "streamer/formats/native_text.h"
#include "streamer/ws_internal.h"

#include <string.h>

/* {"op":"…","id":… — the rest is the caller's. */
static struct buffer *begin(struct ws *ws, const char *op, struct json_span id)
{
    struct buffer *text = &ws->hub->text;
    buffer_clear(text);
    buffer_append_text(text, "{\"op\":\"");
    buffer_append_text(text, op);
    buffer_append_text(text, "\",\"id\":");
    if (id.length > 0) {
        buffer_append(text, id.data, id.length);
    } else {
        buffer_append_text(text, "null");
    }
    return text;
}

static void finish(struct ws *ws, struct buffer *text)
{
    buffer_append_byte(text, '}');
    ws_codec_send_text(ws->codec, text->data, text->length);
    ws_mark(ws);
}

void ws_answer_refusal(struct ws *ws, struct json_span id, const struct refusal *refusal)
{
    struct buffer *text = begin(ws, "problem", id);
    buffer_append_text(text, ",\"problem\":");
    refusal_write(text, refusal);
    finish(ws, text);
}

void ws_answer_appended(struct ws *ws, struct json_span id, const struct message_result *result)
{
    struct buffer *text = begin(ws, "ack", id);
    buffer_append_text(text, ",\"first_seq\":");
    buffer_append_int(text, (int64_t)result->first_seq);
    buffer_append_text(text, ",\"last_seq\":");
    buffer_append_int(text, (int64_t)result->last_seq);
    buffer_append_text(text, result->cancel_requested ? ",\"cancel_requested\":true"
                                                      : ",\"cancel_requested\":false");
    finish(ws, text);
}

void ws_answer_status(struct ws *ws, struct json_span id, const struct uuid *run,
                      const struct message_result *result)
{
    char run_id[UUID_TEXT_SIZE];
    struct buffer *text = begin(ws, "ack", id);
    uuid_format(run, run_id);
    buffer_printf(text, ",\"run_id\":\"%s\",\"status\":\"%s\"", run_id,
                  run_status_name(result->status));
    finish(ws, text);
}

void ws_answer_position(struct ws_subscription *subscription, const char *op)
{
    struct ws *ws = subscription->ws;
    const struct position *at = &subscription->at;
    struct buffer *text = begin(ws, op, ws_subscription_id(subscription));
    if (position_run(at) != NULL) {
        buffer_append_text(text, ",\"seq\":");
        buffer_append_int(text, (int64_t)at->cursor);
    } else {
        char cursor[FEED_CURSOR_TEXT_SIZE];
        feed_cursor_encode(&subscription->signing, at->cursor, cursor);
        buffer_append_text(text, ",\"cursor\":\"");
        buffer_append_text(text, cursor);
        buffer_append_byte(text, '"');
    }
    finish(ws, text);
}

/* ---- events ---- */

/* Appended piece by piece behind its head: the bytes of an event are copied once. */
static void append_event(struct ws *ws, const struct ws_subscription *subscription,
                         const struct native_text *event)
{
    static const char start[] = "{\"op\":\"event\",\"id\":";
    static const char cursor[] = ",\"cursor\":\"";
    static const char middle[] = ",\"event\":";
    bool of_feed = subscription->at.of_feed;
    size_t length =
        sizeof start - 1 + subscription->id_length + sizeof middle - 1 + event->json_length + 1;
    uint8_t head[WS_HEAD_MAX];
    length += of_feed ? sizeof cursor - 1 + event->id_length + 1 : 0;
    buffer_append(&ws->out, head, ws_frame_head(head, WS_TEXT, length));
    buffer_append(&ws->out, start, sizeof start - 1);
    buffer_append(&ws->out, subscription->id, subscription->id_length);
    if (of_feed) {
        buffer_append(&ws->out, cursor, sizeof cursor - 1);
        buffer_append(&ws->out, event->id, event->id_length);
        buffer_append_byte(&ws->out, '"');
    }
    buffer_append(&ws->out, middle, sizeof middle - 1);
    buffer_append(&ws->out, event->json, event->json_length);
    buffer_append_byte(&ws->out, '}');
}

bool ws_answer_event(struct ws_subscription *subscription, const uint8_t *frame, size_t length)
{
    struct native_text event;
    if (length == 0) {
        return false;
    }
    native_text_read(frame, length, &event);
    append_event(subscription->ws, subscription, &event);
    metric_add(METRIC_STREAM_EVENTS_SENT, 1);
    return true;
}
