/*
 * Group commit: while one batch commits, the next fills. Commands are evaluated in order against
 * the heads as the batch leaves them; all rows go in one statement; every answer, refusals too,
 * leaves only after its commit.
 *
 * A batch that the database refuses for its data is taken back and tried in halves, down to the one
 * bad command. What is done when it refuses one for anything else is decided in stuck.c.
 */
#include "sequencer/batch_params.h"
#include "contracts/generated/event_types.h"
#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"
#include "sequencer/commands.h"
#include "sequencer/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* No command is added beyond this, however large the queue may be: a statement stays far below what
 * PostgreSQL takes, and its commit is no long wait for the small ones behind it. */
enum { BATCH_BYTES = 4 << 20 };

/* ---- what evaluations add ---- */

struct head *batch_join(struct batch *batch, struct run *run)
{
    if (run->batch_head == 0) {
        if (batch->heads_count == batch->heads_capacity) {
            batch->heads_capacity = batch->heads_capacity == 0 ? 256 : batch->heads_capacity * 2;
            batch->heads = memory_grow(batch->heads, batch->heads_capacity, sizeof *batch->heads);
        }
        batch->heads[batch->heads_count++] = (struct head){.run = run};
        run->batch_head = (int)batch->heads_count;
        run->batch_seq = run->last_seq;
        run->batch_status = run->status;
    }
    return &batch->heads[run->batch_head - 1];
}

void batch_add_row(struct batch *batch, struct run *run, enum event_type type,
                   struct message_span payload, const struct command *first)
{
    struct head *head = batch_join(batch, run);
    if (batch->rows_count == batch->rows_capacity) {
        batch->rows_capacity = batch->rows_capacity == 0 ? 1024 : batch->rows_capacity * 2;
        batch->rows = memory_grow(batch->rows, batch->rows_capacity, sizeof *batch->rows);
    }
    batch->rows[batch->rows_count++] = (struct row){.head = run->batch_head,
                                                    .seq = ++run->batch_seq,
                                                    .type = type,
                                                    .payload = payload,
                                                    .first = first};
    if (head->first == 0) {
        head->first = batch->rows_count;
    } else {
        batch->rows[head->last - 1].next = batch->rows_count;
    }
    head->last = batch->rows_count;
    account_charge_event(run->account, payload.length, event_type_is_terminal(type));
}

void batch_add_create(struct batch *batch, struct run *run, const struct message_create_run *create,
                      const struct command *command)
{
    if (batch->creates_count == batch->creates_capacity) {
        batch->creates_capacity = batch->creates_capacity == 0 ? 64 : batch->creates_capacity * 2;
        batch->creates =
            memory_grow(batch->creates, batch->creates_capacity, sizeof *batch->creates);
    }
    batch->creates[batch->creates_count++] = (struct create){run, create, command};
}

/* ---- the end of a batch ---- */

static void leave(struct run *run)
{
    run->batch_head = 0;
    run->batch_jobs = 0;
    free(run->batch_questions);
    run->batch_questions = NULL;
    run->batch_resumed = (struct uuid){{0}};
}

/* The next batch may take its runs and origins; its rows and commands stay. */
static void let_go(struct sequencer *sequencer, struct batch *batch)
{
    producers_drop(sequencer);
    accounts_drop(&sequencer->quotas.accounts);
    for (size_t i = 0; i < batch->heads_count; i++) {
        leave(batch->heads[i].run);
    }
    for (size_t i = 0; i < batch->creates_count; i++) {
        batch->creates[i].run->batch_new = false;
    }
    jobs_let_go(batch);
    for (size_t i = 0; i < batch->origins_count; i++) {
        batch->origins[i]->batch_number = 0;
    }
    batch->origins_count = 0;
    batch->under_way = false;
}

static void empty(struct batch *batch)
{
    struct list *first;
    while ((first = list_first(&batch->commands)) != NULL) {
        list_remove(first);
        command_destroy(LIST_ENTRY(first, struct command, node));
    }
    batch->heads_count = 0;
    batch->rows_count = 0;
    batch->creates_count = 0;
    jobs_empty(batch);
    batch->lifecycle = false;
    batch->gated = false;
    batch->count = 0;
    batch->bytes = 0;
}

