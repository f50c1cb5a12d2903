/* See http_parse.h. Lines are found first (every byte is looked at once), then parsed whole. */
#include "runtime/http_parse.h"

#include <assert.h>
#include <string.h>

enum {
    IS_TEXT = 1,   /* may stand in a line at all */
    IS_TOKEN = 2,  /* method, field name, list element */
    IS_TARGET = 4, /* path and query, besides escapes */
    IS_HOST = 8,   /* registered name, besides escapes */
    IS_HEX = 16,
    IS_DIGIT = 32,
    MARK = IS_TEXT | IS_TOKEN | IS_TARGET | IS_HOST, /* "-._~" and what else goes everywhere */
    LETTER = MARK
};

/* clang-format off */
static const uint8_t class_of[256] = {
    ['\t'] = IS_TEXT, [' '] = IS_TEXT, ['"'] = IS_TEXT, ['<'] = IS_TEXT, ['>'] = IS_TEXT,
    ['['] = IS_TEXT, ['\\'] = IS_TEXT, [']'] = IS_TEXT, ['{'] = IS_TEXT, ['}'] = IS_TEXT,
    ['#'] = IS_TEXT | IS_TOKEN, ['%'] = IS_TEXT | IS_TOKEN, ['^'] = IS_TEXT | IS_TOKEN,
    ['`'] = IS_TEXT | IS_TOKEN, ['|'] = IS_TEXT | IS_TOKEN,
    ['!'] = MARK, ['$'] = MARK, ['&'] = MARK, ['\''] = MARK, ['*'] = MARK, ['+'] = MARK,
    ['-'] = MARK, ['.'] = MARK, ['_'] = MARK, ['~'] = MARK,
    ['('] = IS_TEXT | IS_TARGET | IS_HOST, [')'] = IS_TEXT | IS_TARGET | IS_HOST,
    [','] = IS_TEXT | IS_TARGET | IS_HOST, [';'] = IS_TEXT | IS_TARGET | IS_HOST,
    ['='] = IS_TEXT | IS_TARGET | IS_HOST,
    ['/'] = IS_TEXT | IS_TARGET, [':'] = IS_TEXT | IS_TARGET, ['?'] = IS_TEXT | IS_TARGET,
    ['@'] = IS_TEXT | IS_TARGET,
    ['0' ... '9'] = MARK | IS_HEX | IS_DIGIT,
    ['A' ... 'F'] = LETTER | IS_HEX, ['G' ... 'Z'] = LETTER,
    ['a' ... 'f'] = LETTER | IS_HEX, ['g' ... 'z'] = LETTER,
    [0x80 ... 0xff] = IS_TEXT,
};
/* clang-format on */

static bool is(char byte, unsigned class)
{
    return (class_of[(uint8_t)byte] & class) != 0;
}

static enum http_parse refuse(struct http_problem *problem, int status, const char *slug,
                              const char *detail)
{
    *problem = (struct http_problem){status, slug, detail};
    return HTTP_PARSE_BAD;
}

static enum http_parse malformed(struct http_problem *problem, const char *detail)
{
    return refuse(problem, 400, "invalid-request", detail);
}

static bool all_of(const char *text, size_t length, unsigned class)
{
    for (size_t i = 0; i < length; i++) {
        if (!is(text[i], class)) {
            return false;
        }
    }
    return true;
}

static bool is_token(const char *text, size_t length)
{
    return length > 0 && all_of(text, length, IS_TOKEN);
}

static bool equals(const char *text, size_t length, const char *word)
{
    return http_text_equal(text, length, word, strlen(word));
}

static bool is_control(int value)
{
    return value < 0x20 || value == 0x7f;
}

/* Path and query of an origin-form target, or "*". */
static enum http_parse parse_target(struct http_head *head, const char *bytes,
                                    struct http_range target, struct http_problem *problem)
{
    const char *text = bytes + target.at;
    bool in_query = false;
    if (head->method == HTTP_OPTIONS && target.length == 1 && text[0] == '*') {
        head->path = target;
        return HTTP_PARSE_MORE;
    }
    if (text[0] != '/') {
        return malformed(problem, "The request target must be a path that begins with '/'.");
    }
    head->path = target;
    for (uint32_t i = 0; i < target.length; i++) {
        if (text[i] == '?' && !in_query) {
            in_query = true;
            head->path.length = i;
            head->query = (struct http_range){target.at + i + 1, target.length - i - 1};
        } else if (text[i] == '%') {
            int value = http_escape_value(text + i, target.length - i);
            if (value < 0 || (!in_query && is_control(value))) {
                return malformed(problem, "The request target holds a percent escape that is not "
                                          "allowed.");
            }
        } else if (!is(text[i], IS_TARGET)) {
            return malformed(problem, "The request target holds a character that must be escaped.");
        }
    }
    return HTTP_PARSE_MORE;
}

