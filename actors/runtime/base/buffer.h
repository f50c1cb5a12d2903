/* A growable byte buffer: the one bounds-checked place where bytes are gathered. */
#ifndef SIGNALBOX_BASE_BUFFER_H
#define SIGNALBOX_BASE_BUFFER_H

#include "runtime/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Zero-initialised is empty and valid. `data` is owned; it is NULL until the first byte. */
struct buffer {
    uint8_t *data;
    size_t length;
    size_t capacity;
};

void buffer_deinit(struct buffer *buffer);
/* Keeps the memory for reuse. */
void buffer_clear(struct buffer *buffer);
/* Makes room for `size` more bytes and returns where they go; the caller then adds to `length`. */
uint8_t *buffer_reserve(struct buffer *buffer, size_t size);
void buffer_append(struct buffer *buffer, const void *bytes, size_t size);
void buffer_append_text(struct buffer *buffer, const char *text);
void buffer_append_byte(struct buffer *buffer, uint8_t byte);
void buffer_printf(struct buffer *buffer, const char *format, ...) SB_PRINTF(2, 3);
/* Decimal digits, faster than printf. */
void buffer_append_int(struct buffer *buffer, int64_t value);
/* `text` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void buffer_append_json(struct buffer *buffer, const char *text, size_t length);
/* Removes `size` bytes from the front. */
void buffer_consume(struct buffer *buffer, size_t size);
/* A NUL behind the last byte, not counted in `length`; returns the text. */
char *buffer_text(struct buffer *buffer);

#endif
