/* See buffer.h. */
#include "runtime/base/buffer.h"

#include "runtime/base/memory.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_deinit(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}

void buffer_clear(struct buffer *buffer)
{
    buffer->length = 0;
}

uint8_t *buffer_reserve(struct buffer *buffer, size_t size)
{
    size_t needed = buffer->length + size;
    assert(needed >= size);
    if (needed > buffer->capacity || buffer->data == NULL) {
        size_t capacity = buffer->capacity < 64 ? 64 : buffer->capacity;
        while (capacity < needed) {
            capacity *= 2;
        }
        buffer->data = memory_grow(buffer->data, capacity, 1);
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->length;
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t size)
{
    if (size > 0) {
        memcpy(buffer_reserve(buffer, size), bytes, size);
        buffer->length += size;
    }
}

void buffer_append_text(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

void buffer_append_byte(struct buffer *buffer, uint8_t byte)
{
    *buffer_reserve(buffer, 1) = byte;
    buffer->length++;
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(size >= 0);
    char *at = (char *)buffer_reserve(buffer, (size_t)size + 1);
    vsnprintf(at, (size_t)size + 1, format, again);
    va_end(again);
    buffer->length += (size_t)size;
}

void buffer_append_int(struct buffer *buffer, int64_t value)
{
    char digits[20];
    size_t count = 0;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[count++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    char *at = (char *)buffer_reserve(buffer, count + 1);
    if (value < 0) {
        *at++ = '-';
        buffer->length++;
    }
    buffer->length += count;
    while (count > 0) {
        *at++ = digits[--count];
    }
}

/* Length of the valid UTF-8 sequence at `text`, or 0. */
static size_t utf8_length(const unsigned char *text, size_t left)
{
    unsigned char first = text[0];
    size_t length = first < 0x80                    ? 1
                    : first >= 0xc2 && first < 0xe0 ? 2
                    : first >= 0xe0 && first < 0xf0 ? 3
                    : first >= 0xf0 && first < 0xf5 ? 4
                                                    : 0;
    if (length == 0 || length > left) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] >= 0xa0) ||
        (first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] >= 0x90)) {
        return 0;
    }
    return length;
}

void buffer_append_json(struct buffer *buffer, const char *text, size_t length)
{
    const unsigned char *at = (const unsigned char *)text;
    const unsigned char *end = at + length;
    buffer_append_byte(buffer, '"');
    while (at < end) {
        const unsigned char *plain = at;
        while (at < end && *at >= 0x20 && *at < 0x7f && *at != '"' && *at != '\\') {
            at++;
        }
        buffer_append(buffer, plain, (size_t)(at - plain));
        if (at == end) {
            break;
        }
        size_t size = utf8_length(at, (size_t)(end - at));
        if (*at == '"' || *at == '\\') {
            buffer_append_byte(buffer, '\\');
            buffer_append_byte(buffer, *at);
        } else if (*at == '\n') {
            buffer_append_text(buffer, "\\n");
        } else if (*at < 0x20 || *at == 0x7f) {
            buffer_printf(buffer, "\\u%04x", *at);
        } else if (size == 2 && at[0] == 0xc2 && at[1] < 0xa0) {
            buffer_printf(buffer, "\\u%04x", at[1]); /* control characters too, to terminals */
        } else if (size == 0) {
            buffer_append_text(buffer, "\xef\xbf\xbd");
            size = 1;
        } else {
            buffer_append(buffer, at, size);
        }
        at += size;
    }
    buffer_append_byte(buffer, '"');
}

void buffer_consume(struct buffer *buffer, size_t size)
{
    assert(size <= buffer->length);
    if (size > 0) {
        memmove(buffer->data, buffer->data + size, buffer->length - size);
        buffer->length -= size;
    }
}

char *buffer_text(struct buffer *buffer)
{
    *buffer_reserve(buffer, 1) = '\0';
    return (char *)buffer->data;
}
