/*
 * Reload: `signalbox settings --for-reload` reads and checks everything and prints the new flat
 * table; here it is compared with the one in force. Wrong: nothing changes. Right: what can be
 * taken over is handed out, actors with other changes are restarted one by one.
 */
#ifndef SIGNALBOX_SUPERVISOR_RELOAD_H
#define SIGNALBOX_SUPERVISOR_RELOAD_H

#include "runtime/base/buffer.h"
#include "supervisor/loop.h"
#include "supervisor/roll.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct supervisor;

struct reload {
    struct supervisor *supervisor; /* borrowed */
    pid_t pid;                     /* 0: none under way */
    int pidfd;
    int64_t deadline_ms;
    struct loop_source table; /* its stdout */
    struct loop_source words; /* its stderr */
    struct buffer table_text;
    struct buffer words_text;
    bool ended;
    int status;
    bool again; /* asked for once more meanwhile */
    roll_done_fn done;
    void *data; /* borrowed */
};

void reload_init(struct reload *reload, struct supervisor *supervisor);
/* `done` (may be NULL) is called once with the outcome, also from within. */
void reload_start(struct reload *reload, roll_done_fn done, void *data);
/* Whoever waited is gone. */
void reload_forget(struct reload *reload, const void *data);
/* True when `pid` was the settings command. */
bool reload_reaped(struct reload *reload, pid_t pid, int status);
void reload_tick(struct reload *reload, int64_t now_ms);
int64_t reload_due_ms(const struct reload *reload);

#endif
