/* Which processes run: one row per program, in starting order, and the slots made from them. */
#ifndef SIGNALBOX_SUPERVISOR_ROSTER_H
#define SIGNALBOX_SUPERVISOR_ROSTER_H

#include "runtime/base/settings.h"
#include "supervisor/listeners.h"
#include "supervisor/log_line.h"

#include <stdbool.h>
#include <stdint.h>

enum roster_kind {
    ROSTER_SERVICE,  /* postgres, redis: no control socket, no beats */
    ROSTER_ONE_SHOT, /* runs once to its end */
    ROSTER_ACTOR     /* speaks the child contract */
};

enum { ROSTER_GROUPS = 7, ROSTER_LISTENERS_MAX = 2, ROSTER_NAME_SIZE = 24 };

struct roster_row {
    const char *actor; /* "api" */
    enum roster_kind kind;
    unsigned group;     /* started in this order, stopped in the reverse one */
    enum setting count; /* how many; SETTING_COUNT: one */
    enum setting only;  /* runs only when this is true; SETTING_COUNT: always */
    enum setting stop;  /* time to drain; SETTING_COUNT: stop_ms */
    int stop_ms;
    int64_t start_wait_ms; /* the next group waits this long; 0: watchdog.ready_ms */
    bool singleton;        /* a successor is held until the old one is gone */
    bool vital;            /* throttled for restart.throttled_end_ms ends the supervisor */
    enum listener listeners[ROSTER_LISTENERS_MAX];
    unsigned listener_count;
    bool takes_streams; /* inherits the listener of its slot for streams, and its neighbours' */
    bool gives_jobs;    /* inherits the listener of its slot for workers' polls */
    enum log_line_kind log_kind;
};

/* Rows in starting order; NULL behind the last. */
const struct roster_row *roster_row(unsigned index);
/* Instances of that row with these settings; 0 when it does not run at all. */
unsigned roster_count(const struct roster_row *row, const struct settings *settings);
/* "api-1" for actors; the plain name for services and one-shots. */
void roster_name(const struct roster_row *row, unsigned number, char name[ROSTER_NAME_SIZE]);
int64_t roster_stop_ms(const struct roster_row *row, const struct settings *settings);

/* Arguments and environment of one process; owned, freed with roster_command_deinit(). */
enum { ROSTER_WORDS_MAX = 32 };
struct roster_command {
    char *argv[ROSTER_WORDS_MAX];
    char *envp[ROSTER_WORDS_MAX];
};

struct roster_instance {
    const char *name;
    uint64_t generation;
    unsigned slot;
    bool hold;
    int settings_fd; /* as the child will see it; the named descriptors follow it */
};

/* What to execute for one instance. `fds` is the value of CHILD_ENV_FDS (actors only). */
void roster_command(struct roster_command *command, const struct roster_row *row,
                    const struct settings *settings, const struct roster_instance *instance,
                    const char *fds);
void roster_command_deinit(struct roster_command *command);

#endif
