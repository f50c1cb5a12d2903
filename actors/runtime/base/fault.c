/* See fault.h. */
#include "runtime/base/fault.h"

#ifdef SB_FAULTS

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int fault_directory = -1;

void fault_start(const char *directory)
{
    if (directory[0] != '\0') {
        fault_directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
}

static void obey(const char *order)
{
    if (strncmp(order, "kill", 4) == 0) {
        raise(SIGKILL);
    } else if (strncmp(order, "stop", 4) == 0) {
        raise(SIGSTOP);
    } else if (strncmp(order, "abort", 5) == 0) {
        abort();
    } else if (strncmp(order, "exit ", 5) == 0) {
        /* allows strtol: the order comes from a test, with a line end behind the number */
        _exit((int)strtol(order + 5, NULL, 10));
    } else if (strncmp(order, "sleep ", 6) == 0) {
        long ms = strtol(order + 6, NULL, 10); /* allows strtol: the same */
        nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
    } else if (strncmp(order, "spin", 4) == 0) {
        for (;;) {
            __asm__ volatile("");
        }
    }
}

void fault_point(const char *name)
{
    if (fault_directory < 0) {
        return;
    }
    int fd = openat(fault_directory, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    char order[64] = "";
    ssize_t got = read(fd, order, sizeof order - 1);
    close(fd);
    /* Only the process whose unlink succeeds obeys. */
    if (got > 0 && unlinkat(fault_directory, name, 0) == 0) {
        obey(order);
    }
}

bool fault_holds(const char *name)
{
    int fd = fault_directory < 0 ? -1 : openat(fault_directory, name, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

#else
/* An empty translation unit is not standard C. */
typedef int fault_unused;
#endif