static bool find_method(const char *text, size_t length, enum http_method *method_out)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i]) == length && memcmp(names[i], text, length) == 0) {
            *method_out = (enum http_method)i;
            return true;
        }
    }
    return false;
}

static bool is_version(const char *text, size_t length)
{
    return length == 8 && memcmp(text, "HTTP/", 5) == 0 && is(text[5], IS_DIGIT) &&
           text[6] == '.' && is(text[7], IS_DIGIT);
}

/* method SP target SP version; the shape first, then version, method and target. */
static enum http_parse parse_request_line(struct http_head *head, const char *bytes,
                                          struct http_range line, struct http_problem *problem)
{
    const char *text = bytes + line.at;
    const char *end = text + line.length;
    const char *target = memchr(text, ' ', line.length);
    const char *version =
        target == NULL ? NULL : memchr(target + 1, ' ', (size_t)(end - target - 1));
    if (version == NULL || version == target + 1 || !is_token(text, (size_t)(target - text)) ||
        !is_version(version + 1, (size_t)(end - version - 1))) {
        return malformed(problem, "The request line is not 'METHOD target HTTP/1.1'.");
    }
    if (memcmp(version + 6, "1.1", 3) != 0) {
        return refuse(problem, 505, "version-not-supported", "Only HTTP/1.1 is spoken here.");
    }
    head->method_text = (struct http_range){line.at, (uint32_t)(target - text)};
    if (!find_method(text, head->method_text.length, &head->method)) {
        return refuse(problem, 501, "not-implemented", "The request method is not known.");
    }
    struct http_range range = {line.at + (uint32_t)(target + 1 - text),
                               (uint32_t)(version - target - 1)};
    return parse_target(head, bytes, range, problem);
}

/* host [":" port]; an IP literal stands in brackets. */
static bool is_host(const char *text, size_t length)
{
    size_t at = 0;
    if (length > 0 && text[0] == '[') {
        at = 1;
        while (at < length && (is(text[at], IS_HEX) || text[at] == ':' || text[at] == '.')) {
            at++;
        }
        if (at < 3 || at == length || text[at++] != ']') {
            return false;
        }
    } else {
        while (at < length &&
               (is(text[at], IS_HOST) || http_escape_value(text + at, length - at) >= 0)) {
            at += text[at] == '%' ? 3 : 1;
        }
    }
    return at == length || (text[at] == ':' && all_of(text + at + 1, length - at - 1, IS_DIGIT));
}

/* Digits only. A number too large for us is a number nevertheless: it becomes the largest. */
static bool parse_length(const char *text, size_t length, int64_t *value_out)
{
    int64_t value = 0;
    if (length == 0 || !all_of(text, length, IS_DIGIT)) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        int digit = text[i] - '0';
        value = value > (INT64_MAX - digit) / 10 ? INT64_MAX : value * 10 + digit;
    }
    *value_out = value;
    return true;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* Elements of a Connection field. */
static bool parse_connection(struct http_head *head, const char *text, size_t length)
{
    const char *end = text + length;
    while (text < end) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma == NULL ? end : comma;
        const char *last = stop;
        while (text < last && is_blank(*text)) {
            text++;
        }
        while (text < last && is_blank(last[-1])) {
            last--;
        }
        if (text < last && !is_token(text, (size_t)(last - text))) {
            return false;
        }
        head->closes |= equals(text, (size_t)(last - text), "close");
        text = comma == NULL ? end : comma + 1;
    }
    return true;
}

/* What the fields that frame the message say. */
static enum http_parse note_field(struct http_head *head, const char *name, size_t name_length,
                                  const char *value, size_t length, struct http_problem *problem)
{
    if (equals(name, name_length, "host")) {
        if (head->has_host || !is_host(value, length)) {
            return malformed(problem, "There must be exactly one well-formed Host field.");
        }
        head->has_host = true;
    } else if (equals(name, name_length, "content-length")) {
        if (head->content_length >= 0 || !parse_length(value, length, &head->content_length)) {
            return malformed(problem, "Content-Length must stand once, as one decimal number.");
        }
    } else if (equals(name, name_length, "transfer-encoding")) {
        head->has_unknown_coding |= head->has_coding || !equals(value, length, "chunked");
        head->has_coding = true;
    } else if (equals(name, name_length, "connection")) {
        if (!parse_connection(head, value, length)) {
            return malformed(problem, "The Connection field is not a list of names.");
        }
    } else if (equals(name, name_length, "expect")) {
        head->has_unknown_expectation |= !equals(value, length, "100-continue");
        head->expects_continue = true;
    }
    return HTTP_PARSE_MORE;
}

