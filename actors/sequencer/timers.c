/*
 * Runs whose time has come: delayed starts, forced ends of cancelled runs, questions nobody
 * answered, agents without a sign of life, and starts that waited for other runs. The table says
 * which are due (runs.wake_at); each becomes a command of our own, evaluated against the state as it
 * is then. A death between the two makes it due again; evaluated twice it does nothing twice.
 */
#include "sequencer/commands.h"
#include "sequencer/store.h"

#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/log.h"
#include "runtime/base/memory.h"

#include <string.h>

enum {
    TIMERS_SOON_US = 5000,
    TIMERS_AGAIN_US = 100000, /* between two looks at a run that its agent still writes to */
    TIMERS_REFUSED_MS = 60000,
    TIMERS_STALE_US = 1000000 /* so long overdue: what was read for it is new enough */
};

/* Columns of STORE_RELEASE behind those of a run. */
enum { RELEASE_SWEPT_AT = 17, RELEASE_SWEPT };

static int64_t pause_us(const struct sequencer *sequencer)
{
    return settings_int(sequencer->actor->settings, SETTING_RUNS_TIMER_MS) * 1000;
}

static void arm(struct sequencer *sequencer, int64_t in_us)
{
    in_us = in_us < 0 ? 0 : in_us;
    struct timeval delay = {in_us / 1000000, in_us % 1000000};
    event_add(sequencer->timers.timer, &delay);
}

static void arm_next(struct sequencer *sequencer)
{
    struct timers *timers = &sequencer->timers;
    int64_t in_us = pause_us(sequencer);
    if (timers->next_us > 0 && timers->next_us - clock_real_us() < in_us) {
        in_us = timers->next_us - clock_real_us();
    }
    arm(sequencer, in_us);
}

void timers_note(struct sequencer *sequencer, int64_t wake_us)
{
    struct timers *timers = &sequencer->timers;
    if (timers->next_us == 0 || wake_us < timers->next_us) {
        timers->next_us = wake_us;
        if (timers->asking == 0 && timers->timer != NULL) {
            arm_next(sequencer);
        }
    }
}

void timers_queued(struct sequencer *sequencer)
{
    sequencer->timers.queued = true;
    sequencer->timers.settled = false;
}

void timers_committed(struct sequencer *sequencer, const struct batch *batch)
{
    struct timers *timers = &sequencer->timers;
    for (size_t i = 0; timers->queued && i < batch->heads_count; i++) {
        const struct run *run = batch->heads[i].run;
        if (!status_is_closed(run->status)) {
            continue;
        }
        if (timers->ended_count == TIMERS_ENDED) {
            timers->sweep = true;
        } else {
            timers->ended[timers->ended_count++] = run->id;
        }
    }
}

void timers_refused(struct sequencer *sequencer, const struct command *command)
{
    struct timers *timers = &sequencer->timers;
    LOG_ERROR("the database refuses what is due of a run", LOG_UUID("run_id", &command->run_id),
              LOG_INT("again_in_ms", TIMERS_REFUSED_MS));
    timers->refused[timers->refused_count++ % TIMERS_REFUSED] =
        (struct refused_run){command->run_id, clock_monotonic_ms() + TIMERS_REFUSED_MS};
}

static bool is_left_alone(const struct timers *timers, const struct uuid *run)
{
    int64_t now_ms = clock_monotonic_ms();
    for (size_t i = 0; i < TIMERS_REFUSED; i++) {
        if (timers->refused[i].until_ms > now_ms && uuid_equal(&timers->refused[i].run, run)) {
            return true;
        }
    }
    return false;
}

/* ---- what the table says ---- */

static const struct command_kind due_kind;

static struct run *find_run(struct sequencer *sequencer, const struct db_result *result, int row)
{
    struct uuid id;
    struct uuid tenant;
    db_uuid(result, row, 1, &id);
    db_uuid(result, row, 2, &tenant);
    struct run *run = runs_get(sequencer, &id);
    if (run == NULL) {
        struct uuid thread = runs_stored_thread(result, row, 12);
        run = runs_add(sequencer, &id, &tenant, &thread, db_int8(result, row, 4),
                       runs_stored_status(result, row, 3));
        runs_load(run, result, row, 7, 9, 16);
    }
    return run;
}

static int64_t time_or_0(const struct db_result *result, int row, int column)
{
    return db_is_null(result, row, column) ? 0 : db_timestamptz(result, row, column);
}

static struct message_span text_or_empty(const struct db_result *result, int row, int column)
{
    struct message_span text = {NULL, 0};
    if (!db_is_null(result, row, column)) {
        text.data = (const uint8_t *)db_bytes(result, row, column, &text.length);
    }
    return text;
}

