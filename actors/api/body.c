/* See body.h. The text has passed json_check, so nothing here has to be checked again. */
#include "api/body.h"

#include "runtime/base/number.h"

#include <jansson.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_blanks(const char *at)
{
    while (is_blank(*at)) {
        at++;
    }
    return at;
}

/* `at` stands on the opening quote; returns the place behind the closing one. */
static const char *skip_string(const char *at)
{
    for (at++; *at != '"'; at++) {
        if (*at == '\\') {
            at++;
        }
    }
    return at + 1;
}

static const char *skip_value(const char *at, const char *end)
{
    size_t depth = 0;
    do {
        switch (*at) {
        case '"':
            at = skip_string(at);
            continue;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            depth--;
            break;
        default:
            if (depth == 0) {
                while (at < end && !is_blank(*at) && *at != ',' && *at != '}' && *at != ']') {
                    at++;
                }
                return at;
            }
        }
        at++;
    } while (depth > 0);
    return at;
}

bool body_member(struct json_span object, struct json_span *cursor, struct json_span *name_out,
                 struct json_span *value_out)
{
    const char *end = object.data + object.length;
    const char *at = skip_blanks(cursor->data == NULL ? object.data + 1 : cursor->data);
    if (*at == ',') {
        at = skip_blanks(at + 1);
    }
    if (*at == '}') {
        return false;
    }
    const char *name_end = skip_string(at);
    *name_out = (struct json_span){at + 1, (size_t)(name_end - at) - 2};
    const char *value = skip_blanks(skip_blanks(name_end) + 1); /* behind the colon */
    const char *value_end = skip_value(value, end);
    *value_out = (struct json_span){value, (size_t)(value_end - value)};
    *cursor = (struct json_span){value_end, (size_t)(end - value_end)};
    return true;
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
    /* Escapes are undone by the judge of the grammar; the name stands between its quotes. */
    json_t *text =
        json_loadb(name.data - 1, name.length + 2, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, NULL);
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
