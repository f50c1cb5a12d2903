/*
 * The walk over a value and its schema: see schema.h. Each function takes the place of a value and
 * returns the first byte behind it, or NULL to stop: something is wrong and nobody wants to know
 * more (no report, or a full one).
 */
#include "runtime/schema.h"

#include "runtime/json_scan.h"
#include "runtime/schema_report.h"
#include "runtime/schema_value.h"

#include <string.h>

struct walk {
    const struct schema_table *table;
    const char *end;
    struct schema_report *report; /* NULL: only the verdict counts */
    bool valid;
};

static const char *check(struct walk *walk, uint16_t node, const char *at,
                         const struct schema_place *place);

/* Notes that something is wrong at `place`. False: stop. True: walk->report->text takes the detail,
 * then schema_report_end. */
static bool complain(struct walk *walk, const struct schema_place *place, const char *missing)
{
    walk->valid = false;
    return walk->report != NULL && schema_report_begin(walk->report, place, missing);
}

static bool complain_text(struct walk *walk, const struct schema_place *place, const char *missing,
                          const char *detail)
{
    if (!complain(walk, place, missing)) {
        return false;
    }
    buffer_append_text(&walk->report->text, detail);
    schema_report_end(walk->report);
    return true;
}

/* ---- rules that hold for one kind of value ---- */

static bool number_fits(struct json_span value, const struct schema_limit *limit)
{
    int order =
        schema_value_compare(value, (struct json_span){limit->number, strlen(limit->number)});
    switch (limit->kind) {
    case SCHEMA_MINIMUM:
        return order >= 0;
    case SCHEMA_MAXIMUM:
        return order <= 0;
    case SCHEMA_EXCLUSIVE_MINIMUM:
        return order > 0;
    case SCHEMA_EXCLUSIVE_MAXIMUM:
        return order < 0;
    case SCHEMA_MIN_LENGTH:
    case SCHEMA_MAX_LENGTH:
    case SCHEMA_MIN_ITEMS:
    case SCHEMA_MAX_ITEMS:
    case SCHEMA_MIN_PROPERTIES:
    case SCHEMA_MAX_PROPERTIES:
        break;
    }
    return true;
}

/* A character takes one byte at least, and twelve (a pair of escapes) at most: most texts need no
 * counting. */
static bool length_fits(struct json_span text, const struct schema_limit *limit)
{
    enum { CHARACTER_BYTES_MAX = 12 };
    if (limit->kind == SCHEMA_MIN_LENGTH) {
        return text.length >= (size_t)limit->count * CHARACTER_BYTES_MAX ||
               (text.length >= limit->count &&
                (limit->count <= 1 || schema_value_characters(text, limit->count) >= limit->count));
    }
    return text.length <= limit->count ||
           schema_value_characters(text, limit->count) <= limit->count;
}

/* Checks the limits of `node` of the kinds `lower` and `upper` for something counted. */
static bool check_count(struct walk *walk, const struct schema_node *node,
                        enum schema_limit_kind lower, enum schema_limit_kind upper, size_t count,
                        const struct schema_place *place)
{
    const struct schema_limit *limit = walk->table->limits + node->first_limit;
    for (unsigned i = 0; i < node->limit_count; i++, limit++) {
        if ((limit->kind == lower && count < limit->count) ||
            (limit->kind == upper && count > limit->count)) {
            if (!complain(walk, place, NULL)) {
                return false;
            }
            schema_report_limit(walk->report, limit);
            schema_report_end(walk->report);
        }
    }
    return true;
}

static bool check_string(struct walk *walk, const struct schema_node *node, struct json_span text,
                         const struct schema_place *place)
{
    const struct schema_limit *limit = walk->table->limits + node->first_limit;
    for (unsigned i = 0; i < node->limit_count; i++, limit++) {
        bool holds = limit->kind == SCHEMA_MIN_LENGTH || limit->kind == SCHEMA_MAX_LENGTH;
        if (holds && !length_fits(text, limit)) {
            if (!complain(walk, place, NULL)) {
                return false;
            }
            schema_report_limit(walk->report, limit);
            schema_report_end(walk->report);
        }
    }
    if (node->format != SCHEMA_NO_FORMAT &&
        !schema_value_has_format(text, (enum schema_format)node->format)) {
        if (!complain(walk, place, NULL)) {
            return false;
        }
        schema_report_format(walk->report, (enum schema_format)node->format);
        schema_report_end(walk->report);
    }
    return true;
}