static enum http_parse parse_field(struct http_head *head, const char *bytes,
                                   struct http_range line, struct http_problem *problem)
{
    const char *text = bytes + line.at;
    const char *end = text + line.length;
    const char *colon = memchr(text, ':', line.length);
    if (is_blank(text[0])) {
        return malformed(problem, "A header field must not be folded over two lines.");
    }
    if (colon == NULL || !is_token(text, (size_t)(colon - text))) {
        return malformed(problem, "A header field is not 'name: value'.");
    }
    if (head->field_count == HTTP_FIELDS_MAX) {
        return refuse(problem, 431, "head-too-large", "There are more than 100 header fields.");
    }
    const char *value = colon + 1;
    while (value < end && is_blank(*value)) {
        value++;
    }
    while (end > value && is_blank(end[-1])) {
        end--;
    }
    struct http_head_field *field = &head->fields[head->field_count++];
    field->name = (struct http_range){line.at, (uint32_t)(colon - text)};
    field->value = (struct http_range){line.at + (uint32_t)(value - text), (uint32_t)(end - value)};
    return note_field(head, text, field->name.length, value, field->value.length, problem);
}

/* The blank line: what can only be said about all fields together. */
static enum http_parse finish(struct http_head *head, struct http_problem *problem)
{
    if (!head->has_host) {
        return malformed(problem, "There must be exactly one well-formed Host field.");
    }
    if (head->has_coding && head->content_length >= 0) {
        return malformed(problem, "Content-Length and Transfer-Encoding exclude each other.");
    }
    if (head->has_unknown_coding) {
        return refuse(problem, 501, "not-implemented", "The only transfer coding is 'chunked'.");
    }
    if (head->has_unknown_expectation) {
        return refuse(problem, 417, "expectation-failed", "The only expectation is 100-continue.");
    }
    head->chunked = head->has_coding;
    head->length = head->scanned;
    return HTTP_PARSE_DONE;
}

void http_head_init(struct http_head *head)
{
    /* The fields are written before they are read: clearing 1.6 KB a request would be waste. */
    memset(head, 0, offsetof(struct http_head, fields));
    memset((char *)head + offsetof(struct http_head, field_count), 0,
           sizeof *head - offsetof(struct http_head, field_count));
    head->content_length = -1;
}

static enum http_parse parse_line(struct http_head *head, const char *bytes, size_t end,
                                  struct http_problem *problem)
{
    struct http_range line = {(uint32_t)head->line_at, (uint32_t)(end - head->line_at)};
    head->line_at = head->scanned;
    if (!head->has_request_line) {
        head->has_request_line = true;
        return parse_request_line(head, bytes, line, problem);
    }
    return line.length == 0 ? finish(head, problem) : parse_field(head, bytes, line, problem);
}

/* The byte at `scanned`, which is not plain text or is the first one behind a CR. */
static enum http_parse take_byte(struct http_head *head, const char *bytes,
                                 struct http_problem *problem)
{
    char byte = bytes[head->scanned];
    if (head->after_return && byte == '\n') {
        head->after_return = false;
        head->scanned++;
        return parse_line(head, bytes, head->scanned - 2, problem);
    }
    if (head->after_return || byte != '\r') {
        return malformed(problem, "The request head holds a control character or a line that does "
                                  "not end in CR LF.");
    }
    head->after_return = true;
    head->scanned++;
    return HTTP_PARSE_MORE;
}

enum http_parse http_head_feed(struct http_head *head, const char *bytes, size_t length,
                               const struct http_limits *limits, struct http_problem *problem_out)
{
    assert(length >= head->scanned && limits->head_bytes <= UINT32_MAX);
    while (head->scanned < length) {
        if (head->scanned >= limits->head_bytes) {
            return refuse(problem_out, 431, "head-too-large", "The request head is too large.");
        }
        size_t line_end = head->line_at + limits->request_line_bytes;
        size_t stop = length < limits->head_bytes ? length : limits->head_bytes;
        if (!head->has_request_line && stop > line_end) {
            stop = line_end;
        }
        size_t at = head->scanned;
        while (!head->after_return && at < stop && is(bytes[at], IS_TEXT)) {
            at++;
        }
        head->scanned = at;
        if (at == length || at == limits->head_bytes) {
            continue;
        }
        if (!head->has_request_line && at >= line_end && !head->after_return && bytes[at] != '\r') {
            return refuse(problem_out, 414, "uri-too-long", "The request line is too long.");
        }
        enum http_parse result = take_byte(head, bytes, problem_out);
        if (result != HTTP_PARSE_MORE) {
            return result;
        }
    }
    return HTTP_PARSE_MORE;
}
