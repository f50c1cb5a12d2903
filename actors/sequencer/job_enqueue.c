/* ENQUEUE_JOBS: jobs on a run, or each in a run of its own; all or none. A known key is that job. See
 * jobs.h. */
#include "sequencer/commands.h"
#include "sequencer/job_text.h"

#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* What the message comes to. */
struct plan {
    struct map
        places;   /* names (key hashes and uuids) of its new jobs to 1 + their index, in `ends` */
    bool *is_new; /* owned, of each job */
    bool clash;   /* an id is another job's */
    size_t made;  /* new ones */
    size_t detached; /* of these */
    int64_t bytes;
};

static struct uuid uuid_of(const uint8_t bytes[16])
{
    struct uuid uuid;
    memcpy(uuid.bytes, bytes, sizeof uuid.bytes);
    return uuid;
}

static bool is_detached(const struct message_enqueue_jobs_job *wanted)
{
    struct uuid child = uuid_of(wanted->child);
    return !uuid_is_nil(&child);
}

static struct job *known_job(const struct sequencer *sequencer, const struct job_item *item)
{
    if (item->job != NULL) {
        return item->job;
    }
    return item->key.length > 0 ? jobs_get_by_key(sequencer, &item->name)
                                : jobs_get(sequencer, &item->name);
}

static void make_plan(struct plan *plan, const struct sequencer *sequencer,
                      const struct job_work *work)
{
    plan->is_new = memory_array(work->jobs_count, sizeof *plan->is_new);
    for (size_t i = 0; i < work->jobs_count; i++) {
        const struct job_item *item = &work->items[i];
        struct uuid job = uuid_of(work->jobs[i].job);
        if (known_job(sequencer, item) != NULL || map_get(&plan->places, &item->name) != NULL) {
            continue;
        }
        plan->is_new[i] = true;
        plan->clash = plan->clash || jobs_get(sequencer, &job) != NULL ||
                      map_get(&plan->places, &job) != NULL;
        plan->made++;
        if (is_detached(&work->jobs[i])) {
            struct uuid child = uuid_of(work->jobs[i].child);
            plan->clash = plan->clash || runs_get(sequencer, &child) != NULL ||
                          map_put(&plan->places, &child, (void *)&work->jobs[i]) != NULL;
            plan->detached++;
        }
        plan->bytes += (int64_t)(work->jobs[i].key.length + work->jobs[i].type.length + 128);
        map_put(&plan->places, &item->name, (void *)&work->jobs[i]);
        map_put(&plan->places, &job, (void *)&work->jobs[i]);
    }
}

/* ---- what stands against it ---- */

/* The message's own new job that the item names. A name may be in the plan as something else: hashes
 * of keys can be worked out by whoever asks, and ids of runs are no jobs. */
static const struct message_enqueue_jobs_job *own_job(const struct plan *plan,
                                                      const struct job_item *item)
{
    const struct message_enqueue_jobs_job *job = map_get(&plan->places, &item->name);
    bool same =
        job != NULL &&
        (item->key.length > 0 ? item->key.length == job->key.length &&
                                    memcmp(item->key.data, job->key.data, job->key.length) == 0
                              : memcmp(item->name.bytes, job->job, sizeof job->job) == 0);
    return same ? job : NULL;
}

/* Of the tenant, or one of the message's own. */
static bool parents_exist(const struct plan *plan, const struct sequencer *sequencer,
                          const struct command *command)
{
    const struct job_work *work = command->work;
    for (size_t i = 0; i < work->parents_count; i++) {
        const struct job_item *item = &work->items[work->jobs_count + i];
        const struct job *job = known_job(sequencer, item);
        bool own = job != NULL && uuid_equal(&job->tenant, &command->tenant);
        if (plan->is_new[work->parents[i].index] && !own && own_job(plan, item) == NULL) {
            return false;
        }
    }
    return true;
}

/* Whether no job of the message waits for itself through others of it: rounds of taking away those
 * whose parents have gone. Most messages name earlier jobs only, and need one. */
static bool parents_end(const struct plan *plan, const struct job_work *work)
{
    bool *gone = memory_array(work->jobs_count, sizeof *gone);
    bool *waits = memory_array(work->jobs_count, sizeof *waits);
    const struct message_enqueue_jobs_job **parents =
        memory_array(work->parents_count + 1, sizeof(void *));
    size_t left = work->jobs_count;
    for (size_t i = 0; i < work->parents_count; i++) {
        parents[i] = own_job(plan, &work->items[work->jobs_count + i]);
    }
    for (bool more = true; more && left > 0;) {
        more = false;
        memset(waits, 0, work->jobs_count * sizeof *waits);
        for (size_t i = 0; i < work->parents_count; i++) {
            size_t child = (size_t)work->parents[i].index;
            waits[child] = waits[child] || (parents[i] != NULL && !gone[parents[i] - work->jobs]);
        }
        for (size_t i = 0; i < work->jobs_count; i++) {
            if (!gone[i] && !waits[i]) {
                gone[i] = more = true;
                left--;
            }
        }
    }
    free(parents);
    free(gone);
    free(waits);
    return left == 0;
}

