/*
 * See events_format.h. A line is, byte for byte, what the native stream sends as `data` of the
 * event. What a CloudEvent's attributes hold is written down in docs/streams.md.
 */
#include "api/events_format.h"

#include "runtime/base/clock.h"
#include "runtime/trace.h"

#include <assert.h>

const char *events_format_type(enum events_format format)
{
    static const char *const types[EVENTS_FORMATS] = {
        [EVENTS_JSON] = "application/json",
        [EVENTS_STREAM] = "text/event-stream",
        [EVENTS_LINES] = "application/x-ndjson",
        [EVENTS_CLOUD] = "application/cloudevents-batch+json",
    };
    return types[format];
}

static void add_text(struct buffer *out, const char *before, const char *text)
{
    buffer_append_text(out, before);
    buffer_append_text(out, text);
}

static void add_uuid(struct buffer *out, const char *before, const struct uuid *uuid)
{
    char text[UUID_TEXT_SIZE];
    uuid_format(uuid, text);
    add_text(out, before, text);
}

/* "seq":7,"type":"CUSTOM","ts":"…","payload":{…} */
static void add_members(struct buffer *out, const struct store_event *event)
{
    char ts[CLOCK_TEXT_SIZE];
    clock_format(event->ts_us, ts);
    buffer_append_text(out, "\"seq\":");
    buffer_append_int(out, event->seq);
    buffer_append_text(out, ",\"type\":\"");
    buffer_append(out, event->type, event->type_length);
    add_text(out, "\",\"ts\":\"", ts);
    buffer_append_text(out, "\",\"payload\":");
    buffer_append(out, event->payload, event->payload_length);
}

static void add_json(struct buffer *out, const struct store_event *event)
{
    buffer_append_byte(out, '{');
    add_members(out, event);
    if (!uuid_is_nil(&event->trace)) {
        char trace[TRACE_ID_TEXT_SIZE];
        trace_id_format(event->trace.bytes, trace);
        add_text(out, ",\"trace_id\":\"", trace);
        buffer_append_byte(out, '"');
    }
    buffer_append_byte(out, '}');
}

static void add_line(struct buffer *out, const struct events_context *context,
                     const struct store_event *event)
{
    add_uuid(out, "{\"run_id\":\"", &context->run);
    buffer_append_text(out, "\",");
    add_members(out, event);
    buffer_append_text(out, "}\n");
}

/* RUN_STARTED becomes com.signalbox.run.started: names hold no dot, so it can be told back. */
static void add_cloud_type(struct buffer *out, const struct store_event *event)
{
    buffer_append_text(out, "com.signalbox.");
    for (size_t i = 0; i < event->type_length; i++) {
        char byte = event->type[i];
        buffer_append_byte(out, (uint8_t)(byte == '_'                  ? '.'
                                          : byte >= 'A' && byte <= 'Z' ? byte | 0x20
                                                                       : byte));
    }
}

static void add_cloud(struct buffer *out, const struct events_context *context,
                      const struct store_event *event)
{
    char ts[CLOCK_TEXT_SIZE];
    clock_format(event->ts_us, ts);
    add_uuid(out, "{\"specversion\":\"1.0\",\"id\":\"", &context->run);
    buffer_printf(out, ":%lld", (long long)event->seq);
    add_uuid(out, "\",\"source\":\"/api/v1/runs/", &context->run);
    buffer_append_text(out, "\",\"type\":\"");
    add_cloud_type(out, event);
    add_text(out, "\",\"time\":\"", ts);
    add_uuid(out, "\",\"subject\":\"", &context->run);
    buffer_append_text(out, "\",\"datacontenttype\":\"application/json\",\"dataschema\":\""
                            "urn:signalbox:contracts:run_events#/$defs/");
    buffer_append(out, event->type, event->type_length);
    /* As text that sorts like the number. */
    buffer_printf(out, "\",\"sequence\":\"%019lld", (long long)event->seq);
    add_uuid(out, "\",\"tenantid\":\"", &context->tenant);
    if (!uuid_is_nil(&context->thread)) {
        add_uuid(out, "\",\"threadid\":\"", &context->thread);
    }
    buffer_append_text(out, "\",\"data\":");
    buffer_append(out, event->payload, event->payload_length);
    buffer_append_byte(out, '}');
}

void events_format_add(struct buffer *out, enum events_format format,
                       const struct events_context *context, const struct store_event *event,
                       bool first)
{
    switch (format) {
    case EVENTS_JSON:
        buffer_append_text(out, first ? "" : ",");
        add_json(out, event);
        break;
    case EVENTS_LINES:
        add_line(out, context, event);
        break;
    case EVENTS_CLOUD:
        buffer_append_text(out, first ? "" : ",");
        add_cloud(out, context, event);
        break;
    case EVENTS_STREAM:
    case EVENTS_FORMATS:
        assert(false);
    }
}
