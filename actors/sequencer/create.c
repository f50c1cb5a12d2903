/* CREATE_RUN: a new run, started at once. See commands.h. */
#include "sequencer/commands.h"

bool create_decode(struct command *command, struct message_header *header)
{
    struct message_create_run *create = &command->message.create;
    if (message_create_run_decode(command->frame, command->length, header, create) != 0) {
        return false;
    }
    commands_address(command, create->origin, create->tenant, create->run);
    commands_key(command, KEY_OF_TENANT, create->key, create->hash);
    command->actor = create->created_by;
    return true;
}

void create_evaluate(struct sequencer *sequencer, struct command *command)
{
    const struct message_create_run *create = &command->message.create;
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
    command->run = runs_add(sequencer, &command->run_id, &command->tenant, 0, RUN_PENDING);
    command->run->users++;
    command->run->batch_new = true;
    command->creates = true;
    sequencer->batch->creates_count++;
    batch_add_row(sequencer->batch, command->run, EVENT_TYPE_RUN_STARTED, create->started, command);
    command->run->batch_status = RUN_RUNNING;
    commands_accept(command, 1);
    commands_remember_key(sequencer, command);
}
