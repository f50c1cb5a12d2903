/*
 * The administrative socket of a running server: one line up, one line down ("ok" or "error CODE
 * text"), then the body until end of file.
 */
#ifndef SIGNALBOX_CLI_CONTROL_H
#define SIGNALBOX_CLI_CONTROL_H

#include "runtime/base/buffer.h"
#include "runtime/base/error.h"

#include <stdbool.h>

#define CONTROL_SOCKET "control.sock"

enum control_outcome {
    CONTROL_OK,
    CONTROL_REFUSED,     /* the server said no: err, *code_out */
    CONTROL_NOT_RUNNING, /* nobody answers */
    CONTROL_FAILED       /* broken off or not understood: err */
};

/* Whether a server answers in this run directory. */
bool control_is_running(const char *run_dir);
/* Sends `line` (without its line end) and appends the body to `body`. *code_out: exit code that the
 * server suggests, only when REFUSED. Waits as long as the server works on it. */
enum control_outcome control_ask(const char *run_dir, const char *line, struct buffer *body,
                                 int *code_out, struct error *err);

#endif
