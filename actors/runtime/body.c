/* See body.h. The text has passed json_check, so nothing here has to be checked again. */
#include "runtime/body.h"

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

/* `quoted` with its quotes is a whole text of its own: jansson undoes the escapes. */
static json_t *decode(const char *quoted, size_t length)
{
    static const struct json_limits limits = {.depth = 1, .keys = 0};
    json_t *text = NULL;
    (void)json_check(quoted, length, &limits, &text, NULL);
    return text;
}

void body_string(struct buffer *out, struct json_span string)
{
    json_t *text = decode(string.data, string.length);
    if (text != NULL) {
        buffer_append(out, json_string_value(text), json_string_length(text));
    }
    json_decref(text);
}

size_t body_string_length(struct json_span string)
{
    json_t *text = decode(string.data, string.length);
    const char *bytes = text == NULL ? "" : json_string_value(text);
    size_t count = 0;
    for (size_t i = 0; text != NULL && i < json_string_length(text); i++) {
        count += ((unsigned char)bytes[i] & 0xc0) != 0x80; /* not for the rest of a character */
    }
    json_decref(text);
    return count;
}

void body_pointer(struct buffer *out, struct json_span name)
{
    json_t *text = decode(name.data - 1, name.length + 2); /* it stands between its quotes */
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
