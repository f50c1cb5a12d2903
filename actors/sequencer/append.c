/* APPEND: events of an agent or another actor, all or none. See commands.h. */
#include "sequencer/commands.h"

#include "runtime/base/memory.h"

#include <stdlib.h>

/* The state of the run as the events of one command would leave it, one after the other. */
struct trial {
    enum run_status status;
    struct questions questions;
    bool changes;       /* a lifecycle event is among them; otherwise nothing above is set */
    struct uuid *asked; /* owned; hashes of the questions it asks, answered within it or not */
    size_t asked_count;
    size_t asked_capacity;
};

static bool asks_questions(const struct message_append *append)
{
    struct message_list events = append->events;
    struct message_append_event event;
    while (message_append_event_next(&events, &event)) {
        if (event.type == EVENT_TYPE_CLARIFICATION_NEEDED) {
            return true;
        }
    }
    return false;
}

bool append_decode(struct command *command, struct message_header *header)
{
    struct message_append *append = &command->message.append;
    if (message_append_decode(command->frame, command->length, header, append) != 0 ||
        append->events.count == 0) {
        return false;
    }
    commands_address(command, append->origin, append->tenant, append->run);
    if (producers_concern(command)) {
        producers_adopt(command);
    } else {
        commands_key(command, KEY_OF_RUN, append->key, append->hash);
    }
    command->asks = asks_questions(append);
    command->actor = append->actor;
    commands_trace(command, append->trace, append->span, append->trace_flags);
    return true;
}

/* What this process has committed, or is about to, since the table was asked, is not in the answer.
 */
bool append_needs_questions(const struct command *command)
{
    const struct run *run = command->run;
    return command->asks && run != NULL &&
           (!command->key_checked || run->asked_commit > command->seen_commit ||
            run->batch_questions != NULL);
}

/* An id is used once in the life of a run: its answer stands for ever. */
static enum command_outcome try_ask(struct trial *trial, struct message_span id)
{
    struct uuid hash = questions_hash(id);
    for (size_t i = 0; i < trial->asked_count; i++) {
        if (uuid_equal(&trial->asked[i], &hash)) {
            return OUTCOME_QUESTION_ASKED;
        }
    }
    if (questions_has_hash(&trial->questions, &hash)) {
        return OUTCOME_QUESTION_ASKED;
    }
    if (trial->asked_count == trial->asked_capacity) {
        trial->asked_capacity = trial->asked_capacity == 0 ? 4 : trial->asked_capacity * 2;
        trial->asked = memory_grow(trial->asked, trial->asked_capacity, sizeof *trial->asked);
    }
    trial->asked[trial->asked_count++] = hash;
    return questions_ask(&trial->questions, id) ? OUTCOME_OK : OUTCOME_WRONG_CLARIFICATION;
}

static enum command_outcome try_question(struct trial *trial,
                                         const struct message_append_event *event)
{
    if (!questions_valid_id(event->subject)) {
        return OUTCOME_REFUSED;
    }
    if (event->type == EVENT_TYPE_CLARIFICATION_NEEDED) {
        return try_ask(trial, event->subject);
    }
    return questions_answer(&trial->questions, event->subject) ? OUTCOME_OK
                                                               : OUTCOME_WRONG_CLARIFICATION;
}

static enum command_outcome try_lifecycle(struct trial *trial, const struct run *run,
                                          const struct message_append_event *event)
{
    enum event_type type = (enum event_type)event->type;
    if (!trial->changes) {
        *trial = (struct trial){
            .status = runs_status(run), .questions = *runs_questions(run), .changes = true};
    }
    if (type == EVENT_TYPE_CLARIFICATION_NEEDED || type == EVENT_TYPE_CLARIFICATION_ANSWERED) {
        enum command_outcome outcome = try_question(trial, event);
        if (outcome != OUTCOME_OK) {
            return outcome;
        }
    }
    return status_next(trial->status, type, trial->questions.count, &trial->status)
               ? OUTCOME_OK
               : OUTCOME_NOT_INTERRUPTED;
}

