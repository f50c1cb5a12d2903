/* UUIDs as 16 bytes. New ones are version 7 (RFC 9562): time-ordered, so primary keys grow at one
 * end. */
#ifndef SIGNALBOX_BASE_UUID_H
#define SIGNALBOX_BASE_UUID_H

#include "runtime/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uuid {
    uint8_t bytes[16];
};

enum { UUID_TEXT_SIZE = 37 }; /* 36 characters and NUL */

/* Version 7 from the real clock and getrandom(); strictly growing within one process. */
struct uuid uuid_new(void);
/* Accepts exactly 36 lower-case characters in 8-4-4-4-12 form; anything else is -1. */
SB_MUST_CHECK int uuid_parse(const char *text, size_t length, struct uuid *uuid_out);
void uuid_format(const struct uuid *uuid, char text[UUID_TEXT_SIZE]);
bool uuid_equal(const struct uuid *a, const struct uuid *b);
bool uuid_is_nil(const struct uuid *uuid);
/* Hash for maps: keyed once per process, so that chosen ids cannot pile up in one bucket. */
uint64_t uuid_hash(const struct uuid *uuid);

#endif
