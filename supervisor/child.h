/*
 * One process: its state, its way from start to end, its control socket, log pipe and watchdog.
 * Every event in every state has an answer in one table (child.c). What follows from a start or an
 * end is not decided here but in slot.c.
 */
#ifndef SIGNALBOX_SUPERVISOR_CHILD_H
#define SIGNALBOX_SUPERVISOR_CHILD_H

#include "proto/child_contract.h"
#include "supervisor/log_pipe.h"
#include "supervisor/loop.h"
#include "supervisor/restart.h"
#include "supervisor/watch.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct slot;

enum child_state {
    CHILD_STATE_STOPPED,   /* no process, none wanted */
    CHILD_STATE_BACKOFF,   /* no process, one after the deadline */
    CHILD_STATE_THROTTLED, /* the same, after too many deaths */
    CHILD_STATE_STARTING,
    CHILD_STATE_READY,
    CHILD_STATE_DRAINING, /* asked to go; the deadline leads to the next, harder step */
    CHILD_STATE_ABORTING, /* SIGABRT sent by the watchdog */
    CHILD_STATE_KILLED,   /* SIGKILL sent */
    CHILD_STATE_COUNT
};

struct child {
    struct slot *slot; /* borrowed */
    enum child_state state;
    pid_t pid; /* 0: no process */
    int pidfd;
    uint64_t generation;
    int64_t started_ms;
    int64_t ready_ms;    /* 0: not yet */
    int64_t deadline_ms; /* 0: none */
    unsigned stop_step;
    bool hold;    /* started in HOLD and not told to go */
    bool go_due;  /* GO is wanted as soon as it is ready */
    bool leaving; /* we asked it to go: its end is no death */
    struct watch watch;
    int64_t confined;         /* as it said when it was ready: child_contract.h */
    struct child_record beat; /* the last one */
    struct loop_source control;
    struct log_pipe *log; /* owned until released */
    int probe_fd;         /* services: connection of the readiness probe */
    unsigned stray_tries; /* postgres: starts put off because of an old server's processes */
};

/* What an actor said in words the outside knows: starting, ready, ... */
const char *child_state_name(enum child_state state);
/* "exit code 75 (dependency missing)" or "signal 9 (Killed)". */
void child_exit_text(int status, char *text, size_t size);

struct child *child_create(struct slot *slot);
/* Only without a process. Clears the pointer; accepts NULL. */
void child_destroy(struct child **child);

/* Starts a process now, unless there is one. */
void child_start(struct child *child);
/* Starts one after `wait_ms`, showing `state` (backoff or throttled) meanwhile. */
void child_start_later(struct child *child, enum child_state state, int64_t wait_ms);
/* Asks the process to end, at most within `budget_ms`; without one the child is stopped. */
void child_drain(struct child *child, int64_t budget_ms);
/* The next harder step of a drain, now. */
void child_hurry(struct child *child);
/* Halves what is left of a drain. */
void child_halve(struct child *child);
void child_kill(struct child *child);
/* Ends HOLD; sent as soon as the child is ready. */
void child_go(struct child *child);
/* DUMP or RELOAD to a living actor; `fd` -1 or borrowed. False when it could not be sent. */
bool child_tell(struct child *child, enum child_record_type type, int fd);

/* The process has been reaped. */
void child_reaped(struct child *child, int status);
/* Deadlines, watchdog, probes. */
void child_tick(struct child *child, int64_t now_ms);
/* When child_tick() is wanted next; INT64_MAX: no need. */
int64_t child_due_ms(const struct child *child);
/* The supervisor itself did not run for `hole_ms`: clocks start again. */
void child_forgive(struct child *child, int64_t now_ms, int64_t hole_ms);
bool child_alive(const struct child *child);

#endif
