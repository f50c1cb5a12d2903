/*
 * One log line: is it the flat JSON object that our programs write, how does it look as text, and
 * how does a line of somebody else (postgres, redis, a sanitizer) become one. Pure.
 */
#ifndef SIGNALBOX_SUPERVISOR_LOG_LINE_H
#define SIGNALBOX_SUPERVISOR_LOG_LINE_H

#include "runtime/base/buffer.h"

#include <stdbool.h>
#include <stddef.h>

enum { LOG_LINE_FIELDS_MAX = 48 };

/* Slices of the line. `key` without quotes; `value` as in the JSON, quotes included. */
struct log_line_field {
    const char *key;
    size_t key_length;
    const char *value;
    size_t value_length;
};

struct log_line {
    struct log_line_field fields[LOG_LINE_FIELDS_MAX];
    size_t count;
};

/* Who wrote a line that is not JSON; decides how its level is found. */
enum log_line_kind { LOG_LINE_ACTOR, LOG_LINE_ONE_SHOT, LOG_LINE_POSTGRES, LOG_LINE_REDIS };

/* 0 when `text` is one JSON object of plain values (no nesting), else -1. */
SB_MUST_CHECK int log_line_parse(const char *text, size_t length, struct log_line *line_out);

/* Appends the line as text with a line break: time, level, actor, message, other fields. A line
 * that does not parse is shown as it is. */
void log_line_show(struct buffer *out, const char *text, size_t length, bool colour);

/* Appends the message and the fields that explain it, without time, level and names. Nothing when
 * the line is no warning and no error. */
void log_line_complaint(struct buffer *out, const struct log_line *line);

/* Appends a JSON line (without break) around `text`. */
void log_line_wrap(struct buffer *out, enum log_line_kind kind, const char *actor, const char *text,
                   size_t length);

#endif
