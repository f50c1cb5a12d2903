/* The only way text becomes a number here: no sign unless asked for, no space, no overflow, whole
 * text used. */
#ifndef SIGNALBOX_BASE_NUMBER_H
#define SIGNALBOX_BASE_NUMBER_H

#include "runtime/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Decimal digits only, 0..INT64_MAX. -1 when `text` is anything else. */
SB_MUST_CHECK int number_parse(const char *text, size_t length, int64_t *value_out);

#endif