/* Its texts move into the command's frame. */
static void read_texts(struct command *command, const struct db_result *result, int row)
{
    struct due *due = &command->message.due;
    struct message_span payload = text_or_empty(result, row, 11);
    struct message_span group = text_or_empty(result, row, 14);
    command->length = payload.length + group.length;
    command->frame = memory_new(command->length + 1);
    if (payload.length > 0) {
        memcpy(command->frame, payload.data, payload.length);
    }
    if (group.length > 0) {
        memcpy(command->frame + payload.length, group.data, group.length);
    }
    due->payload = (struct message_span){command->frame, payload.length};
    due->group = (struct message_span){command->frame + payload.length, group.length};
}

static void read_due(struct command *command, const struct db_result *result, int row)
{
    struct due *due = &command->message.due;
    due->status = runs_stored_status(result, row, 3);
    due->last_seq = db_int8(result, row, 4);
    due->wake_us = time_or_0(result, row, 5);
    due->created_us = db_timestamptz(result, row, 6);
    due->sign_us = time_or_0(result, row, 8);
    due->has_expired = !db_is_null(result, row, 10);
    if (due->has_expired) {
        size_t length;
        memcpy(due->expired.bytes, db_bytes(result, row, 10, &length), sizeof due->expired.bytes);
    }
    due->thread = runs_stored_thread(result, row, 12);
    due->strategy = (uint64_t)db_int4(result, row, 13);
    due->limit = db_is_null(result, row, 15) ? 0 : db_int4(result, row, 15);
    read_texts(command, result, row);
}

static void enqueue(struct sequencer *sequencer, const struct db_result *result, int row)
{
    static const char actor[] = "server";
    struct command *command = memory_new(sizeof *command);
    command->kind = &due_kind;
    command->run = find_run(sequencer, result, row);
    command->run->users++;
    command->run_id = command->run->id;
    command->tenant = command->run->tenant;
    command->actor = (struct message_span){(const uint8_t *)actor, sizeof actor - 1};
    command->need = NEED_NOTHING;
    command->counted = &sequencer->timers.commands;
    sequencer->timers.commands++;
    read_due(command, result, row);
    list_init(&command->node);
    list_append(&sequencer->queue, &command->node);
    sequencer->queue_count++;
    sequencer->queue_bytes += command->length;
}

static bool is_usable(struct sequencer *sequencer, enum db_status status,
                      const struct db_result *result)
{
    sequencer->timers.asking--;
    if (status == DB_REFUSED) {
        LOG_ERROR("timer query refused", LOG_TEXT("error", db_message(result)));
    }
    return status == DB_OK && sequencer->serving &&
           sequencer->timers.asking_epoch == sequencer->epoch;
}

static int enqueue_all(struct sequencer *sequencer, const struct db_result *result)
{
    int found = db_is_null(result, 0, 1) ? 0 : db_rows(result);
    SB_FAULT("sequencer_timer_due");
    for (int row = 0; row < found; row++) {
        struct uuid run;
        db_uuid(result, row, 1, &run);
        if (!is_left_alone(&sequencer->timers, &run)) {
            enqueue(sequencer, result, row);
        }
    }
    event_active(sequencer->work, EV_TIMEOUT, 0);
    return found;
}

static void on_due(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    struct timers *timers = &sequencer->timers;
    if (is_usable(sequencer, status, result)) {
        int64_t next_us = time_or_0(result, 0, 0);
        timers->overdue = enqueue_all(sequencer, result) == TIMERS_LIMIT;
        if (next_us > 0) {
            timers_note(sequencer, next_us);
        }
    }
    if (timers->timer != NULL) {
        arm_next(sequencer);
    }
}

/* Round by round all that is queued is looked at: those that have to wait long, of one tenant with
 * many, hide nobody else's. */
static void advance_sweep(struct timers *timers, const struct db_result *result)
{
    timers->swept_us = time_or_0(result, 0, RELEASE_SWEPT_AT);
    timers->swept = (struct uuid){{0}};
    if (timers->swept_us > 0) {
        db_uuid(result, 0, RELEASE_SWEPT, &timers->swept);
    }
}

static void on_released(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    struct timers *timers = &sequencer->timers;
    if (!is_usable(sequencer, status, result)) {
        timers->sweep = true;
        return;
    }
    if (!db_bool(result, 0, 0) && timers->settled) {
        timers->queued = false;
    }
    if (enqueue_all(sequencer, result) == TIMERS_LIMIT) {
        timers->sweep = true; /* and here again: not all that can start may have been listed */
    } else if (timers->sweeping) {
        advance_sweep(timers, result);
    }
}

