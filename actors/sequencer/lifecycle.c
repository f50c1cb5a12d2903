/* CANCEL_RUN, RESUME_RUN, TOUCH_RUN: what others ask of a run that is under way. See commands.h. */
#include "sequencer/commands.h"

#include "runtime/base/clock.h"
#include "runtime/base/fault.h"
#include "runtime/base/memory.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Answers are kept under a key that no client can have: theirs are printable. One to no question has
 * the number of its event in it: it is found by its place in the log. */
static const char resume_prefix[] = "\x01resume:";
static const char resumed_format[] = "\x01resumed:%lld";
enum { RESUMED_KEY_SIZE = 32 };

static struct message_span span_of(const uint8_t *bytes, size_t length)
{
    return (struct message_span){bytes, length};
}

/* One lifecycle event of the server, answering `command`. */
static void add_event(struct sequencer *sequencer, struct command *command, enum event_type type,
                      struct message_span payload)
{
    struct run *run = command->run;
    batch_join(sequencer->batch, run);
    sequencer->batch->lifecycle = true;
    jobs_run_changes(sequencer, run, type);
    batch_add_row(sequencer->batch, run, type, payload, command);
    bool follows =
        status_next(run->batch_status, type, runs_questions(run)->count, &run->batch_status);
    assert(follows);
    commands_accept(command, run->batch_seq);
    SB_FAULT("sequencer_lifecycle_evaluated");
}

/* ---- cancel ---- */

bool lifecycle_decode_cancel(struct command *command, struct message_header *header)
{
    struct message_cancel_run *cancel = &command->message.cancel;
    if (message_cancel_run_decode(command->frame, command->length, header, cancel) != 0) {
        return false;
    }
    commands_address(command, cancel->origin, cancel->tenant, cancel->run);
    command->actor = cancel->actor;
    commands_trace(command, cancel->trace, cancel->span, cancel->trace_flags);
    return true;
}

void lifecycle_cancel(struct sequencer *sequencer, struct command *command)
{
    struct message_span payload = command->message.cancel.payload;
    if (!commands_find_run(command)) {
        return;
    }
    switch (runs_status(command->run)) {
    case RUN_PENDING: /* it never starts */
        add_event(sequencer, command, EVENT_TYPE_RUN_CANCELLED, payload);
        return;
    case RUN_RUNNING:
    case RUN_INTERRUPTED:
        add_event(sequencer, command, EVENT_TYPE_RUN_CANCEL_REQUESTED, payload);
        jobs_run_cancelling(sequencer, command);
        return;
    case RUN_CANCELLING:
    case RUN_CANCELLED:
        commands_nothing_to_do(command);
        return;
    case RUN_FINISHED:
    case RUN_FAILED:
        commands_refuse(command, OUTCOME_RUN_CLOSED);
        return;
    }
}

/* ---- resume ---- */

bool lifecycle_decode_resume(struct command *command, struct message_header *header)
{
    struct message_resume_run *resume = &command->message.resume;
    if (message_resume_run_decode(command->frame, command->length, header, resume) != 0 ||
        resume->clarification.length > QUESTIONS_ID_BYTES ||
        resume->hash.length != sizeof((struct key_entry *)NULL)->body) {
        return false;
    }
    commands_address(command, resume->origin, resume->tenant, resume->run);
    command->actor = resume->actor;
    commands_trace(command, resume->trace, resume->span, resume->trace_flags);
    command->hash = resume->hash;
    if (resume->clarification.length > 0) {
        size_t prefix = sizeof resume_prefix - 1;
        size_t length = prefix + resume->clarification.length;
        command->made_key = memory_new(length);
        memcpy(command->made_key, resume_prefix, prefix);
        memcpy(command->made_key + prefix, resume->clarification.data,
               resume->clarification.length);
        commands_key(command, KEY_OF_RUN, span_of((const uint8_t *)command->made_key, length),
                     resume->hash);
    }
    return true;
}

