/* Every socket that actors inherit, opened once and kept over their deaths: the public TCP listener
 * and the ipc listeners in the run directory. */
#ifndef SIGNALBOX_SUPERVISOR_LISTENERS_H
#define SIGNALBOX_SUPERVISOR_LISTENERS_H

#include "runtime/base/error.h"
#include "runtime/base/settings.h"

#include <sys/types.h>

enum { LISTENERS_ADDRESS_SIZE = 80 };

enum listener {
    LISTENER_PUBLIC,
    LISTENER_COMMANDS,
    LISTENER_EVENTS,
    LISTENER_HANDOVER,
    LISTENER_COUNT
};

struct listeners {
    int fds[LISTENER_COUNT];
    char address[LISTENERS_ADDRESS_SIZE]; /* of the public one, with the real port */
};

SB_MUST_CHECK int listeners_open(struct listeners *listeners, const struct settings *settings,
                                 struct error *err);
/* Another address for the public listener: the new one is open before the old one closes here (the
 * processes that inherited the old one go on with it until they have drained). */
SB_MUST_CHECK int listeners_reopen_public(struct listeners *listeners,
                                          const struct settings *settings, struct error *err);
void listeners_close(struct listeners *listeners);
/* Name of a listener in the child contract. */
const char *listener_name(enum listener listener);

/* A listening unix socket at `path`, mode 0600, owned by uid/gid when we are root. */
SB_MUST_CHECK int listeners_unix(const char *path, int type, uid_t uid, gid_t gid,
                                 struct error *err);

#endif
