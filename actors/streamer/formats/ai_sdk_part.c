/* Parts of the AI SDK's stream as bytes. See ai_sdk_internal.h. */
#include "streamer/formats/ai_sdk_internal.h"

#include <string.h>

void ai_sdk_part(struct ai_sdk *told, const char *type)
{
    buffer_append_text(told->out, told->begun ? "\n\ndata: {\"type\":\"" : "data: {\"type\":\"");
    buffer_append_text(told->out, type);
    buffer_append_byte(told->out, '"');
    told->begun = true;
}

void ai_sdk_end(struct ai_sdk *told)
{
    buffer_append_byte(told->out, '}');
}

/* Intake turns line breaks between tokens into spaces; one that got past it would end the part. */
void ai_sdk_splice(struct buffer *out, struct json_span value)
{
    size_t at = out->length;
    buffer_append(out, value.data, value.length);
    json_flatten((char *)out->data + at, value.length);
}

void ai_sdk_value(struct ai_sdk *told, const char *name, struct json_span value)
{
    if (value.data != NULL) {
        buffer_printf(told->out, ",\"%s\":", name);
        ai_sdk_splice(told->out, value);
    }
}

void ai_sdk_text(struct ai_sdk *told, const char *name, const void *text, size_t length)
{
    buffer_printf(told->out, ",\"%s\":", name);
    buffer_append_json(told->out, text == NULL ? "" : text, length);
}

void ai_sdk_done(struct ai_sdk *told)
{
    buffer_append_text(told->out, told->begun ? "\n\ndata: [DONE]" : "data: [DONE]");
    told->begun = true;
}
