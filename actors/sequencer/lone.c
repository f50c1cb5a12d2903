/*
 * Statements of their own between two batches (FORK_RUN, PRUNE): everybody waits for them, they see
 * everything before them, and their command is answered in its turn by the next batch. One at a time:
 * that of the command at the head of the queue.
 */
#include "sequencer/commands.h"
#include "sequencer/store.h"

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/metrics.h"

#include <string.h>

bool lone_is_free(const struct sequencer *sequencer)
{
    return sequencer->lone.command == NULL;
}

/* The first failures, and then ever more seldom: it may be tried for hours. */
static void log_failure(const struct sequencer *sequencer, const struct command *command,
                        const struct db_result *result, enum stuck_step step)
{
    unsigned failures = sequencer->stuck.failures;
    if (step != STUCK_AGAIN || (failures & (failures - 1)) == 0) {
        LOG_ERROR(step == STUCK_AGAIN ? "command is tried again" : "command refused",
                  LOG_TEXT("command", message_name(command->kind->type)),
                  LOG_TEXT("sqlstate", db_sqlstate(result)), LOG_TEXT("error", db_message(result)));
    }
}

/* Rolled back. */
static void refused(struct sequencer *sequencer, struct command *command,
                    const struct db_result *result)
{
    const char *state = db_sqlstate(result);
    if (strcmp(state, "SB001") == 0) {
        sequencer_fenced(sequencer);
        return;
    }
    /* 57014: it took longer than a statement may, and would again while everybody waits. */
    enum stuck_step step = stuck_is_data(state) || strcmp(state, "57014") == 0
                               ? STUCK_REFUSE
                               : stuck_failed(&sequencer->stuck, state, 1, clock_monotonic_ms());
    log_failure(sequencer, command, result, step);
    if (step == STUCK_AGAIN) {
        metric_add(METRIC_BATCHES_FAILED, 1);
        metric_set(METRIC_WRITES_BLOCKED, sequencer->stuck.blocked ? 1 : 0);
        db_reset(sequencer->writer); /* everything is forgotten, and asked again */
        return;
    }
    commands_refuse(command, OUTCOME_REFUSED);
    command->forked = true;
}

static void done(struct sequencer *sequencer, struct command *command,
                 const struct db_result *result)
{
    if (sequencer->stuck.blocked) {
        stuck_committed(&sequencer->stuck, clock_monotonic_ms());
        metric_set(METRIC_WRITES_BLOCKED, 0);
    }
    sequencer->lone.answered(sequencer, command, result);
    command->forked = true;
}

static void on_done(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    struct command *command = sequencer->lone.command;
    sequencer->lone.command = NULL;
    if (command == NULL) {
        return; /* dropped meanwhile */
    }
    switch (status) {
    case DB_OK:
        done(sequencer, command, result);
        break;
    case DB_REFUSED:
        refused(sequencer, command, result);
        break;
    case DB_LOST:
        sequencer_lost(sequencer);
        return;
    }
    event_active(sequencer->work, EV_TIMEOUT, 0);
}

void lone_send(struct sequencer *sequencer, struct command *command, int statement,
               const struct db_params *params, lone_answered_fn *answered)
{
    sequencer->lone.command = command;
    sequencer->lone.answered = answered;
    db_query(sequencer->writer, &store_statements[statement], params, on_done, sequencer);
}
