/* Times as requests give them: RFC 3339. Pure. */
#ifndef SIGNALBOX_API_TIME_TEXT_H
#define SIGNALBOX_API_TIME_TEXT_H

#include "runtime/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* "2026-11-20T09:22:00.123456Z" or with an offset such as "+01:00", fraction optional (digits
 * behind the sixth are cut off), years 1970 to 9999. -1 when `text` is anything else, also a day
 * that is not in the calendar or a leap second. */
SB_MUST_CHECK int time_text_parse(const char *text, size_t length, int64_t *real_us_out);

#endif
