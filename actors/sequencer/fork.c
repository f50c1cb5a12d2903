/*
 * FORK_RUN: a new run that begins with the first events of another. The database copies them in one
 * statement of its own (fork_run, migrations/0006), between two batches: it sees everything before
 * it, and judges by the table alone. How much it may copy is limited, because everybody waits.
 *
 * The copies are not sent over the event bus: nobody watches a run before it is there, and feeds
 * take them for a lost frame, which they read from the table.
 */
#include "sequencer/commands.h"
#include "sequencer/store.h"

#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/log.h"
#include "runtime/base/metrics.h"

#include <assert.h>
#include <string.h>

/* Columns of STORE_FORK. */
enum {
    FORK_OUTCOME,
    FORK_RUN,
    FORK_LAST_SEQ,
    FORK_STATUS,
    FORK_LIMITED,
    FORK_OPEN,
    FORK_WAKE_AT,
    FORK_THREAD
};

bool fork_decode(struct command *command, struct message_header *header)
{
    struct message_fork_run *fork = &command->message.fork;
    if (message_fork_run_decode(command->frame, command->length, header, fork) != 0) {
        return false;
    }
    commands_address(command, fork->origin, fork->tenant, fork->run);
    commands_key(command, KEY_OF_TENANT, fork->key, fork->hash);
    command->actor = fork->created_by;
    return true;
}

bool fork_is_needed(const struct command *command)
{
    return command->kind->type == MESSAGE_FORK_RUN && !command->recovered && !command->forked;
}

/* The database has done it already, or said why not; or it had been done before. */
void fork_evaluate(struct sequencer *sequencer, struct command *command)
{
    (void)sequencer;
    (void)command;
}

/* ---- what came back ---- */

struct fork_answer {
    const char *name; /* as fork_run says it */
    enum command_outcome outcome;
    bool duplicate;
};

static struct fork_answer answer_of(const struct db_result *result)
{
    static const struct fork_answer answers[] = {
        {"ok", OUTCOME_OK, false},
        {"duplicate", OUTCOME_OK, true},
        {"exists", OUTCOME_EXISTS, false},
        {"id_taken", OUTCOME_ID_TAKEN, false},
        {"key_mismatch", OUTCOME_KEY_MISMATCH, false},
        {"not_found", OUTCOME_NOT_FOUND, false},
        {"beyond", OUTCOME_SEQ_BEYOND_HEAD, false},
        {"quota", OUTCOME_QUOTA, false},
    };
    size_t length;
    const char *name = db_bytes(result, 0, FORK_OUTCOME, &length);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        if (strlen(answers[i].name) == length && memcmp(answers[i].name, name, length) == 0) {
            return answers[i];
        }
    }
    assert(false); /* our own function */
    return (struct fork_answer){NULL, OUTCOME_REFUSED, false};
}

static void set_result(struct command *command, const struct db_result *result)
{
    struct uuid run;
    struct message_result *answer = &command->result;
    struct fork_answer found = answer_of(result);
    enum run_status status = runs_stored_status(result, 0, FORK_STATUS);
    db_uuid(result, 0, FORK_RUN, &run);
    *answer = (struct message_result){.outcome = found.outcome,
                                      .duplicate = found.duplicate,
                                      .last_seq = (uint64_t)db_int8(result, 0, FORK_LAST_SEQ),
                                      .status = status,
                                      .cancel_requested = status == RUN_CANCELLING,
                                      .expected = db_bool(result, 0, FORK_LIMITED) ? 1 : 0};
    memcpy(answer->run, run.bytes, sizeof answer->run);
    if (answer->outcome == OUTCOME_OK) {
        answer->first_seq = 1;
    }
}

static void add_run(struct sequencer *sequencer, struct command *command,
                    const struct db_result *result)
{
    struct uuid thread = runs_stored_thread(result, 0, FORK_THREAD);
    struct run *run =
        runs_add(sequencer, &command->run_id, &command->tenant, &thread,
                 (int64_t)command->result.last_seq, (enum run_status)command->result.status);
    runs_load_questions(run, result, 0, FORK_OPEN);
    run->users++;
    command->run = run;
    account_charge_run(run->account);
    accounts_commit(&sequencer->quotas.accounts);
}

