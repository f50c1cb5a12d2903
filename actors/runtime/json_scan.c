/* See json_scan.h. */
#include "runtime/json_scan.h"

#include "runtime/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_COMPARED = 16 /* up to here each with each; beyond, sorted at the end */ };

#define EVERY_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

static uint64_t zero_bytes(uint64_t word)
{
    return (word - EVERY_BYTE(0x01)) & ~word & EVERY_BYTE(0x80);
}

/* First byte that is not plain (ASCII from 0x20, neither quote nor backslash), or `end`. Eight
 * bytes at a time: a borrow may mark a byte falsely only above one that is rightly marked. */
static const char *skip_plain(const char *at, const char *end)
{
    while (end - at >= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        uint64_t controls = (word - EVERY_BYTE(0x20)) & ~word & EVERY_BYTE(0x80);
        uint64_t marks = controls | (word & EVERY_BYTE(0x80)) | zero_bytes(word ^ EVERY_BYTE('"')) |
                         zero_bytes(word ^ EVERY_BYTE('\\'));
        if (marks != 0) {
            return at + __builtin_ctzll(marks) / 8;
        }
        at += 8;
    }
    while (at < end && (unsigned char)*at >= 0x20 && (unsigned char)*at < 0x80 && *at != '"' &&
           *at != '\\') {
        at++;
    }
    return at;
}

