/* See schema.h and schema_report.h. */
#include "runtime/schema_report.h"

#include "runtime/json_scan.h"

#include <assert.h>
#include <string.h>

enum { VALUES_SHOWN = 32 };

void schema_report_init(struct schema_report *report, const char *prefix)
{
    *report = (struct schema_report){.prefix = prefix};
}

void schema_report_deinit(struct schema_report *report)
{
    buffer_deinit(&report->text);
}

const char *schema_report_pointer(const struct schema_report *report, size_t index)
{
    assert(index < report->count);
    return (const char *)report->text.data + report->errors[index].pointer;
}

const char *schema_report_detail(const struct schema_report *report, size_t index)
{
    assert(index < report->count);
    return (const char *)report->text.data + report->errors[index].detail;
}

/* ---- pointers ---- */

/* "/name" with ~ and / of the name escaped. */
static void add_name(struct buffer *out, const char *name, size_t length)
{
    buffer_append_byte(out, '/');
    for (size_t i = 0; i < length; i++) {
        if (name[i] == '~') {
            buffer_append_text(out, "~0");
        } else if (name[i] == '/') {
            buffer_append_text(out, "~1");
        } else {
            buffer_append(out, name + i, 1);
        }
    }
}

/* A name as the text has it; false when it is too long. */
static bool add_member(struct buffer *out, struct json_span name)
{
    char plain[SCHEMA_POINTER_BYTES_MAX];
    if (name.length > sizeof plain) {
        return false;
    }
    add_name(out, plain, json_unescape(name.data, name.length, plain));
    return true;
}

/* The pointer to `place`, as far as it fits: false when a part had to be left out. Places are linked
 * from the inside outwards, so the outer ones are written first by recursion; its depth is that of
 * the JSON text. */
static bool add_place(struct buffer *out, const struct schema_place *place, size_t start)
{
    if (place == NULL) {
        return true;
    }
    if (!add_place(out, place->up, start)) {
        return false;
    }
    size_t before = out->length;
    bool fits = true;
    if (place->name.data != NULL) {
        fits = add_member(out, place->name);
    } else {
        buffer_append_byte(out, '/');
        buffer_append_int(out, (int64_t)place->index);
    }
    if (!fits || out->length - start > SCHEMA_POINTER_BYTES_MAX) {
        out->length = before;
        return false;
    }
    return true;
}

bool schema_report_begin(struct schema_report *report, const struct schema_place *place,
                         const char *missing)
{
    if (report->count == SCHEMA_ERRORS_MAX) {
        report->more = true;
        return false;
    }
    size_t start = report->text.length;
    report->errors[report->count].pointer = start;
    if (report->prefix != NULL) {
        buffer_append_text(&report->text, report->prefix);
    }
    if (add_place(&report->text, place, report->text.length) && missing != NULL) {
        add_name(&report->text, missing, strlen(missing));
    }
    buffer_append_byte(&report->text, '\0');
    report->errors[report->count++].detail = report->text.length;
    return true;
}

void schema_report_end(struct schema_report *report)
{
    buffer_append_byte(&report->text, '\0');
}

/* ---- details ---- */

void schema_report_types(struct schema_report *report, unsigned types)
{
    static const struct {
        unsigned bits;
        const char *name;
    } names[] = {{SCHEMA_OBJECT, "an object"},   {SCHEMA_ARRAY, "an array"},
                 {SCHEMA_STRING, "a string"},    {SCHEMA_NUMBER, "a number"},
                 {SCHEMA_INTEGER, "an integer"}, {SCHEMA_BOOLEAN, "true or false"},
                 {SCHEMA_NULL, "null"}};
    if (types == 0) {
        buffer_append_text(&report->text, "Is not allowed here.");
        return;
    }
    const char *before = "Must be ";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if ((types & names[i].bits) == names[i].bits) {
            buffer_append_text(&report->text, before);
            buffer_append_text(&report->text, names[i].name);
            types &= ~names[i].bits;
            before = " or ";
        }
    }
    buffer_append_byte(&report->text, '.');
}

void schema_report_values(struct schema_report *report, const struct schema_value *values,
                          size_t count)
{
    buffer_append_text(&report->text, count == 1 ? "Must be " : "Must be one of ");
    for (size_t i = 0; i < count && i < VALUES_SHOWN; i++) {
        buffer_append_text(&report->text, i == 0 ? "" : ", ");
        buffer_append(&report->text, values[i].text, values[i].length);
    }
    buffer_append_text(&report->text, count > VALUES_SHOWN ? " and so on." : ".");
}

static void add_count(struct schema_report *report, const char *what,
                      const struct schema_limit *limit, const char *one, const char *many)
{
    buffer_printf(&report->text, "Must have %s %u %s.", what, limit->count,
                  limit->count == 1 ? one : many);
}

void schema_report_limit(struct schema_report *report, const struct schema_limit *limit)
{
    switch (limit->kind) {
    case SCHEMA_MIN_LENGTH:
        if (limit->count == 1) {
            buffer_append_text(&report->text, "Must not be empty.");
        } else {
            add_count(report, "at least", limit, "character", "characters");
        }
        break;
    case SCHEMA_MAX_LENGTH:
        add_count(report, "at most", limit, "character", "characters");
        break;
    case SCHEMA_MIN_ITEMS:
        add_count(report, "at least", limit, "element", "elements");
        break;
    case SCHEMA_MAX_ITEMS:
        add_count(report, "at most", limit, "element", "elements");
        break;
    case SCHEMA_MIN_PROPERTIES:
        add_count(report, "at least", limit, "member", "members");
        break;
    case SCHEMA_MAX_PROPERTIES:
        add_count(report, "at most", limit, "member", "members");
        break;
    case SCHEMA_MINIMUM:
        buffer_printf(&report->text, "Must be %s or more.", limit->number);
        break;
    case SCHEMA_MAXIMUM:
        buffer_printf(&report->text, "Must be %s or less.", limit->number);
        break;
    case SCHEMA_EXCLUSIVE_MINIMUM:
        buffer_printf(&report->text, "Must be more than %s.", limit->number);
        break;
    case SCHEMA_EXCLUSIVE_MAXIMUM:
        buffer_printf(&report->text, "Must be less than %s.", limit->number);
        break;
    }
}

void schema_report_format(struct schema_report *report, enum schema_format format)
{
    buffer_append_text(&report->text, format == SCHEMA_UUID
                                          ? "Must be a UUID."
                                          : "Must be a time as RFC 3339 writes it, such as "
                                            "2026-01-31T12:00:00.000000Z.");
}
