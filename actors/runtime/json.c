/*
 * See json.h. The check is a complete validator of its own, proven to agree with jansson by
 * tests/fuzz/json_fuzz.c: jansson costs several times as much per event and is asked only when the
 * caller wants its tree.
 */
#include "runtime/json.h"

#include "runtime/json_scan.h"

#include <assert.h>
#include <string.h>

enum { DEPTH_MAX = 512 };

struct level {
    uint32_t first_key; /* of an object; see is_array */
    bool is_array;
};

struct check {
    const char *text;
    const char *at;
    const char *end;
    const struct json_limits *limits;
    struct error *err;
    size_t depth;
    size_t key_total;
    struct json_keys keys;
    struct level levels[DEPTH_MAX];
};

static enum json_verdict refuse(struct check *check, enum json_verdict verdict, const char *at,
                                const char *why)
{
    error_set(check->err, "byte %zu: %s", (size_t)(at - check->text), why);
    return verdict;
}

static enum json_verdict malformed(struct check *check, const char *why)
{
    return refuse(check, JSON_MALFORMED, check->at,
                  check->at == check->end ? "the text ends too early" : why);
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

/* The next byte that is no space, 0 at the end (where a NUL byte is refused just as well). */
static char peek(struct check *check)
{
    while (check->at < check->end && is_space(*check->at)) {
        check->at++;
    }
    return check->at < check->end ? *check->at : '\0';
}

static bool take(struct check *check, char byte)
{
    if (peek(check) != byte) {
        return false;
    }
    check->at++;
    return true;
}

static enum json_verdict string(struct check *check, const char **text_out, size_t *length_out,
                                bool *escapes_out)
{
    const char *bad = NULL;
    const char *why = NULL;
    const char *from = check->at + 1;
    const char *quote = json_scan_string(from, check->end, escapes_out, &bad, &why);
    if (quote == NULL) {
        return refuse(check, JSON_MALFORMED, bad, why);
    }
    *text_out = from;
    *length_out = (size_t)(quote - from);
    check->at = quote + 1;
    return JSON_OK;
}

/* "name" ':' */
static enum json_verdict key(struct check *check)
{
    const char *text;
    size_t length;
    bool escapes;
    if (peek(check) != '"') {
        return malformed(check, "a key is expected");
    }
    const char *start = check->at;
    enum json_verdict verdict = string(check, &text, &length, &escapes);
    if (verdict != JSON_OK) {
        return verdict;
    }
    if (++check->key_total > check->limits->keys) {
        return refuse(check, JSON_TOO_DEEP, start, "there are too many keys");
    }
    if (!json_keys_add(&check->keys, check->levels[check->depth - 1].first_key, text, length,
                       escapes, (size_t)(check->end - check->text))) {
        return refuse(check, JSON_MALFORMED, start, "a key stands twice in one object");
    }
    return take(check, ':') ? JSON_OK : malformed(check, "a colon is expected");
}

static enum json_verdict number(struct check *check)
{
    const char *start = check->at;
    switch (json_scan_number(start, check->end, &check->at)) {
    case JSON_NUMBER_OK:
        return JSON_OK;
    case JSON_NUMBER_TOO_LARGE:
        return refuse(check, JSON_OUT_OF_RANGE, start, "a number is out of range");
    case JSON_NUMBER_MALFORMED:
        break;
    }
    return malformed(check, "a number is malformed");
}

static enum json_verdict word(struct check *check, const char *expected)
{
    size_t length = strlen(expected);
    if ((size_t)(check->end - check->at) < length || memcmp(check->at, expected, length) != 0) {
        return malformed(check, "a value is expected");
    }
    check->at += length;
    return JSON_OK;
}

static enum json_verdict open_level(struct check *check, bool is_array)
{
    if (check->depth == check->limits->depth || check->depth == DEPTH_MAX) {
        return refuse(check, JSON_TOO_DEEP, check->at, "the nesting is too deep");
    }
    check->levels[check->depth++] = (struct level){(uint32_t)check->keys.count, is_array};
    check->at++;
    return JSON_OK;
}

static enum json_verdict close_level(struct check *check)
{
    const struct level *level = &check->levels[--check->depth];
    if (!level->is_array && !json_keys_close(&check->keys, level->first_key)) {
        return refuse(check, JSON_MALFORMED, check->at - 1, "a key stands twice in one object");
    }
    return JSON_OK;
}

/* A scalar, or the opening of an object or array. */
static enum json_verdict begin_value(struct check *check)
{
    const char *text;
    size_t length;
    bool escapes;
    switch (peek(check)) {
    case '{':
        return open_level(check, false);
    case '[':
        return open_level(check, true);
    case '"':
        return string(check, &text, &length, &escapes);
    case 't':
        return word(check, "true");
    case 'f':
        return word(check, "false");
    case 'n':
        return word(check, "null");
    case '-':
    case '0' ... '9':
        return number(check);
    default:
        return malformed(check, "a value is expected");
    }
}

/* Behind a value: closes what ends here; *more_out when another value follows. */
static enum json_verdict end_value(struct check *check, bool *more_out)
{
    *more_out = false;
    while (check->depth > 0) {
        bool is_array = check->levels[check->depth - 1].is_array;
        if (take(check, ',')) {
            *more_out = true;
            return is_array ? JSON_OK : key(check);
        }
        if (!take(check, is_array ? ']' : '}')) {
            return malformed(check, "a comma or the end of the object or array is expected");
        }
        enum json_verdict verdict = close_level(check);
        if (verdict != JSON_OK) {
            return verdict;
        }
    }
    peek(check);
    return check->at == check->end ? JSON_OK
                                   : malformed(check, "something stands behind the value");
}

static enum json_verdict validate(struct check *check)
{
    bool more = true;
    while (more) {
        size_t depth = check->depth;
        enum json_verdict verdict = begin_value(check);
        bool opened = check->depth > depth;
        if (verdict == JSON_OK && opened) {
            bool is_array = check->levels[depth].is_array;
            if (peek(check) != (is_array ? ']' : '}')) {
                verdict = is_array ? JSON_OK : key(check);
                if (verdict == JSON_OK) {
                    continue;
                }
            }
        }
        if (verdict == JSON_OK) {
            verdict = end_value(check, &more);
        }
        if (verdict != JSON_OK) {
            return verdict;
        }
    }
    return JSON_OK;
}

static enum json_verdict build(const char *text, size_t length, json_t **value_out,
                               struct error *err)
{
    json_error_t why;
    *value_out = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (*value_out == NULL) {
        error_set(err, "byte %d: %s", why.position, why.text);
        return JSON_MALFORMED;
    }
    return JSON_OK;
}

enum json_verdict json_check(const char *text, size_t length, const struct json_limits *limits,
                             json_t **value_out, struct error *err)
{
    struct check check;
    assert(length < UINT32_MAX);
    check.text = check.at = text;
    check.end = text + length;
    check.limits = limits;
    check.err = err;
    check.depth = check.key_total = 0;
    json_keys_init(&check.keys);
    enum json_verdict verdict = validate(&check);
    json_keys_deinit(&check.keys);
    if (verdict == JSON_OK && value_out != NULL) {
        verdict = build(text, length, value_out, err);
    }
    return verdict;
}