static enum command_outcome check_run(const struct sequencer *sequencer,
                                      const struct command *command, const struct plan *plan)
{
    const struct run *run = command->run;
    if (uuid_is_nil(&command->run_id)) {
        return OUTCOME_OK; /* all are detached */
    }
    if (run == NULL || !uuid_equal(&run->tenant, &command->tenant)) {
        return OUTCOME_NOT_FOUND;
    }
    if (plan->made == plan->detached) {
        return OUTCOME_OK;
    }
    enum run_status status = runs_status(run);
    if (status == RUN_CANCELLING || status_is_closed(status)) {
        return OUTCOME_RUN_CLOSED;
    }
    (void)sequencer;
    return status == RUN_PENDING ? OUTCOME_RUN_PENDING : OUTCOME_OK;
}

static bool within_limit(struct sequencer *sequencer, struct command *command,
                         const struct plan *plan)
{
    const struct run *run = command->run;
    int64_t limit = settings_int(sequencer->actor->settings, SETTING_JOBS_PER_RUN_MAX);
    int64_t wanted = (int64_t)(plan->made - plan->detached);
    int64_t used = run == NULL ? 0 : run->jobs_open + run->batch_jobs;
    if (wanted == 0 || used + wanted <= limit) {
        return true;
    }
    commands_refuse(command, OUTCOME_QUOTA);
    command->result.quota = QUOTA_JOBS_PER_RUN;
    command->result.quota_limit = (uint64_t)limit;
    command->result.quota_used = (uint64_t)used;
    return false;
}

/* ---- what it does ---- */

static void answer(struct command *command, size_t i, const struct job *job,
                   const struct job_now *now, enum job_outcome outcome, int64_t seq)
{
    command->work->answers[i] =
        (struct job_answer){.job = job->job,
                            .outcome = outcome,
                            .status = job_rules_status(now),
                            .attempt = now->attempts + (job_rules_is_running(now) ? 1 : 0),
                            .run = now->run,
                            .seq = seq};
}

/* It has not begun: it waits again, with the newest payload. */
static void debounce(struct sequencer *sequencer, struct job *job,
                     const struct message_enqueue_jobs_job *wanted)
{
    const struct job_now *now = jobs_now(sequencer, job);
    if (wanted->debounce_ms == 0 || job->pruned || !job_rules_is_open(now) || now->claim > 0) {
        return;
    }
    struct batch_job *entry = jobs_join(sequencer->batch, job);
    entry->now.run_at_us = clock_real_us() + (int64_t)wanted->debounce_ms * 1000;
    entry->payload = wanted->payload;
    entry->recorded = entry->recorded || entry->queued == NULL;
}

static void answer_known(struct sequencer *sequencer, struct command *command, size_t i,
                         struct job *job)
{
    const struct message_enqueue_jobs_job *wanted = &command->work->jobs[i];
    struct uuid id = uuid_of(wanted->job);
    debounce(sequencer, job, wanted);
    answer(command, i, job, jobs_now(sequencer, job),
           uuid_equal(&job->job, &id) ? JOB_OUTCOME_OK : JOB_OUTCOME_EXISTS, 0);
}

static struct job *make_job(struct sequencer *sequencer, const struct command *command,
                            const struct message_enqueue_jobs_job *wanted, struct run *run)
{
    const struct batch *batch = sequencer->batch;
    int64_t now_us = clock_real_us();
    int64_t waits_us =
        wanted->debounce_ms > 0 ? now_us + (int64_t)wanted->debounce_ms * 1000 : now_us;
    struct job model = {.id = sequencer->position + (int64_t)batch->rows_count + 1,
                        .job = uuid_of(wanted->job),
                        .tenant = command->tenant,
                        .key = wanted->key,
                        .type = wanted->type,
                        .queue = wanted->queue,
                        .concurrency_key = wanted->concurrency_key,
                        .priority = (int32_t)wanted->priority,
                        .max_attempts = (unsigned)wanted->max_attempts,
                        .on_dep_fail = (enum job_dep_fail)wanted->on_dep_fail};
    struct job *job = jobs_add(sequencer, &model);
    struct batch_job *entry = jobs_join(sequencer->batch, job);
    entry->queued = wanted;
    entry->row = batch->rows_count + 1;
    entry->actor = command->actor;
    entry->now = (struct job_now){.status = JOB_STATUS_PENDING,
                                  .run = run->id,
                                  .detached = is_detached(wanted),
                                  .run_at_us = wanted->run_at > 0 ? wanted->run_at : waits_us};
    run->batch_jobs++;
    return job;
}

