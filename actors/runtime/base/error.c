/* See error.h. */
#include "runtime/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return -1;
}

int error_prefix(struct error *err, const char *format, ...)
{
    if (err != NULL) {
        struct error old = *err;
        va_list args;
        va_start(args, format);
        int used = vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        if (used >= 0 && (size_t)used < sizeof err->text) {
            size_t room = sizeof err->text - (size_t)used;
            snprintf(err->text + used, room, ": %.*s", room > 3 ? (int)room - 3 : 0, old.text);
        }
    }
    return -1;
}

const char *error_errno(int errno_value)
{
    static _Thread_local char text[128];
    const char *message = strerrordesc_np(errno_value);
    if (message == NULL) {
        snprintf(text, sizeof text, "error %d", errno_value);
        return text;
    }
    return message;
}
