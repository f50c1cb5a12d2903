/* See log_line.h. */
#include "supervisor/log_line.h"

#include "runtime/base/clock.h"

#include <string.h>

struct cursor {
    const char *at;
    const char *end;
};

static void skip_space(struct cursor *cursor)
{
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\t')) {
        cursor->at++;
    }
}

static int take(struct cursor *cursor, char wanted)
{
    skip_space(cursor);
    if (cursor->at == cursor->end || *cursor->at != wanted) {
        return -1;
    }
    cursor->at++;
    return 0;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Behind the backslash. */
static int take_escape(struct cursor *cursor)
{
    if (cursor->at == cursor->end) {
        return -1;
    }
    char escape = *cursor->at++;
    if (escape != 'u') {
        return escape != '\0' && strchr("\"\\/bfnrt", escape) != NULL ? 0 : -1;
    }
    for (int i = 0; i < 4; i++) {
        if (cursor->at == cursor->end || !is_hex(*cursor->at++)) {
            return -1;
        }
    }
    return 0;
}

static int take_string(struct cursor *cursor)
{
    if (take(cursor, '"') != 0) {
        return -1;
    }
    while (cursor->at < cursor->end) {
        unsigned char c = (unsigned char)*cursor->at++;
        if (c == '"') {
            return 0;
        }
        if (c < 0x20 || (c == '\\' && take_escape(cursor) != 0)) {
            return -1;
        }
    }
    return -1;
}

static void take_digits(struct cursor *cursor)
{
    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9') {
        cursor->at++;
    }
}

static bool next_is(const struct cursor *cursor, const char *set)
{
    return cursor->at < cursor->end && *cursor->at != '\0' && strchr(set, *cursor->at) != NULL;
}

static int take_number(struct cursor *cursor)
{
    if (next_is(cursor, "-")) {
        cursor->at++;
    }
    const char *first = cursor->at;
    take_digits(cursor);
    if (cursor->at == first || (*first == '0' && cursor->at - first > 1)) {
        return -1;
    }
    if (next_is(cursor, ".")) {
        const char *fraction = ++cursor->at;
        take_digits(cursor);
        if (cursor->at == fraction) {
            return -1;
        }
    }
    if (next_is(cursor, "eE")) {
        cursor->at++;
        if (next_is(cursor, "+-")) {
            cursor->at++;
        }
        const char *exponent = cursor->at;
        take_digits(cursor);
        if (cursor->at == exponent) {
            return -1;
        }
    }
    return 0;
}

static int take_value(struct cursor *cursor)
{
    static const char *const words[] = {"true", "false", "null"};
    if (next_is(cursor, "\"")) {
        return take_string(cursor);
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t length = strlen(words[i]);
        if ((size_t)(cursor->end - cursor->at) >= length &&
            memcmp(cursor->at, words[i], length) == 0) {
            cursor->at += length;
            return 0;
        }
    }
    return take_number(cursor);
}

static int take_field(struct cursor *cursor, struct log_line_field *field)
{
    skip_space(cursor);
    field->key = cursor->at + 1;
    if (take_string(cursor) != 0) {
        return -1;
    }
    field->key_length = (size_t)(cursor->at - field->key) - 1;
    if (take(cursor, ':') != 0) {
        return -1;
    }
    skip_space(cursor);
    field->value = cursor->at;
    if (take_value(cursor) != 0) {
        return -1;
    }
    field->value_length = (size_t)(cursor->at - field->value);
    return 0;
}

int log_line_parse(const char *text, size_t length, struct log_line *line_out)
{
    struct cursor cursor = {text, text + length};
    line_out->count = 0;
    if (take(&cursor, '{') != 0) {
        return -1;
    }
    do {
        if (line_out->count == LOG_LINE_FIELDS_MAX ||
            take_field(&cursor, &line_out->fields[line_out->count]) != 0) {
            return -1;
        }
        line_out->count++;
    } while (take(&cursor, ',') == 0);
    if (take(&cursor, '}') != 0) {
        return -1;
    }
    skip_space(&cursor);
    return cursor.at == cursor.end ? 0 : -1;
}

static const struct log_line_field *find(const struct log_line *line, const char *key)
{
    for (size_t i = 0; i < line->count; i++) {
        if (line->fields[i].key_length == strlen(key) &&
            memcmp(line->fields[i].key, key, line->fields[i].key_length) == 0) {
            return &line->fields[i];
        }
    }
    return NULL;
}

/* A value without its quotes; \" \\ and \/ are undone, other escapes stay visible so that a log
 * line cannot steer the terminal. */
static void show_value(struct buffer *out, const struct log_line_field *field)
{
    const char *at = field->value;
    const char *end = at + field->value_length;
    if (*at != '"') {
        buffer_append(out, at, field->value_length);
        return;
    }
    for (at++, end--; at < end; at++) {
        bool c1 = (uint8_t)*at == 0xc2 && (uint8_t)at[1] >= 0x80 && (uint8_t)at[1] < 0xa0;
        if (*at == '\\' && (at[1] == '"' || at[1] == '\\' || at[1] == '/')) {
            at++;
        }
        if (c1 || *at == 0x7f) {
            buffer_append_byte(out, '?');
            at += c1;
        } else {
            buffer_append_byte(out, (uint8_t)*at);
        }
    }
}

static bool is_one_of(const struct log_line_field *field, const struct log_line_field *const set[],
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (field == set[i]) {
            return true;
        }
    }
    return false;
}

