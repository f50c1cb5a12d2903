/* See migrations.h. */
#include "ops/cli/migrations.h"

#include "ops/cli/embedded_sql.h"
#include "runtime/base/memory.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void migration_list_deinit(struct migration_list *list)
{
    free(list->items);
    *list = (struct migration_list){0};
}

const char *migration_state_name(enum migration_state state)
{
    switch (state) {
    case MIGRATION_APPLIED:
        return "applied";
    case MIGRATION_PENDING:
        return "pending";
    case MIGRATION_CHANGED:
        return "changed";
    case MIGRATION_UNKNOWN:
        break;
    }
    return "unknown";
}

static void checksum_of(const char *text, char out[STORE_CHECKSUM_SIZE])
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const uint8_t *)text, strlen(text));
    sodium_bin2hex(out, STORE_CHECKSUM_SIZE, hash, sizeof hash);
}

static size_t embedded_count(void)
{
    size_t count = 0;
    while (embedded_migrations[count].version != 0) {
        count++;
    }
    return count;
}

/* Versions are dense from 1, so a version is its place. */
static const struct embedded_migration *embedded(int version)
{
    return version >= 1 && (size_t)version <= embedded_count() ? &embedded_migrations[version - 1]
                                                               : NULL;
}

static struct migration merge_applied(const struct store_migration *applied)
{
    struct migration item = {.version = applied->version};
    const struct embedded_migration *own = embedded(applied->version);
    char checksum[STORE_CHECKSUM_SIZE] = "";
    memcpy(item.name, applied->name, sizeof item.name);
    memcpy(item.applied_at, applied->applied_at, sizeof item.applied_at);
    if (own == NULL) {
        item.state = MIGRATION_UNKNOWN;
        return item;
    }
    checksum_of(own->up, checksum);
    item.state = strcmp(checksum, applied->checksum) == 0 ? MIGRATION_APPLIED : MIGRATION_CHANGED;
    return item;
}

static void merge(const struct store_migration *applied, size_t applied_count,
                  struct migration_list *list_out)
{
    size_t own = embedded_count();
    struct migration_list list = {.items = memory_array(own + applied_count, sizeof *list.items)};
    int last = 0;
    for (size_t i = 0; i < applied_count; i++) {
        list.items[list.count++] = merge_applied(&applied[i]);
        last = applied[i].version;
    }
    for (size_t i = 0; i < own; i++) {
        if (embedded_migrations[i].version > last) {
            struct migration *item = &list.items[list.count++];
            item->version = embedded_migrations[i].version;
            item->state = MIGRATION_PENDING;
            snprintf(item->name, sizeof item->name, "%s", embedded_migrations[i].name);
        }
    }
    *list_out = list;
}

static enum store_outcome read_list(struct store *store, struct migration_list *list_out,
                                    struct error *err)
{
    struct store_migration *applied = NULL;
    size_t count = 0;
    enum store_outcome outcome = store_applied(store, &applied, &count, err);
    if (outcome == STORE_OK) {
        merge(applied, count, list_out);
    }
    free(applied);
    return outcome;
}

/* The runner goes on only from a state that it understands. */
static enum store_outcome check_list(const struct migration_list *list, struct error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct migration *item = &list->items[i];
        if (item->state == MIGRATION_UNKNOWN) {
            error_set(err,
                      "the database has migration %04d_%s, which this program does not know: "
                      "it was migrated by a newer Signalbox",
                      item->version, item->name);
            return STORE_REFUSED;
        }
        if (item->state == MIGRATION_CHANGED) {
            error_set(err,
                      "migration %04d_%s is not the one that was applied to this database: "
                      "its text has changed",
                      item->version, item->name);
            return STORE_REFUSED;
        }
    }
    return STORE_OK;
}

