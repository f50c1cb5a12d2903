/* Values of checked JSON text as JSON Schema sees them: equality, order of numbers, length of
 * strings, formats. Nothing is allocated. For schema.c and its tests. */
#ifndef SIGNALBOX_RUNTIME_SCHEMA_VALUE_H
#define SIGNALBOX_RUNTIME_SCHEMA_VALUE_H

#include "contracts/schema_table.h"
#include "runtime/json.h"

/* Whether two values are the same: 1 is 1.0, members have no order, escapes are undone. */
bool schema_value_equal(struct json_span left, struct json_span right);
/* Below 0, 0, above 0: as the first number is to the second. Exact, whatever their size. */
int schema_value_compare(struct json_span left, struct json_span right);
/* Whether a number is whole, however it is written. */
bool schema_value_is_whole(struct json_span number);
/* Whether a string's text (between its quotes) is `plain`, which has no escapes. */
bool schema_value_text_is(struct json_span text, const char *plain, size_t length);
/* Characters (code points) of a string's text; stops counting above `enough`. */
size_t schema_value_characters(struct json_span text, size_t enough);
/* Whether a string's text has the format. date-time is that of RFC 3339 as far as PostgreSQL reads it:
 * years 1 to 9999, offsets below 16 hours, 64 characters. */
bool schema_value_has_format(struct json_span text, enum schema_format format);

#endif
