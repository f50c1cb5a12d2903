/* How schema.c says what is wrong. For schema.c only. */
#ifndef SIGNALBOX_RUNTIME_SCHEMA_REPORT_H
#define SIGNALBOX_RUNTIME_SCHEMA_REPORT_H

#include "runtime/schema.h"

/* Where the walk is: one link an object or array that is open, on the stack of the walk. */
struct schema_place {
    const struct schema_place *up; /* NULL: the checked value itself */
    struct json_span name;         /* of a member, escapes and all; data NULL: an element */
    size_t index;                  /* of an element */
};

/* Adds an error at `place`, or at its member `missing` (NULL: at the place itself), and begins its
 * detail: what is then appended to report->text belongs to it, up to schema_report_end. False when
 * there is no room for more. */
SB_MUST_CHECK bool schema_report_begin(struct schema_report *report,
                                       const struct schema_place *place, const char *missing);
void schema_report_end(struct schema_report *report);

/* "Must be a string or null." */
void schema_report_types(struct schema_report *report, unsigned types);
/* "Must be one of …." with as many as are readable. */
void schema_report_values(struct schema_report *report, const struct schema_value *values,
                          size_t count);
/* "Must have at most 255 characters." */
void schema_report_limit(struct schema_report *report, const struct schema_limit *limit);
void schema_report_format(struct schema_report *report, enum schema_format format);

#endif