static void answer_question(struct sequencer *sequencer, struct command *command)
{
    const struct message_resume_run *resume = &command->message.resume;
    struct run *run = command->run;
    struct questions questions = *runs_questions(run);
    enum run_status status = runs_status(run);
    bool open = questions_answer(&questions, resume->clarification);
    if (status == RUN_CANCELLING || (!open && status != RUN_INTERRUPTED)) {
        commands_refuse(command, OUTCOME_NOT_INTERRUPTED);
        return;
    }
    if (!open) {
        commands_refuse(command, OUTCOME_WRONG_CLARIFICATION);
        return;
    }
    batch_join(sequencer->batch, run);
    free(run->batch_questions);
    run->batch_questions = memory_copy(&questions, sizeof questions);
    add_event(sequencer, command, EVENT_TYPE_CLARIFICATION_ANSWERED, resume->payload);
    commands_remember_key(sequencer, command);
}

static bool names_question(const struct command *command)
{
    return command->message.resume.clarification.length > 0;
}

bool lifecycle_concerns_last_answer(const struct command *command)
{
    return command->kind->type == MESSAGE_RESUME_RUN && !names_question(command);
}

bool lifecycle_needs_last_answer(const struct command *command)
{
    return lifecycle_concerns_last_answer(command) && !command->key_checked &&
           command->run != NULL && !command->run->resumed_known &&
           uuid_is_nil(&command->run->batch_resumed) &&
           runs_status(command->run) != RUN_INTERRUPTED;
}

/* Under which its event keeps the hash. Not a key to look for: the same answer may be given to the
 * next interruption. */
static void keep_answer(struct command *command)
{
    free(command->made_key);
    command->made_key = memory_new(RESUMED_KEY_SIZE);
    int length = snprintf(command->made_key, RESUMED_KEY_SIZE, resumed_format,
                          (long long)runs_seq(command->run) + 1);
    commands_key(command, KEY_OF_RUN, span_of((const uint8_t *)command->made_key, (size_t)length),
                 command->hash);
}

/* The run waits without a question. */
static void go_on(struct sequencer *sequencer, struct command *command)
{
    struct run *run = command->run;
    struct uuid answer;
    memcpy(answer.bytes, command->hash.data, sizeof answer.bytes);
    if (runs_status(run) != RUN_INTERRUPTED) {
        if (uuid_equal(runs_resumed(run), &answer)) {
            commands_nothing_to_do(command);
        } else {
            commands_refuse(command, OUTCOME_NOT_INTERRUPTED);
        }
        return;
    }
    if (runs_questions(run)->count > 0) {
        commands_refuse(command, OUTCOME_WRONG_CLARIFICATION);
        return;
    }
    keep_answer(command);
    batch_join(sequencer->batch, run);
    run->batch_resumed = answer;
    add_event(sequencer, command, EVENT_TYPE_RUN_RESUMED, command->message.resume.payload);
}

void lifecycle_resume(struct sequencer *sequencer, struct command *command)
{
    if (!commands_find_run(command)) {
        return;
    }
    const struct key_entry *known = commands_known_key(sequencer, command);
    if (known != NULL) {
        commands_answer_by_key(sequencer, command, known);
    } else if (status_is_closed(runs_status(command->run))) {
        commands_refuse(command, OUTCOME_RUN_CLOSED);
    } else if (runs_status(command->run) == RUN_PENDING) {
        commands_refuse(command, OUTCOME_RUN_PENDING);
    } else if (names_question(command)) {
        answer_question(sequencer, command);
    } else {
        go_on(sequencer, command);
    }
}

/* ---- signs of life ---- */

bool lifecycle_decode_touch(struct command *command, struct message_header *header)
{
    struct message_touch_run *touch = &command->message.touch;
    if (message_touch_run_decode(command->frame, command->length, header, touch) != 0) {
        return false;
    }
    commands_address(command, touch->origin, touch->tenant, touch->run);
    return true;
}

void lifecycle_touch(struct sequencer *sequencer, struct command *command)
{
    (void)sequencer;
    if (commands_find_run(command)) {
        command->run->touched_us = clock_real_us();
        commands_accept(command, 0);
    }
}
