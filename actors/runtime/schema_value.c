/* See schema_value.h: equality and numbers. Formats are in schema_format.c. */
#include "runtime/schema_value.h"

#include "runtime/json_scan.h"

#include <string.h>

/* ---- strings ---- */

static bool has_escapes(struct json_span text)
{
    return memchr(text.data, '\\', text.length) != NULL;
}

/* Both between their quotes. */
static bool same_text(struct json_span left, struct json_span right)
{
    if (!has_escapes(left) && !has_escapes(right)) {
        return left.length == right.length && memcmp(left.data, right.data, left.length) == 0;
    }
    const char *left_end = left.data + left.length;
    const char *right_end = right.data + right.length;
    while (left.data < left_end && right.data < right_end) {
        if (json_next_character(&left.data) != json_next_character(&right.data)) {
            return false;
        }
    }
    return left.data == left_end && right.data == right_end;
}

bool schema_value_text_is(struct json_span text, const char *plain, size_t length)
{
    if (!has_escapes(text)) {
        return text.length == length && memcmp(text.data, plain, length) == 0;
    }
    /* The plain text may hold a backslash, which is no escape there. */
    const char *end = text.data + text.length;
    const char *plain_end = plain + length;
    while (text.data < end && plain < plain_end) {
        uint32_t wanted = (unsigned char)*plain;
        if (wanted == '\\') {
            plain++;
        } else {
            wanted = json_next_character(&plain);
        }
        if (json_next_character(&text.data) != wanted) {
            return false;
        }
    }
    return text.data == end && plain == plain_end;
}

size_t schema_value_characters(struct json_span text, size_t enough)
{
    const char *end = text.data + text.length;
    size_t count = 0;
    while (text.data < end && count <= enough) {
        (void)json_next_character(&text.data);
        count++;
    }
    return count;
}

/* ---- numbers ---- */

/* 0.DIGITS x 10^point, the first digit not 0 (but of zero, which has none). */
struct decimal {
    bool negative;
    const char *digits; /* a point may stand among them */
    const char *end;    /* of the mantissa, without zeros at its end */
    int64_t point;
};

/* Exponents of numbers that json_check has let through and that are not 0 never come near. */
enum { EXPONENT_MAX = 1000000000 };

static int64_t exponent_of(const char *at, const char *end)
{
    int64_t exponent = 0;
    if (at == end) {
        return 0;
    }
    bool negative = at[1] == '-';
    for (at += at[1] == '-' || at[1] == '+' ? 2 : 1; at < end; at++) {
        if (exponent < EXPONENT_MAX) {
            exponent = exponent * 10 + (*at - '0');
        }
    }
    return negative ? -exponent : exponent;
}

static struct decimal decimal_of(struct json_span number)
{
    const char *end = number.data + number.length;
    struct decimal decimal = {.negative = *number.data == '-'};
    const char *at = number.data + decimal.negative;
    const char *start = at;
    while (at < end && *at != 'e' && *at != 'E') {
        at++;
    }
    int64_t exponent = exponent_of(at, end);
    const char *mantissa_end = at;
    const char *dot = memchr(start, '.', (size_t)(mantissa_end - start));
    while (mantissa_end > start && (mantissa_end[-1] == '0' || mantissa_end[-1] == '.')) {
        mantissa_end--;
    }
    while (start < mantissa_end && (*start == '0' || *start == '.')) {
        start++;
    }
    const char *units_end = dot == NULL ? at : dot;
    decimal.digits = start;
    decimal.end = mantissa_end;
    /* Digits in front of the point count up, zeros behind it (the point itself is no digit) down. */
    decimal.point = exponent + (start <= units_end ? units_end - start : -(start - units_end - 1));
    return decimal;
}

/* Of two that are not 0. */
static int compare_magnitude(const struct decimal *left, const struct decimal *right)
{
    const char *l = left->digits;
    const char *r = right->digits;
    if (left->point != right->point) {
        return left->point < right->point ? -1 : 1;
    }
    while (l < left->end && r < right->end) {
        if (*l == '.') {
            l++;
        } else if (*r == '.') {
            r++;
        } else if (*l != *r) {
            return *l < *r ? -1 : 1;
        } else {
            l++;
            r++;
        }
    }
    return (int)(l < left->end) - (int)(r < right->end);
}

static int sign_of(const struct decimal *decimal)
{
    return decimal->digits == decimal->end ? 0 : decimal->negative ? -1 : 1;
}

int schema_value_compare(struct json_span left, struct json_span right)
{
    struct decimal l = decimal_of(left);
    struct decimal r = decimal_of(right);
    int sign = sign_of(&l);
    if (sign != sign_of(&r)) {
        return sign - sign_of(&r);
    }
    return sign == 0 ? 0 : sign * compare_magnitude(&l, &r);
}

bool schema_value_is_whole(struct json_span number)
{
    struct decimal decimal = decimal_of(number);
    int64_t digits = decimal.end - decimal.digits;
    if (memchr(decimal.digits, '.', (size_t)digits) != NULL) {
        digits--;
    }
    return digits <= 0 || digits <= decimal.point;
}

/* ---- everything ---- */

static bool is_number(char first)
{
    return first == '-' || (first >= '0' && first <= '9');
}

static size_t member_count(struct json_span object)
{
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    size_t count = 0;
    while (json_pair(object, &cursor, &name, &value)) {
        count++;
    }
    return count;
}

/* Whether `object` has the member, with an equal value. */
static bool has_member(struct json_span object, struct json_span name, struct json_span value)
{
    struct json_span cursor = {0};
    struct json_span other_name;
    struct json_span other;
    while (json_pair(object, &cursor, &other_name, &other)) {
        if (same_text(name, other_name)) {
            return schema_value_equal(value, other);
        }
    }
    return false;
}

static bool same_object(struct json_span left, struct json_span right)
{
    struct json_span cursor = {0};
    struct json_span name;
    struct json_span value;
    if (member_count(left) != member_count(right)) {
        return false;
    }
    while (json_pair(left, &cursor, &name, &value)) {
        if (!has_member(right, name, value)) {
            return false;
        }
    }
    return true;
}

static bool same_array(struct json_span left, struct json_span right)
{
    struct json_span left_cursor = {0};
    struct json_span right_cursor = {0};
    for (;;) {
        struct json_span l = json_element(left, &left_cursor);
        struct json_span r = json_element(right, &right_cursor);
        if (l.data == NULL || r.data == NULL) {
            return l.data == r.data;
        }
        if (!schema_value_equal(l, r)) {
            return false;
        }
    }
}

bool schema_value_equal(struct json_span left, struct json_span right)
{
    char first = *left.data;
    if (is_number(first)) {
        return is_number(*right.data) && schema_value_compare(left, right) == 0;
    }
    if (first != *right.data) {
        return false;
    }
    switch (first) {
    case '"':
        return same_text((struct json_span){left.data + 1, left.length - 2},
                         (struct json_span){right.data + 1, right.length - 2});
    case '{':
        return same_object(left, right);
    case '[':
        return same_array(left, right);
    default: /* true, false, null: their first letters tell them apart */
        return true;
    }
}