static bool check_number(struct walk *walk, const struct schema_node *node, struct json_span value,
                         const struct schema_place *place)
{
    const struct schema_limit *limit = walk->table->limits + node->first_limit;
    for (unsigned i = 0; i < node->limit_count; i++, limit++) {
        if (limit->number != NULL && !number_fits(value, limit)) {
            if (!complain(walk, place, NULL)) {
                return false;
            }
            schema_report_limit(walk->report, limit);
            schema_report_end(walk->report);
        }
    }
    return true;
}

/* ---- objects and arrays ---- */

/* The node's property of that name, or its property_count. Members mostly come in the order of the
 * schema, so the search begins behind the last one found. */
static unsigned find_property(struct walk *walk, const struct schema_node *node,
                              struct json_span name, bool escapes, unsigned from)
{
    const struct schema_property *properties = walk->table->properties + node->first_property;
    unsigned count = node->property_count;
    unsigned at = from < count ? from : 0;
    for (unsigned i = 0; i < count; i++) {
        const struct schema_property *property = &properties[at];
        if (escapes ? schema_value_text_is(name, property->name, property->length)
                    : property->length == name.length &&
                          memcmp(property->name, name.data, name.length) == 0) {
            return at;
        }
        at = at + 1 < count ? at + 1 : 0;
    }
    return count;
}

/* Names are short: byte by byte is faster than memchr. Returns the closing quote. */
static const char *name_end(const char *at, const char *end, bool *escapes_out)
{
    while (*at != '"' && *at != '\\') {
        at++;
    }
    *escapes_out = *at == '\\';
    return *escapes_out ? json_skip_string(at, end) : at;
}

static bool check_required(struct walk *walk, const struct schema_node *node, uint64_t seen,
                           const struct schema_place *place)
{
    uint64_t missing = node->required & ~seen;
    while (missing != 0) {
        int bit = __builtin_ctzll(missing);
        const char *name = walk->table->properties[node->first_property + bit].name;
        if (!complain_text(walk, place, name, "Is missing.")) {
            return false;
        }
        missing &= missing - 1;
    }
    return true;
}

/* `at` is behind the opening brace, or at the comma in front of the next member. */
static const char *check_object(struct walk *walk, const struct schema_node *node, const char *at,
                                const struct schema_place *up)
{
    struct schema_place place = {.up = up};
    uint64_t seen = 0;
    size_t count = 0;
    unsigned next = 0;
    for (at = json_skip_space(at); *at == '"'; count++) {
        bool escapes;
        const char *quote = name_end(at + 1, walk->end, &escapes);
        place.name = (struct json_span){at + 1, (size_t)(quote - at - 1)};
        unsigned property = find_property(walk, node, place.name, escapes, next);
        uint16_t child = node->additional;
        if (property < node->property_count) {
            child = walk->table->properties[node->first_property + property].node;
            seen |= property < 64 ? UINT64_C(1) << property : 0;
            next = property + 1;
        }
        at = check(walk, child, json_skip_space(json_skip_space(quote + 1) + 1), &place);
        if (at == NULL) {
            return NULL;
        }
        at = json_skip_space(at);
        at = *at == ',' ? json_skip_space(at + 1) : at;
    }
    bool on = check_required(walk, node, seen, up) &&
              (node->limit_count == 0 ||
               check_count(walk, node, SCHEMA_MIN_PROPERTIES, SCHEMA_MAX_PROPERTIES, count, up));
    return on ? at + 1 : NULL;
}

static const char *check_array(struct walk *walk, const struct schema_node *node, const char *at,
                               const struct schema_place *up)
{
    struct schema_place place = {.up = up};
    for (at = json_skip_space(at); *at != ']'; place.index++) {
        at = check(walk, node->items, at, &place);
        if (at == NULL) {
            return NULL;
        }
        at = json_skip_space(at);
        at = *at == ',' ? json_skip_space(at + 1) : at;
    }
    bool on = node->limit_count == 0 ||
              check_count(walk, node, SCHEMA_MIN_ITEMS, SCHEMA_MAX_ITEMS, place.index, up);
    return on ? at + 1 : NULL;
}

/* ---- any value ---- */

static unsigned type_at(const char *at)
{
    switch (*at) {
    case '{':
        return SCHEMA_OBJECT;
    case '[':
        return SCHEMA_ARRAY;
    case '"':
        return SCHEMA_STRING;
    case 't':
    case 'f':
        return SCHEMA_BOOLEAN;
    case 'n':
        return SCHEMA_NULL;
    default:
        return SCHEMA_NUMBER;
    }
}

