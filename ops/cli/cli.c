/* See cli.h. What commands say when they fail. */
#include "ops/cli/cli.h"

#include <stdarg.h>
#include <stdio.h>

int cli_fail(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("signalbox: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return code;
}

int cli_usage(const char *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "signalbox %s: ", command);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\nTry 'signalbox %s --help'.\n", command);
    va_end(args);
    return EXIT_CODE_USAGE;
}
