/*
 * Where an installation lives: DIR, its data and its sockets.
 *
 * Normally data is DIR/data and sockets are DIR/run. When the service user cannot reach DIR, data
 * goes to /var/lib/signalbox/<random>, remembered in DIR/location; when it cannot, or the path
 * would make socket paths too long, sockets go to /run/signalbox-<hash> (root), else to
 * $XDG_RUNTIME_DIR or /tmp. Data and sockets are 0700 and belong to the service user.
 */
#ifndef SIGNALBOX_CLI_PLACE_H
#define SIGNALBOX_CLI_PLACE_H

#include "ops/cli/location.h"
#include "ops/cli/service_user.h"

struct place {
    struct location location;
    struct service_user user;
    int lock_fd; /* owned; held until close or exec */
};

/*
 * Makes everything ready and writes DIR/location. Two starts at once exclude each other; a server
 * that runs already is an error. The caller closes with place_close.
 */
SB_MUST_CHECK int place_prepare(const char *dir, const char *config_file, struct place *place_out,
                                struct error *err);
void place_close(struct place *place);
/* Whether data or sockets are outside DIR. */
bool place_is_split(const struct place *place);

#endif
