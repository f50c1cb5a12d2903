/* Names that clients give to things, as they come in paths and queries: texts that a column may
 * hold. Pure. */
#ifndef SIGNALBOX_API_NAMES_H
#define SIGNALBOX_API_NAMES_H

#include "runtime/base/buffer.h"

#include <stdbool.h>
#include <stddef.h>

enum { NAMES_BYTES_MAX = 255 };

/* 1..most bytes of UTF-8 without NUL. */
bool names_are_sound(const char *text, size_t length, size_t most);
/* What stands for "{}" in a path, as such a name of at most NAMES_BYTES_MAX bytes: a NUL-terminated
 * text in `out`. -1: it is none. */
SB_MUST_CHECK int names_from_path(const char *segment, size_t length,
                                  char out[NAMES_BYTES_MAX + 1]);

#endif
