/* Heads of runs in memory (a bounded cache of committed state) and the recent client keys. See
 * sequencer.h. */
#include "runtime/base/clock.h"
#include "runtime/base/memory.h"
#include "sequencer/sequencer.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct run *runs_get(const struct sequencer *sequencer, const struct uuid *id)
{
    return map_get(&sequencer->runs, id);
}

/* Its last sign of life is known here only. */
static bool is_touched(const struct run *run)
{
    return run->liveness_ms > 0 && !status_is_closed(run->status) &&
           run->touched_us + run->liveness_ms * 1000 > clock_real_us();
}

void runs_evict(struct sequencer *sequencer)
{
    size_t limit = (size_t)settings_int(sequencer->actor->settings, SETTING_SEQUENCER_RUNS_CACHED);
    /* A queued command that was told "no such run" learns from memory alone that one before it has
     * made it: such a run must outlive a whole queue, like the keys. */
    limit = limit < sequencer->key_capacity ? sequencer->key_capacity : limit;
    /* While a resolve query is under way its answer may be older than what would be forgotten here.
     */
    if (sequencer->resolving > 0 || sequencer->timers.asking > 0 || sequencer->gates_asked > 0 ||
        sequencer->jobs.held || sequencer->runs.count <= limit) {
        return;
    }
    LIST_FOR_EACH(node, &sequencer->runs_by_use)
    {
        struct run *run = LIST_ENTRY(node, struct run, node);
        if (sequencer->runs.count <= limit) {
            return;
        }
        if (run->users == 0 && run->batch_head == 0 && !is_touched(run)) {
            runs_remove(sequencer, run);
        }
    }
}

struct run *runs_add(struct sequencer *sequencer, const struct uuid *id, const struct uuid *tenant,
                     const struct uuid *thread, int64_t last_seq, enum run_status status)
{
    struct run *run = memory_new(sizeof *run);
    run->id = *id;
    run->tenant = *tenant;
    run->account = accounts_get(&sequencer->quotas.accounts, tenant);
    run->thread = *thread;
    run->last_seq = last_seq;
    run->status = status;
    list_init(&run->node);
    list_init(&run->jobs);
    list_append(&sequencer->runs_by_use, &run->node);
    void *old = map_put(&sequencer->runs, id, run);
    assert(old == NULL);
    return run;
}

void runs_remove(struct sequencer *sequencer, struct run *run)
{
    assert(run->users == 0);
    jobs_unlink_all(run);
    map_remove(&sequencer->runs, &run->id);
    list_remove(&run->node);
    free(run->questions);
    free(run->batch_questions);
    free(run);
}

enum run_status runs_stored_status(const struct db_result *result, int row, int column)
{
    size_t length;
    enum run_status status = RUN_PENDING;
    const char *name = db_bytes(result, row, column, &length);
    int found = status_find(name, length, &status);
    assert(found == 0); /* the database's own enum */
    return status;
}

struct uuid runs_stored_thread(const struct db_result *result, int row, int column)
{
    struct uuid thread = {{0}};
    if (!db_is_null(result, row, column)) {
        db_uuid(result, row, column, &thread);
    }
    return thread;
}

void runs_load(struct run *run, const struct db_result *result, int row, int liveness, int open,
               int jobs)
{
    run->jobs_open = db_int8(result, row, jobs);
    run->liveness_ms = db_is_null(result, row, liveness) ? 0 : db_int8(result, row, liveness);
    runs_load_questions(run, result, row, open);
}

void runs_load_questions(struct run *run, const struct db_result *result, int row, int open)
{
    size_t length;
    if (!db_is_null(result, row, open)) {
        const char *hashes = db_bytes(result, row, open, &length);
        run->questions = memory_new(sizeof *run->questions);
        questions_load(run->questions, hashes, length);
    }
}

int64_t runs_seq(const struct run *run)
{
    return run->batch_head > 0 ? run->batch_seq : run->last_seq;
}

enum run_status runs_status(const struct run *run)
{
    return run->batch_head > 0 ? run->batch_status : run->status;
}

const struct questions *runs_questions(const struct run *run)
{
    static const struct questions none;
    const struct questions *questions =
        run->batch_questions != NULL ? run->batch_questions : run->questions;
    return questions != NULL ? questions : &none;
}

const struct uuid *runs_resumed(const struct run *run)
{
    return uuid_is_nil(&run->batch_resumed) ? &run->resumed : &run->batch_resumed;
}

void runs_clear(struct sequencer *sequencer)
{
    struct list *first;
    while ((first = list_first(&sequencer->runs_by_use)) != NULL) {
        runs_remove(sequencer, LIST_ENTRY(first, struct run, node));
    }
    keys_drop_to(sequencer, 0);
}

struct uuid keys_hash(enum key_scope scope, const struct uuid *id, struct message_span key)
{
    struct uuid hash;
    crypto_generichash_state state;
    /* A run may have the id of a tenant: their keys are still different ones. */
    uint8_t kind = (uint8_t)scope;
    crypto_generichash_init(&state, NULL, 0, sizeof hash.bytes);
    crypto_generichash_update(&state, &kind, sizeof kind);
    crypto_generichash_update(&state, id->bytes, sizeof id->bytes);
    crypto_generichash_update(&state, key.data, key.length);
    crypto_generichash_final(&state, hash.bytes, sizeof hash.bytes);
    return hash;
}

const struct key_entry *keys_get(const struct sequencer *sequencer, const struct uuid *hash)
{
    return map_get(&sequencer->keys, hash);
}

/* The entry in the ring's slot, if the map still points to it. */
static void release_slot(struct sequencer *sequencer, struct key_entry *slot)
{
    if (map_get(&sequencer->keys, &slot->hash) == slot) {
        map_remove(&sequencer->keys, &slot->hash);
    }
}

void keys_add(struct sequencer *sequencer, const struct key_entry *entry)
{
    struct key_entry *slot = &sequencer->key_ring[sequencer->keys_count % sequencer->key_capacity];
    if (sequencer->keys_count >= sequencer->key_capacity) {
        release_slot(sequencer, slot);
    }
    *slot = *entry;
    map_put(&sequencer->keys, &slot->hash, slot);
    sequencer->keys_count++;
}

void keys_drop_to(struct sequencer *sequencer, size_t count)
{
    size_t oldest = sequencer->keys_count > sequencer->key_capacity
                        ? sequencer->keys_count - sequencer->key_capacity
                        : 0;
    while (sequencer->keys_count > count && sequencer->keys_count > oldest) {
        sequencer->keys_count--;
        release_slot(sequencer,
                     &sequencer->key_ring[sequencer->keys_count % sequencer->key_capacity]);
    }
    if (count == 0) {
        sequencer->keys_count = 0;
    }
}
