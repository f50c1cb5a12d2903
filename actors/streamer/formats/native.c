/*
 * See native.h. The payload's own bytes are spliced in, so every observer of the run sees the same
 * bytes. Encoding the same event again gives the same frame: a reader that took half of one may be
 * given the rest from another encoding.
 */
#include "streamer/formats/native.h"

#include "runtime/base/clock.h"
#include "streamer/sse.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char suffix[] = "}\n\n\r\n";
enum { SUFFIX_BODY = 3, SUFFIX_WHOLE = 5 };

void native_prepare(struct native_frame *frame, const struct native_event *event)
{
    char ts[CLOCK_TEXT_SIZE];
    char text[NATIVE_PREFIX_MAX - SSE_CHUNK_HEAD_MAX];
    assert(event->type_length <= NATIVE_TYPE_MAX);
    char seq[24];
    clock_format(event->ts_us, ts);
    (void)snprintf(seq, sizeof seq, "%llu", (unsigned long long)event->seq);
    int length =
        snprintf(text, sizeof text,
                 "id: %s\ndata: "
                 "{\"run_id\":\"%s\",\"seq\":%s,\"type\":\"%.*s\",\"ts\":\"%s\",\"payload\":",
                 event->cursor == NULL ? seq : event->cursor, event->run_id, seq,
                 (int)event->type_length, event->type, ts);
    assert(length > 0 && (size_t)length < sizeof text);
    size_t body = (size_t)length + event->payload_length + SUFFIX_BODY;
    size_t head = sse_chunk_head(frame->prefix, body);
    memcpy(frame->prefix + head, text, (size_t)length);
    frame->event = event;
    frame->prefix_length = head + (size_t)length;
    frame->size = head + body + SSE_CHUNK_TAIL;
}

/* Intake turns line breaks between tokens into spaces; one that got past it would end the event
 * here. */
static void flatten(uint8_t *text, size_t length)
{
    for (uint8_t *at = memchr(text, '\n', length); at != NULL;
         at = memchr(at, '\n', length - (size_t)(at - text))) {
        *at = ' ';
    }
    for (uint8_t *at = memchr(text, '\r', length); at != NULL;
         at = memchr(at, '\r', length - (size_t)(at - text))) {
        *at = ' ';
    }
}

void native_write(const struct native_frame *frame, uint8_t *out)
{
    const struct native_event *event = frame->event;
    memcpy(out, frame->prefix, frame->prefix_length);
    out += frame->prefix_length;
    memcpy(out, event->payload, event->payload_length);
    flatten(out, event->payload_length);
    memcpy(out + event->payload_length, suffix, SUFFIX_WHOLE);
}

void native_append_object(struct buffer *out, const struct native_event *event,
                          const uint64_t *prev_seq)
{
    char ts[CLOCK_TEXT_SIZE];
    clock_format(event->ts_us, ts);
    buffer_printf(out, "{\"run_id\":\"%s\",\"seq\":", event->run_id);
    buffer_append_int(out, (int64_t)event->seq);
    if (prev_seq != NULL) {
        buffer_append_text(out, ",\"prev_seq\":");
        buffer_append_int(out, (int64_t)*prev_seq);
    }
    buffer_printf(out, ",\"type\":\"%.*s\",\"ts\":\"%s\",\"payload\":", (int)event->type_length,
                  event->type, ts);
    buffer_append(out, event->payload, event->payload_length);
    flatten(out->data + out->length - event->payload_length, event->payload_length);
    buffer_append_byte(out, '}');
}
