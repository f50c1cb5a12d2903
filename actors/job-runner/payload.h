/* What kinds read from the payload of a job: members of a JSON object, with their types checked. Pure. */
#ifndef SIGNALBOX_JOB_RUNNER_PAYLOAD_H
#define SIGNALBOX_JOB_RUNNER_PAYLOAD_H

#include "runtime/base/error.h"
#include "runtime/json.h"

#include <stdbool.h>
#include <stdint.h>

struct attempt;

/* The payload as an object. -1 and err: it is none, or no JSON. Valid until the attempt's end. */
SB_MUST_CHECK int payload_read(const struct attempt *attempt, struct json_span *object_out,
                               struct error *err);
/* Each changes *value_out only when the member is there. -1 and err: it is of another type, or out of
 * bounds. */
SB_MUST_CHECK int payload_int(struct json_span object, const char *name, int64_t min, int64_t max,
                              int64_t *value_out, struct error *err);
SB_MUST_CHECK int payload_bool(struct json_span object, const char *name, bool *value_out,
                               struct error *err);
/* *text_out is a copy, the caller frees it; a NUL within cannot be (json_check). */
SB_MUST_CHECK int payload_text(struct json_span object, const char *name, size_t bytes_max,
                               char **text_out, struct error *err);
/* A whole JSON number without sign, fraction and exponent; -1: another value. */
SB_MUST_CHECK int payload_number(struct json_span value, int64_t *value_out);
/* Copy of a JSON string, without its quotes and escapes; NULL: another value. */
char *payload_string(struct json_span value);

#endif
