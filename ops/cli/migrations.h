/*
 * The migration runner: what is compiled in against what the database has. One at a time (an
 * advisory lock), each in a transaction of its own, and a file that changed after it was applied is
 * refused.
 */
#ifndef SIGNALBOX_CLI_MIGRATIONS_H
#define SIGNALBOX_CLI_MIGRATIONS_H

#include "ops/cli/store.h"

enum migration_state {
    MIGRATION_APPLIED,
    MIGRATION_PENDING,
    MIGRATION_CHANGED, /* applied, but the text was another then */
    MIGRATION_UNKNOWN  /* applied by a newer program */
};

struct migration {
    int version;
    char name[STORE_NAME_SIZE];
    enum migration_state state;
    char applied_at[STORE_TIME_SIZE]; /* empty: pending */
};

struct migration_list {
    struct migration *items; /* owned, by version */
    size_t count;
};

void migration_list_deinit(struct migration_list *list);
const char *migration_state_name(enum migration_state state);

/* Told about each step, before it is done. */
typedef void migration_step_fn(void *arg, const char *direction, int version, const char *name);

struct migration_run {
    const struct store_target *target;
    bool dry_run;
    migration_step_fn *step; /* may be NULL */
    void *arg;
};

/* Roles and, in the embedded server, the database; run before anything else. See
 * store_make_roles about `statements`. */
enum store_outcome migrations_found(const struct store_target *target, struct buffer *statements,
                                    struct error *err);
enum store_outcome migrations_list(const struct store_target *target,
                                   struct migration_list *list_out, struct error *err);
enum store_outcome migrations_up(const struct migration_run *run, struct error *err);
/* Takes back the last `count`. */
enum store_outcome migrations_down(const struct migration_run *run, int count, struct error *err);

#endif
