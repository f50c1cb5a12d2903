/* See body.h. The text has passed json_check, so nothing here has to be checked again. */
#include "api/body.h"

#include "runtime/base/number.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool body_is(struct json_span name, const char *want)
{
    return name.length == strlen(want) && memcmp(name.data, want, name.length) == 0;
}

struct json_span body_text(struct json_span value)
{
    return (struct json_span){value.data + 1, value.length - 2};
}

int body_uuid(struct json_span value, struct uuid *uuid_out)
{
    if (!body_is_string(value)) {
        return -1;
    }
    struct json_span text = body_text(value);
    return uuid_parse(text.data, text.length, uuid_out);
}

int body_number(struct json_span value, int64_t *number_out)
{
    return number_parse(value.data, value.length, number_out);
}

void body_pointer(struct buffer *out, struct json_span name)
{
    /* The name stands between its quotes: a whole text of its own, which undoes the escapes. */
    static const struct json_limits limits = {.depth = 1, .keys = 0};
    json_t *text = NULL;
    (void)json_check(name.data - 1, name.length + 2, &limits, &text, NULL);
    const char *bytes = text == NULL ? name.data : json_string_value(text);
    size_t length = text == NULL ? name.length : json_string_length(text);
    buffer_append_byte(out, '/');
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '~') {
            buffer_append_text(out, "~0");
        } else if (bytes[i] == '/') {
            buffer_append_text(out, "~1");
        } else {
            buffer_append(out, bytes + i, 1);
        }
    }
    json_decref(text);
}

struct json_span body_trim(const char *text, size_t length)
{
    while (length > 0 && is_blank(text[0])) {
        text++;
        length--;
    }
    while (length > 0 && is_blank(text[length - 1])) {
        length--;
    }
    return (struct json_span){text, length};
}
