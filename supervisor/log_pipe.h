/*
 * The read end of one process's log pipe: lines are cut out, wrapped when they are not JSON, and
 * passed to the output. It lives until the last writer is gone, so that the last words of a dead
 * process (and of its own children) are not lost.
 */
#ifndef SIGNALBOX_SUPERVISOR_LOG_PIPE_H
#define SIGNALBOX_SUPERVISOR_LOG_PIPE_H

#include "runtime/base/list.h"
#include "supervisor/log_line.h"
#include "supervisor/loop.h"
#include "supervisor/output.h"

enum { LOG_PIPE_LAST_BYTES = 400, LOG_PIPE_NAME_BYTES = 32 };

struct log_pipe;

/* Makes the pipe. The caller closes *write_fd_out (its writing end never blocks) and ends the use
 * with log_pipe_release(). NULL and err when the process has no descriptors left. */
struct log_pipe *log_pipe_create(struct loop *loop, struct output *output, const char *name,
                                 enum log_line_kind kind, int *write_fd_out, struct error *err);
/* Reads what is there; the pipe destroys itself when its last writer is gone. Clears the pointer;
 * accepts NULL. */
void log_pipe_release(struct log_pipe **pipe);
/* Reads what is there now and returns its last words: the last line that was no JSON, or the last
 * warning or error ("" when none). Borrowed until the next call. */
const char *log_pipe_last(struct log_pipe *pipe);

#endif