/* Every command of the batch has its definite outcome now. */
static void settle_all(const struct batch *batch)
{
    LIST_FOR_EACH(node, &batch->commands)
    {
        const struct command *command = LIST_ENTRY(node, struct command, node);
        if (command->origin != NULL) {
            order_settle(command->origin, command->number, &command->result);
        }
    }
}

static void answer_all(struct sequencer *sequencer, const struct batch *batch)
{
    bool first = true;
    LIST_FOR_EACH(node, &batch->commands)
    {
        const struct command *command = LIST_ENTRY(node, struct command, node);
        if (command->origin != NULL) {
            intake_answer(sequencer, command);
        }
        if (first) {
            SB_FAULT("sequencer_half_answered");
            first = false;
        }
    }
}

/* The end of a batch that wrote nothing: refusals and duplicates stand on committed state. */
static void finish_unwritten(struct sequencer *sequencer)
{
    let_go(sequencer, sequencer->batch);
    settle_all(sequencer->batch);
    answer_all(sequencer, sequencer->batch);
    empty(sequencer->batch);
}

static void log_appended(const struct batch *batch)
{
    const uint8_t *trace = NULL;
    for (size_t i = 0; i < batch->rows_count; i++) {
        const struct row *row = &batch->rows[i];
        const struct run *run = batch->heads[row->head - 1].run;
        trace = row->first == NULL ? trace : row->first->trace.bytes;
        LOG_DEBUG("appended", LOG_UUID("run_id", &run->id), LOG_UUID("tenant_id", &run->tenant),
                  LOG_INT("seq", row->seq),
                  LOG_TEXT("type", event_type_name((enum event_type)row->type)),
                  LOG_TRACE("trace_id", trace));
    }
}

static void take_head(struct run *run, uint64_t commit)
{
    bool starts = run->last_seq == 0 && run->batch_status != RUN_CANCELLED;
    run->jobs_open += run->batch_jobs;
    run->last_seq = run->batch_seq;
    run->status = run->batch_status;
    if (run->batch_questions != NULL) {
        free(run->questions);
        run->questions = run->batch_questions;
        run->batch_questions = NULL;
        run->asked_commit = commit;
    }
    if (!uuid_is_nil(&run->batch_resumed)) {
        run->resumed = run->batch_resumed;
        run->resumed_known = true;
    }
    metric_add(METRIC_RUNS_STARTED, starts ? 1 : 0);
    metric_add(METRIC_RUNS_FINISHED, status_is_closed(run->status) ? 1 : 0);
}

static void take_heads(struct sequencer *sequencer, const struct batch *batch)
{
    sequencer->commits++;
    for (size_t i = 0; i < batch->heads_count; i++) {
        take_head(batch->heads[i].run, sequencer->commits);
    }
    producers_commit(sequencer);
    accounts_commit(&sequencer->quotas.accounts);
    sequencer->position += (int64_t)batch->rows_count;
    metric_add(METRIC_EVENTS_PERSISTED, (int64_t)batch->rows_count);
    metric_add(METRIC_BATCHES, 1);
    metric_observe_size(HISTOGRAM_BATCH_EVENTS, (int64_t)batch->rows_count);
    metric_observe_size(HISTOGRAM_BATCH_COMMANDS, (int64_t)batch->count);
    metric_observe_us(HISTOGRAM_COMMIT, clock_monotonic_us() - batch->started_us);
    if (log_enabled(LOG_LEVEL_DEBUG)) {
        log_appended(batch);
    }
}

/* Most recently used now. */
static void touch_heads(struct sequencer *sequencer, const struct batch *batch)
{
    for (size_t i = 0; i < batch->heads_count; i++) {
        struct run *run = batch->heads[i].run;
        list_remove(&run->node);
        list_append(&sequencer->runs_by_use, &run->node);
    }
}