static bool is_continuation(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Length of the well-formed sequence of two to four bytes at `text`, or 0. */
static size_t utf8_length(const unsigned char *text, size_t left)
{
    unsigned char first = text[0];
    if (first >= 0xc2 && first <= 0xdf) {
        return left >= 2 && is_continuation(text[1]) ? 2 : 0;
    }
    if (first >= 0xe0 && first <= 0xef) {
        bool fine = left >= 3 && is_continuation(text[1]) && is_continuation(text[2]) &&
                    (first != 0xe0 || text[1] >= 0xa0) && (first != 0xed || text[1] < 0xa0);
        return fine ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        bool fine = left >= 4 && is_continuation(text[1]) && is_continuation(text[2]) &&
                    is_continuation(text[3]) && (first != 0xf0 || text[1] >= 0x90) &&
                    (first != 0xf4 || text[1] < 0x90);
        return fine ? 4 : 0;
    }
    return 0;
}

/* Value of the four hex digits at `at`, or -1. */
static int hex4(const char *at, const char *end)
{
    int value = 0;
    if (end - at < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        int digit = at[i] >= '0' && at[i] <= '9'   ? at[i] - '0'
                    : at[i] >= 'a' && at[i] <= 'f' ? at[i] - 'a' + 10
                    : at[i] >= 'A' && at[i] <= 'F' ? at[i] - 'A' + 10
                                                   : -1;
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

/* Length of the escape at `at` (a backslash), or 0. */
static size_t escape_length(const char *at, const char *end, const char **why_out)
{
    *why_out = "an escape is malformed";
    if (end - at < 2) {
        return 0;
    }
    if (at[1] != 'u') {
        return at[1] != '\0' && strchr("\"\\/bfnrt", at[1]) != NULL ? 2 : 0;
    }
    int value = hex4(at + 2, end);
    if (value == 0) {
        *why_out = "\\u0000 is not allowed";
        return 0;
    }
    if (value >= 0xd800 && value <= 0xdfff) {
        *why_out = "half of a surrogate pair stands alone";
        bool pair = value <= 0xdbff && end - at >= 8 && at[6] == '\\' && at[7] == 'u';
        int low = pair ? hex4(at + 8, end) : -1;
        return low >= 0xdc00 && low <= 0xdfff ? 12 : 0;
    }
    return value < 0 ? 0 : 6;
}

const char *json_scan_string(const char *at, const char *end, bool *escapes_out,
                             const char **bad_out, const char **why_out)
{
    *escapes_out = false;
    for (;;) {
        at = skip_plain(at, end);
        size_t size = 0;
        if (at == end) {
            *why_out = "a string is not closed";
        } else if (*at == '"') {
            return at;
        } else if (*at == '\\') {
            *escapes_out = true;
            size = escape_length(at, end, why_out);
        } else if ((unsigned char)*at >= 0x80) {
            size = utf8_length((const unsigned char *)at, (size_t)(end - at));
            *why_out = "the text is not UTF-8";
        } else {
            *why_out = "a control character stands in a string";
        }
        if (size == 0) {
            *bad_out = at;
            return NULL;
        }
        at += size;
    }
}

static char *put_utf8(char *to, unsigned code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

/* The character of the escape at *at (a backslash), which has been checked. */
static uint32_t next_escaped(const char **at)
{
    static const char names[] = "bfnrt";
    static const char meant[] = "\b\f\n\r\t";
    const char *text = *at;
    if (text[1] != 'u') {
        const char *name = strchr(names, text[1]);
        *at += 2;
        return (unsigned char)(name == NULL ? text[1] : meant[name - names]);
    }
    unsigned code = (unsigned)hex4(text + 2, text + 6);
    *at += 6;
    if (code >= 0xd800 && code <= 0xdbff) {
        code = 0x10000 + ((code - 0xd800) << 10) + ((unsigned)hex4(text + 8, text + 12) - 0xdc00);
        *at += 6;
    }
    return code;
}

uint32_t json_next_character(const char **at)
{
    const unsigned char *text = (const unsigned char *)*at;
    if (*text == '\\') {
        return next_escaped(at);
    }
    int more = *text < 0x80 ? 0 : *text < 0xe0 ? 1 : *text < 0xf0 ? 2 : 3;
    uint32_t code = more == 0 ? *text : *text & (0x3fU >> more);
    for (int i = 1; i <= more; i++) {
        code = code << 6 | (text[i] & 0x3f);
    }
    *at += more + 1;
    return code;
}

size_t json_unescape(const char *text, size_t length, char *out)
{
    const char *end = text + length;
    char *to = out;
    while (text < end) {
        if (*text != '\\') {
            *to++ = *text++;
        } else {
            to = put_utf8(to, next_escaped(&text));
        }
    }
    return (size_t)(to - out);
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9') {
        at++;
    }
    return at;
}

static bool integer_fits(const char *digits, const char *end, bool negative)
{
    uint64_t most = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    uint64_t value = 0;
    if (end - digits <= 18) {
        return true;
    }
    for (; digits < end; digits++) {
        uint64_t digit = (uint64_t)(*digits - '0');
        if (value > (most - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    return true;
}

/* Decimal exponent of the first digit that is not 0: of 12.3 it is 1, of 0.05 it is -2. INT64_MIN
 * when all are 0. */
static int64_t leading_exponent(const char *digits, const char *end)
{
    const char *point = memchr(digits, '.', (size_t)(end - digits));
    const char *whole_end = point == NULL ? end : point;
    if (*digits != '0') {
        return whole_end - digits - 1;
    }
    for (const char *at = whole_end + 1; at < end; at++) {
        if (*at != '0') {
            return -(at - whole_end);
        }
    }
    return INT64_MIN;
}

/* Rounding decides only next to the largest double. */
static bool converts(const char *at, const char *end)
{
    char *copy = memory_new((size_t)(end - at) + 1);
    memcpy(copy, at, (size_t)(end - at));
    bool fits = !isinf(strtod(copy, NULL));
    free(copy);
    return fits;
}

/* [at, exponent) are the digits with their point, [exponent, end) is the exponent with its 'e'. */
static bool real_fits(const char *at, const char *exponent, const char *end)
{
    int64_t scale = 0;
    int64_t leading = leading_exponent(at, exponent);
    if (leading == INT64_MIN) {
        return true;
    }
    if (exponent < end) {
        bool negative = exponent[1] == '-';
        const char *digit = exponent + (exponent[1] == '-' || exponent[1] == '+' ? 2 : 1);
        for (; digit < end; digit++) {
            scale = scale > INT32_MAX ? scale : scale * 10 + (*digit - '0');
        }
        scale = negative ? -scale : scale;
    }
    return leading + scale < 308 || (leading + scale == 308 && converts(at, end));
}

enum json_number json_scan_number(const char *at, const char *end, const char **end_out)
{
    bool negative = at < end && *at == '-';
    const char *digits = negative ? at + 1 : at;
    const char *stop = skip_digits(digits, end);
    *end_out = stop;
    if (stop == digits || (*digits == '0' && stop - digits > 1)) {
        return JSON_NUMBER_MALFORMED;
    }
    if (stop == end || (*stop != '.' && *stop != 'e' && *stop != 'E')) {
        return integer_fits(digits, stop, negative) ? JSON_NUMBER_OK : JSON_NUMBER_TOO_LARGE;
    }
    if (*stop == '.') {
        const char *fraction = stop + 1;
        stop = skip_digits(fraction, end);
        *end_out = stop;
        if (stop == fraction) {
            return JSON_NUMBER_MALFORMED;
        }
    }
    const char *exponent = stop;
    if (stop < end && (*stop == 'e' || *stop == 'E')) {
        const char *scale =
            stop + 1 < end && (stop[1] == '+' || stop[1] == '-') ? stop + 2 : stop + 1;
        stop = skip_digits(scale, end);
        *end_out = stop;
        if (stop == scale) {
            return JSON_NUMBER_MALFORMED;
        }
    }
    return real_fits(digits, exponent, stop) ? JSON_NUMBER_OK : JSON_NUMBER_TOO_LARGE;
}

void json_keys_init(struct json_keys *keys)
{
    keys->keys = keys->first;
    keys->count = 0;
    keys->capacity = JSON_KEYS_INLINE;
    keys->arena = NULL;
    keys->arena_used = 0;
}

void json_keys_deinit(struct json_keys *keys)
{
    if (keys->keys != keys->first) {
        free(keys->keys);
    }
    free(keys->arena);
}

/* Cheap, and only to tell most keys apart: equal hashes are compared byte by byte. */
static uint32_t hash_of(const char *text, size_t length)
{
    uint64_t head = 0;
    uint64_t tail = 0;
    if (length >= 8) {
        memcpy(&head, text, 8);
        memcpy(&tail, text + length - 8, 8);
    } else {
        memcpy(&head, text, length);
    }
    uint64_t mixed = (head ^ (tail << 23 | tail >> 41) ^ length) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(mixed >> 32);
}

static bool same(const struct json_key *left, const struct json_key *right)
{
    return left->hash == right->hash && left->length == right->length &&
           memcmp(left->text, right->text, left->length) == 0;
}

static void grow(struct json_keys *keys)
{
    size_t capacity = keys->capacity * 2;
    bool was_inline = keys->keys == keys->first;
    keys->keys = memory_grow(was_inline ? NULL : keys->keys, capacity, sizeof *keys->keys);
    if (was_inline) {
        memcpy(keys->keys, keys->first, keys->count * sizeof *keys->keys);
    }
    keys->capacity = capacity;
}

bool json_keys_add(struct json_keys *keys, size_t from, const char *text, size_t length,
                   bool escapes, size_t document_bytes)
{
    if (escapes) {
        /* One allocation that is enough for the document: texts in it never move. */
        if (keys->arena == NULL) {
            keys->arena = memory_grow(NULL, document_bytes, 1);
        }
        char *to = keys->arena + keys->arena_used;
        length = json_unescape(text, length, to);
        keys->arena_used += length;
        text = to;
    }
    if (keys->count == keys->capacity) {
        grow(keys);
    }
    struct json_key *key = &keys->keys[keys->count++];
    *key = (struct json_key){text, (uint32_t)length, hash_of(text, length)};
    if (keys->count - from <= KEYS_COMPARED) {
        for (struct json_key *other = &keys->keys[from]; other < key; other++) {
            if (same(other, key)) {
                return false;
            }
        }
    }
    return true;
}

static int compare(const void *left_at, const void *right_at)
{
    const struct json_key *left = left_at;
    const struct json_key *right = right_at;
    if (left->hash != right->hash) {
        return left->hash < right->hash ? -1 : 1;
    }
    if (left->length != right->length) {
        return left->length < right->length ? -1 : 1;
    }
    return memcmp(left->text, right->text, left->length);
}

bool json_keys_close(struct json_keys *keys, size_t from)
{
    struct json_key *own = &keys->keys[from];
    size_t count = keys->count - from;
    keys->count = from;
    if (count <= KEYS_COMPARED) {
        return true;
    }
    qsort(own, count, sizeof *own, compare);
    for (size_t i = 1; i < count; i++) {
        if (same(&own[i - 1], &own[i])) {
            return false;
        }
    }
    return true;
}
