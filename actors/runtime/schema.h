/*
 * Checks a JSON value against a compiled schema (contracts/schema_table.h) in one walk over its
 * text: no tree is built, and nothing is allocated while there is nothing to complain about. The
 * text must have passed json_check.
 */
#ifndef SIGNALBOX_RUNTIME_SCHEMA_H
#define SIGNALBOX_RUNTIME_SCHEMA_H

#include "contracts/schema_table.h"
#include "runtime/base/buffer.h"
#include "runtime/json.h"

#include <stdbool.h>
#include <stddef.h>

enum { SCHEMA_ERRORS_MAX = 16, SCHEMA_POINTER_BYTES_MAX = 1024 };

/* What was found wrong, in the order of the text. */
struct schema_report {
    const char *prefix; /* JSON pointer of the checked value, put in front of each; borrowed; NULL:
                           none */
    size_t count;
    bool more; /* there was more than there is room for */
    struct {
        size_t pointer; /* places in `text` */
        size_t detail;
    } errors[SCHEMA_ERRORS_MAX];
    struct buffer text; /* owned */
};

/* Empty, with that prefix. */
void schema_report_init(struct schema_report *report, const char *prefix);
void schema_report_deinit(struct schema_report *report);
/* JSON pointer (RFC 6901) to what is wrong, or to the member that is missing. A place behind a name
 * of absurd length is told by what it lies in. Valid until the next error is added. */
const char *schema_report_pointer(const struct schema_report *report, size_t index);
/* What it must be, a sentence. Valid until the next error is added. */
const char *schema_report_detail(const struct schema_report *report, size_t index);

/* Whether `value` is what `node` of `table` wants. Adds to `report`, which may be NULL when only the
 * verdict counts. `value` must not have blanks around it. */
SB_MUST_CHECK bool schema_check(const struct schema_table *table, uint16_t node,
                                struct json_span value, struct schema_report *report);

#endif