static bool has_type(unsigned types, unsigned type, struct json_span value)
{
    if (type == SCHEMA_NUMBER && (types & SCHEMA_NUMBER) == SCHEMA_INTEGER) {
        return schema_value_is_whole(value);
    }
    return (types & type) != 0;
}

static bool check_values(struct walk *walk, const struct schema_node *node, struct json_span value,
                         const struct schema_place *place)
{
    const struct schema_value *values = walk->table->values + node->first_value;
    for (unsigned i = 0; i < node->value_count; i++) {
        if (schema_value_equal(value, (struct json_span){values[i].text, values[i].length})) {
            return true;
        }
    }
    if (!complain(walk, place, NULL)) {
        return false;
    }
    schema_report_values(walk->report, values, node->value_count);
    schema_report_end(walk->report);
    return true;
}

static unsigned count_matches(struct walk *walk, const struct schema_applied *applied,
                              const char *at)
{
    unsigned matches = 0;
    for (unsigned i = 0; i < applied->count; i++) {
        struct walk trial = {.table = walk->table, .end = walk->end, .valid = true};
        matches += check(&trial, walk->table->alternatives[applied->first + i], at, NULL) != NULL;
    }
    return matches;
}

/* One of allOf, anyOf, oneOf, not. */
static bool check_applied(struct walk *walk, const struct schema_node *node,
                          const struct schema_applied *applied, const char *at,
                          const struct schema_place *place)
{
    switch (applied->kind) {
    case SCHEMA_ALL_OF:
        for (unsigned i = 0; i < applied->count; i++) {
            if (check(walk, walk->table->alternatives[applied->first + i], at, place) == NULL) {
                return false;
            }
        }
        return true;
    case SCHEMA_ANY_OF:
        if (count_matches(walk, applied, at) > 0) {
            return true;
        }
        if (node->needs == NULL) {
            return complain_text(walk, place, NULL, "Is none of the things it may be.");
        }
        if (!complain(walk, place, NULL)) {
            return false;
        }
        buffer_printf(&walk->report->text, "Needs %s.", node->needs);
        schema_report_end(walk->report);
        return true;
    case SCHEMA_ONE_OF:
        return count_matches(walk, applied, at) == 1 ||
               complain_text(walk, place, NULL, "Must be exactly one of the things it may be.");
    case SCHEMA_NOT:
        return count_matches(walk, applied, at) == 0 ||
               complain_text(walk, place, NULL, "Is what it must not be.");
    }
    return true;
}

/* What holds for the value as a whole, whatever it is. */
static bool check_whole(struct walk *walk, const struct schema_node *node, struct json_span value,
                        const struct schema_place *place)
{
    if (node->value_count > 0 && !check_values(walk, node, value, place)) {
        return false;
    }
    for (unsigned i = 0; i < node->applied_count; i++) {
        const struct schema_applied *applied = walk->table->applied + node->first_applied + i;
        if (!check_applied(walk, node, applied, value.data, place)) {
            return false;
        }
    }
    return true;
}

static const char *check(struct walk *walk, uint16_t index, const char *at,
                         const struct schema_place *place)
{
    const struct schema_node *node = &walk->table->nodes[index];
    unsigned type = type_at(at);
    if (index == 0) {
        return json_skip_value(at, walk->end);
    }
    bool nested = type == SCHEMA_OBJECT || type == SCHEMA_ARRAY;
    if (nested && (node->types & type) != 0) {
        const char *end = type == SCHEMA_OBJECT ? check_object(walk, node, at + 1, place)
                                                : check_array(walk, node, at + 1, place);
        bool on = end != NULL &&
                  check_whole(walk, node, (struct json_span){at, (size_t)(end - at)}, place);
        return on ? end : NULL;
    }
    const char *end = json_skip_value(at, walk->end);
    struct json_span value = {at, (size_t)(end - at)};
    if (!has_type(node->types, type, value)) {
        if (!complain(walk, place, NULL)) {
            return NULL;
        }
        schema_report_types(walk->report, node->types);
        schema_report_end(walk->report);
        return end;
    }
    bool on = true;
    if (type == SCHEMA_STRING) {
        on = check_string(walk, node, (struct json_span){at + 1, value.length - 2}, place);
    } else if (type == SCHEMA_NUMBER && node->limit_count > 0) {
        on = check_number(walk, node, value, place);
    }
    return on && check_whole(walk, node, value, place) ? end : NULL;
}

bool schema_check(const struct schema_table *table, uint16_t node, struct json_span value,
                  struct schema_report *report)
{
    struct walk walk = {
        .table = table, .end = value.data + value.length, .report = report, .valid = true};
    return check(&walk, node, value.data, NULL) != NULL && walk.valid;
}
