/* Decisions about jobs become rows of the batch: events, and what the statement writes of the job.
 * See jobs.h. */
#include "sequencer/commands.h"
#include "sequencer/job_text.h"

#include "runtime/base/clock.h"
#include "runtime/base/fault.h"

#include <string.h>

struct message_span jobs_words(const char *text)
{
    return (struct message_span){(const uint8_t *)text, strlen(text)};
}

static int64_t add_event(struct sequencer *sequencer, struct run *run, const struct job_said *said,
                         const struct command *command)
{
    struct batch *batch = sequencer->batch;
    struct buffer text = {0};
    const struct job_decision *decision = said->decision;
    if (decision->event == EVENT_TYPE_JOB_QUEUED) {
        job_text_queued(&text, said->job, 0, 0);
    } else {
        job_text_event(&text, said);
    }
    jobs_add_row(sequencer, run, decision->event, jobs_keep(batch, &text), command);
    buffer_deinit(&text);
    if (decision->event != EVENT_TYPE_JOB_PROGRESS) { /* that one can be said again and again */
        jobs_remember_row(batch, said->job, decision->event_claim);
    }
    return run->batch_seq;
}

/* Children that the batch itself has made: the statement tells only those that were there before. */
static void tell_new_children(struct batch *batch, const struct job *parent, bool success)
{
    for (size_t i = 0; i < batch->deps_count; i++) {
        const struct batch_dep *dep = &batch->deps[i];
        if (dep->parent == parent && !dep->ended) {
            struct batch_job *child = jobs_join(batch, dep->child);
            batch->deps[i].ended = true;
            child->now.deps_left--;
            child->now.dep_failed = child->now.dep_failed ||
                                    (!success && dep->child->on_dep_fail != JOB_DEP_FAIL_CONTINUE);
        }
    }
}

static void finish(struct batch *batch, struct run *run, const struct job_said *said,
                   const struct job_step *step, int64_t seq)
{
    struct job *job = (struct job *)said->job;
    const struct job_decision *decision = said->decision;
    struct batch_job *entry = jobs_join(batch, job);
    struct buffer text = {0};
    bool success = decision->next.status == JOB_STATUS_SUCCESS;
    if (!entry->again) {
        entry->finished = true;
        entry->success = success;
    }
    entry->recorded = true;
    entry->finish_seq = seq;
    entry->partial = decision->partial;
    entry->result = success || decision->partial ? step->result : (struct message_span){NULL, 0};
    entry->class = decision->class;
    entry->error = (struct message_span){NULL, 0};
    if (decision->next.status == JOB_STATUS_ERROR) {
        job_text_error(&text, said);
        entry->error = jobs_keep(batch, &text);
        buffer_deinit(&text);
    }
    run->batch_jobs--;
    tell_new_children(batch, job, success);
}

/* The run that was made for the job ends with it. */
static void end_own_run(struct sequencer *sequencer, struct run *run,
                        const struct job_decision *decision, const struct command *command)
{
    enum job_status status = decision->next.status;
    enum event_type type = status == JOB_STATUS_SUCCESS ? EVENT_TYPE_RUN_FINISHED
                           : status == JOB_STATUS_ERROR ? EVENT_TYPE_RUN_FAILED
                                                        : EVENT_TYPE_RUN_CANCELLED;
    const char *payload = status == JOB_STATUS_SUCCESS ? "{}"
                          : status == JOB_STATUS_ERROR ? "{\"reason\":\"job_failed\"}"
                                                       : JOBS_RUN_CANCELLED;
    if (command != NULL) { /* else it is ending by itself, or about to be cancelled */
        jobs_run_end(sequencer, run, type, payload);
    }
}

static void begin_again(struct batch *batch, struct job *job, struct run *run, int64_t seq)
{
    struct batch_job *entry = jobs_join(batch, job);
    entry->again = true;
    entry->recorded = true;
    entry->finish_seq = 0;
    entry->queued_seq = uuid_equal(&job->now.run, &run->id) ? 0 : seq;
    entry->result = entry->error = (struct message_span){NULL, 0};
    entry->class = NULL;
    entry->partial = false;
    run->batch_jobs++;
}

int64_t jobs_apply(struct sequencer *sequencer, struct job *job, struct run *run,
                   const struct job_decision *decision, const struct job_step *step)
{
    struct batch *batch = sequencer->batch;
    struct job_said said = {.job = job,
                            .decision = decision,
                            .worker = decision->next.worker,
                            .reason = decision->reason != NULL ? jobs_words(decision->reason)
                                                               : step->reason,
                            .result = step->result,
                            .percent = step->percent};
    int64_t seq = decision->event != 0 ? add_event(sequencer, run, &said, step->command) : 0;
    SB_FAULT("sequencer_job_evaluated");
    if (decision->changes) {
        struct batch_job *entry = jobs_join(batch, job);
        entry->now = decision->next;
        if (decision->event == EVENT_TYPE_JOB_RETRYING) {
            entry->last_error = said.reason;
        }
        if (!job_rules_is_open(&decision->next)) {
            finish(batch, run, &said, step, seq);
            if (decision->next.detached) {
                end_own_run(sequencer, run, decision, step->command);
            }
        } else if (decision->event == EVENT_TYPE_JOB_QUEUED) {
            begin_again(batch, job, run, seq);
        }
    }
    return seq;
}