/* Types are known and not the server's own; a terminal event may only be the last one. */
static enum command_outcome try_events(struct trial *trial, const struct command *command)
{
    struct message_list events = command->message.append.events;
    struct message_append_event event;
    while (message_append_event_next(&events, &event)) {
        enum event_type type = (enum event_type)event.type;
        if (event.type < EVENT_TYPE_RUN_STARTED || event.type > EVENT_TYPE_MAX ||
            event_type_is_reserved(type)) {
            return OUTCOME_REFUSED;
        }
        if (event_type_is_terminal(type) && events.count > 0) {
            return OUTCOME_RUN_CLOSED;
        }
        if (status_is_lifecycle(type)) {
            enum command_outcome outcome = try_lifecycle(trial, command->run, &event);
            if (outcome != OUTCOME_OK) {
                return outcome;
            }
        }
    }
    return OUTCOME_OK;
}

static enum command_outcome check(struct trial *trial, const struct command *command)
{
    const struct message_append *append = &command->message.append;
    enum run_status status = runs_status(command->run);
    if (status_is_closed(status)) {
        return OUTCOME_RUN_CLOSED;
    }
    if (status == RUN_PENDING) {
        return OUTCOME_RUN_PENDING;
    }
    if (append->expected_seq >= 0 && append->expected_seq != runs_seq(command->run)) {
        return OUTCOME_SEQ_CONFLICT;
    }
    if (command->asked_before) {
        return OUTCOME_QUESTION_ASKED;
    }
    return try_events(trial, command);
}

static void take_trial(struct batch *batch, struct run *run, const struct trial *trial)
{
    if (trial->changes) {
        batch->lifecycle = true;
        run->batch_status = trial->status;
        free(run->batch_questions);
        run->batch_questions = memory_copy(&trial->questions, sizeof trial->questions);
    }
}

/* The jobs of a run that this ends, or asks to end, go before it. */
static void end_jobs(struct sequencer *sequencer, const struct command *command)
{
    struct message_list events = command->message.append.events;
    struct message_append_event event;
    while (command->run->jobs_open + command->run->batch_jobs > 0 &&
           message_append_event_next(&events, &event)) {
        jobs_run_changes(sequencer, command->run, (enum event_type)event.type);
    }
}

static void add_rows(struct batch *batch, struct command *command)
{
    struct message_list events = command->message.append.events;
    struct message_append_event event;
    struct run *run = command->run;
    const struct command *first = command;
    while (message_append_event_next(&events, &event)) {
        enum event_type type = (enum event_type)event.type;
        batch_add_row(batch, run, type, event.payload, first);
        if (event_type_is_terminal(type)) {
            (void)status_next(run->batch_status, type, 0, &run->batch_status);
        }
        first = NULL;
    }
}

/* True: it was done before, or its producer may not do it now; the result is set. */
static bool answer_again(struct sequencer *sequencer, struct command *command)
{
    if (producers_concern(command)) {
        return producers_settle(sequencer, command, status_is_closed(runs_status(command->run)));
    }
    const struct key_entry *known = commands_known_key(sequencer, command);
    if (known != NULL) {
        commands_answer_by_key(sequencer, command, known);
    }
    return known != NULL;
}

void append_evaluate(struct sequencer *sequencer, struct command *command)
{
    if (!commands_find_run(command)) {
        return;
    }
    if (answer_again(sequencer, command)) {
        return;
    }
    struct trial trial;
    trial.changes = false; /* the rest is large, and seldom needed */
    trial.asked = NULL;
    enum command_outcome outcome = check(&trial, command);
    free(trial.asked);
    if (outcome != OUTCOME_OK) {
        commands_refuse(command, outcome);
        return;
    }
    if (!quota_admits_append(sequencer, command)) {
        return;
    }
    end_jobs(sequencer, command);
    int64_t first_seq = runs_seq(command->run) + 1;
    batch_join(sequencer->batch, command->run);
    take_trial(sequencer->batch, command->run, &trial);
    add_rows(sequencer->batch, command);
    commands_accept(command, first_seq);
    if (trial.changes) {
        jobs_run_cancelling(sequencer, command);
    }
    commands_remember_key(sequencer, command);
    if (producers_concern(command)) {
        producers_advance(sequencer, command);
    }
}
