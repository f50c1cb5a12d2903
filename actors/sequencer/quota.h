/*
 * Quotas of tenants: judged before a command is accepted, and their usage in the table.
 *
 * Usage is read when the shard is taken; from then on nobody but this process changes it, so memory
 * is exact, and tenant_usage moves in the statement of each batch. Limits are read again every few
 * seconds.
 */
#ifndef SIGNALBOX_SEQUENCER_QUOTA_H
#define SIGNALBOX_SEQUENCER_QUOTA_H

#include "sequencer/account.h"

struct command;
struct db_params;
struct sequencer;

struct quotas {
    struct accounts accounts;
    int64_t day;     /* since 1970: the latest that the table had when it was read */
    int64_t read_ms; /* when the limits were last asked for */
    bool reading;
};

/* While the shard is being taken, on the writing connection: usage and limits. */
void quota_load(struct sequencer *sequencer);
/* Once a second, on the reading connection: limits, when they are due. */
void quota_refresh(struct sequencer *sequencer);

/* Whether the tenant may have so many more runs, events and bytes; otherwise the command is refused
 * with OUTCOME_QUOTA. */
bool quota_admits(struct sequencer *sequencer, struct command *command, int64_t runs,
                  int64_t events, int64_t bytes);
/* The same for the events of an APPEND. The end of a run is always admitted: it makes room. */
bool quota_admits_append(struct sequencer *sequencer, struct command *command);
/* The six parameters of record_usage (migrations/0006) behind shard and epoch, for a batch of this
 * time. */
void quota_params(struct sequencer *sequencer, struct db_params *params, int64_t ts_us);

#endif
