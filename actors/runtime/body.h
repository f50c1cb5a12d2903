/* Reading JSON bodies: what the values of checked text are. Pure. */
#ifndef SIGNALBOX_RUNTIME_BODY_H
#define SIGNALBOX_RUNTIME_BODY_H

#include "runtime/base/buffer.h"
#include "runtime/base/uuid.h"
#include "runtime/json.h"

#include <stdbool.h>
#include <stdint.h>

bool body_is(struct json_span name, const char *want);
static inline bool body_is_object(struct json_span value)
{
    return value.length > 0 && value.data[0] == '{';
}
static inline bool body_is_array(struct json_span value)
{
    return value.length > 0 && value.data[0] == '[';
}
static inline bool body_is_string(struct json_span value)
{
    return value.length > 0 && value.data[0] == '"';
}
static inline bool body_is_null(struct json_span value)
{
    return value.length > 0 && value.data[0] == 'n';
}
/* A string's text between its quotes, escapes and all. */
struct json_span body_text(struct json_span value);
/* A string that is an id of ours; -1 otherwise. */
SB_MUST_CHECK int body_uuid(struct json_span value, struct uuid *uuid_out);
/* A whole number from 0 up, in digits; -1 otherwise. */
SB_MUST_CHECK int body_number(struct json_span value, int64_t *number_out);
/* A string's text without its escapes, appended. */
void body_string(struct buffer *out, struct json_span string);
/* How many characters a string has. */
size_t body_string_length(struct json_span string);
/* Appends "/name" with the escapes of RFC 6901; `name` as json_pair gives it. */
void body_pointer(struct buffer *out, struct json_span name);
/* The text of the whole, without blanks around it. */
struct json_span body_trim(const char *text, size_t length);

#endif