enum store_outcome migrations_found(const struct store_target *target, struct buffer *statements,
                                    struct error *err)
{
    struct store *store = NULL;
    enum store_outcome outcome =
        store_open(target, target->embedded ? "postgres" : NULL, NULL, &store, err);
    if (outcome != STORE_OK) {
        return outcome;
    }
    if (target->embedded) {
        outcome = store_script(store, embedded_roles, err);
        outcome = outcome == STORE_OK ? store_make_database(store, err) : outcome;
    } else {
        outcome = store_make_roles(store, embedded_roles, statements, err);
    }
    store_close(&store);
    return outcome;
}

/* Open, alone, with a list that has been checked. */
static enum store_outcome begin(const struct migration_run *run, struct store **store_out,
                                struct migration_list *list_out, struct error *err)
{
    struct store *store = NULL;
    /* A dry run only reads, and must work before there is an owner. */
    enum store_outcome outcome =
        store_open(run->target, NULL, run->dry_run ? NULL : STORE_OWNER, &store, err);
    if (outcome != STORE_OK) {
        return outcome;
    }
    if (!run->dry_run) {
        outcome = store_lock_migrations(store, err);
        outcome = outcome == STORE_OK ? store_script(store, embedded_bookkeeping, err) : outcome;
    }
    outcome = outcome == STORE_OK ? read_list(store, list_out, err) : outcome;
    outcome = outcome == STORE_OK ? check_list(list_out, err) : outcome;
    if (outcome != STORE_OK) {
        migration_list_deinit(list_out);
        store_close(&store);
        return outcome;
    }
    *store_out = store;
    return STORE_OK;
}

enum store_outcome migrations_list(const struct store_target *target,
                                   struct migration_list *list_out, struct error *err)
{
    struct store *store = NULL;
    enum store_outcome outcome = store_open(target, NULL, NULL, &store, err);
    if (outcome == STORE_OK) {
        outcome = read_list(store, list_out, err);
        store_close(&store);
    }
    return outcome;
}

static void tell(const struct migration_run *run, const char *direction,
                 const struct embedded_migration *migration)
{
    if (run->step != NULL) {
        run->step(run->arg, direction, migration->version, migration->name);
    }
}

static enum store_outcome step_up(const struct migration_run *run, struct store *store,
                                  const struct embedded_migration *migration, struct error *err)
{
    char checksum[STORE_CHECKSUM_SIZE];
    checksum_of(migration->up, checksum);
    tell(run, "up", migration);
    return run->dry_run ? STORE_OK
                        : store_apply(store, migration->up, migration->version, migration->name,
                                      checksum, err);
}

static enum store_outcome step_down(const struct migration_run *run, struct store *store,
                                    const struct embedded_migration *migration, struct error *err)
{
    tell(run, "down", migration);
    return run->dry_run ? STORE_OK : store_revert(store, migration->down, migration->version, err);
}

static enum store_outcome named(enum store_outcome outcome,
                                const struct embedded_migration *migration, struct error *err)
{
    if (outcome == STORE_REFUSED) {
        error_prefix(err, "migration %04d_%s", migration->version, migration->name);
    }
    return outcome;
}

enum store_outcome migrations_up(const struct migration_run *run, struct error *err)
{
    struct store *store = NULL;
    struct migration_list list = {0};
    enum store_outcome outcome = begin(run, &store, &list, err);
    for (size_t i = 0; outcome == STORE_OK && i < list.count; i++) {
        const struct embedded_migration *migration = embedded(list.items[i].version);
        if (list.items[i].state == MIGRATION_PENDING) {
            outcome = named(step_up(run, store, migration, err), migration, err);
        }
    }
    migration_list_deinit(&list);
    store_close(&store);
    return outcome;
}

enum store_outcome migrations_down(const struct migration_run *run, int count, struct error *err)
{
    struct store *store = NULL;
    struct migration_list list = {0};
    enum store_outcome outcome = begin(run, &store, &list, err);
    for (size_t i = list.count; outcome == STORE_OK && i > 0 && count > 0; i--) {
        const struct embedded_migration *migration = embedded(list.items[i - 1].version);
        if (list.items[i - 1].state == MIGRATION_APPLIED) {
            outcome = named(step_down(run, store, migration, err), migration, err);
            count--;
        }
    }
    migration_list_deinit(&list);
    store_close(&store);
    return outcome;
}
