/* Every socket that actors inherit, opened once and kept over their deaths: the public TCP listener
 * and the ipc listeners in the run directory, for streams one to each slot of the streamers, for workers' polls one to each of the job-runners. */
#ifndef SIGNALBOX_SUPERVISOR_LISTENERS_H
#define SIGNALBOX_SUPERVISOR_LISTENERS_H

#include "proto/child_contract.h"
#include "runtime/base/error.h"
#include "runtime/base/settings.h"

#include <sys/types.h>

enum { LISTENERS_ADDRESS_SIZE = 80 };

enum listener { LISTENER_PUBLIC, LISTENER_COMMANDS, LISTENER_EVENTS, LISTENER_COUNT };

/* One listener a slot of an actor, from slot 0. */
enum { LISTENERS_SLOTS_MAX = 16 };

struct slot_listeners {
    int fds[LISTENERS_SLOTS_MAX];
    unsigned count;
};

struct listeners {
    int fds[LISTENER_COUNT];
    struct slot_listeners handover;       /* of the streamers */
    struct slot_listeners jobs;           /* of the job-runners */
    char address[LISTENERS_ADDRESS_SIZE]; /* of the public one, with the real port */
};

SB_MUST_CHECK int listeners_open(struct listeners *listeners, const struct settings *settings,
                                 struct error *err);
/* Another address for the public listener: the new one is open before the old one closes here (the
 * processes that inherited the old one go on with it until they have drained). */
SB_MUST_CHECK int listeners_reopen_public(struct listeners *listeners,
                                          const struct settings *settings, struct error *err);
void listeners_close(struct listeners *listeners);
/* Removes the sockets of the run directory, also those that an earlier count of slots has left. */
void listeners_unlink(const char *run_dir);
/* Name of a listener in the child contract. */
const char *listener_name(enum listener listener);

/* A listening unix socket at `path`, mode 0600, owned by uid/gid when we are root. */
SB_MUST_CHECK int listeners_unix(const char *path, int type, uid_t uid, gid_t gid,
                                 struct error *err);

#endif
