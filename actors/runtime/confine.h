/*
 * What an actor gives up once it has started, so that a bug in it is worth little (docs/security.md):
 * files by Landlock, system calls by seccomp, debuggers by being undumpable. The table in confine.c
 * says what each actor keeps.
 *
 * What the kernel does not have is done without, and said so in the log and in `signalbox status`.
 */
#ifndef SIGNALBOX_RUNTIME_CONFINE_H
#define SIGNALBOX_RUNTIME_CONFINE_H

#include "runtime/base/error.h"
#include "runtime/base/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values travel in CHILD_READY. */
enum confine_mode {
    CONFINE_OFF,
    CONFINE_LOG, /* what is forbidden everywhere fails with EPERM; what is not listed is logged */
    CONFINE_KILL /* whatever is not listed ends the process */
};

enum { CONFINE_PATHS_MAX = 16 };

struct confine {
    const char *actor; /* its row in the table: "api" */
    enum confine_mode mode;
    bool files;           /* Landlock is wanted */
    bool children;        /* it may start `program` */
    bool local;           /* its services are reached without TCP */
    char *program;        /* owned; NULL: none */
    const char *writable; /* test builds: the directory of fault points; borrowed; NULL: none */
    char *paths[CONFINE_PATHS_MAX]; /* owned: further files that may be read */
    size_t paths_count;
};

/* -1 and err: no such mode. */
SB_MUST_CHECK int confine_mode_parse(const char *text, enum confine_mode *mode_out,
                                     struct error *err);
/* As the settings want it for this actor. Caller frees with confine_deinit(). */
SB_MUST_CHECK int confine_init(struct confine *confine, const char *actor,
                               const struct settings *settings, struct error *err);
void confine_deinit(struct confine *confine);
/* A file its libraries will read; ignored when empty, not there, or one too many. */
void confine_add_path(struct confine *confine, const char *path);

/* No dumps, and files only as the table says. Before any thread is made, because it holds for the
 * calling one and those it makes. Returns the ABI of Landlock in force, 0 without it. */
int confine_files(const struct confine *confine);
/* System calls, of all threads. Last, before the first byte from others is read. -1 and err: the
 * kernel does not take it. */
SB_MUST_CHECK int confine_calls(const struct confine *confine, struct error *err);

#endif
