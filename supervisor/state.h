/*
 * What the supervisor keeps in the run directory: the lock, the generation counter, and the list of
 * its living children, by which a successor ends what a killed supervisor left behind.
 */
#ifndef SIGNALBOX_SUPERVISOR_STATE_H
#define SIGNALBOX_SUPERVISOR_STATE_H

#include "runtime/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct state {
    char *run_dir; /* owned */
    int lock_fd;
    int generation_fd;
    uint64_t generation; /* the last one given out */
    bool write_failed;   /* said once, until it works again */
};

struct state_child {
    const char *name; /* borrowed */
    pid_t pid;
};

/* Takes the lock; -1 and a text for people when another supervisor has it. */
SB_MUST_CHECK int state_open(struct state *state, const char *run_dir, struct error *err);
void state_close(struct state *state);

/* A generation number never given out before in this run directory. */
uint64_t state_next_generation(struct state *state);

/* Rewrites the list of living children. A full disk is logged, not fatal. */
void state_note_children(struct state *state, const struct state_child *children, size_t count);

/* Ends the children listed by a killed predecessor, and waits until they are gone. Only a process
 * with the listed pid and start time, run by `uid` or by us, is touched. */
void state_sweep_leftovers(struct state *state, uid_t uid);

/* Start time of a process in clock ticks since boot; -1 when there is no such process. */
int64_t state_start_time(pid_t pid);
/* Real user of a process. */
SB_MUST_CHECK int state_process_uid(pid_t pid, uid_t *uid_out);

#endif
