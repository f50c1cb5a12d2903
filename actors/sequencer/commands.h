/*
 * What each kind of command is: how its frame is read and how it is evaluated against the state that
 * the batch being built leaves. A kind is one row of the table in commands.c and one function of each
 * sort, in append.c, create.c, lifecycle.c. Evaluation does no I/O: it adds rows to the batch, or
 * none, and sets command->result.
 */
#ifndef SIGNALBOX_SEQUENCER_COMMANDS_H
#define SIGNALBOX_SEQUENCER_COMMANDS_H

#include "sequencer/sequencer.h"

/* What a start wants to know of the table as it is now. */
struct gate_question {
    bool needed;
    bool delayed; /* it does not start yet: nothing happens to the others */
    struct uuid thread;
    uint64_t strategy;
    struct message_span group; /* its concurrency key */
    int64_t limit;
    int64_t created_us; /* 0: it is being created */
};

enum gate_answer { GATE_START, GATE_WAIT, GATE_BUSY };

struct command_kind {
    enum message_type type;
    /* Decodes command->frame and fills what every kind has. False: malformed. */
    bool (*decode)(struct command *command, struct message_header *header);
    void (*evaluate)(struct sequencer *sequencer, struct command *command);
    /* NULL: it never depends on other runs. */
    struct gate_question (*gate)(const struct sequencer *sequencer, const struct command *command);
};

/* NULL: not a command. */
const struct command_kind *commands_kind(enum message_type type);
/* Returns a command of its own copy of the frame, caller destroys with command_destroy(). One that
 * is not understood (`kind` NULL, or its body) but says whose it is will be refused in its turn, so
 * that it does not hold up its sender; NULL: nobody can be answered. */
struct command *commands_create(const struct command_kind *kind, const struct bus_peer *peer,
                                const uint8_t *frame, size_t length);
void command_destroy(struct command *command);
/* Whether it was understood. */
bool commands_understood(const struct command *command);
/* In order, in the thread of the batch: against the heads as it leaves them. */
void commands_evaluate(struct sequencer *sequencer, struct command *command);

/* ---- for the kinds ---- */

/* Who and where, for decode(). */
void commands_address(struct command *command, uint64_t sender, const uint8_t tenant[16],
                      const uint8_t run[16]);
/* Which request it comes from. */
void commands_trace(struct command *command, const uint8_t trace[16], uint64_t span,
                    uint64_t flags);
/* The key of the command; ignored when empty. */
void commands_key(struct command *command, enum key_scope scope, struct message_span key,
                  struct message_span hash);
/* Nothing is written. */
void commands_refuse(struct command *command, enum command_outcome outcome);
/* OK, and nothing is written: it had been done, or there is nothing to do. */
void commands_nothing_to_do(struct command *command);
/* OK: its rows are those from first_seq to the run's head. */
void commands_accept(struct command *command, int64_t first_seq);
/* What the key led to before, or NULL. */
const struct key_entry *commands_known_key(const struct sequencer *sequencer,
                                           const struct command *command);
/* The key was used before: the same answer again, or a refusal when the body differs. */
void commands_answer_by_key(struct sequencer *sequencer, struct command *command,
                            const struct key_entry *entry);
/* After commands_accept(): the key leads here from now on. */
void commands_remember_key(struct sequencer *sequencer, const struct command *command);
/* Whether the run is there and the tenant's. Otherwise the command is refused. */
bool commands_find_run(struct command *command);

/* gate.c: what the strategy does to the other runs of the thread is added to the batch; whether the
 * run itself starts is the answer. After gate_look(). */
enum gate_answer gate_pass(struct sequencer *sequencer, const struct command *command,
                           const struct gate_question *question);

bool append_decode(struct command *command, struct message_header *header);
/* Whether the table must be asked, now or again, if the questions it asks are new. */
bool append_needs_questions(const struct command *command);
void append_evaluate(struct sequencer *sequencer, struct command *command);
bool create_decode(struct command *command, struct message_header *header);
void create_evaluate(struct sequencer *sequencer, struct command *command);
struct gate_question create_gate(const struct sequencer *sequencer, const struct command *command);
bool lifecycle_decode_cancel(struct command *command, struct message_header *header);
void lifecycle_cancel(struct sequencer *sequencer, struct command *command);
bool lifecycle_decode_resume(struct command *command, struct message_header *header);
void lifecycle_resume(struct sequencer *sequencer, struct command *command);
/* Whether it is an answer to no question: its repetition is known by the last such answer. */
bool lifecycle_concerns_last_answer(const struct command *command);
/* Whether the table must be asked for that before this command can be judged. */
bool lifecycle_needs_last_answer(const struct command *command);
bool lifecycle_decode_touch(struct command *command, struct message_header *header);
void lifecycle_touch(struct sequencer *sequencer, struct command *command);
bool fork_decode(struct command *command, struct message_header *header);
void fork_evaluate(struct sequencer *sequencer, struct command *command);
bool prune_decode(struct command *command, struct message_header *header);
void prune_evaluate(struct sequencer *sequencer, struct command *command);
bool job_enqueue_decode(struct command *command, struct message_header *header);
void job_enqueue_evaluate(struct sequencer *sequencer, struct command *command);
bool job_change_decode(struct command *command, struct message_header *header);
void job_change_evaluate(struct sequencer *sequencer, struct command *command);

#endif
