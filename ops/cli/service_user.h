/*
 * The unprivileged user that services run as when `up` was started as root.
 *
 * The choice: the owner of existing data; else the first that exists of `signalbox` (made by a
 * package or an administrator), `postgres` (exists wherever the PostgreSQL package is, which the
 * embedded server needs anyway) and `nobody`. Started as somebody else, everything runs as that
 * somebody.
 */
#ifndef SIGNALBOX_CLI_SERVICE_USER_H
#define SIGNALBOX_CLI_SERVICE_USER_H

#include "runtime/base/error.h"

#include <stdbool.h>
#include <sys/types.h>

struct service_user {
    uid_t uid;
    gid_t gid;
    char name[64];
};

/* `data_dir`: existing data of this installation, or NULL. */
SB_MUST_CHECK int service_user_choose(const char *data_dir, struct service_user *user_out,
                                      struct error *err);
/*
 * Runs `work` in a child process as the user, in directory `/`, and waits for it. `work` returns 0
 * or -1 with err, which comes back to the caller.
 */
typedef int service_user_fn(const void *arg, struct error *err);
SB_MUST_CHECK int service_user_call(const struct service_user *user, service_user_fn *work,
                                    const void *arg, struct error *err);
/* The calling process, a child of `parent`, is killed when that dies: nothing of a start that was
 * killed works on. -1: it is dead already. */
SB_MUST_CHECK int service_user_die_with(pid_t parent);
/* Whether the user can enter `directory`. */
bool service_user_reaches(const struct service_user *user, const char *directory);

#endif