static void ask_due(struct sequencer *sequencer)
{
    struct db_params params = {0};
    db_param_timestamptz(&params, clock_real_us());
    db_param_int4(&params, TIMERS_LIMIT);
    sequencer->timers.next_us = 0;
    sequencer->timers.asking++;
    sequencer->timers.asking_epoch = sequencer->epoch;
    db_query(sequencer->reader, &store_statements[STORE_DUE], &params, on_due, sequencer);
    db_params_deinit(&params);
}

static void ask_release(struct sequencer *sequencer)
{
    struct timers *timers = &sequencer->timers;
    struct db_params params = {0};
    db_array_begin(&params, DB_ARRAY_UUID, timers->ended_count);
    for (size_t i = 0; i < timers->ended_count; i++) {
        db_array_uuid(&params, timers->ended[i].bytes);
    }
    db_array_end(&params);
    db_param_bool(&params, timers->sweep);
    db_param_int4(&params, TIMERS_LIMIT);
    db_param_timestamptz(&params, timers->swept_us);
    db_param_uuid(&params, &timers->swept);
    timers->ended_count = 0;
    timers->sweeping = timers->sweep;
    timers->sweep = false;
    timers->settled = !sequencer->batch->under_way;
    timers->asking++;
    timers->asking_epoch = sequencer->epoch;
    db_query(sequencer->reader, &store_statements[STORE_RELEASE], &params, on_released, sequencer);
    db_params_deinit(&params);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct sequencer *sequencer = arg;
    struct timers *timers = &sequencer->timers;
    if (!sequencer->serving || sequencer->actor->draining) {
        return;
    }
    if (timers->asking > 0 || timers->commands > 0 || !db_is_connected(sequencer->reader)) {
        arm(sequencer, TIMERS_SOON_US);
        return;
    }
    timers->sweep = timers->sweep || timers->queued;
    ask_due(sequencer);
}

/* ---- what becomes of it ---- */

static void move(struct sequencer *sequencer, const struct command *command, int64_t new_us)
{
    struct timers *timers = &sequencer->timers;
    const struct due *due = &command->message.due;
    if (due->wake_us > 0 && timers->moves_count < TIMERS_LIMIT) {
        timers->moves[timers->moves_count++] = (struct move){command->run_id, due->wake_us, new_us};
    }
    if (new_us > 0) {
        timers_note(sequencer, new_us);
    }
}

static void add_event(struct sequencer *sequencer, struct command *command, enum event_type type)
{
    struct run *run = command->run;
    batch_join(sequencer->batch, run);
    sequencer->batch->lifecycle = true;
    jobs_run_changes(sequencer, run, type);
    batch_add_row(sequencer->batch, run, type, command->message.due.payload, command);
    (void)status_next(run->batch_status, type, 0, &run->batch_status);
    commands_accept(command, run->batch_seq);
    LOG_INFO("timer", LOG_UUID("run_id", &run->id), LOG_TEXT("event", event_type_name(type)));
    SB_FAULT("sequencer_timer_evaluated");
}

static struct gate_question ask_gate(const struct sequencer *sequencer,
                                     const struct command *command)
{
    (void)sequencer;
    const struct due *due = &command->message.due;
    bool needed =
        runs_status(command->run) == RUN_PENDING &&
        (due->group.length > 0 || (due->strategy != MULTITASK_NONE && !uuid_is_nil(&due->thread)));
    return (struct gate_question){.needed = needed,
                                  .thread = due->thread,
                                  .strategy = due->strategy,
                                  .group = due->group,
                                  .limit = due->limit,
                                  .created_us = due->created_us};
}

static void start_run(struct sequencer *sequencer, struct command *command)
{
    struct gate_question question = ask_gate(sequencer, command);
    if (question.needed && gate_pass(sequencer, command, &question) != GATE_START) {
        move(sequencer, command, 0);
        timers_queued(sequencer);
        return;
    }
    add_event(sequencer, command, EVENT_TYPE_RUN_STARTED);
}

static void check_liveness(struct sequencer *sequencer, struct command *command)
{
    const struct due *due = &command->message.due;
    const struct run *run = command->run;
    int64_t sign_us = due->sign_us > run->touched_us ? due->sign_us : run->touched_us;
    sign_us = sign_us > sequencer->timers.since_us ? sign_us : sequencer->timers.since_us;
    if (runs_seq(run) != due->last_seq) {
        sign_us = clock_real_us();
    }
    if (run->liveness_ms == 0) {
        move(sequencer, command, 0);
    } else if (sign_us + run->liveness_ms * 1000 > clock_real_us()) {
        move(sequencer, command, sign_us + run->liveness_ms * 1000);
    } else {
        add_event(sequencer, command, EVENT_TYPE_RUN_FAILED);
    }
}

