/*
 * Idempotent producers: a Producer-Id numbers its appends to a run from 0 within an epoch, so that
 * an append sent twice is stored once, however long ago the first one was.
 *
 * An append of a producer carries an implicit idempotency key made of id, epoch and number; the
 * answer to a duplicate comes from there, like that of a repeated client key. Where a producer
 * stands (run_producers) is kept in memory for those in use, and moves in the statement of its
 * batch.
 */
#ifndef SIGNALBOX_SEQUENCER_PRODUCERS_H
#define SIGNALBOX_SEQUENCER_PRODUCERS_H

#include "sequencer/producer.h"
#include "runtime/base/list.h"
#include "runtime/base/map.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct command;
struct db_params;
struct producer;
struct sequencer;
struct uuid;

/* The producers in memory. Zero-initialised and then producers_init()ed is empty. */
struct producers {
    struct map by_hash;  /* struct producer by hash of run and id, owned */
    struct list by_use;  /* least recently used first */
    struct list touched; /* those that the batch under way moves */
    size_t touched_count;
};

void producers_init(struct producers *producers);
/* Forgets all of them. */
void producers_clear(struct producers *producers);

/* An APPEND with a Producer-Id. */
bool producers_concern(const struct command *command);
/* After decoding an APPEND with a producer: gives it its implicit key, in place of any other. None
 * when id or numbers are beyond what can be stored: it will be refused. */
void producers_adopt(struct command *command);
/* Whether the table must be asked before this command can be judged. */
bool producers_need_lookup(struct sequencer *sequencer, const struct command *command);
/* Judges the append of a producer against the batch under way. True: it stores nothing, and its
 * result is set. A run that is closed answers duplicates only. */
bool producers_settle(struct sequencer *sequencer, struct command *command, bool closed);
/* The append was accepted into the batch under way. */
void producers_advance(struct sequencer *sequencer, const struct command *command);
/* The batch has committed; or it was dropped. */
void producers_commit(struct sequencer *sequencer);
void producers_drop(struct sequencer *sequencer);
/* The seven array parameters of record_producers (migrations/0006) behind shard and epoch. */
void producers_params(const struct sequencer *sequencer, struct db_params *params);

/* What a look-up found of a producer; kept only if it is not in memory yet. */
void producers_found(struct producers *producers, const struct uuid *run, const char *id,
                     size_t id_length, const struct producer_state *state);
/* Frees the least recently used down to the limit; not while a look-up is under way. */
void producers_evict(struct sequencer *sequencer);

#endif