static void add_job(struct sequencer *sequencer, struct command *command, size_t i)
{
    const struct message_enqueue_jobs_job *wanted = &command->work->jobs[i];
    struct run *run = command->run;
    if (is_detached(wanted)) {
        struct uuid child = uuid_of(wanted->child);
        run = job_runs_make(sequencer, command, &command->run_id, &child, &command->tenant);
    }
    struct buffer text = {0};
    struct job *job = make_job(sequencer, command, wanted, run);
    const struct job_now *now = jobs_now(sequencer, job);
    job_text_queued(&text, job, now->run_at_us, clock_real_us());
    jobs_add_row(sequencer, run, EVENT_TYPE_JOB_QUEUED, jobs_keep(sequencer->batch, &text),
                 command);
    buffer_deinit(&text);
    jobs_remember_row(sequencer->batch, job, 0);
    answer(command, i, job, now, JOB_OUTCOME_OK, run->batch_seq);
    SB_FAULT("sequencer_job_queued");
}

static void add_parent(struct sequencer *sequencer, const struct job_work *work, size_t i)
{
    struct job *parent = known_job(sequencer, &work->items[work->jobs_count + i]);
    struct job *child = known_job(sequencer, &work->items[work->parents[i].index]);
    struct batch_job *entry = jobs_join(sequencer->batch, child);
    const struct job_now *now = jobs_now(sequencer, parent);
    if (parent->pruned) {
        entry->now.dep_failed =
            entry->now.dep_failed || (parent->now.status != JOB_STATUS_SUCCESS &&
                                      child->on_dep_fail != JOB_DEP_FAIL_CONTINUE);
        return; /* no row to depend on */
    }
    if (!jobs_add_dep(sequencer->batch, parent, child, !job_rules_is_open(now))) {
        return; /* named twice */
    }
    if (job_rules_is_open(now)) {
        entry->now.deps_left++;
    } else if (now->status != JOB_STATUS_SUCCESS && child->on_dep_fail != JOB_DEP_FAIL_CONTINUE) {
        entry->now.dep_failed = true;
    }
}

static void carry_out(struct sequencer *sequencer, struct command *command, const struct plan *plan)
{
    const struct job_work *work = command->work;
    for (size_t i = 0; i < work->jobs_count; i++) {
        if (plan->is_new[i]) {
            add_job(sequencer, command, i);
        }
    }
    for (size_t i = 0; i < work->parents_count; i++) {
        if (plan->is_new[work->parents[i].index]) {
            add_parent(sequencer, work, i);
        }
    }
    for (size_t i = 0; i < work->jobs_count; i++) {
        if (!plan->is_new[i]) {
            answer_known(sequencer, command, i, known_job(sequencer, &work->items[i]));
        }
    }
}

static void no_parent(struct command *command)
{
    for (size_t i = 0; i < command->work->jobs_count; i++) {
        command->work->answers[i] = (struct job_answer){.job = uuid_of(command->work->jobs[i].job),
                                                        .outcome = JOB_OUTCOME_NO_PARENT};
    }
}

static void evaluate(struct sequencer *sequencer, struct command *command, const struct plan *plan)
{
    enum command_outcome outcome =
        plan->made == 0 ? OUTCOME_OK : check_run(sequencer, command, plan);
    if (plan->clash) {
        outcome = OUTCOME_ID_TAKEN;
    }
    if (outcome == OUTCOME_OK && !parents_end(plan, command->work)) {
        outcome = OUTCOME_REFUSED;
    }
    if (outcome != OUTCOME_OK) {
        commands_refuse(command, outcome);
        return;
    }
    if (!parents_exist(plan, sequencer, command)) {
        commands_nothing_to_do(command);
        no_parent(command);
        return;
    }
    if (!within_limit(sequencer, command, plan) ||
        (plan->made > 0 && !quota_admits(sequencer, command, (int64_t)plan->detached,
                                         (int64_t)(plan->made + plan->detached), plan->bytes))) {
        return;
    }
    carry_out(sequencer, command, plan);
    commands_nothing_to_do(command);
}

void job_enqueue_evaluate(struct sequencer *sequencer, struct command *command)
{
    struct plan plan = {.made = 0};
    make_plan(&plan, sequencer, command->work);
    evaluate(sequencer, command, &plan);
    free(plan.is_new);
    map_deinit(&plan.places);
}
