/* See commands.h. */
#include "sequencer/commands.h"

#include "runtime/base/memory.h"
#include "runtime/base/metrics.h"

#include <stdlib.h>
#include <string.h>

static const struct command_kind kinds[] = {
    {MESSAGE_APPEND, append_decode, append_evaluate, NULL},
    {MESSAGE_CREATE_RUN, create_decode, create_evaluate, create_gate},
    {MESSAGE_CANCEL_RUN, lifecycle_decode_cancel, lifecycle_cancel, NULL},
    {MESSAGE_RESUME_RUN, lifecycle_decode_resume, lifecycle_resume, NULL},
    {MESSAGE_TOUCH_RUN, lifecycle_decode_touch, lifecycle_touch, NULL},
    {MESSAGE_FORK_RUN, fork_decode, fork_evaluate, NULL},
    {MESSAGE_PRUNE, prune_decode, prune_evaluate, NULL},
    {MESSAGE_ENQUEUE_JOBS, job_enqueue_decode, job_enqueue_evaluate, NULL},
    {MESSAGE_CHANGE_JOBS, job_change_decode, job_change_evaluate, NULL},
};

static void refuse(struct sequencer *sequencer, struct command *command)
{
    (void)sequencer;
    commands_refuse(command, OUTCOME_REFUSED);
}

/* Of a newer actor, or broken: all that is known is whom to answer. */
static const struct command_kind not_understood = {.evaluate = refuse};

const struct command_kind *commands_kind(enum message_type type)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kinds[i].type == type) {
            return &kinds[i];
        }
    }
    return NULL;
}

/* As if nothing of the body had been read. */
static bool decode_sender(struct command *command)
{
    free(command->made_key);
    jobs_work_destroy(&command->work);
    *command = (struct command){.kind = &not_understood,
                                .peer = command->peer,
                                .frame = command->frame,
                                .length = command->length};
    list_init(&command->node);
    return message_sender(command->frame, command->length, &command->sender, &command->number) == 0;
}

struct command *commands_create(const struct command_kind *kind, const struct bus_peer *peer,
                                const uint8_t *frame, size_t length)
{
    struct command *command = memory_new(sizeof *command);
    struct message_header header;
    command->kind = kind;
    command->peer = *peer;
    command->frame = memory_copy(frame, length);
    command->length = length;
    list_init(&command->node);
    if (kind == NULL || !kind->decode(command, &header)) {
        if (!decode_sender(command)) {
            command_destroy(command);
            return NULL;
        }
        return command;
    }
    command->number = header.request;
    if (command->key.length > 0) {
        bool of_run = command->key_scope == KEY_OF_RUN;
        command->key_hash = keys_hash(command->key_scope,
                                      of_run ? &command->run_id : &command->tenant, command->key);
    }
    return command;
}

bool commands_understood(const struct command *command)
{
    return command->kind != &not_understood;
}

void command_destroy(struct command *command)
{
    if (command->run != NULL) {
        command->run->users--;
    }
    if (command->origin != NULL) {
        command->origin->users--;
    }
    if (command->counted != NULL) {
        --*command->counted;
    }
    gate_destroy(&command->gate);
    jobs_work_destroy(&command->work);
    free(command->found);
    free(command->made_key);
    free(command->frame);
    free(command);
}

void commands_address(struct command *command, uint64_t sender, const uint8_t tenant[16],
                      const uint8_t run[16])
{
    command->sender = sender;
    memcpy(command->tenant.bytes, tenant, sizeof command->tenant.bytes);
    memcpy(command->run_id.bytes, run, sizeof command->run_id.bytes);
}

void commands_trace(struct command *command, const uint8_t trace[16], uint64_t span, uint64_t flags)
{
    memcpy(command->trace.bytes, trace, sizeof command->trace.bytes);
    command->span = span;
    command->trace_flags = flags;
}

void commands_key(struct command *command, enum key_scope scope, struct message_span key,
                  struct message_span hash)
{
    if (key.length > 0) {
        command->key_scope = scope;
        command->key = key;
        command->hash = hash;
    }
}

/* ---- outcomes ---- */

static void set_result(struct command *command, enum command_outcome outcome)
{
    struct message_result *result = &command->result;
    *result = (struct message_result){.outcome = outcome};
    memcpy(result->run, command->run_id.bytes, sizeof result->run);
}

static void say_status(struct command *command, enum run_status status)
{
    command->result.status = status;
    command->result.cancel_requested = status == RUN_CANCELLING;
}

/* A run of another tenant tells nothing about itself. */
void commands_refuse(struct command *command, enum command_outcome outcome)
{
    set_result(command, outcome);
    if (command->run != NULL && uuid_equal(&command->run->tenant, &command->tenant)) {
        command->result.last_seq = (uint64_t)runs_seq(command->run);
        say_status(command, runs_status(command->run));
    }
}

void commands_nothing_to_do(struct command *command)
{
    commands_refuse(command, OUTCOME_OK);
    command->result.duplicate = true;
}

void commands_accept(struct command *command, int64_t first_seq)
{
    commands_refuse(command, OUTCOME_OK);
    command->result.first_seq = (uint64_t)first_seq;
}

const struct key_entry *commands_known_key(const struct sequencer *sequencer,
                                           const struct command *command)
{
    if (uuid_is_nil(&command->key_hash)) {
        return NULL;
    }
    const struct key_entry *recent = keys_get(sequencer, &command->key_hash);
    return recent != NULL ? recent : command->found;
}

void commands_answer_by_key(struct sequencer *sequencer, struct command *command,
                            const struct key_entry *entry)
{
    struct message_span body = command->hash;
    if (body.length != sizeof entry->body || memcmp(body.data, entry->body, body.length) != 0) {
        commands_refuse(command, OUTCOME_KEY_MISMATCH);
        return;
    }
    const struct run *run = runs_get(sequencer, &entry->run);
    metric_add(METRIC_COMMANDS_DUPLICATE, 1);
    set_result(command, OUTCOME_OK);
    command->result.first_seq = entry->first_seq;
    command->result.last_seq = entry->last_seq;
    command->result.duplicate = true;
    say_status(command, run != NULL ? runs_status(run) : entry->status);
    memcpy(command->result.run, entry->run.bytes, sizeof entry->run.bytes);
}

void commands_remember_key(struct sequencer *sequencer, const struct command *command)
{
    struct key_entry entry = {.hash = command->key_hash,
                              .run = command->run_id,
                              .status = runs_status(command->run),
                              .first_seq = command->result.first_seq,
                              .last_seq = command->result.last_seq};
    if (uuid_is_nil(&command->key_hash)) {
        return;
    }
    if (command->hash.length == sizeof entry.body) {
        memcpy(entry.body, command->hash.data, command->hash.length);
    }
    keys_add(sequencer, &entry);
}

bool commands_find_run(struct command *command)
{
    if (command->run != NULL && uuid_equal(&command->run->tenant, &command->tenant)) {
        return true;
    }
    commands_refuse(command, OUTCOME_NOT_FOUND);
    return false;
}

/* The rows were there already; the status is that of now. */
static void answer_recovered(struct command *command)
{
    metric_add(METRIC_COMMANDS_DUPLICATE, 1);
    if (command->run != NULL) {
        say_status(command, runs_status(command->run));
    }
}

void commands_evaluate(struct sequencer *sequencer, struct command *command)
{
    if (command->recovered) {
        answer_recovered(command);
    } else {
        command->kind->evaluate(sequencer, command);
    }
}
