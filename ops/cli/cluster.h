/*
 * The embedded PostgreSQL: a cluster in DATA/postgres that only unix sockets in the run directory
 * lead to. Its operating-system users (the service user, root and whoever runs `up`) are mapped
 * onto the roles of Signalbox by peer authentication; there is no password.
 */
#ifndef SIGNALBOX_CLI_CLUSTER_H
#define SIGNALBOX_CLI_CLUSTER_H

#include "ops/cli/place.h"

#include <stdbool.h>

/* Makes the cluster when there is none (killed in the middle: begins again next time) and writes
 * its configuration. `bin_dir`: where initdb is. */
SB_MUST_CHECK int cluster_prepare(const struct place *place, const char *bin_dir,
                                  struct error *err);
bool cluster_exists(const struct place *place);

#endif