static const char *level_colour(const struct log_line_field *level)
{
    static const struct {
        const char *value;
        const char *colour;
    } colours[] = {{"\"debug\"", "\033[2m"},
                   {"\"info\"", "\033[32m"},
                   {"\"warn\"", "\033[33m"},
                   {"\"error\"", "\033[1;31m"}};
    for (size_t i = 0; i < sizeof colours / sizeof colours[0]; i++) {
        if (strlen(colours[i].value) == level->value_length &&
            memcmp(colours[i].value, level->value, level->value_length) == 0) {
            return colours[i].colour;
        }
    }
    return "";
}

static void pad(struct buffer *out, size_t since, size_t width)
{
    while (out->length - since < width) {
        buffer_append_byte(out, ' ');
    }
}

/* "09:44:24.123" out of "2026-11-20T09:44:24.123456Z". */
static void show_time(struct buffer *out, const struct log_line_field *ts)
{
    enum { TIME_AT = 12, TIME_LENGTH = 12 };
    if (ts->value_length >= TIME_AT + TIME_LENGTH) {
        buffer_append(out, ts->value + TIME_AT, TIME_LENGTH);
        buffer_append_byte(out, ' ');
    }
}

void log_line_show(struct buffer *out, const char *text, size_t length, bool colour)
{
    struct log_line line;
    const struct log_line_field *shown[4] = {NULL, NULL, NULL, NULL};
    if (log_line_parse(text, length, &line) != 0 || (shown[3] = find(&line, "message")) == NULL) {
        buffer_append(out, text, length);
        buffer_append_byte(out, '\n');
        return;
    }
    shown[0] = find(&line, "ts");
    shown[1] = find(&line, "level");
    shown[2] = find(&line, "actor");
    if (shown[0] != NULL) {
        show_time(out, shown[0]);
    }
    if (shown[1] != NULL) {
        buffer_append_text(out, colour ? level_colour(shown[1]) : "");
        size_t start = out->length;
        show_value(out, shown[1]);
        pad(out, start, 6);
        buffer_append_text(out, colour ? "\033[0m" : "");
    }
    if (shown[2] != NULL) {
        size_t start = out->length;
        show_value(out, shown[2]);
        pad(out, start, 13);
    }
    show_value(out, shown[3]);
    for (size_t i = 0; i < line.count; i++) {
        if (!is_one_of(&line.fields[i], shown, 4)) {
            buffer_append_text(out, colour ? " \033[2m" : " ");
            buffer_append(out, line.fields[i].key, line.fields[i].key_length);
            buffer_append_byte(out, '=');
            show_value(out, &line.fields[i]);
            buffer_append_text(out, colour ? "\033[0m" : "");
        }
    }
    buffer_append_byte(out, '\n');
}

static bool is_complaint(const struct log_line *line)
{
    const struct log_line_field *level = find(line, "level");
    return level != NULL &&
           ((level->value_length == 7 && memcmp(level->value, "\"error\"", 7) == 0) ||
            (level->value_length == 6 && memcmp(level->value, "\"warn\"", 6) == 0));
}

void log_line_complaint(struct buffer *out, const struct log_line *line)
{
    const struct log_line_field *message = find(line, "message");
    const struct log_line_field *const left_out[] = {find(line, "ts"), find(line, "level"),
                                                     find(line, "actor"), find(line, "generation"),
                                                     message};
    if (message == NULL || !is_complaint(line)) {
        return;
    }
    show_value(out, message);
    for (size_t i = 0; i < line->count; i++) {
        if (!is_one_of(&line->fields[i], left_out, sizeof left_out / sizeof left_out[0])) {
            buffer_append_text(out, ", ");
            buffer_append(out, line->fields[i].key, line->fields[i].key_length);
            buffer_append_byte(out, ' ');
            show_value(out, &line->fields[i]);
        }
    }
}

static bool has(const char *text, size_t length, const char *word)
{
    return memmem(text, length, word, strlen(word)) != NULL;
}

static const char *guess_level(enum log_line_kind kind, const char *text, size_t length)
{
    switch (kind) {
    case LOG_LINE_POSTGRES:
        /* ERROR and FATAL end one statement or one session, whose client says so himself (and a
         * server that does not start is reported by its end); PANIC ends the server. */
        return has(text, length, " PANIC: ") ? "error"
               : has(text, length, " FATAL: ") || has(text, length, " ERROR: ") ||
                       has(text, length, " WARNING: ")
                   ? "warn"
                   : "info";
    case LOG_LINE_REDIS:
        /* '#' marks warnings, and its banner too. */
        return has(text, length, " # WARNING") || has(text, length, "rror") ||
                       has(text, length, "ailed") || has(text, length, "an't")
                   ? "warn"
                   : "info";
    case LOG_LINE_ONE_SHOT:
        return "info";
    case LOG_LINE_ACTOR:
        break;
    }
    /* An actor speaks JSON; anything else is a backtrace, an assertion or a sanitizer. */
    return "error";
}

void log_line_wrap(struct buffer *out, enum log_line_kind kind, const char *actor, const char *text,
                   size_t length)
{
    char now[CLOCK_TEXT_SIZE];
    clock_format(clock_real_us(), now);
    buffer_printf(out, "{\"ts\":\"%s\",\"level\":\"%s\",\"actor\":\"%s\",\"message\":", now,
                  guess_level(kind, text, length), actor);
    buffer_append_json(out, text, length);
    buffer_append_byte(out, '}');
}
