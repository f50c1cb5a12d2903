/* See memory.h. */
#include "runtime/base/memory.h"

#include "runtime/base/error.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *checked(void *memory)
{
    if (memory == NULL) {
        static const char text[] = "{\"level\":\"error\",\"message\":\"out of memory\"}\n";
        ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
        (void)ignored;
        _exit(EXIT_CODE_MEMORY);
    }
    return memory;
}

void *memory_new(size_t size)
{
    return checked(calloc(1, size == 0 ? 1 : size));
}

void *memory_array(size_t count, size_t size)
{
    return checked(calloc(count == 0 ? 1 : count, size == 0 ? 1 : size));
}

void *memory_grow(void *old, size_t count, size_t size)
{
    return checked(reallocarray(old, count == 0 ? 1 : count, size == 0 ? 1 : size));
}

char *memory_string(const char *text)
{
    return memory_copy(text, strlen(text) + 1);
}

void *memory_copy(const void *bytes, size_t size)
{
    void *copy = checked(malloc(size == 0 ? 1 : size));
    if (size > 0) {
        memcpy(copy, bytes, size);
    }
    return copy;
}
