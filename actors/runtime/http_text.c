/* Text of the HTTP grammar: letters without case, hex digits, percent escapes. See http_parse.h. */
#include "runtime/http_parse.h"

#include <string.h>

static int lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte;
}

bool http_text_equal(const char *left, size_t left_length, const char *right, size_t right_length)
{
    if (left_length != right_length) {
        return false;
    }
    for (size_t i = 0; i < left_length; i++) {
        if (left[i] != right[i] && lower(left[i]) != lower(right[i])) {
            return false;
        }
    }
    return true;
}

int http_hex_value(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    int letter = lower(digit);
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

int http_escape_value(const char *text, size_t left)
{
    int high = left < 3 ? -1 : http_hex_value(text[1]);
    int low = high < 0 ? -1 : http_hex_value(text[2]);
    return low < 0 ? -1 : high * 16 + low;
}

size_t http_path_decode(char *path, size_t length)
{
    size_t to = 0;
    for (size_t from = 0; from < length;) {
        int value = path[from] == '%' ? http_escape_value(path + from, length - from) : -1;
        if (value < 0) {
            path[to++] = path[from++];
        } else if (value == '/' || value == '%') {
            memcpy(path + to, value == '/' ? "%2F" : "%25", 3);
            to += 3;
            from += 3;
        } else {
            path[to++] = (char)value;
            from += 3;
        }
    }
    return to;
}

int http_percent_decode(const char *text, size_t length, struct buffer *out)
{
    size_t before = out->length;
    for (size_t at = 0; at < length;) {
        int value = text[at] == '%' ? http_escape_value(text + at, length - at) : (uint8_t)text[at];
        if (value < 0) {
            out->length = before;
            return -1;
        }
        value = text[at] == '+' ? ' ' : value;
        at += text[at] == '%' ? 3 : 1;
        buffer_append_byte(out, (uint8_t)value);
    }
    return 0;
}