/* It is in the log: everything in memory follows. */
static void done(struct sequencer *sequencer, struct command *command,
                 const struct db_result *result)
{
    int64_t events = (int64_t)command->result.last_seq;
    SB_FAULT("sequencer_fork_committed");
    add_run(sequencer, command, result);
    commands_remember_key(sequencer, command);
    if (!db_is_null(result, 0, FORK_WAKE_AT)) {
        timers_note(sequencer, db_timestamptz(result, 0, FORK_WAKE_AT));
    }
    sequencer->position += events;
    sequencer->published = sequencer->position;
    sequencer->counter++; /* a frame that never comes: whoever wants the copies reads them */
    publish_hint(sequencer);
    metric_add(METRIC_RUNS_STARTED, 1);
    LOG_INFO("run forked", LOG_UUID("run_id", &command->run_id), LOG_INT("events", events),
             LOG_INT("took_us", clock_real_us() - sequencer->lone.ts_us));
}

static void answered(struct sequencer *sequencer, struct command *command,
                     const struct db_result *result)
{
    set_result(command, result);
    if (command->result.outcome == OUTCOME_QUOTA) {
        (void)quota_admits(sequencer, command, 1, 0, 0); /* says which */
    }
    if (command->result.outcome == OUTCOME_OK && !command->result.duplicate) {
        done(sequencer, command, result);
    }
}

/* ---- what is asked ---- */

static void put_span_or_null(struct db_params *params, struct message_span span, bool as_text)
{
    if (span.length == 0) {
        db_param_null(params);
    } else if (as_text) {
        db_param_text(params, (const char *)span.data, span.length);
    } else {
        db_param_bytea(params, span.data, span.length);
    }
}

static void put_fork(struct db_params *params, const struct command *command)
{
    const struct message_fork_run *fork = &command->message.fork;
    struct uuid source;
    memcpy(source.bytes, fork->source, sizeof source.bytes);
    db_param_uuid(params, &command->tenant);
    db_param_uuid(params, &command->run_id);
    db_param_uuid(params, &source);
    db_param_int8(params, fork->seq > INT32_MAX ? INT32_MAX : (int64_t)fork->seq);
    db_param_text(params, (const char *)fork->created_by.data, fork->created_by.length);
    put_span_or_null(params, command->key, true);
    put_span_or_null(params, command->hash, false);
    db_param_int8(params, (int64_t)command->sender);
    db_param_int8(params, (int64_t)command->number);
}

void fork_start(struct sequencer *sequencer, struct command *command)
{
    const struct settings *settings = sequencer->actor->settings;
    const struct account *account = accounts_get(&sequencer->quotas.accounts, &command->tenant);
    struct db_params params = {0};
    if (!lone_is_free(sequencer)) {
        return;
    }
    int64_t now_us = clock_real_us();
    sequencer->lone.ts_us = now_us > sequencer->last_ts_us ? now_us : sequencer->last_ts_us + 1;
    sequencer->last_ts_us = sequencer->lone.ts_us;
    db_param_int4(&params, SEQUENCER_SHARD);
    db_param_int8(&params, (int64_t)sequencer->epoch);
    db_param_int8(&params, sequencer->position);
    db_param_timestamptz(&params, sequencer->lone.ts_us);
    db_param_int8(&params, settings_int(settings, SETTING_RUNS_CANCEL_DEADLINE_MS));
    put_fork(&params, command);
    db_param_bool(&params, quota_admits(sequencer, command, 1, 0, 0));
    db_param_int8(&params, account_usage(account).of[QUOTA_CONCURRENT_RUNS - 1] + 1);
    db_param_int8(&params, settings_int(settings, SETTING_RUNS_FORK_EVENTS_MAX));
    db_param_int8(&params, settings_int(settings, SETTING_RUNS_FORK_BYTES_MAX));
    SB_FAULT("sequencer_fork_before");
    lone_send(sequencer, command, STORE_FORK, &params, answered);
    db_params_deinit(&params);
    SB_FAULT("sequencer_fork_sent");
}
