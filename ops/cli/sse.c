/* See sse.h. */
#include "ops/cli/sse.h"

#include "runtime/base/number.h"

#include <string.h>

void sse_init(struct sse *sse, sse_event_fn *event, void *arg)
{
    *sse = (struct sse){.event = event, .arg = arg, .retry_ms = -1};
}

void sse_deinit(struct sse *sse)
{
    buffer_deinit(&sse->line);
    buffer_deinit(&sse->type);
    buffer_deinit(&sse->id);
    buffer_deinit(&sse->data);
}

static void begin_event(struct sse *sse)
{
    buffer_clear(&sse->type);
    buffer_clear(&sse->id);
    buffer_clear(&sse->data);
    sse->has_id = false;
    sse->has_data = false;
}

void sse_reset(struct sse *sse)
{
    buffer_clear(&sse->line);
    sse->after_cr = false;
    begin_event(sse);
}

static void dispatch(struct sse *sse)
{
    if (sse->has_data) {
        struct sse_event event = {
            .type = sse->type.length > 0 ? buffer_text(&sse->type) : "message",
            .id = sse->has_id ? buffer_text(&sse->id) : NULL,
            .data = buffer_text(&sse->data),
            .data_length = sse->data.length,
        };
        sse->event(sse->arg, &event);
    }
    begin_event(sse);
}

static bool is_field(const char *name, size_t length, const char *wanted)
{
    return strlen(wanted) == length && memcmp(name, wanted, length) == 0;
}

static void take_field(struct sse *sse, const char *name, size_t name_length, const char *value,
                       size_t value_length)
{
    int64_t number;
    if (is_field(name, name_length, "data")) {
        if (sse->has_data) {
            buffer_append_byte(&sse->data, '\n');
        }
        sse->has_data = true;
        buffer_append(&sse->data, value, value_length);
    } else if (is_field(name, name_length, "event")) {
        buffer_clear(&sse->type);
        buffer_append(&sse->type, value, value_length);
    } else if (is_field(name, name_length, "id")) {
        if (memchr(value, '\0', value_length) == NULL) {
            sse->has_id = true;
            buffer_clear(&sse->id);
            buffer_append(&sse->id, value, value_length);
        }
    } else if (is_field(name, name_length, "retry")) {
        if (number_parse(value, value_length, &number) == 0) {
            sse->retry_ms = number;
        }
    }
}

static void take_line(struct sse *sse)
{
    size_t length = sse->line.length;
    const char *line = buffer_text(&sse->line);
    if (length == 0) {
        dispatch(sse);
        return;
    }
    const char *colon = memchr(line, ':', length);
    if (colon == line) {
        return; /* a comment */
    }
    size_t name_length = colon != NULL ? (size_t)(colon - line) : length;
    const char *value = colon != NULL ? colon + 1 : line + length;
    size_t value_length = (size_t)(line + length - value);
    if (value_length > 0 && *value == ' ') {
        value++;
        value_length--;
    }
    take_field(sse, line, name_length, value, value_length);
}

int sse_feed(struct sse *sse, const void *bytes, size_t length, struct error *err)
{
    const char *at = bytes;
    const char *end = at + length;
    while (at < end) {
        if (sse->after_cr && *at == '\n') {
            sse->after_cr = false;
            at++;
            continue;
        }
        sse->after_cr = false;
        const char *stop = at;
        while (stop < end && *stop != '\n' && *stop != '\r') {
            stop++;
        }
        if (sse->line.length + sse->data.length + (size_t)(stop - at) > SSE_EVENT_BYTES_MAX) {
            return error_set(err, "the stream holds an event of more than %d bytes",
                             SSE_EVENT_BYTES_MAX);
        }
        buffer_append(&sse->line, at, (size_t)(stop - at));
        if (stop < end) {
            sse->after_cr = *stop == '\r';
            take_line(sse);
            buffer_clear(&sse->line);
            stop++;
        }
        at = stop;
    }
    return 0;
}
