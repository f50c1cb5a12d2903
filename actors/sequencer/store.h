/* Every statement of the sequencer, as a named table; tests prepare them one by one against the
 * migrated schema. */
#ifndef SIGNALBOX_SEQUENCER_STORE_H
#define SIGNALBOX_SEQUENCER_STORE_H

#include "runtime/db.h"

enum store_statement {
    STORE_ACQUIRE,
    STORE_RENEW,
    STORE_DURABILITY,
    STORE_ORIGINS,
    STORE_USAGE,
    STORE_QUOTAS,
    STORE_UNPUBLISHED,
    STORE_RESOLVE_HEADS,
    STORE_RESOLVE_KEYS,
    STORE_RESOLVE_CREATE_KEYS,
    STORE_RESOLVE_PRODUCERS,
    STORE_RESOLVE_LAST_ANSWERS,
    STORE_RESOLVE_QUESTIONS,
    STORE_RESOLVE_COMMANDS,
    STORE_RESOLVE_JOBS,
    STORE_RESOLVE_JOB_KEYS,
    STORE_RUN_JOBS,
    STORE_APPEND,
    STORE_APPEND_JOBS,
    STORE_CHANGE_JOBS,
    STORE_FORK,
    STORE_PRUNE_JOBS,
    STORE_PRUNE_RUNS,
    STORE_ADVANCE,
    STORE_DUE,
    STORE_RELEASE,
    STORE_RESCHEDULE,
    STORE_GATE,
    STORE_COUNT
};

extern const struct db_statement store_statements[STORE_COUNT];

#endif