static void ease_split(struct sequencer *sequencer)
{
    stuck_committed(&sequencer->stuck, clock_monotonic_ms());
    metric_set(METRIC_WRITES_BLOCKED, 0);
    if (stuck_narrows(&sequencer->stuck)) {
        return;
    }
    sequencer->split *= 2; /* the poison is getting smaller, or gone */
    if (sequencer->split >
        (size_t)settings_int(sequencer->actor->settings, SETTING_SEQUENCER_BATCH_ROWS)) {
        sequencer->split = 0;
    }
}

static void committed(struct sequencer *sequencer, const struct db_result *result)
{
    SB_FAULT("sequencer_after_commit");
    struct batch *done = sequencer->batch;
    sequencer->batch = sequencer->spare_batch;
    sequencer->spare_batch = done;
    take_heads(sequencer, done);
    traces_committed(sequencer, done);
    timers_committed(sequencer, done);
    ease_split(sequencer);
    jobs_committed(sequencer, done, result);
    let_go(sequencer, done);
    settle_all(done);
    /* The database works on the next one while this one is answered. */
    batch_start(sequencer);
    answer_all(sequencer, done);
    SB_FAULT("sequencer_after_ack");
    int64_t publishing_us = clock_monotonic_us();
    publish_batch(sequencer, done);
    jobs_publish(sequencer, done);
    traces_published(sequencer, done, publishing_us);
    touch_heads(sequencer, done);
    empty(done); /* the rows' payloads were its commands' */
    runs_evict(sequencer);
    producers_evict(sequencer);
    jobs_evict(sequencer);
}

/* A run that a failed batch would have made: whoever points to it looks again. */
static void forget_new_run(struct sequencer *sequencer, struct run *run)
{
    LIST_FOR_EACH(node, &sequencer->queue)
    {
        struct command *command = LIST_ENTRY(node, struct command, node);
        if (command->run == run) {
            command->run = NULL;
            run->users--;
            if (command->need == NEED_NOTHING) {
                command->need = NEED_LOOKUP;
            }
        }
    }
    runs_remove(sequencer, run);
}

/* Everything back to the front of the queue, as if the batch had never been built. */
static void take_back(struct sequencer *sequencer)
{
    struct batch *batch = sequencer->batch;
    size_t count = batch->count;
    keys_drop_to(sequencer, batch->keys_before);
    while (!list_is_empty(&batch->commands)) {
        struct command *command = LIST_ENTRY(batch->commands.previous, struct command, node);
        list_remove(&command->node);
        list_append(sequencer->queue.next, &command->node);
        sequencer->queue_count++;
        sequencer->queue_bytes += command->length;
    }
    jobs_take_back(sequencer, batch);
    for (size_t i = 0; i < batch->heads_count; i++) {
        leave(batch->heads[i].run);
    }
    for (size_t i = 0; i < batch->creates_count; i++) {
        if (batch->creates[i].command == NULL) {
            forget_new_run(sequencer, batch->creates[i].run);
        }
    }
    LIST_FOR_EACH(node, &sequencer->queue)
    {
        struct command *command = LIST_ENTRY(node, struct command, node);
        if (count-- == 0) {
            break;
        }
        if (command->creates) {
            command->creates = false;
            forget_new_run(sequencer, command->run);
        }
    }
    batch->heads_count = 0; /* let go already, and some are gone */
    batch->creates_count = 0;
    let_go(sequencer, batch);
    empty(batch);
}

static void refuse_single(struct sequencer *sequencer)
{
    struct batch *batch = sequencer->batch;
    struct command *command = LIST_ENTRY(batch->commands.next, struct command, node);
    take_back(sequencer);
    list_remove(&command->node);
    sequencer->queue_count--;
    sequencer->queue_bytes -= command->length;
    commands_refuse(command, OUTCOME_REFUSED);
    if (command->origin == NULL) {
        timers_refused(sequencer, command);
    }
    list_append(&batch->commands, &command->node);
    finish_unwritten(sequencer);
}

