/*
 * DIR/location: where an installation keeps its sockets and data. Written by `up`, read by every
 * other command, because both may lie outside DIR (see place.h).
 */
#ifndef SIGNALBOX_CLI_LOCATION_H
#define SIGNALBOX_CLI_LOCATION_H

#include "runtime/base/error.h"
#include "runtime/base/limits.h"

#include <limits.h>

struct location {
    char dir[PATH_MAX];                        /* DIR itself, absolute */
    char run_dir[LIMIT_SOCKET_PATH_BYTES + 1]; /* sockets */
    char data_dir[PATH_MAX];                   /* embedded services, secrets */
    char config_file[PATH_MAX];                /* settings file of the last `up`, or empty */
};

enum location_found { LOCATION_FOUND, LOCATION_ABSENT, LOCATION_FAILED };

/* ABSENT: no server was ever started in `dir`. FAILED: err. */
enum location_found location_read(const char *dir, struct location *location_out,
                                  struct error *err);
/* Replaces DIR/location as a whole. */
SB_MUST_CHECK int location_write(const struct location *location, struct error *err);
/* For commands that need a server: 0, or an exit code (1 or 3) after printing why. */
SB_MUST_CHECK int location_require(const char *dir, struct location *location_out);

#endif
