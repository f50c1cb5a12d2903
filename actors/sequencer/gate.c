/*
 * Starts that depend on other runs: strategies of a thread, places of a concurrency key. Such a
 * command needs the table as of now, not as of when it was queued: nothing is filled in before it,
 * and with no batch under way one query shows all there is. See commands.h.
 */
#include "sequencer/commands.h"
#include "sequencer/store.h"

#include "runtime/base/fault.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* The end of the year 9999: later than any run. */
static const int64_t gate_latest_us = INT64_C(253402300799000000);

void gate_destroy(struct gate **gate)
{
    if (*gate != NULL) {
        for (size_t i = 0; i < (*gate)->count; i++) {
            (*gate)->others[i]->users--;
        }
        free(*gate);
        *gate = NULL;
    }
}

bool gate_is_needed(const struct sequencer *sequencer, const struct command *command)
{
    return command->gate == NULL && !command->recovered && command->kind->gate != NULL &&
           command->kind->gate(sequencer, command).needed;
}

static struct run *find_other(struct sequencer *sequencer, const struct uuid *tenant,
                              const struct db_result *result, int row)
{
    struct uuid id;
    db_uuid(result, row, 1, &id);
    struct run *run = runs_get(sequencer, &id);
    if (run == NULL) {
        struct uuid thread = runs_stored_thread(result, row, 6);
        run = runs_add(sequencer, &id, tenant, &thread, db_int8(result, row, 2),
                       runs_stored_status(result, row, 3));
        runs_load(run, result, row, 4, 5, 7);
    }
    return run;
}

static void on_looked(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    struct command *command = sequencer->gate_command;
    if (--sequencer->gates_asked > 0 || command == NULL) {
        return; /* dropped meanwhile; the last query is the next one's */
    }
    sequencer->gate_command = NULL;
    event_active(sequencer->work, EV_TIMEOUT, 0);
    if (status != DB_OK) {
        if (status == DB_REFUSED) {
            LOG_ERROR("gate query refused", LOG_TEXT("error", db_message(result)));
            db_reset(sequencer->reader);
        }
        return; /* asked again */
    }
    size_t count = db_is_null(result, 0, 1) ? 0 : (size_t)db_rows(result);
    struct gate *gate = memory_new(sizeof *gate + count * sizeof *gate->others);
    gate->taken = db_int8(result, 0, 0);
    for (size_t i = 0; i < count; i++) {
        struct run *other = find_other(sequencer, &command->tenant, result, (int)i);
        if (other != command->run) {
            other->users++;
            gate->others[gate->count++] = other;
        }
    }
    command->gate = gate;
    SB_FAULT("sequencer_gate_looked");
}

void gate_look(struct sequencer *sequencer, struct command *command)
{
    struct gate_question question = command->kind->gate(sequencer, command);
    struct db_params params = {0};
    if (sequencer->gate_command == command || !db_is_connected(sequencer->reader)) {
        return;
    }
    db_param_uuid(&params, &command->tenant);
    db_param_uuid(&params, &question.thread);
    db_param_text(&params, (const char *)question.group.data, question.group.length);
    db_param_timestamptz(&params, question.created_us > 0 ? question.created_us : gate_latest_us);
    sequencer->gate_command = command;
    sequencer->gates_asked++;
    db_query(sequencer->reader, &store_statements[STORE_GATE], &params, on_looked, sequencer);
    db_params_deinit(&params);
}

/* An event of the server in another run than the command's. */
static void add_event(struct sequencer *sequencer, const struct command *command, struct run *run,
                      enum event_type type, const char *payload)
{
    batch_join(sequencer->batch, run);
    sequencer->batch->lifecycle = true;
    jobs_run_changes(sequencer, run, type);
    batch_add_row(sequencer->batch, run, type,
                  (struct message_span){(const uint8_t *)payload, strlen(payload)}, command);
    (void)status_next(run->batch_status, type, runs_questions(run)->count, &run->batch_status);
}

/* The runs before it are asked to end; what has not begun ends at once. */
static void interrupt(struct sequencer *sequencer, const struct command *command, struct run *run)
{
    enum run_status status = runs_status(run);
    if (status == RUN_PENDING) {
        add_event(sequencer, command, run, EVENT_TYPE_RUN_CANCELLED,
                  "{\"reason\":\"interrupted by a later run of the thread\"}");
    } else if (status == RUN_RUNNING || status == RUN_INTERRUPTED) {
        add_event(sequencer, command, run, EVENT_TYPE_RUN_CANCEL_REQUESTED,
                  "{\"reason\":\"interrupted by a later run of the thread\",\"by\":\"server\"}");
    }
}

static void roll_back(struct sequencer *sequencer, const struct command *command, struct run *run)
{
    if (!status_is_closed(runs_status(run))) {
        add_event(sequencer, command, run, EVENT_TYPE_RUN_CANCELLED,
                  "{\"reason\":\"rolled back by a later run of the thread\"}");
    }
}

static bool is_busy(const struct gate *gate)
{
    for (size_t i = 0; i < gate->count; i++) {
        if (!status_is_closed(runs_status(gate->others[i]))) {
            return true;
        }
    }
    return false;
}

enum gate_answer gate_pass(struct sequencer *sequencer, const struct command *command,
                           const struct gate_question *question)
{
    const struct gate *gate = command->gate;
    bool waits = question->group.length > 0 && gate->taken >= question->limit;
    sequencer->batch->gated = true;
    switch ((enum multitask_strategy)question->strategy) {
    case MULTITASK_NONE:
        break;
    case MULTITASK_REJECT:
        if (question->created_us == 0 && is_busy(gate)) {
            return GATE_BUSY;
        }
        break;
    case MULTITASK_ENQUEUE:
        waits = waits || is_busy(gate);
        break;
    case MULTITASK_INTERRUPT:
        for (size_t i = 0; i < gate->count && !question->delayed; i++) {
            interrupt(sequencer, command, gate->others[i]);
        }
        waits = waits || is_busy(gate);
        break;
    case MULTITASK_ROLLBACK:
        for (size_t i = 0; i < gate->count && !question->delayed; i++) {
            roll_back(sequencer, command, gate->others[i]);
        }
        break;
    }
    return waits || question->delayed ? GATE_WAIT : GATE_START;
}