/* The first failures, and then ever more seldom: it may be tried for hours. */
static void log_failure(const struct sequencer *sequencer, const struct db_result *result,
                        bool was_blocked)
{
    const struct stuck *stuck = &sequencer->stuck;
    if ((stuck->failures & (stuck->failures - 1)) == 0 || stuck->blocked != was_blocked) {
        LOG_ERROR(stuck->blocked ? "writes are blocked by the database" : "batch refused",
                  LOG_TEXT("sqlstate", db_sqlstate(result)), LOG_TEXT("error", db_message(result)),
                  LOG_INT("commands", sequencer->batch->count),
                  LOG_INT("failures", stuck->failures));
    }
}

/* Rolled back, but not for what it held. See stuck.h. */
static void refused_without_cause(struct sequencer *sequencer, const struct db_result *result)
{
    size_t count = sequencer->batch->count;
    int64_t now_ms = clock_monotonic_ms();
    bool was_blocked = sequencer->stuck.blocked;
    enum stuck_step step = stuck_failed(&sequencer->stuck, db_sqlstate(result), count, now_ms);
    metric_add(METRIC_BATCHES_FAILED, 1);
    metric_set(METRIC_WRITES_BLOCKED, sequencer->stuck.blocked ? 1 : 0);
    log_failure(sequencer, result, was_blocked);
    switch (step) {
    case STUCK_AGAIN:
        db_reset(sequencer->writer);
        return;
    case STUCK_SPLIT:
        LOG_ERROR("it fails again and again: its commands go one by one",
                  LOG_INT("commands", count));
        take_back(sequencer);
        sequencer->split = 1;
        return;
    case STUCK_REFUSE:
        LOG_ERROR(
            "a command that fails alone is refused",
            LOG_UUID("run_id",
                     &LIST_ENTRY(sequencer->batch->commands.next, struct command, node)->run_id));
        refuse_single(sequencer);
        return;
    }
}

static void refused(struct sequencer *sequencer, const struct db_result *result)
{
    const char *state = db_sqlstate(result);
    size_t count = sequencer->batch->count;
    if (strcmp(state, "SB001") == 0) {
        sequencer_fenced(sequencer);
        return;
    }
    if (!stuck_is_data(state)) {
        refused_without_cause(sequencer, result);
        return;
    }
    LOG_WARN("batch refused for its data", LOG_INT("commands", count), LOG_TEXT("sqlstate", state),
             LOG_TEXT("error", db_message(result)));
    metric_add(METRIC_BATCH_SPLITS, 1);
    if (count == 1) {
        refuse_single(sequencer);
    } else {
        take_back(sequencer);
        sequencer->split = count / 2;
    }
}

static void on_appended(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    if (!sequencer->batch->under_way) {
        return; /* abandoned meanwhile */
    }
    switch (status) {
    case DB_OK:
        if (!db_is_null(result, 0, 0)) {
            timers_note(sequencer, db_timestamptz(result, 0, 0));
        }
        committed(sequencer, result);
        break;
    case DB_REFUSED:
        refused(sequencer, result);
        break;
    case DB_LOST:
        sequencer_lost(sequencer);
        return;
    }
    event_active(sequencer->work, EV_TIMEOUT, 0);
    sequencer_check_drained(sequencer);
}

void batch_abandon(struct sequencer *sequencer)
{
    let_go(sequencer, sequencer->batch);
    empty(sequencer->batch);
}

/* ---- the start of a batch ---- */

/* The batch carries the highest number of each origin in it, refusals included: the origin's new
 * high mark. */
static void mark_origin(struct batch *batch, const struct command *command)
{
    struct order_origin *origin = command->origin;
    if (origin->batch_number == 0) {
        if (batch->origins_count == batch->origins_capacity) {
            batch->origins_capacity =
                batch->origins_capacity == 0 ? 16 : batch->origins_capacity * 2;
            batch->origins =
                memory_grow(batch->origins, batch->origins_capacity, sizeof *batch->origins);
        }
        batch->origins[batch->origins_count++] = origin;
    }
    origin->batch_number = command->number;
}

/* Its key has left the ring of recent ones since it was queued, or its producer the memory; or its
 * run is no longer as it was then. */
