/* Finding the parts of text that json_check has let through: see json.h. Nothing is checked again
 * here, so every loop relies on the text being valid JSON. */
#include "runtime/json.h"
#include "runtime/json_scan.h"

#include "runtime/base/memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const char *json_skip_space(const char *at)
{
    while (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t') {
        at++;
    }
    return at;
}

const char *json_skip_string(const char *at, const char *end)
{
    for (;;) {
        const char *quote = memchr(at, '"', (size_t)(end - at));
        const char *slash = memchr(at, '\\', (size_t)(quote - at));
        if (slash == NULL) {
            return quote;
        }
        at = slash + 2;
    }
}

static const bool ends_scalar[256] = {
    ['"'] = true, ['{'] = true, ['}'] = true,  ['['] = true,  [']'] = true,
    [','] = true, [' '] = true, ['\t'] = true, ['\r'] = true, ['\n'] = true};

const char *json_skip_value(const char *at, const char *end)
{
    size_t depth = 0;
    do {
        switch (*at) {
        case '"':
            at = json_skip_string(at + 1, end) + 1;
            break;
        case '{':
        case '[':
            depth++;
            at++;
            break;
        case '}':
        case ']':
            depth--;
            at++;
            break;
        default: /* a scalar, or what stands between values */
            at++;
            while (at < end && !ends_scalar[(unsigned char)*at]) {
                at++;
            }
            break;
        }
    } while (depth > 0);
    return at;
}

/* The checked text may end right behind the outermost value: no byte at `end` is looked at. */
static struct json_span value_at(const char *at, const char *end)
{
    return (struct json_span){at, (size_t)(json_skip_value(at, end) - at)};
}

static bool name_is(const char *text, size_t length, const char *name, size_t name_length)
{
    if (memchr(text, '\\', length) == NULL) {
        return length == name_length && memcmp(text, name, length) == 0;
    }
    char *plain = memory_new(length);
    bool same =
        json_unescape(text, length, plain) == name_length && memcmp(plain, name, name_length) == 0;
    free(plain);
    return same;
}

/* First byte inside the object or array that begins at `span`, or NULL when it is none. */
static const char *enter(struct json_span span, char bracket)
{
    const char *at = json_skip_space(span.data);
    return *at == bracket ? json_skip_space(at + 1) : NULL;
}

struct json_span json_member(struct json_span object, const char *name)
{
    const char *end = object.data + object.length;
    const char *at = enter(object, '{');
    size_t name_length = strlen(name);
    while (at != NULL && *at == '"') {
        const char *key = at + 1;
        const char *quote = json_skip_string(key, end);
        at = json_skip_space(quote + 1);
        struct json_span value = value_at(json_skip_space(at + 1), end);
        if (name_is(key, (size_t)(quote - key), name, name_length)) {
            return value;
        }
        at = json_skip_space(value.data + value.length);
        if (*at == ',') {
            at = json_skip_space(at + 1);
        }
    }
    return (struct json_span){NULL, 0};
}

bool json_pair(struct json_span object, struct json_span *cursor, struct json_span *name_out,
               struct json_span *value_out)
{
    const char *end = object.data + object.length;
    const char *at = json_skip_space(cursor->data == NULL ? object.data + 1 : cursor->data);
    if (*at == ',') {
        at = json_skip_space(at + 1);
    }
    if (*at != '"') {
        return false;
    }
    const char *quote = json_skip_string(at + 1, end);
    *name_out = (struct json_span){at + 1, (size_t)(quote - at - 1)};
    *value_out = value_at(json_skip_space(json_skip_space(quote + 1) + 1), end);
    at = value_out->data + value_out->length;
    *cursor = (struct json_span){at, (size_t)(end - at)};
    return true;
}

struct json_span json_element(struct json_span array, struct json_span *cursor)
{
    const char *end = array.data + array.length;
    const char *at =
        cursor->data == NULL ? enter(array, '[') : json_skip_space(cursor->data + cursor->length);
    if (at != NULL && *at == ',') {
        at = json_skip_space(at + 1);
    }
    bool none = at == NULL || *at == ']';
    *cursor = none ? (struct json_span){NULL, 0} : value_at(at, end);
    return *cursor;
}

void json_flatten(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n' || text[i] == '\r') {
            text[i] = ' ';
        }
    }
}
