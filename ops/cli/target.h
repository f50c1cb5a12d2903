/*
 * Where the server of a DIR is and with which key to talk to it: the listen address from `status`,
 * the key from DIR/api-key.
 */
#ifndef SIGNALBOX_CLI_TARGET_H
#define SIGNALBOX_CLI_TARGET_H

#include "runtime/base/error.h"

#include <stdbool.h>

struct cli;

struct json_t;

/* What `signalbox status` shows, a new reference; NULL and err: not running. */
SB_MUST_CHECK struct json_t *target_status(const struct cli *cli, struct error *err);

/* Both owned. Zero-initialised is empty. */
struct target {
    char *address; /* HOST:PORT */
    char *key;
};

/* Fills an empty target. -1 and err: the server is not running, or the key cannot be read. */
SB_MUST_CHECK int target_find(const struct cli *cli, struct target *target, struct error *err);
/* Connection string of the server's database, owned by the caller. -1 and err: not running. */
SB_MUST_CHECK int target_database(const struct cli *cli, char **dsn_out, struct error *err);
/* True: a server runs in DIR over a database that is not an embedded one; *dsn_out, owned by the
 * caller, leads there (without a password, which status does not tell). */
bool target_given_database(const struct cli *cli, char **dsn_out);
void target_deinit(struct target *target);

#endif
