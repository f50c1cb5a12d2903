/* The one struct of the supervisor, reached by pointer from everywhere. */
#ifndef SIGNALBOX_SUPERVISOR_SUPERVISOR_H
#define SIGNALBOX_SUPERVISOR_SUPERVISOR_H

#include "runtime/base/settings.h"
#include "supervisor/control.h"
#include "supervisor/listeners.h"
#include "supervisor/loop.h"
#include "supervisor/output.h"
#include "supervisor/reload.h"
#include "supervisor/roll.h"
#include "supervisor/slot.h"
#include "supervisor/stage.h"
#include "supervisor/state.h"
#include "supervisor/status.h"

#include <stdbool.h>
#include <stdint.h>

struct supervisor {
    struct loop loop;
    struct output output;
    struct state state;
    struct listeners listeners;
    struct control control;
    struct stage stage;
    struct roll_queue rolls;
    struct reload reload;
    struct settings *settings; /* owned */
    int settings_fd;           /* the same as a flat table, in a memfd */
    int board_fd;              /* the metrics board */
    int null_fd;
    struct loop_source signals;
    struct slot *slots; /* owned, in starting order; never moves */
    size_t slot_count;
    struct restart_deaths total; /* late deaths of all children */
    int64_t last_turn_ms;
    int64_t notify_every_ms;
    int64_t notify_due_ms;
    char *ready_text; /* owned; NULL: none */
    bool finished;    /* everything has stopped */
    int exit_code;
};

/* A read-only descriptor of the settings table in force, with an offset of its own; -1 and err. */
SB_MUST_CHECK int supervisor_settings_fd(const struct supervisor *supervisor, struct error *err);
/* A memfd with these bytes; -1 and err. */
SB_MUST_CHECK int supervisor_make_memfd(const char *name, const void *bytes, size_t size,
                                        struct error *err);
/* The same with `settings` as a flat table. */
SB_MUST_CHECK int supervisor_make_table(const struct settings *settings, struct error *err);
/* The list of living children has changed. */
void supervisor_note_children(struct supervisor *supervisor);
/* State of everything into the log, the actors' own included. */
void supervisor_dump(struct supervisor *supervisor);
/* Everything is up: tell people and the init system. */
void supervisor_announce(struct supervisor *supervisor);

#endif
