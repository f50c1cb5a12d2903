/*
 * Sending commands to the sequencer: numbered go-back-n over one DEALER (docs/architecture.md).
 *
 * A command keeps its bytes and its number until a RESULT with that number comes. It is sent again,
 * in order, after a NACK, a reconnect, a BUSY pause, or command.retry_ms without the answer to the
 * oldest. When no outcome is known after command.timeout_ms the caller is told COMMAND_UNKNOWN, and
 * the command goes on being re-asked in its place until it is settled, because later ones may not
 * overtake it.
 */
#ifndef SIGNALBOX_RUNTIME_COMMANDS_H
#define SIGNALBOX_RUNTIME_COMMANDS_H

#include "proto/messages.h"
#include "runtime/actor.h"

#include <stdbool.h>

struct commands;

enum command_state {
    COMMAND_DONE,   /* `result` holds the outcome */
    COMMAND_UNKNOWN /* no definite outcome in time: 503 outcome-unknown */
};

/* Called exactly once per accepted command, from the loop. `result` is NULL when COMMAND_UNKNOWN.
 */
typedef void command_done_fn(void *arg, enum command_state state,
                             const struct message_result *result);

/* The same for ENQUEUE_JOBS and CHANGE_JOBS. `result` is borrowed for the call. */
typedef void command_jobs_fn(void *arg, enum command_state state,
                             const struct message_jobs_result *result);

/* Opens the DEALER. Returns, caller destroys with commands_destroy (pending commands are then told
 * COMMAND_UNKNOWN). */
struct commands *commands_create(struct actor *actor, struct error *err);
void commands_destroy(struct commands **commands);

/* 0: taken, `done` will be called. -1: the window is full (503 busy); nothing was sent. origin is
 * filled in. */
SB_MUST_CHECK int commands_create_run(struct commands *commands, struct message_create_run *message,
                                      command_done_fn *done, void *arg);
SB_MUST_CHECK int commands_append(struct commands *commands, struct message_append *message,
                                  command_done_fn *done, void *arg);
SB_MUST_CHECK int commands_cancel_run(struct commands *commands, struct message_cancel_run *message,
                                      command_done_fn *done, void *arg);
SB_MUST_CHECK int commands_resume_run(struct commands *commands, struct message_resume_run *message,
                                      command_done_fn *done, void *arg);
SB_MUST_CHECK int commands_fork_run(struct commands *commands, struct message_fork_run *message,
                                    command_done_fn *done, void *arg);
SB_MUST_CHECK int commands_touch_run(struct commands *commands, struct message_touch_run *message,
                                     command_done_fn *done, void *arg);
SB_MUST_CHECK int commands_prune(struct commands *commands, struct message_prune *message,
                                 command_done_fn *done, void *arg);
SB_MUST_CHECK int commands_enqueue_jobs(struct commands *commands,
                                        struct message_enqueue_jobs *message, command_jobs_fn *done,
                                        void *arg);
SB_MUST_CHECK int commands_change_jobs(struct commands *commands,
                                       struct message_change_jobs *message, command_jobs_fn *done,
                                       void *arg);
/* Passed on to the readers of the run, if it gets there: neither numbered nor answered. */
void commands_note(struct commands *commands, const struct message_job_note *note);
/* The caller is gone: `done` is not called any more. */
void commands_forget(struct commands *commands, void *arg);
size_t commands_in_flight(const struct commands *commands);
/* A sequencer has answered, or taken our connection, recently. */
bool commands_reachable(const struct commands *commands);

#endif
