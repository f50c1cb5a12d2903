/*
 * PRUNE: one step of forgetting what has ended long ago. The database does it in one statement of its
 * own (prune_jobs, prune_runs, migrations/0016), between two batches, like a fork; what went leaves
 * this memory too. Bounded, because everybody waits. Done again it finds nothing more to do.
 */
#include "sequencer/commands.h"
#include "sequencer/jobs.h"
#include "sequencer/store.h"

#include "proto/job.h"
#include "runtime/base/log.h"

#include <string.h>

enum { STEP_MAX = 1000, STEP_EVENTS = 10000 };

/* Columns of STORE_PRUNE_JOBS and STORE_PRUNE_RUNS. */
enum { PRUNE_LAST, PRUNE_LAST_RUN, PRUNE_MORE, PRUNE_GONE_RUNS, PRUNE_GONE_JOBS, PRUNE_EVENTS };

bool prune_decode(struct command *command, struct message_header *header)
{
    struct message_prune *prune = &command->message.prune;
    if (message_prune_decode(command->frame, command->length, header, prune) != 0 ||
        (prune->what != PRUNE_JOBS && prune->what != PRUNE_RUNS) || prune->max < 1 ||
        prune->max > STEP_MAX || prune->actor.length == 0) {
        return false;
    }
    commands_address(command, prune->origin, prune->tenant, prune->run);
    command->actor = prune->actor;
    return true;
}

bool prune_is_needed(const struct command *command)
{
    return command->kind->type == MESSAGE_PRUNE && !command->forked;
}

/* The database has done it already, or said why not. */
void prune_evaluate(struct sequencer *sequencer, struct command *command)
{
    (void)sequencer;
    (void)command;
}

/* ---- what came back ---- */

/* What a queued command points to stays until that has been answered: an ended run or job, which
 * takes nothing. */
static void forget_run(struct sequencer *sequencer, const struct uuid *id)
{
    struct run *run = runs_get(sequencer, id);
    if (run != NULL && run->users == 0 && run->batch_head == 0) {
        runs_remove(sequencer, run);
    }
}

static void forget_job(struct sequencer *sequencer, const struct uuid *id)
{
    struct job *job = jobs_get(sequencer, id);
    if (job == NULL) {
        return;
    }
    if (job->users == 0 && job->batch_job == 0) {
        jobs_forget(sequencer, job);
    } else {
        job->pruned = true;
    }
}

static uint64_t uuids(const struct db_result *result, int column)
{
    size_t length = 0;
    if (!db_is_null(result, 0, column)) {
        (void)db_bytes(result, 0, column, &length);
    }
    return length / sizeof(struct uuid);
}

/* Calls back for each of the uuids in the first row's bytes; returns how many. */
static uint64_t each_uuid(struct sequencer *sequencer, const struct db_result *result, int column,
                          void (*each)(struct sequencer *sequencer, const struct uuid *id))
{
    uint64_t count = uuids(result, column);
    size_t length;
    const char *bytes = count == 0 ? NULL : db_bytes(result, 0, column, &length);
    for (size_t i = 0; i < count; i++) {
        struct uuid id;
        memcpy(id.bytes, bytes + i * sizeof id.bytes, sizeof id.bytes);
        each(sequencer, &id);
    }
    return count;
}

static void answered(struct sequencer *sequencer, struct command *command,
                     const struct db_result *result)
{
    const struct message_prune *prune = &command->message.prune;
    struct message_result *answer = &command->result;
    struct uuid run = {{0}};
    *answer = (struct message_result){.outcome = OUTCOME_OK,
                                      .status = RUN_FINISHED,
                                      .last_seq = (uint64_t)db_int8(result, 0, PRUNE_LAST),
                                      .expected = db_bool(result, 0, PRUNE_MORE),
                                      .quota_used = (uint64_t)db_int8(result, 0, PRUNE_EVENTS)};
    if (!db_is_null(result, 0, PRUNE_LAST_RUN)) {
        db_uuid(result, 0, PRUNE_LAST_RUN, &run);
    }
    memcpy(answer->run, run.bytes, sizeof answer->run);
    if (prune->dry) {
        answer->first_seq =
            uuids(result, prune->what == PRUNE_RUNS ? PRUNE_GONE_RUNS : PRUNE_GONE_JOBS);
    } else {
        uint64_t jobs = each_uuid(sequencer, result, PRUNE_GONE_JOBS, forget_job);
        uint64_t runs = each_uuid(sequencer, result, PRUNE_GONE_RUNS, forget_run);
        answer->first_seq = prune->what == PRUNE_RUNS ? runs : jobs;
        LOG_INFO("pruned", LOG_UUID("tenant_id", &command->tenant), LOG_INT("jobs", jobs),
                 LOG_INT("runs", runs), LOG_INT("events", answer->quota_used));
        if (jobs + runs > 0) {
            sequencer->resolving_epoch = 0; /* what is being looked up may have seen it */
        }
    }
}

/* ---- what is asked ---- */

static void put_time(struct db_params *params, int64_t real_us)
{
    if (real_us <= 0) {
        db_param_null(params);
    } else {
        db_param_timestamptz(params, real_us);
    }
}

static void put_range(struct db_params *params, const struct message_prune *prune)
{
    struct uuid after;
    memcpy(after.bytes, prune->after_run, sizeof after.bytes);
    if (prune->what == PRUNE_RUNS) {
        db_param_timestamptz(params, prune->after);
        db_param_uuid(params, &after);
        put_time(params, prune->success_before);
        db_param_int4(params, (int32_t)prune->max);
        db_param_int8(params, STEP_EVENTS);
    } else {
        db_param_int8(params, prune->after);
        put_time(params, prune->success_before);
        put_time(params, prune->error_before);
        db_param_int4(params, (int32_t)prune->max);
    }
}

void prune_start(struct sequencer *sequencer, struct command *command)
{
    const struct message_prune *prune = &command->message.prune;
    struct db_params params = {0};
    if (!lone_is_free(sequencer)) {
        return;
    }
    db_param_int4(&params, SEQUENCER_SHARD);
    db_param_int8(&params, (int64_t)sequencer->epoch);
    db_param_uuid(&params, &command->tenant);
    put_range(&params, prune);
    db_param_bool(&params, prune->dry);
    db_param_text(&params, (const char *)prune->actor.data, prune->actor.length);
    db_param_text(&params, prune->object.length == 0 ? "" : (const char *)prune->object.data,
                  prune->object.length);
    lone_send(sequencer, command, prune->what == PRUNE_RUNS ? STORE_PRUNE_RUNS : STORE_PRUNE_JOBS,
              &params, answered);
    db_params_deinit(&params);
}
