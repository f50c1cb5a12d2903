/* CREATE_RUN: a new run, started at once, at its time, or when others have ended. See commands.h. */
#include "sequencer/commands.h"

#include "runtime/base/clock.h"

#include <string.h>

/* A year: times computed from it stay in range. */
#define CREATE_LIVENESS_MS_MAX (UINT64_C(366) * 86400 * 1000)

bool create_decode(struct command *command, struct message_header *header)
{
    struct message_create_run *create = &command->message.create;
    if (message_create_run_decode(command->frame, command->length, header, create) != 0) {
        return false;
    }
    if (create->strategy > MULTITASK_ROLLBACK ||
        (create->concurrency_key.length > 0) != (create->concurrency_limit > 0) ||
        create->concurrency_limit > INT32_MAX || create->liveness_ms > CREATE_LIVENESS_MS_MAX) {
        return false;
    }
    commands_address(command, create->origin, create->tenant, create->run);
    commands_key(command, KEY_OF_TENANT, create->key, create->hash);
    command->actor = create->created_by;
    commands_trace(command, create->trace, create->span, create->trace_flags);
    return true;
}

static bool is_delayed(const struct message_create_run *create)
{
    return create->start_at > clock_real_us();
}

struct gate_question create_gate(const struct sequencer *sequencer, const struct command *command)
{
    const struct message_create_run *create = &command->message.create;
    struct gate_question question = {.delayed = is_delayed(create),
                                     .strategy = create->strategy,
                                     .group = create->concurrency_key,
                                     .limit = (int64_t)create->concurrency_limit};
    memcpy(question.thread.bytes, create->thread, sizeof create->thread);
    bool in_thread = create->strategy != MULTITASK_NONE && !uuid_is_nil(&question.thread);
    question.needed = command->run == NULL && commands_known_key(sequencer, command) == NULL &&
                      (create->concurrency_key.length > 0 || in_thread);
    return question;
}

static void add_run(struct sequencer *sequencer, struct command *command)
{
    struct uuid thread;
    memcpy(thread.bytes, command->message.create.thread, sizeof thread.bytes);
    struct run *run =
        runs_add(sequencer, &command->run_id, &command->tenant, &thread, 0, RUN_PENDING);
    run->liveness_ms = (int64_t)command->message.create.liveness_ms;
    run->batch_new = true;
    run->users++;
    command->run = run;
    command->creates = true;
    account_charge_run(run->account);
    batch_add_create(sequencer->batch, run, &command->message.create, command);
}

static void leave_pending(struct sequencer *sequencer, struct command *command)
{
    const struct message_create_run *create = &command->message.create;
    sequencer->batch->lifecycle = true;
    if (create->start_at > 0) {
        timers_note(sequencer, create->start_at);
    }
    timers_queued(sequencer);
    commands_accept(command, 0);
}

static void start(struct sequencer *sequencer, struct command *command)
{
    struct run *run = command->run;
    batch_add_row(sequencer->batch, run, EVENT_TYPE_RUN_STARTED, command->message.create.started,
                  command);
    run->batch_status = RUN_RUNNING;
    if (run->liveness_ms > 0) {
        timers_note(sequencer, clock_real_us() + run->liveness_ms * 1000);
    }
    commands_accept(command, 1);
}

void create_evaluate(struct sequencer *sequencer, struct command *command)
{
    const struct key_entry *known = commands_known_key(sequencer, command);
    if (known != NULL) {
        commands_answer_by_key(sequencer, command, known);
        return;
    }
    if (command->run != NULL) {
        bool own = uuid_equal(&command->run->tenant, &command->tenant);
        commands_refuse(command, own ? OUTCOME_EXISTS : OUTCOME_ID_TAKEN);
        return;
    }
    if (!quota_admits(sequencer, command, 1, 1, (int64_t)command->message.create.started.length)) {
        return;
    }
    enum gate_answer answer = is_delayed(&command->message.create) ? GATE_WAIT : GATE_START;
    if (command->gate != NULL) {
        struct gate_question question = create_gate(sequencer, command);
        answer = gate_pass(sequencer, command, &question);
    }
    if (answer == GATE_BUSY) {
        commands_refuse(command, OUTCOME_THREAD_BUSY);
        return;
    }
    add_run(sequencer, command);
    if (answer == GATE_START) {
        start(sequencer, command);
    } else {
        leave_pending(sequencer, command);
    }
    commands_remember_key(sequencer, command);
}
