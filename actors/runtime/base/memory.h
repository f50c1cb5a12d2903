/* Allocation that cannot fail: when memory is gone the process says so and exits with
 * EXIT_CODE_MEMORY. */
#ifndef SIGNALBOX_BASE_MEMORY_H
#define SIGNALBOX_BASE_MEMORY_H

#include <stddef.h>

/* Zeroed memory; the caller frees it with free(). */
void *memory_new(size_t size) __attribute__((malloc, returns_nonnull));
/* `count` zeroed elements of `size` bytes; overflow counts as out of memory. */
void *memory_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
/* Like reallocarray(); the new part is not zeroed. */
void *memory_grow(void *old, size_t count, size_t size) __attribute__((returns_nonnull));
char *memory_string(const char *text) __attribute__((malloc, returns_nonnull));
void *memory_copy(const void *bytes, size_t size) __attribute__((malloc, returns_nonnull));

#endif