static bool has_become_unknown(struct sequencer *sequencer, struct command *command)
{
    if (command->work != NULL) {
        return !jobs_find(sequencer, command);
    }
    if (lifecycle_needs_last_answer(command) || append_needs_questions(command)) {
        return true;
    }
    if (producers_concern(command)) {
        return producers_need_lookup(sequencer, command);
    }
    return !command->key_checked && !uuid_is_nil(&command->key_hash) &&
           commands_known_key(sequencer, command) == NULL;
}

/* Moves evaluable commands from the head of the queue; stops at the first that still waits for the
 * table. */
static void fill(struct sequencer *sequencer)
{
    struct batch *batch = sequencer->batch;
    size_t rows_max =
        (size_t)settings_int(sequencer->actor->settings, SETTING_SEQUENCER_BATCH_ROWS);
    struct list *first;
    batch->keys_before = sequencer->keys_count;
    while (batch->rows_count < rows_max && batch->bytes < BATCH_BYTES &&
           (first = list_first(&sequencer->queue)) != NULL &&
           (sequencer->split == 0 || batch->count < sequencer->split)) {
        struct command *command = LIST_ENTRY(first, struct command, node);
        if (command->run == NULL && command->need == NEED_NOTHING) {
            /* A command before it may have made its run. */
            command->run = runs_get(sequencer, &command->run_id);
            if (command->run != NULL) {
                command->run->users++;
            }
        }
        if (command->need == NEED_NOTHING && has_become_unknown(sequencer, command)) {
            command->need = NEED_LOOKUP;
        }
        if (command->need != NEED_NOTHING) {
            break;
        }
        if (fork_is_needed(command)) {
            if (batch->count == 0) {
                fork_start(sequencer, command);
            }
            break;
        }
        if (prune_is_needed(command)) {
            if (batch->count == 0) {
                prune_start(sequencer, command);
            }
            break;
        }
        if (gate_is_needed(sequencer, command)) {
            if (batch->count == 0) {
                gate_look(sequencer, command);
            }
            break;
        }
        if (jobs_look_is_needed(sequencer, command)) {
            if (batch->count == 0) {
                jobs_look(sequencer, command);
            }
            break;
        }
        sequencer->jobs.held = false;
        commands_evaluate(sequencer, command);
        list_remove(&command->node);
        list_append(&batch->commands, &command->node);
        sequencer->queue_count--;
        sequencer->queue_bytes -= command->length;
        batch->bytes += command->length;
        batch->count++;
        if (!command->recover && command->origin != NULL) {
            mark_origin(batch, command);
        }
    }
}

/* Returns the statement they are for. */
static const struct db_statement *put_params(struct sequencer *sequencer)
{
    struct batch *batch = sequencer->batch;
    bool appends = batch->rows_count > 0 || batch->creates_count > 0;
    if (appends) {
        batch_params(sequencer);
    }
    if (batch->jobs_count == 0 && batch->job_rows_count == 0) {
        return &store_statements[STORE_APPEND];
    }
    jobs_params(sequencer, batch);
    SB_FAULT("sequencer_jobs_before_commit");
    return &store_statements[appends ? STORE_APPEND_JOBS : STORE_CHANGE_JOBS];
}

void batch_start(struct sequencer *sequencer)
{
    struct batch *batch = sequencer->batch;
    if (batch->under_way || !sequencer->serving) {
        return;
    }
    for (;;) {
        fill(sequencer);
        if (batch->rows_count > 0 || batch->creates_count > 0 || batch->jobs_count > 0) {
            break;
        }
        if (batch->count == 0) {
            return;
        }
        finish_unwritten(sequencer);
    }
    int64_t now_us = clock_real_us();
    /* Runs that have to do with each other are told apart by their time of creation. */
    int64_t least_us = sequencer->last_ts_us + (batch->gated ? 1 : 0);
    batch->ts_us = now_us > least_us ? now_us : least_us;
    sequencer->last_ts_us = batch->ts_us;
    batch->started_us = clock_monotonic_us();
    batch->under_way = true;
    SB_FAULT("sequencer_before_commit");
    const struct db_statement *statement = put_params(sequencer);
    db_query(sequencer->writer, statement, &batch->params, on_appended, sequencer);
    SB_FAULT("sequencer_after_send");
}