static void force_end(struct sequencer *sequencer, struct command *command)
{
    const struct due *due = &command->message.due;
    /* Tasks may have been completed since it was read: read again, but not for ever. */
    if (runs_seq(command->run) != due->last_seq &&
        clock_real_us() - due->wake_us < TIMERS_STALE_US) {
        timers_note(sequencer, clock_real_us() + TIMERS_AGAIN_US);
        return;
    }
    add_event(sequencer, command, EVENT_TYPE_RUN_CANCELLED);
}

static void evaluate(struct sequencer *sequencer, struct command *command)
{
    const struct due *due = &command->message.due;
    commands_nothing_to_do(command);
    if (runs_status(command->run) != due->status) {
        return; /* it has moved on by itself */
    }
    switch (due->status) {
    case RUN_PENDING:
        start_run(sequencer, command);
        return;
    case RUN_RUNNING:
        check_liveness(sequencer, command);
        return;
    case RUN_INTERRUPTED:
        if (due->has_expired && questions_has_hash(runs_questions(command->run), &due->expired)) {
            add_event(sequencer, command, EVENT_TYPE_RUN_FAILED);
        }
        return;
    case RUN_CANCELLING:
        force_end(sequencer, command);
        return;
    case RUN_FINISHED:
    case RUN_FAILED:
    case RUN_CANCELLED:
        return;
    }
}

static const struct command_kind due_kind = {.evaluate = evaluate, .gate = ask_gate};

/* ---- rounds ---- */

static void on_moved(void *arg, enum db_status status, const struct db_result *result)
{
    struct sequencer *sequencer = arg;
    if (status == DB_REFUSED && strcmp(db_sqlstate(result), "SB001") == 0) {
        sequencer_fenced(sequencer);
    } else if (status == DB_REFUSED) {
        LOG_ERROR("timers not moved", LOG_TEXT("error", db_message(result)));
    }
}

static void put_moves(struct db_params *params, const struct timers *timers)
{
    db_array_begin(params, DB_ARRAY_UUID, timers->moves_count);
    for (size_t i = 0; i < timers->moves_count; i++) {
        db_array_uuid(params, timers->moves[i].run.bytes);
    }
    db_array_end(params);
    db_array_begin(params, DB_ARRAY_TIMESTAMPTZ, timers->moves_count);
    for (size_t i = 0; i < timers->moves_count; i++) {
        db_array_timestamptz(params, timers->moves[i].old_us);
    }
    db_array_end(params);
    db_array_begin(params, DB_ARRAY_TIMESTAMPTZ, timers->moves_count);
    for (size_t i = 0; i < timers->moves_count; i++) {
        if (timers->moves[i].new_us == 0) {
            db_array_null(params);
        } else {
            db_array_timestamptz(params, timers->moves[i].new_us);
        }
    }
    db_array_end(params);
}

static void flush_moves(struct sequencer *sequencer)
{
    struct timers *timers = &sequencer->timers;
    struct db_params params = {0};
    db_param_int4(&params, SEQUENCER_SHARD);
    db_param_int8(&params, (int64_t)sequencer->epoch);
    put_moves(&params, timers);
    db_query(sequencer->writer, &store_statements[STORE_RESCHEDULE], &params, on_moved, sequencer);
    db_params_deinit(&params);
    timers->moves_count = 0;
    SB_FAULT("sequencer_timer_moved");
}

void timers_work(struct sequencer *sequencer)
{
    struct timers *timers = &sequencer->timers;
    if (timers->moves_count > 0 && db_is_connected(sequencer->writer)) {
        flush_moves(sequencer);
    }
    if (timers->asking > 0 || timers->commands > 0 || sequencer->actor->draining ||
        !db_is_connected(sequencer->reader)) {
        return;
    }
    if (timers->ended_count > 0 || timers->sweep) {
        ask_release(sequencer);
    } else if (timers->overdue) {
        timers->overdue = false;
        arm(sequencer, TIMERS_SOON_US);
    }
}

void timers_start(struct sequencer *sequencer)
{
    struct timers *timers = &sequencer->timers;
    if (timers->timer == NULL) {
        timers->timer = event_new(sequencer->actor->base, -1, 0, on_timer, sequencer);
    }
    timers->since_us = clock_real_us();
    timers->next_us = 0;
    timers->moves_count = 0;
    timers->ended_count = 0;
    timers->swept_us = 0;
    timers->swept = (struct uuid){{0}};
    timers->queued = true; /* until the table says otherwise */
    arm(sequencer, 0);
}

void timers_stop(struct sequencer *sequencer)
{
    if (sequencer->timers.timer != NULL) {
        event_free(sequencer->timers.timer);
        sequencer->timers.timer = NULL;
    }
}
