/*
 * The command line's own database work: connecting, roles, the database, migrations' bookkeeping,
 * the first tenant and key. Blocking; one connection at a time.
 */
#ifndef SIGNALBOX_CLI_STORE_H
#define SIGNALBOX_CLI_STORE_H

#include "runtime/base/buffer.h"
#include "runtime/base/error.h"
#include "runtime/base/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_DATABASE "signalbox" /* name of the embedded server's database */
#define STORE_OWNER "signalbox_owner"

/* Which server: the embedded one of a run directory, or a URL with the rights of its user. */
struct store_target {
    const char *url; /* borrowed */
    bool embedded;
};

struct store;

enum store_outcome {
    STORE_OK,
    STORE_UNREACHABLE, /* no connection, or it was lost: try again later */
    STORE_REFUSED      /* the server said no */
};

/*
 * `role`: NULL connects as who may administer (embedded: postgres; else the URL's user); otherwise
 * works as that role. `database`: NULL is the target's own. On OK the caller closes with
 * store_close.
 */
enum store_outcome store_open(const struct store_target *target, const char *database,
                              const char *role, struct store **store_out, struct error *err);
void store_close(struct store **store);

/* Runs a script of any number of statements; one transaction unless it says otherwise. */
enum store_outcome store_script(struct store *store, const char *sql, struct error *err);

/* Makes the database of the embedded server, owned by STORE_OWNER, when it is not there. */
enum store_outcome store_make_database(struct store *store, struct error *err);

/*
 * Sees to it that the roles exist and that this user may become each of them and use schema
 * `public`. What it may not do itself is appended to `statements`, one SQL statement a line, for an
 * administrator; empty: all is well.
 */
enum store_outcome store_make_roles(struct store *store, const char *roles_sql,
                                    struct buffer *statements, struct error *err);

/* Held until the connection closes: one migration at a time. Waits up to 30 s. */
enum store_outcome store_lock_migrations(struct store *store, struct error *err);

enum { STORE_CHECKSUM_SIZE = 65, STORE_NAME_SIZE = 64, STORE_TIME_SIZE = 40 };

struct store_migration {
    int version;
    char name[STORE_NAME_SIZE];
    char checksum[STORE_CHECKSUM_SIZE];
    char applied_at[STORE_TIME_SIZE]; /* RFC 3339 */
};

/* By version. *list_out: the caller frees. A database without the table has none. */
enum store_outcome store_applied(struct store *store, struct store_migration **list_out,
                                 size_t *count_out, struct error *err);
/* The script and its entry in the table, in one transaction. */
enum store_outcome store_apply(struct store *store, const char *sql, int version, const char *name,
                               const char *checksum, struct error *err);
enum store_outcome store_revert(struct store *store, const char *sql, int version,
                                struct error *err);

enum store_key { STORE_KEY_ADDED, STORE_KEY_KNOWN, STORE_KEY_OTHER_HASH };
/* Makes the first tenant when there is none, and its key with all scopes when the public id is not
 * known. `hash_hex`: 64 hex digits. */
enum store_outcome store_add_first_key(struct store *store, const char *public_id,
                                       const char *hash_hex, enum store_key *key_out,
                                       struct error *err);

/* From now on the database holds one tenant and one user, or any number. STORE_REFUSED: it holds
 * more now. */
enum store_outcome store_set_single_user(struct store *store, bool single, struct error *err);

#endif
