/*
 * Making one process: the order in which descriptors, rights and signals are set between fork and
 * exec. Only async-signal-safe calls happen on the child's side.
 */
#ifndef SIGNALBOX_SUPERVISOR_SPAWN_H
#define SIGNALBOX_SUPERVISOR_SPAWN_H

#include "runtime/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SPAWN_FDS_MAX = 24, SPAWN_EXIT_FAILED = 127 };

struct spawn_order {
    char *const *argv; /* argv[0]: path of the program */
    char *const *envp;
    int fds[SPAWN_FDS_MAX]; /* fds[i] becomes descriptor i of the child; borrowed */
    size_t fd_count;
    bool drop; /* become uid and gid, without further groups */
    uid_t uid;
    gid_t gid;
    int death_signal; /* sent by the kernel when the supervisor dies */
};

/* Returns the pid, and a pidfd the caller closes; -1 and err when no process could be made. What
 * goes wrong after the fork is written to the child's descriptor 2 and ends it with
 * SPAWN_EXIT_FAILED. */
SB_MUST_CHECK pid_t spawn_process(const struct spawn_order *order, int *pidfd_out,
                                  struct error *err);

#endif
