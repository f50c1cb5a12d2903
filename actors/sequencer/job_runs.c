/* Runs and their jobs: what the end of a run does to them, and the runs that are made for jobs, of a
 * detached one and of one that is tried again after the end of its run. See jobs.h. */
#include "sequencer/commands.h"

#include "runtime/base/memory.h"

#include <string.h>

static struct message_span empty_object(void)
{
    static const char text[] = "{}";
    return (struct message_span){(const uint8_t *)text, sizeof text - 1};
}

struct run *job_runs_make(struct sequencer *sequencer, const struct command *command,
                          const struct uuid *parent, const struct uuid *id,
                          const struct uuid *tenant)
{
    struct batch *batch = sequencer->batch;
    struct uuid none = {{0}};
    struct uuid run_id = id != NULL ? *id : uuid_new();
    struct run *run = runs_add(sequencer, &run_id, tenant, &none, 0, RUN_PENDING);
    struct message_create_run create = {
        .metadata = empty_object(), .created_by = command->actor, .started = empty_object()};
    memcpy(create.run, run_id.bytes, sizeof create.run);
    memcpy(create.tenant, tenant->bytes, sizeof create.tenant);
    memcpy(create.parent, parent->bytes, sizeof create.parent);
    struct buffer copy = {(uint8_t *)&create, sizeof create, sizeof create};
    run->batch_new = true;
    account_charge_run(run->account);
    batch_add_create(batch, run, (const void *)jobs_keep(batch, &copy).data, NULL);
    jobs_add_row(sequencer, run, EVENT_TYPE_RUN_STARTED, create.started, command);
    run->batch_status = RUN_RUNNING;
    return run;
}

/* ---- the end of a run ---- */

static void run_ends(struct sequencer *sequencer, struct job *job, struct run *run, bool ends)
{
    const struct job_now *now = jobs_now(sequencer, job);
    if (!job_rules_is_open(now) || !uuid_equal(&now->run, &run->id)) {
        return;
    }
    struct job_decision decision = job_rules_run_ends(now, ends);
    struct job_step step = {.reason = jobs_words(ends ? "run_ended" : "run_cancelled"),
                            .percent = -1};
    (void)jobs_apply(sequencer, job, run, &decision, &step);
}

void jobs_run_changes(struct sequencer *sequencer, struct run *run, enum event_type type)
{
    bool ends = event_type_is_terminal(type);
    if (run->jobs_open + run->batch_jobs == 0 ||
        (!ends && type != EVENT_TYPE_RUN_CANCEL_REQUESTED)) {
        return;
    }
    LIST_FOR_EACH(node, &run->jobs)
    {
        run_ends(sequencer, LIST_ENTRY(node, struct job, of_run), run, ends);
    }
    /* What the batch has made, or moved here; its entries may move in memory meanwhile. */
    for (size_t i = 0; i < sequencer->batch->jobs_count; i++) {
        run_ends(sequencer, sequencer->batch->jobs[i].job, run, ends);
    }
}

void jobs_run_end(struct sequencer *sequencer, struct run *run, enum event_type type,
                  const char *payload)
{
    if (status_is_closed(runs_status(run))) {
        return;
    }
    jobs_run_changes(sequencer, run, type); /* others may have put jobs on it */
    jobs_add_row(sequencer, run, type, jobs_words(payload), NULL);
    (void)status_next(run->batch_status, type, 0, &run->batch_status);
}

/* Whether the batch has ended the job that the run was made for. */
static bool has_done(const struct sequencer *sequencer, const struct run *run)
{
    for (size_t i = 0; i < sequencer->batch->jobs_count; i++) {
        const struct job_now *now = &sequencer->batch->jobs[i].now;
        if (now->detached && !job_rules_is_open(now) && uuid_equal(&now->run, &run->id)) {
            return true;
        }
    }
    return false;
}

void jobs_run_cancelling(struct sequencer *sequencer, struct command *command)
{
    struct run *run = command->run;
    if (runs_status(run) == RUN_CANCELLING && has_done(sequencer, run)) {
        jobs_run_end(sequencer, run, EVENT_TYPE_RUN_CANCELLED, JOBS_RUN_CANCELLED);
        command->result.status = RUN_CANCELLED;
        command->result.cancel_requested = false;
    }
}
